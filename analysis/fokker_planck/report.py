"""Rows of residuals of a reference problem under a wrong score, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...toy_models.problems import problem
from .collocation import mean, points
from .fields import exact_log_density, exact_score, reverse_sde
from .residual import curl, log_residual


def residual_rows(
    name: str,
    *,
    lams: Sequence[float],
    samples: int = 500,
    scale: float = 1.0,
    gauge: float = 0.0,
    eta: float = 1.0,
) -> list[dict[str, Any]]:
    """Residuals of the exact density under the reverse equation of ``scale s + gauge J s``.

    J is antisymmetric with entries +1 above the diagonal. On a Gaussian the second term has
    ``div(p r) = 0``, so that no marginal sees it (Horvat & Pfister 2024, arXiv:2402.03845); on
    any law it is a curl of the score.

    Parameters
    ----------
    name : str
        A reference problem.
    lams : sequence of float
        Half log signal-to-noise ratios.
    samples : int
        Points drawn from the density at each level, at least 32.
    scale, gauge : float
        The error of the score; 1 and 0 are the exact one.
    eta : float
        tau^2: 0 the probability-flow ODE, 1 the reverse SDE.

    Raises
    ------
    FokkerError
        For an unknown problem, too few samples, a level outside the process, a negative eta.

    Examples
    --------
    >>> (row,) = residual_rows("gaussian", lams=[0.0], samples=64)
    >>> row["worst"] < 1e-12
    True
    """
    p = problem(name)
    exact, density = exact_score(p.law, p.process), exact_log_density(p.law, p.process)
    upper = torch.ones(p.law.dim, p.law.dim, dtype=p.law.dtype).triu(1)
    turn = gauge * (upper - upper.mT)

    def score(x: Tensor, t: Tensor) -> Tensor:
        s = exact(x, t)
        return scale * s + s @ turn.mT

    dynamics, rows = reverse_sde(p.process, score, eta), []
    for lam in lams:
        node = p.process.node_at_lam(lam)
        x, t = points(p.law, p.process, [node.t], samples, seed=0)
        found = log_residual(dynamics, density, x, t)
        average = mean(found.square)
        bent = curl(score, x, t)
        rows.append(
            {
                "lam": lam, "t": node.t, "mean": average.value, "bar": average.bar,
                "worst": found.worst, "curl": bent.worst,
            }
        )  # fmt: skip
    return rows
