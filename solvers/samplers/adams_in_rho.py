"""Adams methods on the noise prediction in other clocks: DEIS, LMS, PNDM and iPNDM.

In ``rho = sigma/alpha`` the ODE is pure quadrature, ``d(x/alpha)/drho = eps``. These methods
integrate an interpolant of eps against drho: polynomials in rho (rhoAB, LMS), in the time t (tAB),
or on the index of the grid, as if its steps were equal (PNDM and iPNDM).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from ..rows import index_row, rho_row, time_row
from .multistep import given_history, multistep, named_history


def _declare_deis(order: int, kind: str) -> None:
    @sampler(
        name=f"deis_{kind}{order}",
        order=order,
        order_cold=min(order, 2),
        nfe=lambda n: n,
        prediction="noise",
        history=order - 1,
        clock="t" if kind == "tab" and order > 1 else "lam",
        family="DEIS",
        source=f"Zhang & Chen 2023, arXiv:2204.13902, {kind} with {order} node(s)",
        note=f"DEIS {kind}: noise prediction interpolated in "
        + ("the time t." if kind == "tab" else "rho = sigma/alpha: classical Adams-Bashforth."),
    )
    def build(
        process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
    ) -> Plan:
        row = rho_row if kind == "rhoab" else partial(time_row, process)
        return multistep(
            process, grid, order=order, row=row, prediction="noise", final=final, history=history
        )


for _k in range(1, 5):
    _declare_deis(_k, "tab")
    _declare_deis(_k, "rhoab")


@sampler(
    order=4,
    order_cold=2,
    nfe=lambda n: n,
    prediction="noise",
    history=3,
    family="DEIS",
    source="Crowson 2022, k-diffusion, sample_lms; Liu et al. 2022, arXiv:2202.09778 for the idea",
)
def lms(
    process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
) -> Plan:
    """LMS: fourth-order linear multistep in sigma; on every process the same table as DEIS rhoAB4.

    Not PLMS, whose coefficients ignore the step ratios.
    """
    return multistep(
        process, grid, order=4, row=rho_row, prediction="noise", final=final, history=history
    )


@sampler(
    order=2,
    order_cold=2,
    published_order=4,
    nfe=lambda n: n,
    prediction="noise",
    history=3,
    family="PNDM",
    source="Zhang & Chen 2023, arXiv:2204.13902, sec. 4 (iPNDM)",
)
def ipndm(
    process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
) -> Plan:
    """iPNDM: Adams-Bashforth 4 with equal-step coefficients on any grid, then a DDIM transfer.

    Looks fourth order on coarse grids, ends at 2 unless the grid is uniform in rho: the error per
    step is the covariance of eps with the step density, O(h^3).
    """
    return multistep(
        process, grid, order=4, row=index_row, prediction="noise", final=final, history=history
    )


@sampler(
    order=2,
    order_cold=2,
    published_order=4,
    nfe=lambda n: n + 3 * min(n, 3),
    prediction="noise",
    history=3,
    clock="t",
    family="PNDM",
    source="Liu et al. 2022, arXiv:2202.09778, eq. 11-14 (F-PNDM)",
)
def pndm(process: Process, grid: Grid, *, history: Sequence[Node] = ()) -> Plan:
    """F-PNDM: three pseudo Runge-Kutta 4 steps, then equal-step Adams-Bashforth 4.

    The middle of a pseudo Runge-Kutta step is the middle in time. Second order, as the paper
    proves.
    """
    tape = Tape()
    x = tape.input("x", grid[0])
    past = given_history(tape, history[:3], "noise")
    for s, t in grid.steps():
        m = tape.eval(x, s, "noise")
        past = [(m, s), *past][:4]
        if len(past) < 4 and t.sigma > 0:
            x = _pseudo_rk4(process, tape, s, t, x, m)
        else:
            x = index_row(tape, s, t, x, past)
        tape.mark(x, t)
    return tape.plan(x=x, **named_history(past[:3]))


def _pseudo_rk4(process: Process, tape: Tape, s: Node, t: Node, x: int, m1: int) -> int:
    middle = process.node(0.5 * (s.t + t.t))

    def transfer(end: Node, m: int) -> int:
        return index_row(tape, s, end, x, [(m, s)])

    m2 = tape.eval(transfer(middle, m1), middle, "noise")
    m3 = tape.eval(transfer(middle, m2), middle, "noise")
    m4 = tape.eval(transfer(t, m3), t, "noise")
    mean = tape.lin((m1, 1 / 6), (m2, 1 / 3), (m3, 1 / 3), (m4, 1 / 6))
    return transfer(t, mean)
