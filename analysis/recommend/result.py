"""Measure the candidates of a network and say which to take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...solvers.checks import usable_device
from ...solvers.errors import AnalysisError
from ...solvers.jobs.limits import MOST_IMAGES, MOST_STEPS, within
from ...solvers.networks.network import Network
from ...solvers.plan import Plan
from ...solvers.process import Array
from ..evaluation.best import best_group, check_ranking
from ..evaluation.paired import By, PairedErrors
from .candidates import SPACINGS, Candidate, candidates
from .laws import LawRow, law_rows
from .mixture import OnMixture, on_mixture
from .race import Progress, Runner, advance, race
from .reference import Reference, reference
from .starts import Starts
from .surrogate import SurrogateError, statistics, surrogate_error

MOST_NFE = 1000
"""Of a budget: there every sampler is as good as its order, and all plans of it are built."""


@dataclass(frozen=True)
class Settings:
    """What is asked.

    Attributes
    ----------
    nfe : int
        Evaluations that a sample may cost.
    starts, seed : int
        How many starts, and which.
    names : sequence of str
        Samplers to choose among; all that qualify by default.
    spacings : sequence of str
        Grids, see :data:`.candidates.SPACINGS`.
    stochastic : bool
        Whether samplers that draw noise are compared too, by the law of their ends.
    to_zero : bool
        Whether the last step goes to sigma 0, as images are made.
    reference_steps : int
        Steps of the fine solution.
    labels : sequence of int, optional
        One class for each start; they go round by default.
    guidance : float
        Weight of classifier-free guidance.
    dtype, device
        Of the states; float64 by default for a network without a module, else float32.
    confirm : bool
        Whether those who had all starts run once more from as many others; errors are then those
        over all starts, and the groups of both halves are compared.
    by : str
        What they are ranked by: ``"typical"`` (the geometric mean over starts) or ``"rms"``.
    level : float
        Confidence of intervals and of the group.

    Raises
    ------
    AnalysisError
        For a budget, starts or steps that would run away.
    """

    nfe: int = 10
    starts: int = 64
    seed: int = 0
    names: Sequence[str] = ()
    spacings: Sequence[str] = SPACINGS
    stochastic: bool = False
    to_zero: bool = True
    reference_steps: int = 128
    labels: Sequence[int] | None = None
    guidance: float = 1.0
    dtype: torch.dtype | None = None
    device: str = "cpu"
    confirm: bool = False
    by: By = "typical"
    level: float = 0.95

    def __post_init__(self) -> None:
        check_ranking(self.by, self.level)
        within("the budget of a recommendation", self.nfe, MOST_NFE, AnalysisError)
        within("the starts of a recommendation", self.starts, MOST_IMAGES, AnalysisError)
        within("the steps of the reference", self.reference_steps, MOST_STEPS, AnalysisError)


@dataclass(frozen=True, eq=False)
class Ranked:
    """A candidate that had all starts: its errors, and whether it may be the best.

    ``halves`` says whether it is in the group of the first and of the other starts alone.
    """

    candidate: Candidate
    errors: PairedErrors
    in_group: bool
    surrogate: SurrogateError | None
    halves: tuple[bool, bool] | None = None


@dataclass(frozen=True, eq=False)
class Recommendation:
    """What was found.

    Attributes
    ----------
    network, settings
        Of what, and how.
    ranked : tuple of Ranked
        Who had all starts, from best to worst.
    dropped : tuple of (Runner, SurrogateError or None)
        Who went before.
    laws : tuple of LawRow
        Stochastic candidates, and the winner, by the law of their ends.
    reference, second : Reference
        The fine solutions.
    mixture : OnMixture
        Errors on a mixture of the network's classes, exact and nonlinear.
    left_out : dict
        Why samplers took no part.
    cost : dict
        Evaluations (counted in samples) and seconds.
    """

    network: Network
    settings: Settings
    ranked: tuple[Ranked, ...]
    dropped: tuple[tuple[Runner, SurrogateError | None], ...]
    laws: tuple[LawRow, ...]
    reference: Reference
    second: Reference | None
    mixture: OnMixture
    left_out: dict[str, str]
    cost: dict[str, Any]

    @property
    def winner(self) -> Ranked:
        """The least error over all starts; a little too small, as of the luckiest of many."""
        return self.ranked[0]

    @property
    def plan(self) -> Plan:
        """The plan of the winner."""
        return self.winner.candidate.plan

    @property
    def group(self) -> tuple[str, ...]:
        """Who cannot be told apart from the best."""
        return tuple(r.candidate.name for r in self.ranked if r.in_group)


def recommend(
    network: Network, settings: Settings | None = None, *, progress: Progress | None = None
) -> Recommendation:
    """Rank samplers on a network's own trajectories.

    Parameters
    ----------
    network : Network
        Exact or trained; its module is moved to the device.
    settings : Settings, optional
        What is asked.
    progress : callable, optional
        ``progress(done, total)`` within a round of the race.

    Raises
    ------
    AnalysisError
        If nobody takes part or nobody without noise, all diverge, or a setting makes no sense.
    """
    asked = settings or Settings()
    dtype = asked.dtype or (torch.float64 if network.module is None else torch.float32)
    asked = replace(asked, dtype=dtype)
    begin, busy = time.perf_counter(), time.process_time()
    usable_device(asked.device, AnalysisError)
    network.to(asked.device)
    entered, left_out = candidates(
        network, asked.nfe, names=asked.names, spacings=asked.spacings,
        stochastic=asked.stochastic, to_zero=asked.to_zero,
    )  # fmt: skip
    paths = [c for c in entered if not c.sampler.stochastic]
    if not paths:
        msg = f"{entered[0].name} draws noise; name a deterministic sampler too, to be ranked"
        raise AnalysisError(msg)
    starts = _starts(network, asked, asked.seed)
    truth = reference(starts, steps=asked.reference_steps, to_zero=asked.to_zero)
    spent = {"reference": starts.spent}
    left, gone = race(paths, starts, truth, by=asked.by, progress=progress)
    if not left:
        msg = f"all {len(paths)} candidates diverged; the first: {gone[0].failure}"
        raise AnalysisError(msg)
    spent["race"] = starts.spent - spent["reference"]
    spent["full race"] = sum(c.plan.nfe for c in paths) * asked.starts
    data = statistics(truth.ends)
    surrogates = {
        c.name: surrogate_error(c, network, data, to_zero=asked.to_zero) for c in entered
    }
    mixture = on_mixture(
        [r.candidate for r in (*left, *gone) if not r.failure], starts, truth.ends,
        by=asked.by, steps=asked.reference_steps, to_zero=asked.to_zero,
    )  # fmt: skip
    runs = [(r.candidate, r.errors) for r in left]
    ranked = _ranked(runs, truth.error, asked, surrogates)
    other, again, laws = _others(network, asked, entered, ranked, surrogates)
    if other is not None and again is not None and asked.confirm:
        ranked, lost = _confirmed(left, ranked, other, again, asked)
        gone = [*lost, *gone]
    spent["second starts"] = 0 if other is None else other.spent
    return Recommendation(
        network=network,
        settings=asked,
        ranked=tuple(ranked),
        dropped=tuple((r, surrogates[r.candidate.name]) for r in gone),
        laws=laws,
        reference=truth,
        second=again,
        mixture=mixture,
        left_out=left_out,
        cost={
            "evaluations": spent,
            "seconds": round(time.perf_counter() - begin, 3),
            "processor_seconds": round(time.process_time() - busy, 3),
        },
    )


def _starts(network: Network, asked: Settings, seed: int) -> Starts:
    dtype = asked.dtype or torch.float64
    return Starts(network, asked.starts, seed, asked.labels, asked.guidance, dtype, asked.device)


def _ranked(
    runs: Sequence[tuple[Candidate, Array]],
    floor: float,
    asked: Settings,
    surrogates: dict[str, SurrogateError | None],
) -> list[Ranked]:
    group = best_group([e for _, e in runs], by=asked.by, reference=floor, level=asked.level)
    found = [
        Ranked(c, PairedErrors(e, floor, asked.level), inside, surrogates[c.name])
        for (c, e), inside in zip(runs, group, strict=True)
    ]
    return sorted(found, key=lambda r: r.errors.of(asked.by).value)


def _others(
    network: Network,
    asked: Settings,
    entered: Sequence[Candidate],
    ranked: Sequence[Ranked],
    surrogates: dict[str, SurrogateError | None],
) -> tuple[Starts | None, Reference | None, tuple[LawRow, ...]]:
    """Other starts with their fine solution, where somebody needs them."""
    noisy = [c for c in entered if c.sampler.stochastic]
    if not noisy and not asked.confirm:
        return None, None, ()
    other = _starts(network, asked, asked.seed + 1)
    again = reference(other, steps=asked.reference_steps, to_zero=asked.to_zero)
    rows = law_rows([ranked[0].candidate, *noisy], other, again, surrogates) if noisy else ()
    return other, again, rows


def _confirmed(
    left: Sequence[Runner],
    first: Sequence[Ranked],
    other: Starts,
    again: Reference,
    asked: Settings,
) -> tuple[list[Ranked], list[Runner]]:
    """The same candidates from other starts, by which nobody was chosen, and from all.

    Beside them are those who diverged there.
    """
    runners = [Runner(r.candidate, np.empty(0)) for r in left]
    for runner in runners:
        advance(runner, other, again, 0, other.count)
    pairs = [(a, b) for a, b in zip(left, runners, strict=True) if not b.failure]
    lost = [replace(a, failure=b.failure) for a, b in zip(left, runners, strict=True) if b.failure]
    if not pairs:
        msg = f"all {len(left)} candidates diverged from other starts; the first: "
        raise AnalysisError(msg + lost[0].failure)
    surrogates = {r.candidate.name: r.surrogate for r in first}
    second = _ranked([(b.candidate, b.errors) for _, b in pairs], again.error, asked, surrogates)
    groups = [{r.candidate.name for r in half if r.in_group} for half in (first, second)]
    both = [(a.candidate, np.concatenate([a.errors, b.errors])) for a, b in pairs]
    floor = max(first[0].errors.reference, again.error)
    return [
        replace(r, halves=(r.candidate.name in groups[0], r.candidate.name in groups[1]))
        for r in _ranked(both, floor, asked, surrogates)
    ], lost
