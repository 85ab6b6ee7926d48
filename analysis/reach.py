r"""How far the first order reaches: what an error of the model does to the sample, term by term.

Between a model m and a wrong one there are all models ``m + s (wrong - m)``. The sample that a
plan makes of them is a function of s, from one start with one noise::

    x(s) - x(0) = s d_1 + s^2 d_2 + ...        x(1): the wrong model

``d_1`` is the first order, ``delta = sum_k J_k e_k``: errors on the right path through the
linearised run. ``d_2`` has the rest of what is quadratic in the error: the error is another one on
the path that it made itself, and the run is curved. The first order misses, relative to itself,

    |x(1) - x(0) - d_1|/|d_1|  =  |d_2|/|d_1| + ...

so the second term foretells where the first stops, without the wrong model ever being run to
its end: both are derivatives at s = 0. Lengths alone say too little (two errors of one size may
point in different directions), so all of it is of vectors.

For an affine model with an affine error both obey linear equations (``u = x/alpha``, D = A u + b,
error ``E u + f``, in lam): ``d_1' = (A - 1) d_1 + E u + f``, ``d_2' = (A - 1) d_2 + E d_1``. A
constant error has no second term; a linear one has all of them.

Source: regular perturbation of differential equations (e.g. Hairer, Norsett & Wanner 1993, I.14).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.model import Model
from ..solvers.noise import NoiseSource
from ..solvers.plan import Plan
from ..solvers.run import run


@dataclass(frozen=True)
class Reach:
    """The error of each sample and its first two terms, root mean square of coordinates, (B,).

    Attributes
    ----------
    measured : Tensor
        ``|x(1) - x(0)|``.
    first, second : Tensor
        ``|d_1|``, and ``|d_1 + d_2|``: both orders together.
    off, off_second : Tensor
        What they miss, relative to the first: ``|x(1) - x(0) - d_1|/|d_1|``, and less d_2.
    expected : Tensor
        What the first is expected to miss, ``|d_2|/|d_1|``.
    """

    measured: Tensor
    first: Tensor
    second: Tensor
    off: Tensor
    off_second: Tensor
    expected: Tensor

    def median(self, kind: str = "measured") -> float:
        """Median over samples of one of them."""
        return float(getattr(self, kind).median())


def reach(
    plan: Plan,
    model: Model,
    wrong: Model,
    x: Tensor,
    *,
    noise: NoiseSource | int | None = None,
    size: float = 1e-3,
) -> Reach:
    """The sample of a wrong model, and what the first two orders say of it.

    Parameters
    ----------
    plan : Plan
        What is run, by all from one start with one noise.
    model, wrong : callable
        Of the prediction that the plan asks for, in float64, the same at every call.
    x : Tensor
        Start, (B, *D), float64.
    noise : int or NoiseSource, optional
        Of a stochastic plan.
    size : float
        s of the difference quotients ``(x(s) -+ x(-s))/2``: what they miss is of order s^2, and
        rounding adds ``1e-16/s^2`` to d_2.

    Raises
    ------
    AnalysisError
        For a start that is not float64, a size outside of (0, 1), or models that do not differ.
    """
    if x.dtype != torch.float64:
        msg = f"a difference quotient needs float64, got a start in {x.dtype}"
        raise AnalysisError(msg)
    if not 0.0 < size < 1.0:
        msg = f"the size of the difference quotient must be in (0, 1), got {size}"
        raise AnalysisError(msg)

    def end(share: float) -> Tensor:
        def between(state: Tensor, t: Any) -> Tensor:
            out = model(state, t)
            return out + share * (wrong(state, t) - out) if share else out

        return run(plan, between, x, noise=noise).x.flatten(1)

    base = end(0.0)
    whole, up, down = (end(share) - base for share in (1.0, size, -size))
    first, second = (up - down) / (2 * size), (up + down) / (2 * size**2)
    length = _rms(first)
    if not bool((length > 0).all()):
        msg = "a sample whose first order is zero: the models do not differ on its path"
        raise AnalysisError(msg)
    return Reach(
        _rms(whole), length, _rms(first + second),
        _rms(whole - first) / length, _rms(whole - first - second) / length,
        _rms(second) / length,
    )  # fmt: skip


def _rms(rows: Tensor) -> Tensor:
    return rows.square().mean(1).sqrt()


def stops_at(sizes: Sequence[float], off: Sequence[float], *, within: float = 0.1) -> float:
    """The size of the change at which a prediction is first off by more than ``within``.

    Interpolated in logarithms between neighbours. 0.0 if it is off at the smallest size already,
    inf if it never is.

    Parameters
    ----------
    sizes : sequence of float
        Positive and increasing: shares, say.
    off : sequence of float
        What the prediction misses there, positive.
    within : float
        What is allowed.

    Raises
    ------
    AnalysisError
        For sizes that do not increase, or numbers that are not positive.
    """
    s, e = (np.asarray(v, dtype=np.float64) for v in (sizes, off))
    if s.shape != e.shape or s.ndim != 1 or not s.size or not (np.diff(s, prepend=0.0) > 0).all():
        msg = f"as many increasing sizes as misses are needed, got {list(sizes)} and {list(off)}"
        raise AnalysisError(msg)
    if not (np.isfinite(e).all() and (e > 0).all() and within > 0):
        msg = f"misses and what is allowed must be positive, got {list(off)} and {within}"
        raise AnalysisError(msg)
    above = np.flatnonzero(e > within)
    if not len(above):
        return math.inf
    k = int(above[0])
    if k == 0:
        return 0.0
    part = math.log(within / e[k - 1]) / math.log(e[k] / e[k - 1])
    return float(s[k - 1] * (s[k] / s[k - 1]) ** part)
