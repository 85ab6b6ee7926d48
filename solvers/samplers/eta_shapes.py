"""The amount of noise as a function of the level: eta(lam) = tau(lam)^2 of any shape.

Every eta >= 0 keeps the marginals of the process, also one that changes along the way::

    dx = [(dlog alpha/dlam) x - (1 + eta) sigma eps] dlam + sqrt(2 eta) sigma dW

With ``E(a, b) = int_a^b eta dlam`` and ``K(l) = e^{-(lam_t - l) - E(l, lam_t)}`` the exact
solution over a step from s to t is

    x_t = (sigma_t/sigma_s) e^{-E(s, t)} x_s + alpha_t int (1 + eta) K D dl
          + sigma_t (1 - e^{-2 E(s, t)})^{1/2} xi

where ``(1 + eta) K`` is the derivative of K: constant data get the weight ``1 - K(s)`` whatever
the shape. All integrals are exact to rounding, jumps included: the step is cut where eta jumps.
SA-Solver's code instead takes eta at the end of a step for the whole step, and DDIM's windows set
the noise to zero step by step; both keep the marginals too, but are other SDEs.

:class:`EtaShape` is the shape; ``step_kernel`` has these integrals over one step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..errors import InvalidPlanError
from ..grids import Grid
from ..process import Array
from ..quadrature import panel_rule

Level = float | Callable[[Array], Array]
"""eta on one piece: a number, or a smooth function of an array of lams."""

FINE = 12.0
"""``panel_rule`` has a 20-point panel in 6 units of length: here two panels in a unit of lam."""

FORGOTTEN = 60.0
"""A smooth shape from ``lam = -inf`` is followed from so far below only."""


@dataclass(frozen=True)
class EtaShape:
    """eta(lam) on pieces: ``levels[k]`` between ``edges[k-1]`` and ``edges[k]``.

    Attributes
    ----------
    levels : tuple of float or callable
        One more than edges. A callable takes a float64 array of lams; it must be smooth on its
        piece and give finite values >= 0.
    edges : tuple of float
        Increasing lams at which eta jumps.

    Raises
    ------
    InvalidPlanError
        For a number that is no eta, edges that do not increase, or a wrong count of levels; while
        a plan is built, also for values of a callable that are no eta.
    """

    levels: tuple[Level, ...]
    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for level in self.levels:
            if not callable(level):
                check_eta(level)
        if len(self.levels) != len(self.edges) + 1 or any(
            not a < b for a, b in pairwise(self.edges)
        ):
            msg = (
                "a shape of eta needs increasing edges and one level more than edges, "
                f"got {len(self.levels)} levels and edges {self.edges}"
            )
            raise InvalidPlanError(msg)

    @cached_property
    def _pieces(self) -> tuple[tuple[float, float, Level], ...]:
        ends = (-math.inf, *self.edges, math.inf)
        return tuple((a, b, v) for (a, b), v in zip(pairwise(ends), self.levels, strict=True))

    def pieces(self, a: float, b: float) -> list[tuple[float, float, Level]]:
        """The stretches of [a, b] on which eta is smooth, and its level there."""
        found = ((max(a, low), min(b, high), v) for low, high, v in self._pieces)
        return [piece for piece in found if piece[0] < piece[1]]

    def at(self, lam: float) -> float:
        """Eta at one lam; at a jump its value above."""
        level = next(v for low, high, v in self._pieces if low <= lam < high or high == math.inf)
        return float(values(level, np.array([lam]))[0])

    def total(self, a: float, b: float) -> float:
        """``int_a^b eta dlam``; infinite from ``a = -inf`` if eta is positive there."""
        return math.fsum(integral(level, low, high) for low, high, level in self.pieces(a, b))


def check_eta(eta: float) -> None:
    """Refuse a number that is no amount of noise."""
    if not (math.isfinite(eta) and eta >= 0):
        msg = f"eta must be a finite number >= 0, got {eta}"
        raise InvalidPlanError(msg)


def values(level: Level, lams: Array) -> Array:
    """Eta at an array of lams, checked."""
    if not callable(level):
        return np.full(lams.shape, float(level))
    found = np.broadcast_to(np.asarray(level(lams), dtype=np.float64), lams.shape)
    bad = ~(np.isfinite(found) & (found >= 0))
    if np.any(bad):
        msg = f"eta must be a finite number >= 0, got {found[bad][0]} at lam = {lams[bad][0]}"
        raise InvalidPlanError(msg)
    return found


def integral(level: Level, a: float, b: float) -> float:
    """``int_a^b`` of one level."""
    if not callable(level):
        return 0.0 if level == 0.0 else float(level) * (b - a)
    a = max(a, b - FORGOTTEN)
    u, w = panel_rule(FINE * (b - a))
    return float((b - a) * (w @ values(level, a + u * (b - a))))


def window(eta: float, low: float, high: float, *, outside: float = 0.0) -> EtaShape:
    """``eta`` for lam in [low, high), ``outside`` elsewhere: the windows of SA-Solver and MixGRPO.

    Either end may be infinite. Karras-like ranges are given in rho; ``lam = -log rho``, so the
    range [rho_low, rho_high] is ``window(eta, -log(rho_high), -log(rho_low))``.
    """
    edges = tuple(e for e in (low, high) if math.isfinite(e))
    levels = [eta] if low == -math.inf else [outside, eta]
    return EtaShape(tuple(levels if high == math.inf else [*levels, outside]), edges)


def window_of_steps(
    grid: Grid, eta: float, first: int, last: int, *, outside: float = 0.0
) -> EtaShape:
    """``eta`` in steps first, ..., last - 1 of a grid (from 0), ``outside`` in the others."""
    if not 0 <= first < last <= len(grid):
        msg = f"a window of steps needs 0 <= first < last <= {len(grid)}, got {first} and {last}"
        raise InvalidPlanError(msg)
    return window(eta, grid[first].lam, grid[last].lam, outside=outside)


Eta = float | EtaShape | Callable[[Array], Array]


def as_shape(eta: Eta) -> EtaShape:
    """A number, a smooth function of lam, or a shape, as a shape."""
    return eta if isinstance(eta, EtaShape) else EtaShape((eta,))
