r"""Denoising MCMC: a chain over (x, level), and a short run of any sampler from where it is.

Kim & Ye 2023, arXiv:2209.14593. The chain of ``langevin_gibbs`` walks over states and levels of
noise; every so many sweeps its state is denoised from its level, which is far below the top. Two
ways to choose what is denoised:

* ``pick="last"``: the state of the last sweep, a draw of the joint law. ``pick="least"``: the
  state of least noise within the sweeps, as published; cheaper to denoise, but which state is
  taken then depends on the path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..batch import column
from ..errors import InvalidPlanError
from ..grids import Grid, uniform_lam
from ..noise import CellNoise, NoiseSource
from ..plan import Noise
from ..plan_algebra import to_prediction
from ..process import DATA, Process
from ..registry import get
from ..run import run
from .correctors import check_steps
from .langevin_gibbs import Chain, LangevinGibbs, chain
from .predictor_corrector import source_of

PICKS = ("last", "least")


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
        states = chain(kernel, state, skip, source, first=k * skip)
        chosen = state = next(states)  # where a round begins was the last one's, or nobody's
        for state in states:
            chosen = state if pick == "last" else _lesser(state, chosen, rho.to(state.y.device))
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
