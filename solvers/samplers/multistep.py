"""Multistep samplers: one evaluation a step, older outputs reused; and how they start and end.

A k-step formula needs k - 1 older outputs. Where they come from is a *start policy*, and it
decides the order of the whole sampler as much as the formula does:

* ``"ramp"``: orders 1, 2, ..., k. The published habit. Its first step has local error O(h^2),
  which caps the global order at 2 whatever k is.
* ``"rk"``: the first k - 1 steps by a Runge-Kutta method of order k - 1 in the clock of the
  prediction. Keeps order k, costs a few more evaluations.
* ``history``: exact outputs at earlier nodes, given as inputs ``m-1``, ``m-2``, ...

Last steps: ``final="full"`` keeps the order; ``"lower"`` goes down k, ..., 2, 1 (the habit
``lower_order_final``), which again caps the global order at 2. A step to ``sigma = 0`` is
``x = D``, except in rho and in the index, where it is a step like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from ..rows import (
    Output,
    data_row,
    midpoint_weights,
    noise_row,
    published_3m_weights,
)
from .onestep import RK_OF_ORDER, rk_row, rk_stages

Row = Callable[[Tape, Node, Node, int, Sequence[Output]], int]
STARTS = ("ramp", "rk")
FINALS = ("full", "lower")


def given_history(tape: Tape, nodes: Sequence[Node], prediction: str) -> list[Output]:
    """Inputs ``m-1``, ``m-2``, ... for exact outputs at earlier nodes, newest first."""
    return [(tape.input(f"m-{j}", node, prediction), node) for j, node in enumerate(nodes, 1)]


def named_history(outputs: Sequence[Output]) -> dict[str, int]:
    """The outputs ``m-1``, ``m-2``, ... by which a following plan takes over."""
    return {f"m-{j}": m for j, (m, _) in enumerate(outputs, 1)}


def multistep(
    process: Process,
    grid: Grid,
    *,
    order: int,
    row: Row = data_row,
    prediction: str = "data",
    start: str = "ramp",
    final: str = "full",
    history: Sequence[Node] = (),
) -> Plan:
    """The plan of a k-step formula given by its row.

    Parameters
    ----------
    order : int
        Largest number of model outputs in a row.
    row : callable
        ``row(tape, s, t, x, outputs) -> vector``, outputs newest first.
    start, final : str
        Policies of this module.
    history : sequence of Node
        Nodes of exact history, newest first; at most ``order - 1`` are used.
    """
    if order < 1 or start not in STARTS or final not in FINALS:
        msg = (
            f"need order >= 1, start in {STARTS}, final in {FINALS}; "
            f"got order={order}, start={start!r}, final={final!r}"
        )
        raise InvalidPlanError(msg)
    tape = Tape()
    x = tape.input("x", grid[0])
    past = given_history(tape, history[: order - 1], prediction)
    for i, (s, t) in enumerate(grid.steps()):
        m = tape.eval(x, s, prediction)
        past = [(m, s), *past][:order]
        left = len(grid) - i
        use = past[: min(order, left)] if final == "lower" else past
        if start == "rk" and len(past) < order and t.sigma > 0:
            clock = "nu" if prediction == "data" else "rho"
            x = rk_row(tape, process, RK_OF_ORDER[order - 1], s, t, x, clock)
        else:
            x = row(tape, s, t, x, use)
        tape.mark(x, t)
    return tape.plan(x=x, **named_history(past[: max(1, order - 1)]))


def start_nfe(order: int) -> int:
    """Evaluations that the ``"rk"`` start of a k-step method costs beyond one a step."""
    return (order - 1) * (rk_stages(RK_OF_ORDER[order - 1]) - 1) if order > 1 else 0


@sampler(
    order=1,
    order_cold=1,
    nfe=lambda n: n,
    prediction="data",
    family="exponential Adams",
    source="Song, Meng & Ermon 2021, arXiv:2010.02502, eq. 12",
)
def ddim(process: Process, grid: Grid, *, final: str = "full") -> Plan:
    """DDIM: the data prediction held constant over a step.

    ``x_t = (sigma_t/sigma_s) x + alpha_t (1 - e^{-h}) D``. The same table as DPM-Solver-1, UniP-1,
    Euler in ``(x/alpha, rho)``, Euler of the flow velocity; not Euler on dx/dt.
    """
    return multistep(process, grid, order=1, final=final)


_LU = "Lu et al. 2022, arXiv:2211.01095"


@sampler(
    order=2,
    order_cold=2,
    nfe=lambda n: n,
    prediction="data",
    history=1,
    family="DPM-Solver++",
    source=f"{_LU}, Alg. 2",
)
def dpmpp_2m(
    process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
) -> Plan:
    """DPM-Solver++(2M): the data prediction extrapolated to the middle of the step.

    ``x_t = (sigma_t/sigma_s) x + alpha_t (1-e^{-h}) [D_0 + (D_0 - D_1)/(2r)]``, ``r = h_{-1}/h``.
    Not exponential Adams-Bashforth 2, whose slope weight is ``h phi_2``; the same as UniP-2 (B2).
    """
    row = partial(data_row, weights=midpoint_weights)
    return multistep(process, grid, order=2, row=row, history=history, final=final)


@sampler(
    order=3,
    order_cold=2,
    nfe=lambda n: n,
    prediction="data",
    history=2,
    family="DPM-Solver++",
    source=f"{_LU}, with the full second difference",
)
def dpmpp_3m(
    process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
) -> Plan:
    """DPM-Solver++(3M), second difference at full weight: exponential Adams-Bashforth 3.

    Order 3 with exact history; its published start (orders 1, 2, 3) gives 2.
    """
    return multistep(process, grid, order=3, history=history, final=final)


@sampler(
    order=2,
    order_cold=2,
    published_order=3,
    nfe=lambda n: n,
    prediction="data",
    history=2,
    family="DPM-Solver++",
    source=f"{_LU}, reference code of the third-order multistep update",
)
def dpmpp_3m_published(
    process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
) -> Plan:
    """DPM-Solver++(3M) as its reference code has it: half the second difference, hence order 2."""
    row = partial(data_row, weights=published_3m_weights)
    return multistep(process, grid, order=3, row=row, history=history, final=final)


def _declare_exponential_adams(order: int, prediction: str, start: str) -> None:
    row = data_row if prediction == "data" else noise_row
    keeps = start == "rk"
    extra = start_nfe(order) if keeps else 0

    @sampler(
        name=f"exp_ab{order}_{prediction}" + ("_rkstart" if keeps else ""),
        order=order,
        order_cold=order if keeps else min(order, 2),
        nfe=lambda n: n + min(n, order - 1) * (extra // max(1, order - 1)),
        prediction=prediction,
        history=order - 1,
        family="exponential Adams",
        source="Hochbruck & Ostermann 2010, Acta Numerica 19, sec. 2.5; in lam: arXiv:2302.04867",
        note=f"Exponential Adams-Bashforth {order} in lam on the {prediction} prediction, "
        + ("started by Runge-Kutta." if keeps else "started by its lower orders."),
    )
    def build(
        process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
    ) -> Plan:
        return multistep(
            process,
            grid,
            order=order,
            row=row,
            prediction=prediction,
            start=start,
            final=final,
            history=history,
        )


for _k in range(1, 6):
    for _p in ("data", "noise"):
        _declare_exponential_adams(_k, _p, "ramp")
for _k in range(3, 6):
    for _p in ("data", "noise"):
        _declare_exponential_adams(_k, _p, "rk")


@sampler(
    order=2,
    order_cold=2,
    published_order=3,
    nfe=lambda n: n + min(n, 2),
    prediction="data",
    history=2,
    family="exponential Adams",
    source=f"{_LU}, reference code, lower_order_final",
)
def exp_ab3_data_lowerfinal(process: Process, grid: Grid, *, history: Sequence[Node] = ()) -> Plan:
    """Exponential Adams-Bashforth 3 with a good start and the published end: last orders 2, 1.

    The habit ``lower_order_final`` steadies runs of few steps, and caps the order at 2: its last
    step has local error O(h^2).
    """
    return multistep(process, grid, order=3, start="rk", final="lower", history=history)
