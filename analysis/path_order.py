"""Weak and strong order on a nonlinear law: one Brownian path, every grid, error bars.

No exact law is at hand for a stochastic sampler on a mixture, but none is needed for the *order*:
with the same path on grids of N and 2N steps, the differences ``X^N - X^{2N}`` obey the same power
law as the errors, and because they are coupled their statistical error is small.

* strong: ``RMS(X^N - X^{2N}) ~ C h^p``
* weak: ``|E phi(X^N) - E phi(X^{2N})| ~ C h^p`` for the moments phi = x, x^2, x^3 of each
  coordinate; the error bar is the standard error of the paired difference.

Differences alone would not notice a sampler that converges to the wrong limit; the certificate
therefore also tests the exact law on Gaussians, where the truth is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.grids import Grid, GridMap
from ..solvers.plan import Noise, clock_measure
from ..solvers.registry import Sampler
from .order import TOLERANCE, Verdict
from .paired import FlowProblem, rms, sample

SIGNAL = 4.0
"""A point counts if it exceeds this many standard errors."""

CONFIDENCE = 3.0
"""Half-width of the interval in standard errors of the fitted slope."""


class MonteCarloPath:
    """A Brownian path per sample on a finest grid, drawn as one block: for statistics only.

    Faster than :class:`~fokker.solvers.noise.GridPath` by not keying each sample; the whole block is
    a function of the seed and the batch shape.
    """

    def __init__(self, finest: Grid, shape: tuple[int, ...], seed: int) -> None:
        self._lams = {node.lam: i for i, node in enumerate(finest.nodes)}
        self._times = {node.t: i for i, node in enumerate(finest.nodes)}
        self._nodes = finest.nodes
        rng = np.random.default_rng(seed)
        self._normals = torch.from_numpy(rng.standard_normal((len(finest), *shape)))
        self.sample_ids = list(range(shape[0]))

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Normalised increment over a union of finest cells."""
        index = self._times if cell.clock == "t" else self._lams
        if cell.a not in index or cell.b not in index:
            msg = f"[{cell.a}, {cell.b}] is not a union of cells of the finest grid"
            raise AnalysisError(msg)
        first, last = index[cell.a], index[cell.b]
        ends = [n.t if cell.clock == "t" else n.lam for n in self._nodes[first : last + 1]]
        measures = [clock_measure(cell.clock, a, b) for a, b in zip(ends, ends[1:], strict=False)]
        weights = torch.tensor(measures, dtype=torch.float64).div(sum(measures)).sqrt()
        total = torch.tensordot(weights, self._normals[first:last], dims=1)
        return total.to(like.dtype)


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
        if self.low >= claim - TOLERANCE:
            return "met"
        return "not met" if self.high < claim - TOLERANCE else "not resolved"


def fit_order(
    steps: Sequence[int], errors: Sequence[float], bars: Sequence[float]
) -> PathObservation:
    """Weighted straight line through ``log2 error`` against ``log2 steps``, finest three points.

    A point whose error is within ``SIGNAL`` bars of zero, and every finer one, is left out. The
    interval is ``CONFIDENCE`` standard errors of the slope plus half the change of slope seen
    between the two pairs, for what is not asymptotic yet.
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
    bend = abs((y[0] - y[1]) / (x[1] - x[0]) - (y[1] - y[2]) / (x[2] - x[1])) / 2
    half = CONFIDENCE / math.sqrt(scale) + bend
    return PathObservation(*record, slope, slope - half, slope + half)


def _moments(x: Tensor) -> Tensor:
    return torch.cat([x, x**2, x**3], dim=1)


def path_orders(
    sampler: Sampler,
    problem: FlowProblem,
    grids: GridMap,
    *,
    first: int = 8,
    levels: int = 6,
) -> tuple[PathObservation, PathObservation]:
    """(weak, strong) observations of a stochastic sampler on one path over nested grids."""
    x = problem.starts()
    model = problem.model(sampler.prediction)
    counts = [first * 2**k for k in range(levels)]
    path = MonteCarloPath(grids.grid(counts[-1]), tuple(x.shape), seed=problem.seed + 7)
    weak: list[tuple[float, float]] = []
    strong: list[tuple[float, float]] = []
    before: Tensor | None = None
    for n in counts:
        now = sample(sampler, model, problem.process, grids.grid(n), x, noise=path)
        if before is not None:
            paired = _moments(before) - _moments(now)
            bar = paired.std(0) / math.sqrt(len(paired))
            weak.append((float(paired.mean(0).norm()), float(bar.norm())))
            square = (before - now).square().mean(1)
            size = rms(before - now)
            strong.append((size, float(square.std()) / math.sqrt(len(square)) / (2 * size)))
        before = now
    return (
        fit_order(counts[:-1], *map(list, zip(*weak, strict=True))),
        fit_order(counts[:-1], *map(list, zip(*strong, strict=True))),
    )
