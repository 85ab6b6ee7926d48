"""The choices of a sampler of few steps, each as a knob: grid, first step, last order, corrector.

"Hyperparameters are all you need" (Li 2025, arXiv:2510.02390) says that such choices, tuned
together, take a sampler of five steps past one of twenty. Its schedules are tuned by hand for
latent networks; here its claim becomes a factorial design over choices of the same kind, on a law
whose exact flow is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..solvers.errors import AnalysisError
from ..solvers.grids import Grid, karras
from ..solvers.plan import Plan, Tape
from ..solvers.process import Process
from ..solvers.rows import Output, data_row, midpoint_weights

FACTORS: Mapping[str, Sequence[Any]] = {
    "exponent": (1.0, 3.0, 7.0),
    "first": ("own", "long"),
    "last": (1, 2),
    "corrector": (False, True),
}
LONG = -1.0
"""Half log-SNR at which a long first step ends: before it nothing is decided."""


def few_steps_grid(
    process: Process, lam_start: float, lam_end: float, steps: int, *, exponent: float, first: str
) -> Grid:
    """A grid of Karras et al. with that exponent, or one long step and such a grid after it.

    Raises
    ------
    AnalysisError
        If ``first`` is neither ``"own"`` nor ``"long"``, or no such grid has one step.
    """
    rho_max, rho_min = math.exp(-lam_start), math.exp(-lam_end)
    if first == "own":
        return karras(process, rho_max, rho_min, exponent).grid(steps)
    if first != "long" or steps < 2 or not lam_start < LONG < lam_end:
        msg = (
            "the first step is 'own' or 'long'; a long one needs 2 steps and "
            f"lam_start < {LONG} < lam_end, got {first!r}, {steps}, {lam_start}, {lam_end}"
        )
        raise AnalysisError(msg)
    rest = karras(process, math.exp(-LONG), rho_min, exponent).grid(steps - 1)
    return Grid((process.node_at_lam(lam_start), *rest.nodes))


def few_steps_plan(grid: Grid, *, last: int, corrector: bool) -> Plan:
    """DPM-Solver++(2M), or UniPC-2 with the corrector; ``last`` is the order of the last step.

    One evaluation a step: the last step is not corrected. The corrector is UniPC's, with the
    output at the predicted state as the third node.

    Raises
    ------
    AnalysisError
        If ``last`` is neither 1 nor 2.
    """
    if last not in (1, 2):
        msg = f"the order of the last step is 1 or 2, got {last}"
        raise AnalysisError(msg)
    tape, row = Tape(), partial(data_row, weights=midpoint_weights)
    x = tape.input("x", grid[0])
    past: list[Output] = [(tape.eval(x, grid[0]), grid[0])]
    for i, (s, t) in enumerate(grid.steps(), 1):
        final = i == len(grid)
        predicted = row(tape, s, t, x, past[: last if final else 2])
        if not final:
            new = (tape.eval(predicted, t), t)
            predicted = row(tape, s, t, x, [new, *past[:2]]) if corrector else predicted
            past = [new, *past][:2]
        x = tape.mark(predicted, t)
    return tape.plan(x=x)
