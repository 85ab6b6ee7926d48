"""Steps of each sample's own size, on a path that is there before the first step is tried.

Step doubling on the dyadic tree of a :class:`~fokker.solvers.sde.path.DyadicPath`: a cell is done
in one step and in two; where they differ by more than the tolerance the cell is refused and its
halves are tried in turn, otherwise the two steps stand.

Why the law is not biased: refusing does not redraw.  The path is a function of (seed, sample,
time) and is fixed before; a refused cell is the same path seen closer.  Steps that discard a large
increment and draw another one prefer small increments: their law is wrong at every tolerance.
What is left is the error of the discretisation on that path.  The choice of steps does look into
the future of the path, within a cell, so it is not adapted, and for such steps increments alone
can converge to another equation unless the method is right pathwise: strong order 1 for the kind
of noise is needed (Gaines & Lyons 1997, SIAM J. Appl. Math. 57; Euler-Maruyama with
multiplicative noise fails).  Less is refused here.

Each sample has its own steps: its result does not depend on the batch it is in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import AnalysisError
from .errors import InvalidEquationError, StepUnderflowError, samples_in_words
from .inputs import finite, prepared
from .method import Cell, Method
from .path import DyadicPath, Piece
from .problem import SDE, not_finite
from .solve import guarded


@dataclass(frozen=True)
class AdaptiveSolution:
    """The state at the end, and for each sample how many cells stood and how many were refused."""

    x: Tensor
    accepted: Tensor
    refused: Tensor


@dataclass
class _Job:
    sde: SDE
    method: Method
    path: DyadicPath
    ids: list[int]
    x: Tensor
    rtol: float
    atol: float
    first: int
    depth: int
    accepted: Tensor
    refused: Tensor


def solve_adaptive(
    sde: SDE,
    method: Method,
    path: DyadicPath,
    x: Tensor,
    *,
    rtol: float = 1e-3,
    atol: float = 1e-3,
    first: int = 3,
    depth: int = 30,
) -> AdaptiveSolution:
    """Solve over the whole path, each sample with steps that keep its error a step at tolerance.

    Parameters
    ----------
    sde, method
        As of :func:`.solve.solve`; the method must have strong order 1 for the kind of noise.
    path : DyadicPath
        The path, which also says from when to when.
    x : Tensor
        Start, shape (B, *D).
    rtol, atol : float
        A cell stands if ``rms((x_2 - x_1)/(atol + rtol max(|x|, |x_2|))) <= 1`` over the
        coordinates of the sample, x_1 and x_2 after one and two steps.
    first : int
        Level of the first cells tried: 2^first of them.
    depth : int
        Level below which nothing is halved.

    Raises
    ------
    InvalidEquationError
        If the method may be wrong on steps that depend on the path, or carries more than x.
    StepUnderflowError
        If a cell of level ``depth``, or one without a number inside, is refused.
    NonFiniteError, NegativeDiffusionError
        If a start, or a step however short, is not finite; for a negative diffusion.  All three
        with time and sample ids.
    """
    _check(sde, method, rtol, atol, first, depth)
    prepared(x, path)
    ids = list(range(x.shape[0])) if path.sample_ids is None else list(path.sample_ids)
    count = torch.zeros(x.shape[0], dtype=torch.int64)
    job = _Job(sde, method, path, ids, x.clone(), rtol, atol, first, depth, count, count.clone())
    with torch.no_grad():
        _walk(job, path.whole(sde.noise_like(x)), torch.arange(x.shape[0]))
    return AdaptiveSolution(job.x, job.accepted, job.refused)


def _check(sde: SDE, method: Method, rtol: float, atol: float, first: int, depth: int) -> None:
    method.check(sde)
    if method.strong[sde.noise] < 1.0:
        msg = (
            f"{method.name} has strong order {method.strong[sde.noise]} for {sde.noise} noise; "
            "steps chosen by looking at the path need 1 or more"
        )
        raise InvalidEquationError(msg)
    if method.reverse is not None:
        msg = f"{method.name} carries a second state, which steps of several sizes would break"
        raise InvalidEquationError(msg)
    right = rtol >= 0 and atol >= 0 and 0 < rtol + atol < math.inf
    if not (right and 0 <= first <= depth <= 48):
        msg = (
            "need finite rtol, atol >= 0, not both 0, and 0 <= first <= depth <= 48; "
            f"got {rtol}, {atol}, {first}, {depth}"
        )
        raise AnalysisError(msg)


def _walk(job: _Job, piece: Piece, rows: Tensor) -> None:
    """Bring the samples ``rows`` over the cell."""
    ids = [job.ids[i] for i in rows.tolist()]
    if not piece.a < 0.5 * (piece.a + piece.b) < piece.b:
        msg = (
            f"the step at t = {piece.a!r} has no number inside it and is to be halved for "
            f"{samples_in_words(ids)}; its size is {piece.b - piece.a:.3g}"
        )
        raise StepUnderflowError(msg, t=piece.a, sample_ids=ids)
    left, right = job.path.halves(piece, ids)
    if piece.level >= job.first:
        keep = _try(job, piece, (left, right), rows, ids)
        job.refused[rows[keep]] += 1
        if piece.level >= job.depth and keep.any():
            named = [ids[i] for i in keep.nonzero().flatten().tolist()]
            parts = left.rows(keep), right.rows(keep)
            _check_finite(job, parts, job.x[rows[keep]], named)
            _underflow(job, piece, named)
        rows, left, right = rows[keep], left.rows(keep), right.rows(keep)
    if len(rows):
        _walk(job, left, rows)
        _walk(job, right, rows)


def _try(
    job: _Job, piece: Piece, parts: tuple[Piece, Piece], rows: Tensor, ids: Sequence[int]
) -> Tensor:
    """One step against two; which samples are refused, as a mask of the rows."""
    x = job.x[rows]
    one = _step(job, piece, x, ids)
    two = x
    for part in parts:
        two = _step(job, part, two, ids)
    size = job.atol + job.rtol * torch.maximum(x.abs(), two.abs())
    gap = two - one
    # where both agree there is nothing to refuse, be the size that is asked for 0, too
    error = torch.where(gap == 0, gap, gap / size).flatten(1).square().mean(1).sqrt()
    good = error <= 1.0  # false for what is not finite
    job.x[rows[good]] = two[good]
    job.accepted[rows[good]] += 1
    return ~good


def _cell(job: _Job, piece: Piece, x: Tensor) -> Cell:
    h = piece.b - piece.a
    xi = (piece.w / math.sqrt(h)).to(x)
    return Cell(
        piece.a,
        h,
        xi,
        (piece.area / math.sqrt(h / 12)).to(x) if job.method.needs_area else None,
    )


def _step(job: _Job, piece: Piece, x: Tensor, ids: Sequence[int]) -> Tensor:
    return guarded(job.sde, job.method, _cell(job, piece, x), (x,), None, ids)[0]


def _check_finite(job: _Job, parts: tuple[Piece, Piece], x: Tensor, ids: Sequence[int]) -> None:
    """Tell a refused cell that gives no numbers from one that is too long."""
    for part in parts:
        out = _step(job, part, x, ids)
        if not finite(out):
            raise not_finite(job.sde, _cell(job, part, x), x, out, None, ids)
        x = out


def _underflow(job: _Job, piece: Piece, ids: list[int]) -> None:
    msg = (
        f"the step at t = {piece.a:.6g} was halved {job.depth} times and is still refused for "
        f"{samples_in_words(ids)}; loosen the tolerances, now {job.rtol:g} and {job.atol:g}"
    )
    raise StepUnderflowError(msg, t=piece.a, sample_ids=ids)
