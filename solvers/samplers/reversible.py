"""Reversible samplers: two states a step, so that the step has an algebraic inverse.

One state is not enough: the step ``x_t = a x_s + b eps(x_s)`` asks the model at the unknown state.
With a second state the model is asked at what both directions know, and its answer cancels:

* *leapfrogs* keep the state before (``x-1``). With ``y = x/alpha``, ``h = rho_s - rho_t`` and
  ``h' = rho_p - rho_s`` for the levels p, s, t in sampling order ::

      y_t = y_s + G (y_p - y_s) - (h + G h') eps_s

  G = 0 is DDIM; on equal steps G = 1 is the leapfrog. The local error is ``(h^2 - G h'^2)/2
  deps/drho + O(h^3)``. The recurrence has a second root: where the flow contracts y by c, an error
  of the second state grows by ``prod G / c`` on the way there, by ``c / prod G`` on the way back
  (``prod 1/G`` is :func:`inverse_growth`). What is steady one way is not the other.
* *twins* keep a second copy of the state at the same level (``twin``); each is pushed by what the
  model says at the other.

Every builder has two options for what may follow or precede: ``carry=True`` puts out the second
state too, so that :func:`.plan_algebra.invert` finds the inverse plan and another plan may take
over; ``resume=node`` takes the second state as an input. For a leapfrog ``node`` is its level,
the one before the grid; a twin is at the first level of the grid, whichever node is given.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Array, Node, Process
from ..registry import sampler
from .onestep import euler_row

FRAMES = ("x", "y", "z")
_BDIA = "Zhang, Lewis & Kleijn 2024, arXiv:2307.10829"
_BELM = "Wang et al. 2024, arXiv:2410.07273, O-BELM"
_KIDGER = "Kidger et al. 2021, arXiv:2105.13493, Alg. 1, on dz/de^lam = D"
_IDM = "Chen et al. 2024, arXiv:2403.17006, for the two-branch wiring"


def leapfrog_row(tape: Tape, p: Node, s: Node, t: Node, old: int, x: int, weight: float) -> int:
    """``y_t = y_s + G (y_p - y_s) - (h + G h') eps_s`` in x; see the module for the letters.

    ``old`` is the state at p, ``x`` the state at s, ``weight`` is G.
    """
    push = (s.rho - t.rho) + weight * (p.rho - s.rho)
    return tape.lin(
        (x, (1.0 - weight) * math.exp(t.log_alpha - s.log_alpha)),
        (old, weight * math.exp(t.log_alpha - p.log_alpha)),
        (tape.eval(x, s, "noise"), -t.alpha * push),
    )


def leapfrog_weights(grid: Grid, rule: str, g0: float = 1.0) -> Array:
    """The weights G of every step but the first, in sampling order; shape (steps - 1,).

    Parameters
    ----------
    grid : Grid
        With ``resume`` the level before belongs to it, as its first node.
    rule : str
        The unit in which g0 weighs: ``"y"``: G = g0; ``"x"``: ``G = g0 alpha_p/alpha_t``; ``"z"``,
        of x/sigma: ``G = g0 rho_t/rho_p``; or ``"optimal"``: ``G = (h/h')^2``.
    g0 : float
        Weight of the oldest state, in [0, 1]; no meaning for ``"optimal"``.

    Raises
    ------
    InvalidPlanError
        For an unknown rule, or g0 outside of [0, 1].
    """
    if rule not in (*FRAMES, "optimal") or not 0.0 <= g0 <= 1.0:
        msg = (
            "a leapfrog needs g0 in [0, 1] and a rule 'x', 'y', 'z' or 'optimal', "
            f"got g0={g0} and {rule!r}"
        )
        raise InvalidPlanError(msg)
    triples = zip(grid.nodes, grid.nodes[1:], grid.nodes[2:], strict=False)
    if rule == "optimal":
        found = [((s.rho - t.rho) / (p.rho - s.rho)) ** 2 for p, s, t in triples]
    elif rule == "x":
        found = [g0 * math.exp(p.log_alpha - t.log_alpha) for p, _, t in triples]
    elif rule == "z":
        found = [g0 * math.exp(p.lam - t.lam) for p, _, t in triples]
    else:
        found = [g0 for _ in triples]
    return np.array(found)


def inverse_growth(weights: Array) -> float:
    """``prod 1/G``: how far the inverse of a leapfrog spreads the rounding of its last step.

    In units of y = x/alpha; infinite where a weight vanishes, since that step has no inverse.
    """
    return math.inf if bool((weights == 0.0).any()) else float((1.0 / weights).prod())


def _leapfrog(grid: Grid, rule: str, g0: float, carry: bool, resume: Node | None) -> Plan:
    tape = Tape()
    nodes = list(grid.nodes)
    x = tape.input("x", nodes[0])
    old = None if resume is None else tape.input("x-1", resume)
    if resume is not None:
        nodes.insert(0, resume)
    weights = iter(leapfrog_weights(Grid(tuple(nodes)), rule, g0))
    before = resume
    for s, t in grid.steps():
        if old is None or before is None:
            new = euler_row(tape, s, t, x, "rho")
        else:
            new = leapfrog_row(tape, before, s, t, old, x, float(next(weights)))
        old, x, before = x, tape.mark(new, t), s
    return tape.plan(x=x, **({"x-1": old} if carry and old is not None else {}))


@sampler(
    order=2, order_cold=2, nfe=lambda n: n, prediction="noise", family="reversible", source=_BDIA,
)  # fmt: skip
def bdia(
    process: Process,
    grid: Grid,
    *,
    g0: float = 1.0,
    frame: str = "z",
    carry: bool = False,
    resume: Node | None = None,
) -> Plan:
    """BDIA: what DDIM would have added going back from s is exchanged for what was added coming.

    ``v_t = v_s + ddim(s -> t) + g0 [v_p - v_s - ddim(s -> p)]``, both increments from one
    ``eps(x_s)``; the first step is DDIM. The unit of v matters. As printed v = x, so that
    ``G = g0 alpha_p/alpha_t``; where alpha = 1 that is ``y = x/alpha``, G = g0. There g0 = 1 does
    not damp the second root of the recurrence: what a flow contracts, it grows by. In
    ``z = x/sigma``, the default, ``G = g0 rho_t/rho_p`` damps it; on equal steps in lam that is
    O-BELM. g0 = 1 is of order 2, g0 < 1 of order 1, with an inverse that spreads rounding by
    ``g0^-steps`` more. g0 is the weight of the *oldest* state: some texts print
    ``gamma = 1 - g0``. Raises InvalidPlanError for g0 outside of [0, 1].
    """
    del process
    if frame not in FRAMES:
        msg = f"the frame of BDIA must be 'x', 'y' or 'z', got {frame!r}"
        raise InvalidPlanError(msg)
    return _leapfrog(grid, frame, g0, carry, resume)


@sampler(
    order=2, order_cold=2, nfe=lambda n: n, prediction="noise", family="reversible", source=_BELM,
)  # fmt: skip
def o_belm(
    process: Process, grid: Grid, *, carry: bool = False, resume: Node | None = None
) -> Plan:
    """O-BELM: the leapfrog whose local error is of third order on any grid, ``G = (h/h')^2``.

    BDIA with another weight in each step, not another formula. Where steps in rho shrink, as they
    do towards the data, ``prod G`` is small: the run is steady, and its inverse spreads rounding.
    """
    del process
    return _leapfrog(grid, "optimal", 1.0, carry, resume)


def _twins(tape: Tape, grid: Grid, resume: Node | None) -> tuple[int, int]:
    """The state and its twin: one vector at a cold start, two inputs where a run goes on."""
    x = tape.input("x", grid[0])
    return x, x if resume is None else tape.input("twin", grid[0])


@sampler(
    order=2, order_cold=2, nfe=lambda n: n + 1, prediction="data", family="reversible",
    source=_KIDGER,
)  # fmt: skip
def reversible_heun(
    process: Process, grid: Grid, *, carry: bool = False, resume: Node | None = None
) -> Plan:
    """Reversible Heun in ``nu = e^lam`` on the data form: trapezoid on a shadow of the state.

    With z = x/sigma, its twin w, k = nu_t - nu_s: ``w_t = 2 z - w + k D(w)``, ``z_t = z + k/2
    (D(w) + D(w_t))``. One evaluation a step, always at the twin; not Heun, which pays two. Written
    as half a kick, a reflection and half a kick, each solved for either of its states.
    """
    del process
    tape = Tape()
    x, twin = _twins(tape, grid, resume)
    for s, t in grid.steps():
        if t.sigma == 0.0:
            x = twin = tape.mark(euler_row(tape, s, t, x, "nu"), t)
            continue
        ratio, kick = math.exp(t.log_sigma - s.log_sigma), 0.5 * t.sigma * (t.nu - s.nu)
        half = tape.lin((x, ratio), (tape.eval(twin, s), kick))
        twin = tape.lin((half, 2.0), (twin, -ratio))
        x = tape.mark(tape.lin((half, 1.0), (tape.eval(twin, t), kick)), t)
    return tape.plan(x=x, **({"twin": twin} if carry else {}))


@sampler(
    order=2, order_cold=2, nfe=lambda n: 2 * n + 1, prediction="data", family="reversible",
    source=_IDM,
)  # fmt: skip
def two_stream(
    process: Process, grid: Grid, *, carry: bool = False, resume: Node | None = None
) -> Plan:
    """Two streams that push each other in turn: additive coupling, as in a reversible network.

    In ``nu = e^lam``, u half a step by ``D(v)``, v a whole one by ``D(u)``, u the other half by
    ``D(v)``: ``z_u += (nu_m - nu_s) D(v)``, ``z_v += (nu_t - nu_s) D(u)``, m the middle of the
    step in nu. Two evaluations a step, order 2; u is the sample. On the noise prediction in rho it
    would be of order 2 too, but there the difference of the streams grows as the flow contracts.
    """
    tape = Tape()
    x, twin = _twins(tape, grid, resume)
    for s, t in grid.steps():
        if t.sigma == 0.0:
            x = twin = tape.mark(euler_row(tape, s, t, x, "nu"), t)
            continue
        middle = process.node_at_lam(math.log(0.5 * (s.nu + t.nu)))
        half = _push(tape, s, middle, x, tape.eval(twin, s))
        twin = _push(tape, s, t, twin, tape.eval(half, middle))
        x = tape.mark(_push(tape, middle, t, half, tape.eval(twin, t)), t)
    return tape.plan(x=x, **({"twin": twin} if carry else {}))


def _push(tape: Tape, s: Node, t: Node, x: int, data: int) -> int:
    """``z_t = z_s + (nu_t - nu_s) D`` in x, whichever state D was asked at."""
    ratio = math.exp(t.log_sigma - s.log_sigma)
    return tape.lin((x, ratio), (data, t.sigma * (t.nu - s.nu)))
