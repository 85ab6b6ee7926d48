"""The exact law of a plan whose coordinates are coupled: full matrices in the place of numbers.

:mod:`.law` needs a model that commutes with the covariance and weights that are numbers.  Where
weights are arrays (blocks with processes of their own) or the model is any affine map, the plan is
still linear: it is run once on a batch of impulses, a row for the mean, one for each coordinate of
the start, and one for each coordinate of each noise.  No sampling; the cost is (noises x d) rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..solvers.errors import AnalysisError
from ..solvers.plan import Eval, Noise, Plan, interpret
from ..solvers.process import Array


class FullNormal(NamedTuple):
    """A Gaussian ``N(mean, cov)``, shapes (d,) and (d, d)."""

    mean: Array
    cov: Array


def coupled_law(
    plan: Plan,
    affine: Callable[[float], tuple[Array, Array]],
    start: FullNormal,
    lift: Array | None = None,
) -> FullNormal:
    """Mean and covariance of a plan's output, exactly.

    Parameters
    ----------
    plan : Plan
        Weights may be arrays that broadcast over a state of shape D.
    affine : callable
        ``affine(t) = (G, b)``: what the plan asks of the model, ``G c + b`` in coordinates.
    start : FullNormal
        Law of the input in coordinates.
    lift : Array, optional
        The coordinates as states, (d, *D), of supports that do not overlap; the unit vectors by
        default. Noises are standard normal in the coordinates.

    Raises
    ------
    AnalysisError
        If the plan has other inputs than ``x``, or shapes do not fit.
    """
    d = len(start.mean)
    basis = np.eye(d) if lift is None else np.asarray(lift, dtype=np.float64)
    _check(plan, start, basis)
    noises = [i for i, op in enumerate(plan.ops) if isinstance(op, Noise)]
    place = {row: 1 + d + k * d for k, row in enumerate(noises)}
    size = 1 + d + d * len(noises)
    shape = (size, *basis.shape[1:])
    flat = basis.reshape(d, -1)
    read = (flat / np.square(flat).sum(1, keepdims=True)).T

    def evaluate(_: int, op: Eval, source: Array) -> Array:
        gain, shift = affine(op.node.t)
        out = (source.reshape(size, -1) @ read) @ np.asarray(gain).T
        out[0] += shift
        return (out @ flat).reshape(shape)

    def impulses(row: int) -> Array:
        out = np.zeros(shape)
        out[row : row + d] = basis
        return out

    begin = impulses(1)
    begin[0] = np.tensordot(start.mean, basis, axes=1)
    found = interpret(
        plan,
        inputs={"x": begin},
        evaluate=evaluate,
        draw=lambda row, _: impulses(place[row]),
    )
    out = found["x"].reshape(size, -1) @ read
    from_start, from_noise = out[1 : 1 + d], out[1 + d :]
    return FullNormal(out[0], from_start.T @ start.cov @ from_start + from_noise.T @ from_noise)


def _check(plan: Plan, start: FullNormal, basis: Array) -> None:
    d = len(start.mean)
    if list(plan.inputs) != ["x"] or len(basis) != d or start.cov.shape != (d, d):
        msg = (
            f"a coupled law needs the one input 'x' and {d} coordinates; the plan has "
            f"{sorted(plan.inputs)}, the states {len(basis)}, the covariance {start.cov.shape}"
        )
        raise AnalysisError(msg)
