"""What a method is: one step, the calculus it solves, and the orders it has for each noise.

A step sees one cell of the path: the increment W and, if it asks for it, the space-time area
``H = (1/h) int_0^h W_s ds - W/2``, independent of W, of variance h/12.  They are handed over as
standard normals (xi = W/sqrt h, zeta = H/sqrt(h/12)), so that a step scales while it adds.

Strong order p: ``(E |X_N - X(T)|^2)^(1/2) = O(h^p)`` on one path; weak order q: errors of
expectations of smooth functions are O(h^q); q is at least p, and where more is not known p is what
is declared.  Orders are declared for the kinds of noise that the
method accepts; a kind that is missing is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from .errors import InvalidEquationError
from .problem import SDE

State = tuple[Tensor, ...]
"""What a method carries from step to step; the first is x."""


class Cell(NamedTuple):
    """One step [t, t + h] and the noise of it, as standard normals."""

    t: float
    h: float
    xi: Tensor
    zeta: Tensor | None = None

    @property
    def w(self) -> Tensor:
        """Increment of the path."""
        return self.xi * math.sqrt(self.h)

    @property
    def area(self) -> Tensor:
        """Space-time area H of the path.

        Raises
        ------
        InvalidEquationError
            If the cell was made without it.
        """
        if self.zeta is None:
            msg = "this cell has no space-time area; make it with zeta"
            raise InvalidEquationError(msg)
        return self.zeta * math.sqrt(self.h / 12)

    @property
    def first_integral(self) -> Tensor:
        """``I_(1,0) = int_0^h W_s ds = h (W/2 + H)``."""
        return self.h * (0.5 * self.w + self.area)


def _only_x(sde: SDE, t: float, x: Tensor) -> State:  # noqa: ARG001 - signature of all starts
    return (x,)


@dataclass(frozen=True)
class Method:
    """One step of a method and its claims.

    Attributes
    ----------
    name : str
        Name in errors and tables.
    step : callable
        ``step(sde, cell, state) -> state``.
    calculus : {"ito", "stratonovich", "both"}
        The calculus of the equations it solves; additive noise has none.
    strong, weak : mapping
        Order for each accepted kind of noise.
    source : str
        Where it was published.
    needs_area : bool
        Whether a step reads the space-time area.
    start : callable
        ``start(sde, t, x) -> state``.
    reverse : callable or None
        ``reverse(sde, cell, state) -> state``: the state before the step, where there is one.
    """

    name: str
    step: Callable[[SDE, Cell, State], State]
    calculus: Literal["ito", "stratonovich", "both"]
    strong: Mapping[str, float]
    weak: Mapping[str, float]
    source: str
    needs_area: bool = False
    start: Callable[[SDE, float, Tensor], State] = _only_x
    reverse: Callable[[SDE, Cell, State], State] | None = None

    def check(self, sde: SDE) -> None:
        """Whether the method solves equations of this kind.

        Raises
        ------
        InvalidEquationError
            If it does not; says what would.
        """
        if sde.noise not in self.strong:
            accepted = ", ".join(self.strong)
            msg = f"{self.name} has no claim for {sde.noise} noise; it accepts {accepted}"
            raise InvalidEquationError(msg)
        if sde.noise != "additive" and self.calculus not in ("both", sde.calculus):
            msg = (
                f"{self.name} solves {self.calculus} equations and this one is {sde.calculus}; "
                f"give it sde.converted({self.calculus!r})"
            )
            raise InvalidEquationError(msg)
