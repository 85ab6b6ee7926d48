r"""Denoising MCMC: a chain over (x, level), and a short run of any sampler from where it is.

Kim & Ye 2023, arXiv:2209.14593 (Langevin-Gibbs). The chain lives on the joint law of a level k out
of a list and a state at that level,

    p(y, k) ~ prior_k p_k(y),        y = x/alpha,  p_k the law of  x_0 + rho_k eps

and alternates a Langevin step in y at the level k with a draw of k given y. Levels of much noise
carry it from mode to mode, so it does not stay where it began, as Langevin dynamics at one small
level does. Every so many sweeps the state is denoised from its level, which is far below the top.

Everything is in y, so the process does not matter. The conditional law of the level given y is
``softmax_k(log prior_k + log p_k(y))``: exact where densities are known, a classifier of noise
levels otherwise. Two ways to read it, and two to choose what is denoised:

* ``levels="drawn"``: a draw, as in the paper. ``levels="likeliest"``: its mode, as in the public
  code. That is no Gibbs step: the chain keeps another law.
* ``pick="last"``: the state of the last sweep, a draw of the joint law. ``pick="least"``: the
  state of least noise within the sweeps, as published; cheaper to denoise, but which state is
  taken then depends on the path.

States of one chain are correlated; different chains are independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..batch import column
from ..checks import bad_samples, check_state
from ..errors import InvalidGridError, InvalidPlanError, NonFiniteError, ShapeError
from ..grids import Grid, uniform_lam
from ..model import Model
from ..noise import CellNoise, NoiseSource
from ..plan import Noise
from ..plan_algebra import to_prediction
from ..process import DATA, Node, Process
from ..registry import get
from ..run import run
from .correctors import accepted, check_steps, mala_log_ratio
from .predictor_corrector import source_of
from .steps import langevin_step, positive

LevelLogits = Callable[[Tensor], Tensor]
"""``log prior_k + log p_k(y)`` up to a number that depends on y alone, (B, *D) -> (B, K)."""
LEVELS, PICKS = ("drawn", "likeliest"), ("last", "least")


class Chain(NamedTuple):
    """Where the chains are: ``y = x/alpha``, (B, *D), and the number of the level, (B,)."""

    y: Tensor
    level: Tensor


@dataclass(frozen=True)
class LangevinGibbs:
    """One sweep of the chain: a Langevin step at the level of each chain, then new levels.

    Parameters
    ----------
    model : callable
        Noise prediction ``model(x, t)``, asked with one time for each sample, (B,).
    nodes : sequence of Node
        The levels, in any order, ``alpha > 0`` and ``sigma > 0``.
    logits : callable
        See :data:`LevelLogits`.
    step : float
        The step is ``e = step rho_k^2`` (with ``relative=False`` it is ``step`` at every level, as
        published; a step above ``2 rho_k^2`` throws narrow modes away from their level).
    adjusted : bool
        Accept the Langevin step by the ratio of the densities, which the logits are: then the
        chain keeps the joint law exactly, for one more evaluation a sweep.
    levels : {"drawn", "likeliest"}
        See the module.
    """

    model: Model
    nodes: Sequence[Node]
    logits: LevelLogits
    step: float = 0.5
    relative: bool = True
    adjusted: bool = False
    levels: str = "drawn"

    def __post_init__(self) -> None:
        positive(self.step, "the step")
        if self.levels not in LEVELS:
            msg = f"levels must be in {LEVELS}, got {self.levels!r}"
            raise InvalidPlanError(msg)
        if not self.nodes or not all(n.alpha > 0 and n.sigma > 0 for n in self.nodes):
            lams = [n.lam for n in self.nodes]
            msg = f"a chain needs levels of finite lam, at least one, got {lams}"
            raise InvalidGridError(msg)

    @property
    def evaluations(self) -> int:
        """Calls of the model in one sweep."""
        return 2 if self.adjusted else 1

    def column(self, name: str, state: Chain) -> Tensor:
        """A coefficient of each chain's level, (B, 1, ..., 1)."""
        values = torch.tensor([getattr(n, name) for n in self.nodes], dtype=torch.float64)
        return column(values.to(state.y.device)[state.level], state.y)

    def score(self, state: Chain) -> Tensor:
        """Score of y at the level of each chain: ``-eps(alpha y)/rho``."""
        times = torch.tensor([n.t for n in self.nodes], dtype=torch.float64)
        x = self.column("alpha", state) * state.y
        eps = self.model(x, times.to(state.y.device)[state.level]).to(state.y.dtype)
        _finite(eps, "the model's output")
        return -eps / self.column("rho", state)

    def sweep(self, state: Chain, draw: Callable[[int], Tensor]) -> Chain:
        """The state after one sweep; ``draw(j)`` gives independent fields (B, *D)."""
        y = self._moved(state, draw)
        logits = self._logits(y)
        if self.levels == "likeliest":
            return Chain(y, logits.argmax(1))
        return Chain(y, drawn_levels(logits, draw(2)))

    def _moved(self, state: Chain, draw: Callable[[int], Tensor]) -> Tensor:
        rho, score = self.column("rho", state), self.score(state)
        step = self.step * (rho**2 if self.relative else torch.ones_like(rho))
        y = langevin_step(state.y, score, step, draw(0))
        _finite(y, "the state of the chain")
        if not self.adjusted:
            return y
        at = state.level[:, None]
        now = (state.y, score, self._logits(state.y).gather(1, at)[:, 0])
        new = (y, self.score(Chain(y, state.level)), self._logits(y).gather(1, at)[:, 0])
        return accepted(now, new, mala_log_ratio(now, new, step), draw(1))[0]

    def _logits(self, y: Tensor) -> Tensor:
        logits = self.logits(y)
        if tuple(logits.shape) != (len(y), len(self.nodes)):
            msg = (
                f"the logits of {len(self.nodes)} levels must have shape "
                f"({len(y)}, {len(self.nodes)}), got {tuple(logits.shape)}"
            )
            raise ShapeError(msg)
        _finite(logits, "a logit of the levels")
        return logits


def _finite(value: Tensor, what: str) -> None:
    bad = bad_samples(value)
    if bool(bad.any()):
        ids = bad.nonzero().flatten().tolist()
        msg = f"{what} is not finite in samples {ids[:8]}; a smaller step may help"
        raise NonFiniteError(msg, sample_ids=ids)


def drawn_levels(logits: Tensor, field: Tensor) -> Tensor:
    """A draw from the softmax of each row, (B,), by its distribution function.

    The uniform number is the normal distribution function of the field's first number.
    """
    edges = logits.softmax(1).cumsum(1)
    u = torch.special.ndtr(field.flatten(1)[:, :1].to(edges)) * edges[:, -1:]
    return torch.searchsorted(edges, u).clamp_max(logits.shape[1] - 1)[:, 0]


def chain(
    kernel: LangevinGibbs, start: Chain, sweeps: int, noise: NoiseSource | int, *, first: int = 0
) -> Iterator[Chain]:
    """The states after each of ``sweeps`` sweeps; sweep n draws the noise of sweep ``first + n``.

    Raises
    ------
    ShapeError
        If the start is no state, or its levels are not whole numbers (B,) of the list.
    InvalidPlanError
        Without noise.
    """
    source, state = source_of(noise), start
    check_state(start.y, "y")
    level, count = start.level, len(kernel.nodes)
    whole = tuple(level.shape) == (len(start.y),) and not level.is_floating_point()
    if not whole or not bool(((level >= 0) & (level < count)).all()):
        msg = f"the levels of {len(start.y)} chains must be whole numbers 0 .. {count - 1}, (B,)"
        raise ShapeError(msg)

    for n in range(first, first + sweeps):

        def draw(j: int, at: float = float(n)) -> Tensor:
            return source.draw(Noise("churn", at + j / 4, at + (j + 1) / 4), start.y)

        with torch.no_grad():
            state = kernel.sweep(state, draw)
        yield state


@dataclass(frozen=True)
class Denoised:
    """What :func:`denoising_mcmc` gives back.

    Attributes
    ----------
    x : Tensor
        Samples of the data, (rounds, B, *D).
    level : Tensor
        The level from which each was denoised, (rounds, B).
    nfe : float
        Evaluations of the model for one sample: of the sweeps of its round and of its run.
    last : Chain
        Where the chains are.
    """

    x: Tensor
    level: Tensor
    nfe: float
    last: Chain


def denoising_mcmc(
    kernel: LangevinGibbs,
    process: Process,
    start: Chain,
    *,
    noise: Any,
    rounds: int = 1,
    skip: int = 10,
    steps: int = 5,
    sampler: str = "ddim",
    lam_end: float | None = None,
    pick: str = "last",
) -> Denoised:
    """Run the chains, and denoise a state of each after every ``skip`` sweeps.

    Parameters
    ----------
    kernel : LangevinGibbs
        The sweep.
    start : Chain
        Where the chains begin.
    rounds, skip : int
        Samples of each chain, and sweeps before each of them.
    steps : int
        Steps in lam from a state's level to ``lam_end`` (by default the level of least noise), the
        last of them to ``sigma = 0``; from a level of no more noise than that, one step.
    sampler : str
        Name of a registered plan.
    pick : {"last", "least"}
        See the module.
    noise : int or NoiseSource
        Seed, or a source that gives noise of any cell: the chain's are of the clock ``"churn"``,
        those of the runs of round k of clocks named ``"round k ..."``.

    Raises
    ------
    InvalidPlanError, ShapeError, NonFiniteError
        As :func:`chain`; for numbers below 1, and for a ``pick`` that does not exist.
    """
    for number in (rounds, skip, steps):
        check_steps(number)
    if pick not in PICKS:
        msg = f"pick must be in {PICKS}, got {pick!r}"
        raise InvalidPlanError(msg)
    if lam_end is not None and not math.isfinite(lam_end):
        msg = f"lam_end must be a finite number, got {lam_end}"
        raise InvalidPlanError(msg)
    source = source_of(noise)
    end = max(n.lam for n in kernel.nodes) if lam_end is None else lam_end
    rho = torch.tensor([n.rho for n in kernel.nodes], dtype=torch.float64)
    state, out, levels, cost = start, [], [], 0
    for k in range(rounds):
        chosen = state
        for new in chain(kernel, state, skip, source, first=k * skip):
            chosen = new if pick == "last" else _lesser(new, chosen, rho.to(new.y.device))
            state = new
        x, asked = _denoised(kernel, process, chosen, (steps, end), sampler, (source, k))
        out.append(x)
        levels.append(chosen.level)
        cost += skip * kernel.evaluations * len(x) + asked
    return Denoised(torch.stack(out), torch.stack(levels), cost / (rounds * len(start.y)), state)


def _lesser(a: Chain, b: Chain, rho: Tensor) -> Chain:
    """Of each chain the state of less noise."""
    less = rho[a.level] < rho[b.level]
    y = torch.where(column(less, a.y).bool(), a.y, b.y)
    return Chain(y, torch.where(less, a.level, b.level))


def _denoised(
    kernel: LangevinGibbs,
    process: Process,
    state: Chain,
    length: tuple[int, float],
    sampler: str,
    noise: tuple[NoiseSource, int],
) -> tuple[Tensor, int]:
    """Data from states of any levels, level by level, and the evaluations of all of them."""
    (steps, end), asked = length, 0
    out = torch.empty_like(state.y)
    for k in state.level.unique().tolist():
        rows, node = (state.level == k).nonzero().flatten(), kernel.nodes[k]
        grid = Grid((node, DATA))
        if steps > 1 and node.lam < end:
            grid = uniform_lam(process, node.lam, end).grid(steps - 1, to_zero=True)
        plan = to_prediction(get(sampler)(process, grid), "noise")
        x = node.alpha * state.y[rows]
        x = run(plan, kernel.model, x, noise=_RoundNoise(*noise, state.y, rows)).x
        out = out.index_copy(0, rows, x)
        asked += plan.nfe * len(rows)
    return out, asked


class _RoundNoise:
    """Noise of a round's runs for some rows of the batch: cells of clocks of their own.

    Every run of every round passes the same cells. What tells rounds apart is the clock's name and
    not a seed that is counted up, which would be the seed of somebody else's run.
    """

    def __init__(self, source: NoiseSource, number: int, batch: Tensor, rows: Tensor) -> None:
        self._source, self._number, self._batch, self._rows = source, number, batch, rows
        known = getattr(source, "sample_ids", None)
        ids = range(len(batch)) if known is None else known
        self.sample_ids = [ids[i] for i in rows.tolist()]

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """The rows of the field of the whole batch, for a chain's noise is keyed by its row."""
        own = replace(cell, clock=f"round {self._number} {cell.clock}")
        if type(self._source) is CellNoise:  # no need to draw the others
            return CellNoise(self._source.seed, self.sample_ids).draw(own, like)
        return self._source.draw(own, self._batch)[self._rows].to(like)
