"""The log-ODE method: a step of the equation is the flow of one vector field for unit time.

With V = g W, B = g H and Lie brackets ``[a, b] = b' a - a' b`` (Stratonovich) ::

    F = h f + V + h [B, f] + (3/5) h [B, [B, f]] + (h^2/30) [g, [g, f]]

The last two terms are the mean of ``[W, [W, t]]`` given (W, H) (Foster, Lyons & Oberhauser 2020,
arXiv:1905.02971): with them the method has strong order 1.5 for one noise. For several they would
need second derivatives along each coordinate, so they are left out and the order is 1.

The flow is one classical Runge-Kutta step, whose error is O(h^2.5). A diffusion that varies in
time moves inside the flow; what that misses is ``(g(t) - g(t+h)) H``, added at the end.
"""

from __future__ import annotations

from torch import Tensor
from torch.func import jvp

from .method import Cell, Method, State
from .problem import SDE


def _along(field, x: Tensor, direction: Tensor) -> Tensor:
    return jvp(field, (x,), (direction,))[1]


def _vector_field(sde: SDE, cell: Cell, u: float, x: Tensor) -> Tensor:
    """F at time t + u h of the cell."""
    t, h = cell.t + u * cell.h, cell.h

    def f(y: Tensor) -> Tensor:
        return sde.drift(t, y)

    def g(y: Tensor) -> Tensor:
        return sde.raw_g(t, y).expand(y.shape)

    def tilted(y: Tensor) -> Tensor:
        return g(y) * cell.area

    def bracket(a, b):
        return lambda y: _along(b, y, a(y)) - _along(a, y, b(y))

    once = bracket(tilted, f)
    out = h * f(x) + g(x) * cell.w + h * once(x)
    if sde.noise == "scalar":
        out = out + 0.6 * h * bracket(tilted, once)(x)
        out = out + h * h / 30 * bracket(g, bracket(g, f))(x)
    return out


def _step(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    g = sde.g(cell.t, x)
    k1 = _vector_field(sde, cell, 0.0, x)
    k2 = _vector_field(sde, cell, 0.5, x + 0.5 * k1)
    k3 = _vector_field(sde, cell, 0.5, x + 0.5 * k2)
    k4 = _vector_field(sde, cell, 1.0, x + k3)
    drift_of_g = (g - sde.raw_g(cell.t + cell.h, x)) * cell.area
    return (x + (k1 + 2 * k2 + 2 * k3 + k4) / 6 + drift_of_g,)


log_ode = Method(
    "log-ODE",
    _step,
    calculus="stratonovich",
    strong={"additive": 1.0, "diagonal": 1.0, "scalar": 1.5},
    weak={"additive": 1.0, "diagonal": 1.0, "scalar": 1.5},
    source="Foster, Lyons & Oberhauser 2020, arXiv:1905.02971",
    needs_area=True,
)
