"""Restart sampling: ODE steps, and in one interval the noise is put back and taken off again.

Stochastic samplers add noise in small amounts all along, which costs them order; the ODE adds none
and so keeps every error it makes. Restart adds a lot at once, from the end of an interval back to
its beginning, and solves the ODE over the interval again: errors made before are damped by the
large noise, those of the solver stay of the ODE's order.
"""

from __future__ import annotations

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Process
from ..registry import sampler
from .local_sde import renoised
from .onestep import HEUN, rk_row

ROUNDS = 1


def _interval(steps: int) -> tuple[int, int]:
    """A quarter of the steps (at least one) from the middle on: where it begins, and ends."""
    first = (steps - 1) // 2
    return first, first + max(1, steps // 4)


def _nfe(steps: int) -> int:
    first, last = _interval(steps)
    return 2 * (steps + ROUNDS * (last - first))


@sampler(
    weak=2, weak_cold=2, nfe=_nfe, prediction="noise", family="EDM",
    source="Xu et al. 2023, arXiv:2306.14878, Alg. 1",
)  # fmt: skip
def restart(
    process: Process,
    grid: Grid,
    *,
    rounds: int = ROUNDS,
    interval: tuple[int, int] | None = None,
) -> Plan:
    """Restart: Heun's rule in rho, and ``rounds`` times over an interval of steps again.

    ``x_s = (alpha_s/alpha_t) x_t + sigma_s sqrt(1 - e^{-2 (lam_t - lam_s)}) z`` from its end t to
    its beginning s. Marginals are kept to order 2; it is the solution of no SDE of the family, so
    it has no strong order. Unlike ``time_travel`` the noise is large, and in one place.

    Parameters
    ----------
    rounds : int
        How often; 0 is the sampler ``edm_heun``.
    interval : (int, int), optional
        First step of the interval and the first after it, counted from 0. By default a quarter of
        the steps from the middle on.

    Raises
    ------
    InvalidPlanError
        If rounds is negative, or the interval is empty, leaves the grid or ends at sigma 0.
    """
    first, last = _interval(len(grid)) if interval is None else interval
    if rounds < 0 or not 0 <= first < last <= len(grid):
        msg = (
            f"restart needs rounds >= 0 and an interval of steps within 0 and {len(grid)}, "
            f"got rounds={rounds} and interval={(first, last)}"
        )
        raise InvalidPlanError(msg)
    if grid[last].sigma == 0.0 and interval is not None:
        msg = f"the interval of a restart cannot end at sigma 0, got {interval}"
        raise InvalidPlanError(msg)
    again = rounds if grid[last].sigma > 0.0 else 0
    tape = Tape()
    x = tape.input("x", grid[0])
    for i, (s, t) in enumerate(grid.steps()):
        x = rk_row(tape, process, HEUN, s, t, x, "rho")
        if i == last - 1:
            part = grid.part(first, last)
            for turn in range(again):
                x = renoised(tape, part[0], part[-1], x, turn / again, (turn + 1) / again)
                for begin, end in part.steps():
                    x = rk_row(tape, process, HEUN, begin, end, x, "rho")
        tape.mark(x, t)
    return tape.plan(x=x)
