r"""Means of many quantities with controls of mean zero, without a bias.

Values v (n, J) and controls h (n, K) with ``E h = 0`` known: ``v - h B`` has the mean of v for
every B and the least variance at the regression of v on h (with an intercept). A B fitted on the
same rows has a bias of order 1/n; here the rows of each half use the B of the other half, which
has none. Controls may be collinear: the least B of all is taken.

Not to be confused with centring h by its sample mean, which throws the knowledge away.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...solvers.errors import ShapeError
from ..fokker_planck.collocation import Estimate, mean
from ..fokker_planck.errors import TooFewSamplesError

ROWS = 8
"""Rows for each coefficient of the regression, at least."""


def corrected(values: Tensor, controls: Tensor) -> Tensor:
    """``v - h B`` row by row, (n, J), the B of each half being fitted on the other.

    Parameters
    ----------
    values : Tensor
        (n, J), independent rows.
    controls : Tensor
        (n, K) of mean zero exactly.

    Raises
    ------
    TooFewSamplesError
        For fewer than ``8 (K + 1)`` rows.
    ShapeError
        If the two have not as many rows.
    """
    if values.ndim != 2 or controls.ndim != 2 or len(values) != len(controls):
        msg = "values (n, J) and controls (n, K) must have as many rows, got "
        raise ShapeError(msg + f"{tuple(values.shape)} and {tuple(controls.shape)}")
    n, needed = len(values), ROWS * (controls.shape[1] + 1)
    if n < needed:
        msg = f"{n} samples are too few to fit {controls.shape[1]} controls and an intercept; "
        raise TooFewSamplesError(msg + f"{needed} would be enough", needed=needed)
    half, out = n // 2, torch.empty_like(values, dtype=torch.float64)
    for use, learn in ((slice(half), slice(half, n)), (slice(half, n), slice(half))):
        out[use] = values[use] - controls[use] @ _slope(values[learn], controls[learn])
    return out


def _slope(values: Tensor, controls: Tensor) -> Tensor:
    """Regression with an intercept, (K, J); of all solutions the least one."""
    h = controls - controls.mean(0)
    return torch.linalg.lstsq(h, values - values.mean(0), driver="gelsd").solution


def controlled(
    values: Tensor,
    controls: Tensor,
    *,
    certainty: float = 0.999,
    within: float = math.inf,
) -> tuple[Estimate, ...]:
    """Means of the columns of ``values`` with control variates, J of them.

    Parameters
    ----------
    values, controls : Tensor
        As in :func:`corrected`.
    certainty, within : float
        As in :func:`~fokker.analysis.fokker_planck.mean`.

    Raises
    ------
    TooFewSamplesError
        For too few rows for the regression, or for the certainty.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    >>> controlled(3 + 2 * x, x)[0].value  # the control explains everything
    3.0
    """
    return means(corrected(values, controls), certainty=certainty, within=within)


def means(table: Tensor, *, certainty: float, within: float) -> tuple[Estimate, ...]:
    """Mean of each column of (n, J), or the refusal of the one that needs most samples."""
    found: list[Estimate] = []
    refused: list[TooFewSamplesError] = []
    for column in table.unbind(1):
        try:
            found.append(mean(column, certainty=certainty, within=within))
        except TooFewSamplesError as error:
            refused.append(error)
    if refused:
        raise max(refused, key=lambda error: error.needed)
    return tuple(found)
