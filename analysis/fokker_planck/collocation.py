r"""Mean square residuals over the density itself, with error bars.

``int w(t) E_{p_t} |R|^2 dt``: points are drawn from p_t, for that is where a density is; a box of
points weighs the places where nothing is. The mean over samples comes with a confidence interval,
the residual of a network with what its arithmetic leaves (:func:`rounding`).

Near the data R grows like ``sigma^-4``: times below the range of the network are refused by
``fields.within``, not clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.process import Process
from ...toy_models.draws import normals
from ...toy_models.law import Law
from .errors import TooFewSamplesError
from .residual import Residual

Points = tuple[Tensor, Tensor]
"""Points (B, d) and their times (B,)."""
FEWEST = 32
"""Fewer samples give no interval: the variance itself is unknown."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its error bars.

    Attributes
    ----------
    value : float
        The mean.
    bar : float
        Half-width of its confidence interval from sampling.
    certainty : float
        Probability of the interval, by the central limit theorem.
    samples : int
        How many samples it is made of.
    rounding : float
        What the arithmetic of the network may contribute; 0 if it was not asked for.
    """

    value: float
    bar: float
    certainty: float
    samples: int
    rounding: float = 0.0

    @property
    def resolved(self) -> bool:
        """Whether the value differs from zero by more than both bars."""
        return abs(self.value) > self.bar + self.rounding

    def __str__(self) -> str:
        extra = f", rounding {self.rounding:.2g}" if self.rounding else ""
        share, n = self.certainty, self.samples
        return f"{self.value:.4g} ± {self.bar:.2g} ({share:.6g} certain, {n} samples{extra})"


def quantile(certainty: float) -> float:
    """Z with ``P(|N(0,1)| < z) = certainty``.

    Raises
    ------
    AnalysisError
        Unless ``0 < certainty < 1``.
    """
    if not 0 < certainty < 1:
        msg = f"certainty must lie between 0 and 1, got {certainty}"
        raise AnalysisError(msg)
    return math.sqrt(2) * float(torch.erfinv(torch.tensor(certainty, dtype=torch.float64)))


def mean(
    values: Tensor,
    *,
    certainty: float = 0.999,
    within: float = math.inf,
    weights: Tensor | None = None,
) -> Estimate:
    """Mean of independent values (B,) to a certainty.

    Parameters
    ----------
    values : Tensor
        (B,), independent.
    certainty : float
        Probability of the interval.
    within : float
        Half-width that the interval must not exceed, as a share of the value.
    weights : Tensor, optional
        (B,) factors of the values, such as those of a time grid.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than 32 values, or the interval is wider than ``within``.
    """
    z, n = quantile(certainty), len(values)
    if n < FEWEST:
        msg = f"{n} samples give no error bar; {FEWEST} would be enough to have one"
        raise TooFewSamplesError(msg, needed=FEWEST)
    v = values.to(torch.float64) * (1.0 if weights is None else weights)
    value, bar = float(v.mean()), z * float(v.std()) / math.sqrt(n)
    if bar > within * abs(value):
        needed = math.ceil(n * (bar / (within * abs(value))) ** 2) if value else 0
        enough = f"about {needed} would be enough" if value else "no number would be: it is zero"
        msg = f"{n} samples give {value:.3g} ± {bar:.2g} at certainty {certainty:g}, "
        msg += f"not to a share of {within:g}; {enough}"
        raise TooFewSamplesError(msg, needed=needed)
    return Estimate(value, bar, certainty, n)


def points(law: Law, process: Process, times: Sequence[float], n: int, *, seed: int) -> Points:
    """Draw n points from the law at each of the times: ``alpha x_0 + sigma eps``, fresh each."""
    xs, ts = [], []
    for k, t in enumerate(times):
        node = process.node(t)
        data = law.sample(n, seed=seed, first=k * n)
        noise = torch.from_numpy(normals(n, law.dim, seed=seed, label="fp", first=k * n)).to(data)
        xs.append(node.alpha * data + node.sigma * noise)
        ts.append(torch.full((n,), float(t), dtype=data.dtype))
    return torch.cat(xs), torch.cat(ts)


def collocate(
    residual: Callable[[Tensor, Tensor], Residual],
    at: Points,
    *,
    certainty: float = 0.999,
    within: float = math.inf,
    repeats: int = 0,
) -> Estimate:
    """Mean square of a residual over points drawn from the density.

    Parameters
    ----------
    residual : callable
        ``residual(x, t) -> Residual``, such as a partial of :func:`score_residual`.
    at : (Tensor, Tensor)
        Points and times, as :func:`points` draws them.
    certainty, within : float
        As in :func:`mean`.
    repeats : int
        How often the points are moved by a rounding to see what the arithmetic does; 0 leaves
        :attr:`Estimate.rounding` at 0.

    Raises
    ------
    TooFewSamplesError
        If the points are too few for what is asked.
    """
    found = residual(*at)
    out = mean(found.square, certainty=certainty, within=within)
    if not repeats:
        return out
    bar = rounding(residual, *at, repeats=repeats, base=found)
    shift = 2 * (bar.square().flatten(1).sum(1) * found.square).sqrt() + bar.square().flatten(
        1
    ).sum(1)
    rounded = float(shift.to(torch.float64).mean())
    return Estimate(out.value, out.bar, certainty, out.samples, rounded)


def rounding(
    residual: Callable[[Tensor, Tensor], Residual],
    x: Tensor,
    t: Tensor,
    *,
    repeats: int = 4,
    base: Residual | None = None,
) -> Tensor:
    """What arithmetic leaves in a residual at each point: an error bar of the shape (B, ...).

    The points are moved by up to two units in the last place, where a residual without rounding
    would hardly move; the bar is three times the largest change seen, and at least
    ``eps scale``.
    """
    base = residual(x, t) if base is None else base
    eps = torch.finfo(x.dtype).eps
    bar = eps * base.scale
    generator = torch.Generator().manual_seed(0)
    for _ in range(repeats):
        move = 2 * torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x.device) - 1
        moved = residual(x * (1 + 2 * eps * move), t).value
        bar = torch.maximum(bar, 3 * (moved - base.value).abs())
    return bar
