"""EDICT: two coupled states, each pushed by what the model says at the other, then mixed.

With ``y = x/alpha``, its twin w and ``h = rho_s - rho_t`` a step from s to t is ::

    y' = y - h eps(w, s)          w' = w - h eps(y', t)
    y_t = p y' + (1 - p) w'       w_t = p w' + (1 - p) y_t

Each line has an algebraic inverse, so the pair goes back to rounding. In print y is pushed first
in every step; in the public code the two take turns, and so they do here.

* The level at which y' is asked decides the order. Printed, and coded, is s, though y' stands at
  t: order 1, not exact on constant data, and another x where alpha varies. Asked at t, as above,
  two steps that take turns are nearly a symmetric composition: order 2.
* p decides what is steady. Without mixing, p = 1, the difference of the two states grows as the
  flow contracts. Mixing multiplies it by p^2 in each step, and by p^-2 on the way back, as it
  does rounding. In print p = 0.93, for 50 steps and more; 20 steps over 6 units of lam spread
  what a model errs there thirty times as far as with p = 0.8, the default here.
"""

from __future__ import annotations

import math

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from .onestep import euler_row


@sampler(
    order=2, order_cold=2, nfe=lambda n: 2 * n, multiple=2, prediction="noise",
    family="reversible",
    source="Wallace, Gokul & Naik 2022, arXiv:2211.12446, each state asked at its own level",
)  # fmt: skip
def edict(
    process: Process,
    grid: Grid,
    *,
    mixing: float = 0.8,
    turns: bool = True,
    published: bool = False,
    carry: bool = False,
    resume: Node | None = None,
) -> Plan:
    """EDICT: two states that push each other in turn and are mixed; two evaluations a step.

    Parameters
    ----------
    mixing : float
        p, above 0 and at most 1, where nothing is mixed; 0.93 in print.
    turns : bool
        Whether the state that is pushed first changes with every step, as in the public code.
        Without it, as in print, the order is 1. A step and the next one belong together.
    published : bool
        Ask the second evaluation at the level that the step leaves, as in print: order 1.
    carry, resume
        As in ``reversible.py``; the second state is a twin.

    Raises
    ------
    InvalidPlanError
        For a mixing beyond its range.
    """
    del process
    p = mixing
    if not 0.0 < p <= 1.0:
        msg = f"EDICT needs a mixing above 0 and at most 1, got {p}"
        raise InvalidPlanError(msg)
    tape = Tape()
    x = tape.input("x", grid[0])
    pair = [x, x if resume is None else tape.input("twin", grid[0])]
    for i, (s, t) in enumerate(grid.steps()):
        if t.sigma == 0.0:
            pair = [tape.mark(euler_row(tape, s, t, pair[0], "rho"), t)] * 2
            continue
        ratio, push = math.exp(t.log_alpha - s.log_alpha), t.alpha * (t.rho - s.rho)
        first = i % 2 if turns else 0
        for k, asked in ((first, s), (1 - first, s if published else t)):
            pair[k] = tape.lin((pair[k], ratio), (tape.eval(pair[1 - k], asked, "noise"), push))
        mixed = tape.lin((pair[0], p), (pair[1], 1.0 - p))
        pair = [tape.mark(mixed, t), tape.lin((pair[1], p), (mixed, 1.0 - p))]
    return tape.plan(x=pair[0], **({"twin": pair[1]} if carry else {}))
