"""SciPy's solvers on the probability-flow ODE (Virtanen et al. 2020, Nat. Methods 17, 261-272).

``RK45`` and ``DOP853`` are built anew for each interval, in the local variable ``u = s - s_i``,
with ``first_step`` the whole interval and a tolerance that accepts it: one step an interval,
exactly. A new solver evaluates its right-hand side at the start, where the last stage of the step
before was taken: the question is asked twice and the model answers once. Measured: one evaluation
at the start, then 6 (RK45), 12 (DOP853) a step. With ``tol`` they choose their own steps.

``LSODA`` chooses order, steps and, where it finds the problem stiff, backward differentiation. It
has no fixed-grid form, so it declares no order and no count; ``tol`` is all it is given, and the
claim is that the error follows it.

SciPy computes in float64 on the host whatever the state is; the model is given the dtype and
device of the start.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .blackbox import (
    HUGE_TOL,
    MAX_STEPS,
    Advance,
    EmbeddedSolver,
    ForeignSolverError,
    check_tol,
    register_in_both_clocks,
)
from .field import ReverseField

Vector = np.ndarray


def _integrate(
    field: ReverseField, y: Vector, method: str, s0: float, s1: float, tol: float, first: Any
) -> Vector:
    """Run a solver class of SciPy from s0 to s1 in the local variable ``u = s - s0``."""
    import scipy.integrate

    length = s1 - s0

    def rhs(u: float, y: Vector) -> Vector:
        s = s1 if u >= length else s0 + u  # s0 + (s1 - s0) may miss the node by a rounding
        return field.drift(s, torch.from_numpy(np.array(y))).numpy()

    solver_class = getattr(scipy.integrate, method)
    solver = solver_class(rhs, 0.0, y, length, rtol=tol, atol=tol, first_step=first)
    steps = 0
    while solver.status == "running":
        message = solver.step()
        steps += 1
        if solver.status == "failed" or steps > MAX_STEPS:
            reason = message or f"more than {MAX_STEPS} steps"
            msg = f"scipy's {method} gave up at s = {s0 + solver.t} of [{s0}, {s1}]: {reason}"
            raise ForeignSolverError(msg)
    return solver.y


class ScipySolver(EmbeddedSolver):
    """``"RK45"``, ``"DOP853"`` or ``"LSODA"`` of ``scipy.integrate``.

    LSODA is always adaptive: without ``tol`` it takes 1e-6; ``together`` it stores a square matrix
    of the batch.
    """

    def usual_tol(self) -> float | None:
        """1e-6 of LSODA."""
        return 1e-6 if self.method == "LSODA" else None

    def advance(self, tol: float | None) -> Advance:
        """In float64 on the host."""

        def integrated(field: ReverseField, x: Tensor) -> Tensor:
            y = x.detach().to("cpu", torch.float64).flatten().numpy()
            if tol is not None:
                ends = field.s[0], field.s[-1]
                y = _integrate(field, y, self.method, *ends, check_tol(tol), None)
            else:
                for s0, s1 in zip(field.s[:-1], field.s[1:], strict=True):
                    y = _integrate(field, y, self.method, s0, s1, HUGE_TOL, s1 - s0)
            return torch.from_numpy(np.array(y)).reshape(x.shape).to(x.device)

        return integrated


_SCIPY = "SciPy: Virtanen et al. 2020, Nat. Methods 17, 261-272"

for _method, _order, _stages, _factor, _source in (
    ("RK45", 5, 6, 20.0, "Dormand & Prince 1980, J. Comput. Appl. Math. 6, 19-26"),
    ("DOP853", 8, 12, 10.0, "Hairer, Norsett & Wanner 1993, Solving ODEs I, sec. II.10"),
):
    register_in_both_clocks(
        f"scipy_{_method.lower()}",
        lambda clock, method=_method: ScipySolver(method, clock),
        tolerance=_factor,
        order=_order,
        order_cold=_order,
        nfe=lambda steps, stages=_stages: stages * steps + 1,
        family="scipy",
        source=f"{_source}; {_SCIPY}",
        note="One step of an embedded Runge-Kutta method of another library for each interval; "
        "not an exponential integrator: the linear part is not integrated exactly.",
    )

register_in_both_clocks(
    "scipy_lsoda",
    lambda clock: ScipySolver("LSODA", clock),
    tolerance=50.0,
    nfe=lambda steps: 0,  # noqa: ARG005 - it chooses its evaluations as it goes
    family="scipy",
    source=f"Petzold 1983, SIAM J. Sci. Stat. Comput. 4, 136-148; {_SCIPY}",
    note="Variable order and step, Adams or backward differentiation: the grid gives it only the "
    "two ends, and its error follows the tolerance, not the number of steps.",
)
