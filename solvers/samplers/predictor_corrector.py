"""UniPC: an exponential Adams predictor, and a corrector that costs no evaluation.

The corrector adds the node at the end of the step. It uses the model output at the *predicted*
state, which the next step reuses as it is (PEC mode): the corrected state is never evaluated.
Predictor p has order p, corrector p + 1, and the sampler inherits p + 1. How it starts and ends
decides as much as p does; :func:`unipc_order` says what each combination has.

The function B(h) of the paper is immaterial wherever three or more nodes enter, because the
weights are then the unique interpolatory ones; it only decides the two-node rules. What the public
code calls ``vary`` is meant to be these interpolatory weights for two nodes, too: rule "exact".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..quadrature import exp_weights
from ..registry import sampler
from ..rows import WeightRule, data_row, half_weights, midpoint_weights, noise_row
from .multistep import FINALS, STARTS, given_history, named_history
from .onestep import RK_OF_ORDER, rk_row, rk_stages

RULES: dict[str, WeightRule] = {
    "B1": half_weights,
    "B2": midpoint_weights,
    "exact": exp_weights,
}
MODES = ("PEC", "PECE")
PREDICTED = ("data", "noise")
_BEST_START = max(RK_OF_ORDER)


def unipc_order(
    order: int,
    *,
    start: str = "ramp",
    final: str = "full",
    corrector: bool = True,
    correct_last: bool = False,
    warm: bool = False,
) -> int:
    """The order that :func:`unipc` has with these options, no step to ``sigma = 0``.

    The formula has ``p + corrector``. A few steps of lower order at the start or the end have a
    local error O(h^{q+1}) if they are of order q, which caps the whole at q + 1:

    * start "ramp": the first step has q = 1, or 2 with the corrector;
    * start "rk": a Runge-Kutta method of order ``min(p, 4)``;
    * final "lower": the last step has q = 1, or 2 if it is corrected, too.

    ``warm``: started from exact history. Rule, mode and prediction do not matter.
    """
    caps = [order + corrector]
    if order > 1 and not warm:
        caps.append(2 + corrector if start == "ramp" else min(order, _BEST_START) + 1)
    if order > 1 and final == "lower":
        caps.append(2 + (corrector and correct_last))
    return min(caps)


def unipc(
    process: Process,
    grid: Grid,
    *,
    order: int,
    rule: str = "B2",
    prediction: str = "data",
    mode: str = "PEC",
    start: str = "ramp",
    final: str = "full",
    corrector: bool = True,
    correct_last: bool = False,
    resume: bool = False,
    history: Sequence[Node] = (),
) -> Plan:
    """UniPC-p in lam.

    Parameters
    ----------
    order : int
        Number p of nodes of the predictor; the corrector has p + 1.
    rule : str
        ``"B1"``, ``"B2"`` or ``"exact"``: the two-node weights.
    prediction : str
        ``"data"`` or ``"noise"``: what is interpolated.
    mode : str
        ``"PEC"``, or ``"PECE"``: the corrected state is evaluated, too, and it is this output that
        is kept. Twice the evaluations, the same order.
    start : str
        ``"ramp"``: orders 1, 2, ..., p; ``"rk"``: p - 1 Runge-Kutta steps of order min(p, 4).
    final : str
        ``"full"``, or ``"lower"``: predictor and corrector go down to order 1 at the end.
    corrector : bool
        Without it the predictor alone (UniP).
    correct_last : bool
        Correct the last step too, for one more evaluation. The published sampler does not; the one
        uncorrected step has local error O(h^{p+1}) and costs no order. With it the plan gives out
        ``m0``, so that another plan may take over in PEC mode.
    resume : bool
        Take the model output at the first node as the input ``m0`` instead of asking for it: the
        second half of a plan cut in two, whose first half was built with ``correct_last``.
    history : sequence of Node
        Nodes of exact history, newest first.

    Raises
    ------
    InvalidPlanError
        For an order below 1 or a word that is not one of these.
    """
    _check(order, rule=rule, prediction=prediction, mode=mode, start=start, final=final)
    row = partial(data_row if prediction == "data" else noise_row, weights=RULES[rule])
    tape = Tape()
    x = tape.input("x", grid[0])
    past = given_history(tape, history[: order - 1], prediction)
    m = tape.input("m0", grid[0], prediction) if resume else None
    for i, (s, t) in enumerate(grid.steps()):
        m = tape.eval(x, s, prediction) if m is None else m
        past, before = [(m, s), *past][:order], x
        use = past[: len(grid) - i] if final == "lower" else past
        last = i == len(grid) - 1 and not correct_last
        m = None
        if start == "rk" and not resume and len(past) < order and t.sigma > 0.0:
            clock = "nu" if prediction == "data" else "rho"
            x = rk_row(tape, process, RK_OF_ORDER[min(order, _BEST_START)], s, t, x, clock)
        else:
            x = row(tape, s, t, before, use)
            if corrector and not last and t.sigma > 0.0:
                new = tape.eval(x, t, prediction)
                x = row(tape, s, t, before, [(new, t), *use])
                m = new if mode == "PEC" else None
        tape.mark(x, t)
    if correct_last and m is not None and not grid.to_zero:
        return tape.plan(x=x, m0=m, **named_history(past[: order - 1]))
    return tape.plan(x=x, **named_history(past[: max(1, order - 1)]))


def _check(order: int, **words: str) -> None:
    accepted = {
        "rule": tuple(RULES),
        "prediction": PREDICTED,
        "mode": MODES,
        "start": STARTS,
        "final": FINALS,
    }
    if order < 1:
        msg = f"the order of UniPC must be at least 1, got {order}"
        raise InvalidPlanError(msg)
    for name, word in words.items():
        if word not in accepted[name]:
            msg = f"{name} of UniPC must be one of {', '.join(accepted[name])}, got {word!r}"
            raise InvalidPlanError(msg)


def _start_nfe(order: int) -> int:
    """Evaluations that the ``"rk"`` start costs beyond one a step."""
    return (order - 1) * (rk_stages(RK_OF_ORDER[min(order, _BEST_START)]) - 1)


def _declare(order: int, suffix: str, words: str, **options: str) -> None:
    start, final = options.get("start", "ramp"), options.get("final", "full")
    warm = unipc_order(order, final=final, warm=True)
    extra = _start_nfe(order) // (order - 1) if start == "rk" else 0
    twice = options.get("mode") == "PECE"
    rule = options.get("rule", "B2")

    @sampler(
        name=f"unipc_{order}{suffix}",
        order=warm,
        order_cold=unipc_order(order, start=start, final=final),
        published_order=order + 1 if warm < order + 1 else None,
        nfe=lambda n: (2 * n - 1 if twice else n) + extra * min(n, order - 1),
        prediction=options.get("prediction", "data"),
        history=order - 1,
        family="UniPC",
        source="Zhao et al. 2023, arXiv:2302.04867, Alg. 5-8",
        note=f"UniPC-{order} ({rule}): predictor {order}, corrector {order + 1}, {words}.",
    )
    def build(process: Process, grid: Grid, *, history: Sequence[Node] = (), **ends: Any) -> Plan:
        return unipc(process, grid, order=order, history=history, **{**options, **ends})


for _k in (1, 2, 3, 4):
    _declare(_k, "", "started by its lower orders")
_declare(2, "_b1", "started by its lower orders", rule="B1")
for _k in (2, 3):
    _declare(_k, "_noise", "on the noise prediction", prediction="noise")
    _declare(
        _k, "_lowerfinal", "the last steps of lower order, as is often shipped", final="lower"
    )
_declare(3, "_rkstart", "started by Runge-Kutta", start="rk")
_declare(2, "_pece", "and the corrected state is evaluated, too", mode="PECE")
