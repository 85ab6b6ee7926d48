"""Plans to test with: written by hand on a tape, and drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from fokker.solvers.grids import Grid, uniform_lam
from fokker.solvers.model import PREDICTIONS
from fokker.solvers.plan import Plan, Tape
from fokker.solvers.process import DATA, Node
from fokker.solvers.schedules import VPLinear

PROCESS = VPLinear()


def grid(steps: int, low: float = -3.0, high: float = 2.0) -> Grid:
    return uniform_lam(PROCESS, low, high).grid(steps)


def euler(nodes: Grid, prediction: str = "noise") -> Plan:
    """Euler in rho: ``x_t = (alpha_t/alpha_s) x + alpha_t (rho_t - rho_s) eps``."""
    tape = Tape()
    x = tape.input("x", nodes[0])
    for s, t in nodes.steps():
        m = tape.eval(x, s, prediction)
        x = tape.mark(tape.lin((x, t.alpha / s.alpha), (m, t.alpha * (t.rho - s.rho))), t)
    return tape.plan(x=x)


def leapfrog(nodes: Grid) -> Plan:
    """Two-step leapfrog: ``y_{n+1} = y_{n-1} + (rho_{n+1} - rho_{n-1}) eps_n`` for ``x/alpha``."""
    tape = Tape()
    old, x = tape.input("x-1", nodes[0]), tape.input("x", nodes[1])
    for i in range(1, len(nodes)):
        past, s, t = nodes[i - 1], nodes[i], nodes[i + 1]
        m = tape.eval(x, s, "noise")
        new = tape.lin((old, t.alpha / past.alpha), (m, t.alpha * (t.rho - past.rho)))
        old, x = x, tape.mark(new, t)
    return tape.plan(**{"x": x, "x-1": old})


def two_step(
    nodes: Grid,
    weights: tuple[float, float, float] = (0.9, 0.2, -0.1),
    past: Node | None = None,
) -> Plan:
    """The shape of a two-step method: three terms a row, history in and out."""
    tape = Tape()
    x, old = tape.input("x", nodes[0]), tape.input("m-1", past or nodes[0], "data")
    for s, t in nodes.steps():
        m = tape.eval(x, s, "data")
        x = tape.mark(tape.lin((x, weights[0]), (m, weights[1]), (old, weights[2])), t)
        old = m
    return tape.plan(**{"x": x, "m-1": old})


def noisy(steps: int = 5) -> Plan:
    """Two terms and a noise a row."""
    tape, nodes = Tape(), grid(steps)
    x = tape.input("x", nodes[0])
    for s, t in nodes.steps():
        m, xi = tape.eval(x, s), tape.noise("lam", s.lam, t.lam)
        x = tape.mark(tape.lin((x, 0.7), (m, 0.4), (xi, 0.2)), t)
    return tape.plan(x=x)


def _nodes() -> st.SearchStrategy[Node]:
    return st.floats(-5.0, 9.0).map(PROCESS.node_at_lam) | st.just(DATA)


def _weights(arrays: bool) -> st.SearchStrategy[Any]:
    numbers = st.floats(-1e3, 1e3, allow_subnormal=True)
    if not arrays:
        return numbers
    return numbers | st.lists(numbers, min_size=3, max_size=3).map(np.array)


@st.composite
def random_plans(draw: st.DrawFn, *, arrays: bool = False, size: int = 14) -> Plan:
    """Any valid plan: every kind of row, every prediction, levels up to the clean end."""
    tape = Tape()
    rows = [tape.input("x", draw(_nodes()))]
    if draw(st.booleans()):
        rows.append(tape.input("m-1", draw(_nodes()), draw(st.sampled_from(PREDICTIONS))))
    cells = 0
    for _ in range(draw(st.integers(1, size))):
        match draw(st.sampled_from(["lin", "lin", "eval", "noise"])):
            case "lin":
                ids = draw(st.lists(st.sampled_from(rows), min_size=1, max_size=4, unique=True))
                rows.append(tape.lin(*((j, draw(_weights(arrays))) for j in ids)))
                if draw(st.booleans()):
                    tape.mark(rows[-1], draw(_nodes()))
            case "eval":
                prediction = draw(st.sampled_from(PREDICTIONS))
                head = draw(st.sampled_from(["", "unconditional"]))
                rows.append(
                    tape.eval(draw(st.sampled_from(rows)), draw(_nodes()), prediction, head)
                )
            case _:
                kind = draw(st.sampled_from("WH"))
                rows.append(tape.noise("snr^1.0", cells - 0.5, cells + 0.5, kind))
                cells += 1
    return tape.plan(x=rows[-1], **{"x-1": draw(st.sampled_from(rows))})
