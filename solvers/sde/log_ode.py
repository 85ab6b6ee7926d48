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

from collections.abc import Callable

from torch import Tensor
from torch.func import jvp

from .method import Cell, Method, State
from .problem import SDE

Field = Callable[[Tensor], Tensor]


def _both(field: Field, x: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """A field at x, and its derivative along a direction."""
    found = jvp(field, (x,), (direction,))
    return found[0], found[1]


def _along(field: Field, x: Tensor, direction: Tensor) -> Tensor:
    return _both(field, x, direction)[1]


def _vector_field(sde: SDE, cell: Cell, u: float, x: Tensor) -> Tensor:
    """F at time t + u h of the cell."""
    t, h = cell.t + u * cell.h, cell.h

    def f(y: Tensor) -> Tensor:
        return sde.drift(t, y)

    def g(y: Tensor) -> Tensor:
        return sde.raw_g(t, y).expand(y.shape)

    if sde.noise == "scalar":
        return _scalar_field(f, g, cell, x)

    def tilted(y: Tensor) -> Tensor:
        return g(y) * cell.area

    return h * f(x) + g(x) * cell.w + h * _bracket(tilted, f)(x)


def _bracket(a: Field, b: Field) -> Field:
    def field(y: Tensor) -> Tensor:
        value, change = _both(b, y, a(y))
        return change - _along(a, y, value)

    return field


def _scalar_field(f: Field, g: Field, cell: Cell, x: Tensor) -> Tensor:
    """F for one noise: H is a number of the path, so ``[B, .] = H [g, .]``."""
    h, once = cell.h, _bracket(g, f)
    diffusion = g(x)
    first, change = _both(once, x, diffusion)
    second = change - _along(g, x, first)
    out = h * f(x) + diffusion * cell.w + h * cell.area * first
    return out + h * (0.6 * cell.area.square() + h / 30) * second


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
