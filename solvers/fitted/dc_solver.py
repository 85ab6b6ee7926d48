"""DC-Solver: UniPC whose newest cached output is moved to another time before it is used.

After a correction the cached output belongs to the predicted state and no longer to the corrected
one. Dynamic compensation replaces the newest cached value ``D_0`` by the Lagrange polynomial
through the last three cached values, at ``t' = r t_0 + (1 - r) t_{-1}``; r = 1 changes nothing and
is UniPC, entry by entry. The replaced value stays in the cache, as in the reference code. All of
it is linear in the cache, so a DC-Solver with given ratios is a plan, and a ratio may be a tensor.

A ratio r moves ``D_0`` by O(|r - 1| h), hence the step by O(|r - 1| h^2): with ratios that do not
go to 1 as the steps get small the sampler has order 1. It is a method for a handful of steps, and
its ratios belong to the model, the guidance, the grid and the number of steps they were fitted to;
``dc_ratios.py`` fits them, and carries them over to others.

Source: Zhao, Wang, Zhou & Lu 2024, arXiv:2409.03755, sec. 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import InvalidPlanError
from ..given import real_number, whole_number
from ..grids import Grid
from ..model import Model
from ..plan import Plan, Tape
from ..process import Node, Process
from ..quadrature import lagrange
from ..registry import sampler
from ..rows import Output, data_row
from ..samplers.multistep import given_history, named_history
from ..samplers.predictor_corrector import RULES

CACHE = 3
"""Cached values through which the newest one is moved: K + 1 of the paper, K = 2."""
CLOCKS = ("t", "lam")


def moved_weights(nodes: Sequence[Node], ratio: Any, clock: str = "t") -> list[Any]:
    """Weights of the cached values, newest first, in the value that replaces the newest one.

    ``ratio`` may be a float or a tensor; ratio 1 gives ``(1, 0, 0)``, ratio 0 ``(0, 1, 0)``.
    """
    places = [getattr(node, clock) for node in nodes]
    u = ratio * places[0] + (1.0 - ratio) * places[1]
    if isinstance(ratio, (int, float, np.floating)):
        return [float(w) for w in lagrange(places, u)]
    weights = []
    for j, a in enumerate(places):
        w = 1.0
        for i, b in enumerate(places):
            w = w * ((u - b) / (a - b)) if i != j else w
        weights.append(w)
    return weights


def _listed(ratios: Any) -> list[Any]:
    """Tensors as they are, all else as floats."""
    if isinstance(ratios, str) or not isinstance(ratios, Iterable):
        msg = f"ratios are one number for each step, got {ratios!r}"
        raise InvalidPlanError(msg)
    return [r if isinstance(r, Tensor) else real_number(r, "a ratio") for r in ratios]


def _is_one(ratio: Any) -> bool:
    return isinstance(ratio, (int, float, np.floating)) and float(ratio) == 1.0


def _compensated(tape: Tape, past: list[Output], ratio: Any, clock: str) -> list[Output]:
    """The cache with its newest value moved; too short a cache stays as it is."""
    if _is_one(ratio) or len(past) < CACHE or any(n.alpha == 0.0 for _, n in past[:CACHE]):
        return past
    weights = moved_weights([node for _, node in past[:CACHE]], ratio, clock)
    pairs = zip(past[:CACHE], weights, strict=True)
    return [(tape.lin(*((m, w) for (m, _), w in pairs)), past[0][1]), *past[1:]]


def dc_solver(
    process: Process,
    grid: Grid,
    *,
    order: int,
    ratios: Sequence[Any] | None = None,
    corrector: bool = True,
    rule: str = "B2",
    clock: str = "t",
    correct_last: bool = False,
    history: Sequence[Node] = (),
) -> Plan:
    """The plan of DC-Solver-p with given ratios, on the data prediction.

    Parameters
    ----------
    order : int
        Number p of nodes of the predictor; the corrector has p + 1.
    ratios : sequence, optional
        One number (or tensor, broadcastable to a state) for each step; without it 1, that is
        UniPC. Steps with fewer than three cached values use none.
    corrector : bool
        False: the same compensation of the predictor alone, a plain multistep sampler.
    rule : str
        Two-node weights, ``"B1"``, ``"B2"`` or ``"exact"``, as in UniPC.
    clock : str
        Where the polynomial lives: ``"t"`` as published, or ``"lam"``, which does not depend on
        how time is counted.
    correct_last : bool
        Correct the last step too, for one more evaluation.
    history : sequence of Node
        Nodes of exact history, newest first.

    Raises
    ------
    InvalidPlanError
        If there is not one ratio for each step, or an option is unknown.
    """
    del process  # the nodes of the grid carry all coefficients
    if whole_number(order, "the order") < 1 or rule not in RULES or clock not in CLOCKS:
        msg = (
            f"need order >= 1, rule in {tuple(RULES)}, clock in {CLOCKS}; "
            f"got order={order}, rule={rule!r}, clock={clock!r}"
        )
        raise InvalidPlanError(msg)
    ratios = [1.0] * len(grid) if ratios is None else _listed(ratios)
    if len(ratios) != len(grid):
        msg = f"need one ratio for each of the {len(grid)} steps, got {len(ratios)}"
        raise InvalidPlanError(msg)
    row = partial(data_row, weights=RULES[rule])
    tape = Tape()
    x = tape.input("x", grid[0])
    earlier = given_history(tape, history[: order - 1], "data")
    past: list[Output] = [(tape.eval(x, grid[0], "data"), grid[0]), *earlier]
    for i, ((s, t), ratio) in enumerate(zip(grid.steps(), ratios, strict=True)):
        past = _compensated(tape, past, ratio, clock)
        end = row(tape, s, t, x, past[:order])
        last = i == len(grid) - 1
        if t.sigma > 0.0 and not (last and not (correct_last and corrector)):
            new = (tape.eval(end, t, "data"), t)
            if corrector:
                end = row(tape, s, t, x, [new, *past[:order]])
            past = [new, *past][: max(order + 1, CACHE)]
        x = tape.mark(end, t)
    if correct_last and corrector and not grid.to_zero:
        return tape.plan(x=x, m0=past[0][0], **named_history(past[1:order]))
    return tape.plan(x=x, **named_history(past[: max(1, order - 1)]))


def _declare(order: int, *, corrector: bool) -> None:
    base = f"UniPC-{order}" if corrector else f"the predictor of UniPC-{order}"

    def fit(
        model: Model, process: Process, grid: Grid, starts: Tensor, **settings: Any
    ) -> Mapping[str, Any]:
        """Fit the ratios; see ``dc_ratios.fit_ratios``."""
        from .dc_ratios import fit_ratios  # it runs this sampler

        options = {"order": order, "corrector": corrector, **settings}
        return {"ratios": fit_ratios(model, process, grid, starts, **options)}

    @sampler(
        name=f"dc_solver_{order}" + ("" if corrector else "_predictor"),
        order=order + corrector,
        order_cold=min(order + corrector, 3 if corrector else 2),
        nfe=lambda n: n,
        prediction="data",
        history=order - 1,
        family="DC-Solver",
        source="Zhao, Wang, Zhou & Lu 2024, arXiv:2409.03755, Alg. 1",
        fit=fit,
        note=f"DC-Solver-{order}: {base}, its newest output moved in time by fitted ratios. "
        "Unfitted it is that sampler.",
    )
    def build(
        process: Process,
        grid: Grid,
        *,
        history: Sequence[Node] = (),
        ratios: Sequence[Any] | None = None,
        **options: Any,
    ) -> Plan:
        given = {"corrector": corrector, **options}
        return dc_solver(process, grid, order=order, ratios=ratios, history=history, **given)


for _k in (2, 3):
    _declare(_k, corrector=True)
_declare(2, corrector=False)
