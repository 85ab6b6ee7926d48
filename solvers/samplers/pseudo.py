"""Relatives of PNDM: S-PNDM, iPNDM of lower order, and iPNDM_v as it is shipped.

All of them average noise predictions and then take the Euler step in ``rho = sigma/alpha`` (the
"transfer part"): the *pseudo* methods with the weights of equal steps, iPNDM_v with weights that
are meant to be those of the steps as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from ..rows import Output, index_row, rho_row
from .multistep import given_history, multistep, named_history

_LIU = "Liu et al. 2022, arXiv:2202.09778"
_ZJU = "Zhou et al. 2024, github.com/zju-pi/diff-sampler"


@sampler(
    order=2,
    order_cold=2,
    nfe=lambda n: n + 1,
    prediction="noise",
    history=1,
    family="PNDM",
    source=f"{_LIU}, sec. 3.3 (S-PNDM)",
)
def spndm(process: Process, grid: Grid, *, history: Sequence[Node] = ()) -> Plan:
    """S-PNDM: one pseudo improved Euler step, then ``(3 eps_0 - eps_{-1})/2`` on any grid.

    The start averages eps at both ends of the first step, the second one at the state that DDIM
    predicts. Not F-PNDM (``pndm``), which starts by three pseudo Runge-Kutta steps of four
    evaluations.
    """
    del process
    tape = Tape()
    x = tape.input("x", grid[0])
    past = given_history(tape, history[:1], "noise")
    for s, t in grid.steps():
        m = tape.eval(x, s, "noise")
        past = [(m, s), *past][:2]
        if len(past) < 2 and t.sigma > 0:
            end = tape.eval(index_row(tape, s, t, x, past), t, "noise")
            past_mean = [(tape.lin((m, 0.5), (end, 0.5)), s)]
            x = index_row(tape, s, t, x, past_mean)
        else:
            x = index_row(tape, s, t, x, past)
        tape.mark(x, t)
    return tape.plan(x=x, **named_history(past[:1]))


def _declare_ipndm(order: int) -> None:
    @sampler(
        name=f"ipndm_{order}",
        order=2,
        order_cold=2,
        published_order=order if order > 2 else None,
        nfe=lambda n: n,
        prediction="noise",
        history=order - 1,
        family="PNDM",
        source=f"{_ZJU}, ipndm with max_order={order}; Zhang & Chen 2023, arXiv:2204.13902",
        note=f"iPNDM of {order} outputs: equal-step Adams-Bashforth {order}, whatever the steps.",
    )
    def build(
        process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
    ) -> Plan:
        return multistep(
            process, grid, order=order, row=index_row, prediction="noise", final=final,
            history=history,
        )  # fmt: skip


for _k in (2, 3):
    _declare_ipndm(_k)


def shipped_weights(rhos: Sequence[float], end: float) -> list[float]:
    """The weights of iPNDM_v as in its public code, newest first, for nodes ``rhos`` and the end.

    With steps h, h', h'', h''' (the coming one first) three things differ from variable-step
    Adams-Bashforth: the factor of the second difference is ``(1 - A B)/2`` for ``(1 - A) B/2``;
    the factor of the third adds where it should subtract, ``11/24`` for ``9/24`` on equal steps;
    and the oldest weight has ``h'/h''`` for ``h''/h'''``, so that the weights add up to 1 only
    where step ratios are constant. One and two nodes are right.
    """
    h = [a - b for a, b in zip([end, *rhos], rhos, strict=False)]
    if len(rhos) == 1:
        return [1.0]
    u = h[0] / h[1]
    weights = [1.0 + u / 2, -u / 2]
    if len(rhos) == 2:
        return weights
    r1 = h[1] / h[2]
    a = h[0] / (3.0 * (h[0] + h[1]))
    b = h[0] * (h[0] + h[1]) / (h[1] * (h[1] + h[2]))
    second = 0.5 * (1.0 - a * b)
    weights = [weights[0] + second, weights[1] - (1.0 + r1) * second, r1 * second]
    if len(rhos) == 3:
        return weights
    r2 = h[1] * (h[1] + h[2]) / (h[2] * (h[2] + h[3]))
    ahead, back = h[0] + h[1] + h[2], h[1] + h[2] + h[3]
    tail = (1.0 - 0.5 * h[0] / (h[0] + h[1])) * h[0] / (6.0 * ahead)
    third = (0.5 * (1.0 - a) + tail) * b * ahead / back
    return [
        weights[0] + third,
        weights[1] - (1.0 + r1 + r2) * third,
        weights[2] + (r1 + r2 * (1.0 + h[2] / h[3])) * third,
        -third * r2 * r1,
    ]


def _shipped_row(tape: Tape, s: Node, t: Node, x: int, outputs: Sequence[Output]) -> int:
    push = t.alpha * (t.rho - s.rho)
    w = shipped_weights([node.rho for _, node in outputs], t.rho)
    terms = [(m, push * wj) for (m, _), wj in zip(outputs, w, strict=True)]
    return tape.lin((x, math.exp(t.log_alpha - s.log_alpha)), *terms)


def ipndm_v_published(
    process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
) -> Plan:
    """iPNDM_v of four outputs with the weights of :func:`shipped_weights`.

    A function, not a registered sampler: it has no one order. Where step ratios are constant
    (uniform lam) it is of order 3; where they vary its weights do not add up to 1, constant
    data are not sampled exactly and the order is 2.
    """
    return multistep(
        process, grid, order=4, row=_shipped_row, prediction="noise", final=final, history=history
    )


@sampler(
    order=4,
    order_cold=2,
    nfe=lambda n: n,
    prediction="noise",
    history=3,
    family="PNDM",
    source=f"{_ZJU}, ipndm_v with max_order=4, with the weights it is named for",
)
def ipndm_v(
    process: Process, grid: Grid, *, history: Sequence[Node] = (), final: str = "full"
) -> Plan:
    """iPNDM_v: Adams-Bashforth 4 in rho with the steps as they are; the table of DEIS rhoAB4.

    Not the public code of that name, whose weights are others: ``ipndm_v_published``.
    """
    return multistep(
        process, grid, order=4, row=rho_row, prediction="noise", final=final, history=history
    )
