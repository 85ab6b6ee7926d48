"""UniPC: an exponential Adams predictor, and a corrector that costs no evaluation.

The corrector adds the node at the end of the step. It uses the model output at the *predicted*
state, which the next step reuses as it is (PEC mode): the corrected state is never evaluated.
Predictor p has order p, corrector p + 1, and the sampler inherits p + 1.

The function B(h) of the paper is immaterial wherever three or more nodes enter, because the
weights are then the unique interpolatory ones; it only decides the two-node rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .errors import InvalidPlanError
from .grids import Grid
from .multistep import given_history, named_history
from .plan import Plan, Tape
from .process import Node, Process
from .quadrature import exp_weights
from .registry import sampler
from .rows import Output, WeightRule, data_row, half_weights, midpoint_weights

RULES: dict[str, WeightRule] = {
    "B1": half_weights,
    "B2": midpoint_weights,
    "exact": exp_weights,
}


def unipc(
    process: Process,
    grid: Grid,
    *,
    order: int,
    rule: str = "B2",
    correct_last: bool = False,
    resume: bool = False,
    history: Sequence[Node] = (),
) -> Plan:
    """UniPC-p on the data prediction, in lam.

    Parameters
    ----------
    order : int
        Number p of nodes of the predictor; the corrector has p + 1.
    rule : str
        ``"B1"``, ``"B2"`` or ``"exact"``: the two-node weights.
    correct_last : bool
        Correct the last step too, for one more evaluation. The published sampler does not; the one
        uncorrected step has local error O(h^{p+1}) and costs no order. With it the plan gives out
        ``m0``, so that another plan may take over in PEC mode.
    resume : bool
        Take the model output at the first node as the input ``m0`` instead of asking for it: the
        second half of a plan cut in two, whose first half was built with ``correct_last``.
    history : sequence of Node
        Nodes of exact history, newest first.
    """
    del process  # the nodes of the grid carry all coefficients
    if order < 1 or rule not in RULES:
        msg = f"need order >= 1 and rule in {tuple(RULES)}, got order={order}, rule={rule!r}"
        raise InvalidPlanError(msg)
    row = partial(data_row, weights=RULES[rule])
    tape = Tape()
    x = tape.input("x", grid[0])
    earlier = given_history(tape, history[: order - 1], "data")
    first = tape.input("m0", grid[0], "data") if resume else tape.eval(x, grid[0], "data")
    past: list[Output] = [(first, grid[0]), *earlier]
    for i, (s, t) in enumerate(grid.steps()):
        predicted = row(tape, s, t, x, past[:order])
        last = i == len(grid) - 1 and not correct_last
        if last or t.sigma == 0.0:
            x = predicted
        else:
            new = (tape.eval(predicted, t, "data"), t)
            x = row(tape, s, t, x, [new, *past[:order]])
            past = [new, *past][: order + 1]
        tape.mark(x, t)
    if correct_last and not grid.to_zero:
        return tape.plan(x=x, m0=past[0][0], **named_history(past[1:order]))
    return tape.plan(x=x, **named_history(past[: max(1, order - 1)]))


def _declare(order: int, rule: str, suffix: str) -> None:
    @sampler(
        name=f"unipc_{order}{suffix}",
        order=order + 1,
        order_cold=min(order + 1, 3),
        nfe=lambda n: n,
        prediction="data",
        history=order - 1,
        family="UniPC",
        source="Zhao et al. 2023, arXiv:2302.04867, Alg. 5-8",
        note=f"UniPC-{order} ({rule}): predictor {order}, corrector {order + 1}, "
        "started by its lower orders.",
    )
    def build(process: Process, grid: Grid, *, history: Sequence[Node] = (), **ends: bool) -> Plan:
        return unipc(process, grid, order=order, rule=rule, history=history, **ends)


for _k in (1, 2, 3):
    _declare(_k, "B2", "")
_declare(2, "B1", "_b1")
