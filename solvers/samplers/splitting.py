"""Splitting of the reverse SDE: its linear part with noise is solved exactly, the score is a kick.

In generation time ``dx = [-f x] dtau + g dW`` (part A) and ``dx = g^2 score dtau`` (part K).  With
m the middle of the step *in time* a step is A over [s, m], K over [s, t], A over [m, t], and

    A:  x_m = (alpha_m/alpha_s) x_s + alpha_m sqrt(rho_s^2 - rho_m^2) xi.

That symmetric product has order 2 if each factor has (Strang 1968, SIAM J. Numer. Anal. 5).  The
S4 solver of graph models takes this shape but fills it otherwise: its kick is Euler's, with the
score *before* the first half step, and its half steps add the noise of the forward transition,
``alpha_s sqrt(rho_s^2 - rho_m^2)``: the wrong end of the half step.  Either slip alone makes the
weak order 1.

Both halves draw from the one cell of the step: the two normals are ``(W + H)/sqrt 2`` and ``(W -
H)/sqrt 2`` of its increment and area.  They are independent, as they should be, and what the step
adds in the end is the increment to the order of the method.  S4's kick does not see its first
half step, so that its two noises are one.

Not to be confused with a predictor-corrector sampler, which asks for a score of its own for each
Langevin step: S4 takes one score for the Langevin step and for the kick.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape, Weight
from ..process import Node, Process
from ..registry import sampler
from .onestep import one_step

Of = Callable[[Callable[[Process], float]], Weight]
"""A coefficient of each process as one weight: a number, or an array over the coordinates."""


def half_ratio(process: Process, a: float, b: float) -> float:
    """``alpha_b/alpha_a``: the linear flow of the reverse SDE from time a down to time b."""
    return math.exp(process.node(b).log_alpha - process.node(a).log_alpha)


def half_std(process: Process, a: float, b: float, *, published: bool = False) -> float:
    """Noise that part A adds from time a down to b: ``alpha_b sqrt(rho_a^2 - rho_b^2)``.

    Published is ``alpha_a`` in the place of ``alpha_b``: the forward transition's from b to a.
    """
    from_, to = process.node(a), process.node(b)
    fresh = from_.sigma * math.sqrt(-math.expm1(2 * (from_.lam - to.lam)))
    return fresh if published else fresh * half_ratio(process, a, b)


def split_step(
    tape: Tape,
    of: Of,
    nodes: tuple[Node, Node, Node],
    x: int,
    *,
    clock: str,
    published: bool,
    correction: float = 0.0,
) -> int:
    """One step of either form on a tape, from the first of the three nodes to the last.

    Parameters
    ----------
    of : callable
        Turns a coefficient of a process into the weight of a row.
    nodes : (Node, Node, Node)
        Begin, middle and end of the step.
    clock : str
        Clock of the noise cell, ``"rho2"`` or ``"t"``.
    published : bool
        S4's filling; otherwise Strang's with a midpoint kick.
    correction : float
        Size c of the Langevin step ``x + c sigma^2 score + sqrt(2 c) sigma xi`` before the step,
        which shares its score with the kick; of the published form only.
    """
    s, m, t = nodes
    kick_before = tape.eval(x, s, "score") if published else None
    if correction > 0:
        x = tape.lin(
            (x, 1.0),
            (tape.eval(x, s, "score"), of(lambda p: correction * p.node(s.t).sigma ** 2)),
            (
                tape.noise("churn", s.lam, t.lam),
                of(lambda p: math.sqrt(2 * correction) * p.node(s.t).sigma),
            ),
        )
    dt = s.t - t.t
    first, second = _halves(tape, of, nodes, clock, published=published)
    x = tape.lin((x, of(lambda p: half_ratio(p, s.t, m.t))), *first)
    if kick_before is not None:
        x = tape.lin((x, 1.0), (kick_before, of(lambda p: dt * float(p.g2(s.t)))))
    else:
        rate = of(lambda p: dt * float(p.g2(m.t)))
        there = tape.lin((x, 1.0), (tape.eval(x, m, "score"), 0.5 * rate))
        x = tape.lin((x, 1.0), (tape.eval(there, m, "score"), rate))
    last = (x, of(lambda p: half_ratio(p, m.t, t.t)))
    return tape.lin(last) if t.sigma == 0.0 else tape.lin(last, *second)  # in the end: the mean


def _halves(
    tape: Tape, of: Of, nodes: tuple[Node, Node, Node], clock: str, *, published: bool
) -> tuple[list[tuple[int, Weight]], list[tuple[int, Weight]]]:
    """Noise terms of the two half steps."""
    s, m, t = nodes
    cell = (s.t, t.t) if clock == "t" else (s.lam, t.lam)
    w = tape.noise(clock, *cell)

    def std(p: Process, a: Node, b: Node) -> float:
        return half_std(p, a.t, b.t, published=published)

    if published:  # both in one, after the second half step

        def both(p: Process) -> float:
            return math.hypot(std(p, s, m) * half_ratio(p, m.t, t.t), std(p, m, t))

        return [], [(w, of(both))]
    area = tape.noise(clock, *cell, kind="H")
    one, two = (of(partial(std, a=a, b=b)) for a, b in ((s, m), (m, t)))
    one, two = math.sqrt(0.5) * one, math.sqrt(0.5) * two
    return [(w, one), (area, one)], [(w, two), (area, -two)]


def check_correction(correction: float) -> None:
    """Refuse a Langevin step that is no number >= 0.

    Raises
    ------
    InvalidPlanError
        Says the accepted range.
    """
    if not (math.isfinite(correction) and correction >= 0):
        msg = f"correction must be a finite number >= 0, got {correction}"
        raise InvalidPlanError(msg)


def _single(process: Process, grid: Grid, *, published: bool, correction: float = 0.0) -> Plan:
    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        nodes = s, process.node(0.5 * (s.t + t.t)), t
        of: Of = lambda coefficient: coefficient(process)  # noqa: E731 - a type of its own
        return split_step(
            tape, of, nodes, x, clock="rho2", published=published, correction=correction
        )

    return one_step(grid, step)


@sampler(
    weak=1, weak_cold=1, strong=1, sde_eta=1.0, published_order=2,
    nfe=lambda n: n, prediction="score", semilinear=False, clock="t", family="splitting",
    source="Jo, Lee & Hwang 2022, arXiv:2202.02514, the S4 solver",
)  # fmt: skip
def s4_published(process: Process, grid: Grid, *, correction: float = 0.0) -> Plan:
    """S4 as published: half step, kick with the score from before it, half step; weak order 1.

    ``correction`` is the Langevin step that shares the score, of size ``correction sigma^2``. The
    authors choose it by norms over the batch; it does not shrink with the steps, so the error has
    a floor: certified without it.
    """
    check_correction(correction)
    return _single(process, grid, published=True, correction=correction)


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0,
    nfe=lambda n: 2 * n, prediction="score", semilinear=False, clock="t", family="splitting",
    source="Strang 1968, SIAM J. Numer. Anal. 5; the shape of Jo et al. 2022, arXiv:2202.02514",
)  # fmt: skip
def s4(process: Process, grid: Grid) -> Plan:
    """S4 with Strang's filling: a midpoint kick in the middle, the noise of the reverse flow.

    Two scores a step, weak order 2.
    """
    return _single(process, grid, published=False)
