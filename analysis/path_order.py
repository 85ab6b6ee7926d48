"""Strong order on a nonlinear law: one Brownian path, every grid, error bars.

No exact law is at hand for a stochastic sampler on a mixture, but none is needed for the *order*:
with the same path on grids of N and 2N steps, the differences ``X^N - X^{2N}`` obey the same power
law as the errors, and because they are coupled their statistical error is small.

    RMS(X^N - X^{2N}) ~ C h^p.

Differences alone would not notice a sampler that converges to the wrong limit; the certificate
therefore also tests the exact law on Gaussians, where the truth is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.grids import Grid, GridMap
from ..solvers.plan import Noise, clock_measure
from ..solvers.process import Process
from ..solvers.registry import Sampler
from .order import Verdict, tolerance
from .paired import FlowProblem, rms, sample

SIGNAL = 4.0
"""A point counts if it exceeds this many standard errors."""

CONFIDENCE = 3.0
"""Half-width of the interval in standard errors of the fitted slope."""


_DIGITS = 10  # places inside a step, reached from two grids, differ by rounding


class MonteCarloPath:
    """A Brownian path per sample on a finest grid, drawn as one block: for statistics only.

    Faster than :class:`~fokker.solvers.noise.GridPath` by not keying each sample.

    Parameters
    ----------
    finest : Grid
        Grid whose cells are the finest; every other grid is nested in it.
    increments, areas : Tensor
        Standard normals, shape (cells, B, *D): the increment of each finest cell and its
        space-time area (kind ``H``), both normalised.
    """

    def __init__(self, finest: Grid, increments: Tensor, areas: Tensor) -> None:
        self._lams = {round(node.lam, _DIGITS): i for i, node in enumerate(finest.nodes)}
        self._times = {node.t: i for i, node in enumerate(finest.nodes)}
        self._nodes, self._w, self._h = finest.nodes, increments, areas
        self.sample_ids = list(range(increments.shape[1]))

    @classmethod
    def random(cls, finest: Grid, shape: tuple[int, ...], seed: int) -> MonteCarloPath:
        """Independent pseudo-random paths."""
        rng = np.random.default_rng(seed)
        block = torch.from_numpy(rng.standard_normal((2, len(finest), *shape)))
        return cls(finest, block[0], block[1])

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Normalised increment, or space-time area, over a union of finest cells."""
        if cell.clock == "t":
            first, last = self._times.get(cell.a), self._times.get(cell.b)
        else:
            first, last = (self._lams.get(round(lam, _DIGITS)) for lam in (cell.a, cell.b))
        if first is None or last is None:
            msg = f"[{cell.a}, {cell.b}] is not a union of cells of the finest grid"
            raise AnalysisError(msg)
        ends = [n.t if cell.clock == "t" else n.lam for n in self._nodes[first : last + 1]]
        measures = [clock_measure(cell.clock, a, b) for a, b in pairwise(ends)]
        part = torch.tensor(measures, dtype=torch.float64).div(sum(measures))  # cells / whole
        total = torch.tensordot(part.sqrt(), self._w[first:last], dims=1)
        if cell.kind == "W":
            return total.to(like.dtype)
        # int W ds over cell i is mu_i (B_i + w_i/2 + h_i), B_i the path before it; whole = 1
        after = 1.0 - torch.cumsum(part, 0) + part / 2  # weight of w_i in the integral of W
        area = torch.tensordot((after - 0.5) * part.sqrt(), self._w[first:last], dims=1)
        area = area + torch.tensordot(part**1.5 / 12**0.5, self._h[first:last], dims=1)
        return (area * 12**0.5).to(like.dtype)


@dataclass(frozen=True)
class PathObservation:
    """Differences between N and 2N steps, their standard errors, and the fitted order."""

    steps: tuple[int, ...]
    errors: tuple[float, ...]
    bars: tuple[float, ...]
    order: float | None
    low: float | None
    high: float | None

    def verdict(self, claim: float) -> Verdict:
        """Whether the order ``claim`` is met; an interval that straddles it is not resolved."""
        if self.low is None or self.high is None:
            return "not resolved"
        if self.low >= claim - tolerance(claim):
            return "met"
        return "not met" if self.high < claim - tolerance(claim) else "not resolved"


def fit_order(
    steps: Sequence[int], errors: Sequence[float], bars: Sequence[float]
) -> PathObservation:
    """Weighted straight line through ``log2 error`` against ``log2 steps``, finest three points.

    A point whose error is within ``SIGNAL`` bars of zero, and every finer one, is left out. The
    interval is ``CONFIDENCE`` standard errors of the slope, widened to the side to which the slope
    still moves: by its change from the coarse pair to the fine one upwards, by half of it
    downwards (the straight line already lies half-way back).
    """
    used: list[int] = []
    for i, (e, b) in enumerate(zip(errors, bars, strict=True)):
        if not e > SIGNAL * b:
            break
        used.append(i)
    record = tuple(steps), tuple(errors), tuple(bars)
    if len(used) < 3:
        return PathObservation(*record, None, None, None)
    last = used[-3:]
    x = np.log2([steps[i] for i in last])
    y = np.log2([errors[i] for i in last])
    spread = np.array([bars[i] / errors[i] for i in last]) / math.log(2)
    weights = 1.0 / np.maximum(spread, 1e-6) ** 2
    centred = x - np.average(x, weights=weights)
    scale = float(np.sum(weights * centred**2))
    slope = -float(np.sum(weights * centred * y)) / scale
    half = CONFIDENCE / math.sqrt(scale)
    change = float(
        (y[1] - y[2]) - (y[0] - y[1])
    )  # of the slope, from the coarse pair to the fine one
    low, high = slope - half + min(change, 0.0) / 2, slope + half + max(change, 0.0)
    return PathObservation(*record, slope, low, high)


def with_stages(sampler: Sampler, process: Process, grids: list[Grid]) -> Grid:
    """The last grid and all places at which a noise of the sampler ends, on any of the grids."""
    finest = {round(node.lam, _DIGITS): node for node in grids[-1].nodes}
    for grid in grids if sampler.kind == "plan" else ():
        for op in sampler(process, grid).ops:
            if isinstance(op, Noise) and op.clock != "t":
                for lam in (op.a, op.b):
                    if round(lam, _DIGITS) not in finest:
                        finest[round(lam, _DIGITS)] = process.node_at_lam(lam)
    return Grid(tuple(finest[lam] for lam in sorted(finest)))


def strong_path_order(
    sampler: Sampler, problem: FlowProblem, grids: GridMap, *, first: int = 8, levels: int = 6
) -> PathObservation:
    """Strong order of a stochastic sampler on one pseudo-random path over nested grids."""
    x, counts = problem.starts(), [first * 2**k for k in range(levels)]
    model = problem.model(sampler.prediction)
    finest = with_stages(sampler, problem.process, [grids.grid(n) for n in counts])
    path = MonteCarloPath.random(finest, tuple(x.shape), seed=problem.seed + 7)
    runs = [sample(sampler, model, problem.process, grids.grid(n), x, noise=path) for n in counts]
    errors, bars = [], []
    for coarse, fine in pairwise(runs):
        square = (coarse - fine).square().mean(1)
        size = rms(coarse - fine)
        errors.append(size)
        bars.append(float(square.std()) / math.sqrt(len(square)) / (2 * size) if size else 0.0)
    return fit_order(counts[:-1], errors, bars)
