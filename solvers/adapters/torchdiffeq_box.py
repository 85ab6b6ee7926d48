"""torchdiffeq's solvers on the probability-flow ODE (Chen et al. 2018, 1806.07366).

The embedded Runge-Kutta methods run through ``odeint`` once, over the whole grid: ``step_t`` names
the nodes, the tolerance is infinite for all purposes and ``max_step`` is beyond the grid, so that
each interval is one accepted step and the last stage of a step is the first of the next. Measured:
one evaluation at the start, then 3 (bosh3), 6 (dopri5), 13 (dopri8) a step. With ``tol`` they
choose their own steps between the ends of the grid.

``torchdiffeq``'s Adams methods are not adaptive any more (release 0.2.5): they walk a fixed grid
with the coefficients of *equal* steps, whatever the steps are. Hence the order is 2 on a grid that
is not uniform in the integration variable, whatever ``max_order`` says; on a uniform grid it is 5,
because the first two steps are Runge-Kutta steps of order 4 and the third a corrector of order 4.
``tol`` means nothing to them but the end of the corrector's iteration, of which one is made here.

Three things to know. Times are rounded to the dtype of the state: a float32 run evaluates the
model at float32 times, and at the end of a step one unit in the last place before it. The result
is read off a quartic through the last step even at its end, which costs a factor of ten or more in
rounding (float32: 4e-6 where SciPy's float64 arithmetic ends at 7e-8). And left alone an adaptive
solve steps past the end, evaluates at times that need not exist and reads the quartic inside the
last step; here ``step_t`` holds it to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import check_state
from ..errors import InvalidPlanError
from ..grids import Grid
from ..model import Model
from ..process import Process
from .blackbox import (
    HUGE_TOL,
    MAX_STEPS,
    Advance,
    BlackBoxRun,
    EmbeddedSolver,
    ForeignSolverError,
    check_tol,
    register_in_both_clocks,
    solve,
)
from .field import Clock, ReverseField


def _odeint(field: ReverseField, x: Tensor, method: str, tol: float, options: dict) -> Tensor:
    """``torchdiffeq.odeint`` from the first to the last node; its assertions become sentences."""
    import torchdiffeq

    ends = torch.tensor([field.s[0], field.s[-1]], dtype=torch.float64, device=x.device)
    try:
        path: Any = torchdiffeq.odeint(
            lambda s, y: field.drift(float(s), y),
            x, ends, rtol=tol, atol=tol, method=method, options=options,
        )  # fmt: skip
    except AssertionError as error:
        msg = f"torchdiffeq's {method} gave up: {error}"
        raise ForeignSolverError(msg) from error
    return path[-1]


class TorchdiffeqRK(EmbeddedSolver):
    """An embedded Runge-Kutta method: ``"dopri5"``, ``"dopri8"`` or ``"bosh3"``."""

    def field(self, model: Model, process: Process, grid: Grid, x: Tensor) -> ReverseField:
        """Without a memory: no question is asked twice."""
        return ReverseField(model, process, grid, self.clock, x, remember=False)

    def advance(self, tol: float | None) -> Advance:
        """One call of ``odeint``."""

        def integrated(field: ReverseField, x: Tensor) -> Tensor:
            nodes = torch.tensor(field.s, dtype=torch.float64, device=x.device)
            if tol is not None:
                options: dict[str, Any] = {"step_t": nodes[-1:], "max_num_steps": MAX_STEPS}
                return _odeint(field, x, self.method, check_tol(tol), options)
            span = field.s[-1] - field.s[0]
            options = {
                "step_t": nodes[1:],
                "first_step": 2 * span,  # cut to the next node by step_t
                "max_step": 2 * span,
                "ifactor": 1e15,  # a short interval must not hold the next one back
            }
            return _odeint(field, x, self.method, HUGE_TOL, options)

        return integrated


@dataclass(frozen=True)
class TorchdiffeqAdams:
    """torchdiffeq's ``implicit_adams``, in one clock: predict, evaluate, correct, evaluate.

    Attributes
    ----------
    clock : Clock
        The integration variable.
    """

    clock: Clock

    def __call__(
        self,
        model: Model,
        process: Process,
        grid: Grid,
        x: Tensor,
        *,
        noise: Any = None,
        max_order: int = 12,
    ) -> BlackBoxRun:
        """One step an interval, of order up to ``max_order`` (4 to 12) if steps were equal."""
        del noise  # deterministic
        check_state(x, "x")
        if not 4 <= max_order <= 12:
            msg = f"max_order must be in 4 .. 12, got {max_order}"
            raise InvalidPlanError(msg)
        field = ReverseField(model, process, grid, self.clock, x, remember=False)

        def advance(field: ReverseField, x: Tensor) -> Tensor:
            nodes = torch.tensor(field.s, dtype=torch.float64, device=x.device)
            options = {"max_order": max_order, "grid_constructor": lambda _f, _y, _t: nodes}
            return _odeint(field, x, "implicit_adams", HUGE_TOL, options)

        return solve(field, x, grid, advance)


def _adams_nfe(steps: int) -> int:
    return 4 * min(steps, 2) + 2 * max(steps - 2, 0)


for _method, _order, _stages, _factor, _source in (
    ("bosh3", 3, 3, 10.0, "Bogacki & Shampine 1989, Appl. Math. Lett. 2, 321-325"),
    ("dopri5", 5, 6, 20.0, "Dormand & Prince 1980, J. Comput. Appl. Math. 6, 19-26"),
    ("dopri8", 8, 13, 5.0, "Prince & Dormand 1981, J. Comput. Appl. Math. 7, 67-75"),
):
    register_in_both_clocks(
        f"torchdiffeq_{_method}",
        lambda clock, method=_method: TorchdiffeqRK(method, clock),
        tolerance=_factor,
        order=_order,
        order_cold=_order,
        nfe=lambda steps, stages=_stages: stages * steps + 1,
        family="torchdiffeq",
        source=f"{_source}; torchdiffeq: Chen et al. 2018, arXiv:1806.07366",
        note="One step of an embedded Runge-Kutta method of another library for each interval; "
        "not an exponential integrator: the linear part is not integrated exactly.",
    )

register_in_both_clocks(
    "torchdiffeq_adams",
    TorchdiffeqAdams,
    order=2,
    order_cold=2,
    published_order=12,
    nfe=_adams_nfe,
    family="torchdiffeq",
    source="Hairer, Norsett & Wanner 1993, Solving ODEs I, sec. III.1; torchdiffeq: Chen et al. "
    "2018, arXiv:1806.07366",
    note="Adams-Bashforth-Moulton with the coefficients of equal steps on whatever grid it is "
    "given: order 5 (its start) if the grid is uniform in the clock, order 2 if not.",
)
