"""Who takes part: registered plans of at most so many evaluations, on a few grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...solvers.errors import AnalysisError, FokkerError
from ...solvers.grids import Grid, GridMap, karras, power_t, uniform_lam
from ...solvers.networks.network import Network
from ...solvers.plan import Eval, Lin, Plan
from ...solvers.plan_algebra import canonical, to_prediction
from ...solvers.process import DATA
from ...solvers.registry import Sampler, get, samplers

SPACINGS = ("lam", "karras", "time")
"""Equal steps in lam; those of Karras et al. with exponent 7; equal steps in time."""
EQUAL = 1e-9
"""Plans whose weights differ by less, relative to the largest, are one sampler."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A sampler on a grid.

    Attributes
    ----------
    sampler : Sampler
        The registered sampler.
    spacing : str
        One of :data:`SPACINGS`.
    grid : Grid
        The grid.
    plan : Plan
        What it computes there.
    same : tuple of str
        Other names of samplers that compute the same on this grid.
    """

    sampler: Sampler
    spacing: str
    grid: Grid
    plan: Plan
    same: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Sampler and spacing, one word."""
        return f"{self.sampler.name}@{self.spacing}"

    @property
    def prediction(self) -> str:
        """What the plan asks of the model."""
        return next(op.prediction for op in self.plan.ops if isinstance(op, Eval))


def spacing_map(network: Network, spacing: str) -> GridMap:
    """The family of grids of that name over the levels that the network knows.

    Raises
    ------
    AnalysisError
        For an unknown spacing.
    """
    low, high = network.lam_range
    process = network.process
    if spacing == "lam":
        return uniform_lam(process, low, high)
    if spacing == "karras":
        return karras(process, math.exp(-low), math.exp(-high))
    if spacing == "time":
        first, last = (process.node_at_lam(lam).t for lam in (low, high))
        return power_t(process, first, last)
    msg = f"unknown spacing {spacing!r}; accepted: {', '.join(SPACINGS)}"
    raise AnalysisError(msg)


def grid_of(network: Network, spacing: str, steps: int, *, to_zero: bool = True) -> Grid:
    """``steps`` steps over the levels of the network; the last of them to sigma 0 if asked.

    One step alone goes from the noisiest level straight to the end.
    """
    maps = spacing_map(network, spacing)
    if not to_zero:
        return maps.grid(steps)
    if steps == 1:
        return Grid((maps.grid(1)[0], DATA))
    return maps.grid(steps - 1, to_zero=True)


def candidates(
    network: Network,
    nfe: int,
    *,
    names: Sequence[str] = (),
    spacings: Sequence[str] = SPACINGS,
    stochastic: bool = False,
    to_zero: bool = True,
) -> tuple[list[Candidate], dict[str, str]]:
    """All that take part, and why the others do not.

    Parameters
    ----------
    network : Network
        Its process and its range of levels are what grids are made of.
    nfe : int
        Budget of evaluations; of each sampler the largest number of steps that it allows.
    names : sequence of str
        Samplers to choose among; by default every registered plan that is neither fitted (a
        comparison must keep those apart) nor kept only because it was published.
    spacings : sequence of str
        See :data:`SPACINGS`.
    stochastic : bool
        Whether samplers that draw noise take part.
    to_zero : bool
        Whether the last step goes to sigma 0.

    Raises
    ------
    AnalysisError
        For a budget below 1, an unknown spacing, or if nobody takes part.
    """
    if nfe < 1:
        msg = f"the budget must be at least one evaluation, got {nfe}"
        raise AnalysisError(msg)
    found: list[Candidate] = []
    out: dict[str, str] = {}
    for sampler in _chosen(names, stochastic, out):
        for spacing in spacings:
            made = _largest(network, sampler, spacing, nfe, to_zero)
            if isinstance(made, str):
                out[f"{sampler.name}@{spacing}"] = made
            else:
                found.append(made)
    if not found:
        reasons = "; ".join(f"{k}: {v}" for k, v in list(out.items())[:3])
        msg = f"no sampler fits into {nfe} evaluations ({reasons})"
        raise AnalysisError(msg)
    return distinct(found), out


def _chosen(names: Sequence[str], stochastic: bool, out: dict[str, str]) -> list[Sampler]:
    if names:
        picked = [get(name) for name in names]
    else:
        picked = [
            s for s in samplers("plan") if not s.fitted and not s.name.endswith("_published")
        ]
    kept = []
    for s in picked:
        if s.kind != "plan":
            out[s.name] = f"it is a {s.kind} and has no plan to save"
        elif s.stochastic and not stochastic:
            out[s.name] = "it draws noise"
        else:
            kept.append(s)
    return kept


def _largest(
    network: Network, sampler: Sampler, spacing: str, nfe: int, to_zero: bool
) -> Candidate | str:
    """The sampler with as many steps as the budget allows, or why it has none."""
    reason = f"not even one step fits into {nfe} evaluations"
    for steps in range(_most(sampler, nfe + 3), 0, -sampler.multiple):
        try:
            grid = grid_of(network, spacing, steps, to_zero=to_zero)
            plan = sampler(network.process, grid)
        except FokkerError as error:
            reason = str(error)
            continue
        if plan.nfe <= nfe:
            return Candidate(sampler, spacing, grid, plan)
    return reason


def _most(sampler: Sampler, nfe: int) -> int:
    """A number of steps that is too large for the budget: one with more evaluations.

    Declared numbers do not know that the last step to sigma 0 may ask less often than others.
    """
    steps = sampler.multiple
    while sampler.nfe(steps) <= nfe and steps <= 16 * nfe:
        steps += sampler.multiple
    return steps


def distinct(found: Sequence[Candidate]) -> list[Candidate]:
    """The candidates without those that compute what an earlier one does, which keep its name."""
    kept: list[Candidate] = []
    forms: list[np.ndarray | None] = []
    for candidate in found:
        form = _form(candidate.plan)
        twin = next(
            (
                k
                for k, (c, f) in enumerate(zip(kept, forms, strict=True))
                if _equal(candidate.plan, form, c.plan, f)
            ),
            None,
        )
        if twin is None:
            kept.append(candidate)
            forms.append(form)
        else:
            names = (*kept[twin].same, candidate.name)
            kept[twin] = replace(kept[twin], same=names)
    return kept


def _form(plan: Plan) -> np.ndarray | None:
    """The canonical form on the data prediction; None where the plan has none."""
    evals = {op.prediction for op in plan.ops if isinstance(op, Eval)}
    arrays = any(np.ndim(w) for op in plan.ops if isinstance(op, Lin) for _, w in op.terms)
    if arrays or any(op.head for op in plan.ops if isinstance(op, Eval)):
        return None
    rows = canonical(plan if evals == {"data"} else to_prediction(plan, "data"))
    names = sorted(plan.outputs)  # what else a plan puts out is for a plan that follows
    end = len(rows) - len(names)
    return np.concatenate([rows[:end], rows[[end + names.index("x")]]])


def _equal(first: Plan, form: np.ndarray | None, second: Plan, other: np.ndarray | None) -> bool:
    if form is None or other is None or form.shape != other.shape:
        return False
    rows = [[op for op in p.ops if not isinstance(op, Lin)] for p in (first, second)]
    levels = [[getattr(op, "node", None) for op in r] for r in rows]
    if [type(op) for op in rows[0]] != [type(op) for op in rows[1]]:
        return False
    for a, b in zip(*levels, strict=True):
        if a is not None and b is not None and abs(a.lam - b.lam) > EQUAL:
            return False
    noises = [[repr(op) for op in r if type(op).__name__ == "Noise"] for r in rows]
    scale = max(1.0, float(np.abs(form).max()))
    return noises[0] == noises[1] and float(np.abs(form - other).max()) <= EQUAL * scale
