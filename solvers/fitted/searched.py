"""Samplers whose coefficients were searched for a model: their options are the result of a fit.

Unfitted they are DPM-Solver++(2M) on the grid as it is. What ``fit`` returns is good for the
model, the number of steps and the range of lam that it was fitted on; it is judged on a quarter of
the starts that the search never saw, and if it does not beat the unfitted sampler there, the
options are those of the unfitted one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import InvalidPlanError
from ..grids import Grid
from ..model import Model
from ..plan import Plan
from ..process import Node, Process
from ..registry import get, sampler
from ..samplers.multistep import dpmpp_2m
from .grid_gradient import descend
from .search import LEAST_STARTS, SearchError, Target, search, target
from .search_space import Choice, GridSpace, Schedule, UnifiedSpace, respaced, unified

METHODS = ("gradient", "evolution")


def _split(
    model: Model, process: Process, grid: Grid, starts: Tensor, budget: int
) -> tuple[Target, Target]:
    """Three quarters of the starts for the search, a quarter to judge it."""
    if budget < 1:
        msg = f"a search needs a budget of at least 1, got {budget}"
        raise SearchError(msg)
    if len(starts) < 4 * LEAST_STARTS:
        msg = (
            f"a fit needs at least {4 * LEAST_STARTS} starts, "
            f"a quarter of them to be judged on, got {len(starts)}"
        )
        raise SearchError(msg)
    whole = target(model, process, grid, starts)
    cut = 3 * len(starts) // 4
    return whole.part(slice(0, cut)), whole.part(slice(cut, None))


def _if_better(
    build: Callable[..., Plan], held_out: Target, options: dict[str, Any]
) -> dict[str, Any]:
    better = held_out(build(**options)) < held_out(build())
    return options if better else {}


def fit_grid(
    model: Model,
    process: Process,
    grid: Grid,
    starts: Tensor,
    *,
    method: str = "gradient",
    budget: int = 60,
    seed: int = 0,
) -> Mapping[str, Any]:
    """Shares of the grid that bring DPM-Solver++(2M) closest to a fine run from these starts.

    Parameters
    ----------
    model : callable
        Data prediction; differentiable in x for the method ``"gradient"``.
    starts : Tensor
        States at the first node, at least 32.
    method : str
        ``"gradient"`` (L-BFGS through the sampler) or ``"evolution"``.
    budget : int
        Runs of the sampler that the search may cost.

    Returns
    -------
    dict
        ``{"shares": ...}``, or nothing if the held-out starts do not improve.

    Raises
    ------
    SearchError
        For too few starts, no budget, or an unknown method.
    """
    if method not in METHODS:
        msg = f"method must be one of {METHODS}, got {method!r}"
        raise SearchError(msg)
    train, held_out = _split(model, process, grid, starts, budget)
    base = get("dpmpp_2m")
    if method == "gradient":
        shares = descend(base, process, grid, train, budget=budget).shares
    else:
        space = GridSpace(base, process, grid)
        shares = search(space, train, budget=budget, seed=seed, strategy="evolution").genome
    return _if_better(
        lambda **options: searched_grid(process, grid, **options), held_out, {"shares": shares}
    )


def fit_unified(
    model: Model,
    process: Process,
    grid: Grid,
    starts: Tensor,
    *,
    strategy: str = "evolution",
    budget: int = 300,
    seed: int = 0,
    jobs: int = 1,
) -> Mapping[str, Any]:
    """Shares and a choice for each step, found by :func:`fokker.solvers.fitted.search.search`.

    Returns
    -------
    dict
        ``{"shares": ..., "choices": ...}``, or nothing if the held-out starts do not improve.

    Raises
    ------
    SearchError
        For too few starts, no budget, or an unknown strategy.
    """
    train, held_out = _split(model, process, grid, starts, budget)
    space = UnifiedSpace(process, grid)
    found = search(space, train, budget=budget, seed=seed, strategy=strategy, jobs=jobs).genome
    return _if_better(
        lambda **options: searched_usf(process, grid, **options), held_out, _options(found)
    )


def _options(genome: Schedule) -> dict[str, Any]:
    return {"shares": genome.shares, "choices": genome.choices}


@sampler(
    order=2,
    order_cold=2,
    nfe=lambda n: n,
    prediction="data",
    history=1,
    family="searched",
    fit=fit_grid,
    source="Li et al. 2023, arXiv:2309.10438 (the time steps; not the layers)",
)
def searched_grid(
    process: Process,
    grid: Grid,
    *,
    shares: Sequence[float] | None = None,
    history: Sequence[Node] = (),
) -> Plan:
    """DPM-Solver++(2M) on a grid whose inner nodes are searched; unfitted, on the grid as it is.

    ``shares`` are the lengths of the finite steps in lam, up to a common factor.
    """
    moved = grid if shares is None else respaced(process, grid, shares)
    return dpmpp_2m(process, moved, history=history)


@sampler(
    order=2,
    order_cold=2,
    nfe=lambda n: n,
    prediction="data",
    history=1,
    family="searched",
    fit=fit_unified,
    source="Liu et al. 2024, arXiv:2312.07243 (USF and S^3, in small)",
)
def searched_usf(
    process: Process,
    grid: Grid,
    *,
    shares: Sequence[float] | None = None,
    choices: Sequence[Choice] | None = None,
    history: Sequence[Node] = (),
) -> Plan:
    """Grid, history, prediction, rule and corrector searched for each step; unfitted, 2M.

    One evaluation a step whatever the choices. The orders declared are those of the unfitted
    sampler: a schedule found for n steps says nothing of the limit of many.

    Raises
    ------
    InvalidPlanError
        If shares or choices do not match the number of steps.
    """
    moved = grid if shares is None else respaced(process, grid, shares)
    listed = isinstance(choices, (list, tuple)) and all(isinstance(c, Choice) for c in choices)
    if choices is not None and not listed:
        msg = f"choices must be Choice objects, one for each step, got {choices!r}"
        raise InvalidPlanError(msg)
    return unified(moved, choices, history=history[:1])
