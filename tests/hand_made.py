"""Samplers written by hand, and plans with a planted mistake, for tests that must see failure."""

from __future__ import annotations

from fokker.solvers.grids import Grid
from fokker.solvers.plan import Lin, Plan, Tape
from fokker.solvers.process import Process


def scale_weights(plan: Plan, kind: type, factor: float) -> Plan:
    """The plan with every weight on a vector of one kind (Noise, Eval, ...) off by a factor."""
    ops = [
        Lin(tuple((j, w * factor if isinstance(plan.ops[j], kind) else w) for j, w in op.terms))
        if isinstance(op, Lin)
        else op
        for op in plan.ops
    ]
    return Plan(tuple(ops), plan.outputs, plan.marks)


class MidpointOnTheGrid:
    """Midpoint rule in rho whose middle stage is a node: two grid steps are one step."""

    multiple = 2

    def __call__(self, process: Process, grid: Grid) -> Plan:
        del process
        tape = Tape()
        x = tape.input("x", grid[0])
        for s, m, t in zip(grid.nodes[::2], grid.nodes[1::2], grid.nodes[2::2], strict=False):
            slope = tape.eval(x, s, "noise")
            stage = tape.lin((x, m.alpha / s.alpha), (slope, m.alpha * (m.rho - s.rho)))
            slope = tape.eval(stage, m, "noise")
            new = tape.lin((x, t.alpha / s.alpha), (slope, t.alpha * (t.rho - s.rho)))
            x = tape.mark(new, t)
        return tape.plan(x=x)


def leapfrog(process: Process, grid: Grid) -> Plan:
    """``x_{n+1} = x_{n-1} + (rho_{n+1} - rho_{n-1}) eps_n``, alpha = 1, started by Euler."""
    del process
    tape = Tape()
    x, before = tape.input("x", grid[0]), None
    for i, (s, t) in enumerate(grid.steps()):
        m = tape.eval(x, s, "noise")
        if before is None:
            new = tape.lin((x, 1.0), (m, t.rho - s.rho))
        else:
            new = tape.lin((before, 1.0), (m, t.rho - grid[i - 1].rho))
        before, x = x, tape.mark(new, t)
    return tape.plan(x=x)
