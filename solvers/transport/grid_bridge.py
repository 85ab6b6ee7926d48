r"""Schrodinger bridges between any two densities on a grid, by Sinkhorn's iteration.

The coupling of the ends is ``F(x) k(x, y) G(y)``, k the transition of ``sigma W`` over [0, 1]; F
and G are found by demanding one marginal after the other. Then, as for every such bridge,
``rho_u = F_u G_u`` with ``F_u = F * N(0, sigma^2 u)``, ``G_u = G * N(0, sigma^2 (1 - u))``, and
``drift = sigma^2 grad log G_u``. All sums are trapezoidal sums on uniform nodes, which are
spectrally accurate for smooth densities that vanish at the edges, and are taken in logarithms.

Three numbers bound the accuracy: the mass that the edges cut off, the spacing of the nodes against
the width of a kernel (``exp(-2 pi^2 (width/spacing)^2)``), and the error of the marginals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import FokkerError, InvalidLawError
from ..parameters import parameter, points

NARROWEST = 1.4
"""Least width of a kernel in spacings of the nodes: its sums are then right to 2e-17."""
CUT = 1e-3
"""Largest mass that a density may lack, or have too much, on its grid."""


@dataclass(frozen=True, eq=False)
class GridBridge:
    """The Schrodinger bridge of ``sigma W`` between two densities on a grid; u in [0, 1].

    Both densities are divided by their mass on the grid before anything else. Tails cut off differ
    at the two ends, and marginals of different mass have no coupling: Sinkhorn's error would stay
    at the difference for ever.

    Fortet 1940; Sinkhorn 1964. Not to be confused with entropic transport of samples, whose
    potentials belong to the samples and whose bridge has no density at its ends.

    Parameters
    ----------
    axes : sequence of Tensor
        d tensors (n_k,) of uniformly spaced nodes, ascending, float64. d = 1 or 2 is meant; each
        sweep costs ``sum n_k`` times the number of nodes.
    density_a, density_b : Tensor
        Values at the nodes, shape (n_1, ..., n_d), not negative.
    sigma : float
        Strength of the Brownian reference, positive.
    tolerance : float
        L1 error of the first marginal at which to stop (the second is met exactly).
    sweeps : int
        Largest number of sweeps.

    Attributes
    ----------
    errors : tuple of float
        L1 error of the first marginal after each sweep. On Gaussians it shrinks by ``rho^2``, rho
        the largest canonical correlation of the two ends.

    Raises
    ------
    InvalidLawError
        If a density is none (negative, not finite, or half of its mass on one node, as of a point
        mass), lacks more than ``CUT`` of its mass, or the nodes do not fit or are too far apart.
    FokkerError
        If the tolerance is not reached: the error is reported, no bridge is returned.

    Examples
    --------
    >>> x = torch.linspace(-9.0, 9.0, 181, dtype=torch.float64)
    >>> normal = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    >>> bridge = GridBridge([x], normal, normal, 1.0)
    >>> round(float(x @ bridge.coupling() @ x), 10)  # the golden ratio less 1
    0.6180339887
    """

    axes: Sequence[Tensor]
    density_a: Tensor
    density_b: Tensor
    sigma: float
    tolerance: float = 1e-12
    sweeps: int = 2000
    errors: tuple[float, ...] = field(init=False)
    _first: Tensor = field(init=False, repr=False)
    _last: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.sigma < math.inf:
            msg = f"sigma must be positive and finite, got {self.sigma}"
            raise InvalidLawError(msg)
        axes = tuple(_axis(a, k) for k, a in enumerate(self.axes))
        self.__dict__["axes"] = axes
        for name in ("density_a", "density_b"):
            self.__dict__[name] = _density(getattr(self, name), name, axes)
        self._width(1.0)
        self._fit()

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.axes)

    @property
    def cell(self) -> float:
        """Volume of a cell of the grid."""
        return math.prod(float(a[1] - a[0]) for a in self.axes)

    def nodes(self) -> Tensor:
        """All nodes, (N, d), in the order of ``density_a.flatten()``."""
        return torch.cartesian_prod(*self.axes).reshape(-1, self.dim)

    def _fit(self) -> None:
        a, b = ((d * self.cell).log() for d in (self.density_a, self.density_b))
        first, errors = a, []
        for _ in range(self.sweeps):
            last = b - self._spread(first, 1.0)
            back = self._spread(last, 1.0)
            errors.append(float(((first + back).exp() - a.exp()).abs().sum()))
            if errors[-1] <= self.tolerance:
                break
            first = a - back
        else:
            rate = errors[-1] / errors[-2] if len(errors) > 1 else math.nan
            msg = (
                f"no bridge within {self.sweeps} sweeps: the first marginal is off by "
                f"{errors[-1]:.3g}, accepted are {self.tolerance:.3g}; the last sweep shrank the "
                f"error by {rate:.4g}"
            )
            raise FokkerError(msg)
        self.__dict__.update(_first=first, _last=last, errors=tuple(errors))

    def _spread(self, logs: Tensor, u: float) -> Tensor:
        """``log (exp(logs) * N(0, sigma^2 u))`` at the nodes, one axis after the other."""
        for k, axis in enumerate(self.axes):
            kernel = self._log_kernel(axis[:, None] - axis, u)
            moved = logs.movedim(k, -1)[..., None, :] + kernel
            logs = torch.logsumexp(moved, -1).movedim(-1, k)
        return logs

    def _log_kernel(self, gap: Tensor, u: float) -> Tensor:
        width = self._width(u)
        return -0.5 * (gap / width).square() - math.log(width * math.sqrt(2.0 * math.pi))

    def _width(self, u: float) -> float:
        """``sigma sqrt(u)``, if the nodes can resolve a kernel so narrow."""
        width, apart = self.sigma * math.sqrt(u), max(float(a[1] - a[0]) for a in self.axes)
        if width < NARROWEST * apart:
            msg = (
                f"a kernel of width {width:.4g} (sigma {self.sigma:g} over a time {u:.4g}) is "
                f"too narrow for nodes {apart:.4g} apart; accepted from {NARROWEST * apart:.4g}: "
                "keep away from the ends in time, or take more nodes"
            )
            raise InvalidLawError(msg)
        return width

    def density(self, u: float) -> Tensor:
        """The density of X_u at the nodes, of the shape of ``density_a``; the ends as given."""
        if _time(u) in (0.0, 1.0):
            return self.density_b if u else self.density_a
        return (self._spread(self._first, u) + self._spread(self._last, 1.0 - u)).exp()

    def coupling(self) -> Tensor:
        """Masses of the pairs (X_0, X_1) of nodes, (N, N) with N nodes in all."""
        x = self.nodes()
        kernel = sum(self._log_kernel(c[:, None] - c, 1.0) for c in x.unbind(1))
        return (self._first.flatten()[:, None] + kernel + self._last.flatten()).exp()

    def relative_entropy(self) -> float:
        """KL of the coupling against the reference's, ``rho_a(x) k(x, y)``; in nats.

        It is the least work, ``(1/(2 sigma^2)) int E |drift|^2 du``.
        """
        a, b = self.density_a * self.cell, self.density_b * self.cell
        gains = self._first - a.log(), self._last - math.log(self.cell)
        return sum(float((m * g)[m > 0].sum()) for m, g in zip((a, b), gains, strict=True))

    def _log_weights(self, x: Tensor, logs: Tensor, u: float) -> Tensor:
        """``log`` of kernel times potential between points (B, d) and all nodes, (B, N)."""
        x = points(x, self.axes[0].new_zeros(self.dim))
        kernel = sum(
            self._log_kernel(x[:, k, None] - c, u) for k, c in enumerate(self.nodes().unbind(1))
        )
        return kernel + logs.flatten()

    def log_density(self, x: Tensor, u: float) -> Tensor:
        """``log rho_u`` at points x of shape (B, d), u inside (0, 1); (B,)."""
        parts = ((self._first, _time(u)), (self._last, 1.0 - u))
        return sum(
            (torch.logsumexp(self._log_weights(x, logs, v), 1) for logs, v in parts),
            start=torch.zeros(len(x), dtype=torch.float64),
        )

    def last_given(self, x: Tensor, u: float) -> Tensor:
        """``E[X_1 | X_u = x]``, (B, d), u < 1."""
        return self._log_weights(x, self._last, 1.0 - _time(u)).softmax(1) @ self.nodes()

    def first_given(self, x: Tensor, u: float) -> Tensor:
        """``E[X_0 | X_u = x]``, (B, d), u > 0."""
        return self._log_weights(x, self._first, _time(u)).softmax(1) @ self.nodes()

    def to_come(self, x: Tensor, u: float) -> Tensor:
        """``grad log G_u``, (B, d), u < 1."""
        return (self.last_given(x, u) - x) / (self.sigma**2 * (1.0 - u))

    def has_been(self, x: Tensor, u: float) -> Tensor:
        """``grad log F_u``, (B, d), u > 0."""
        return (self.first_given(x, u) - x) / (self.sigma**2 * u)

    def score(self, x: Tensor, u: float) -> Tensor:
        """``grad log rho_u``, (B, d), u inside (0, 1)."""
        return self.to_come(x, u) + self.has_been(x, u)

    def drift(self, x: Tensor, u: float) -> Tensor:
        """``sigma^2 grad log G_u``: drift of the bridge run forward; (B, d), u < 1."""
        return self.sigma**2 * self.to_come(x, u)

    def velocity(self, x: Tensor, u: float) -> Tensor:
        """``(sigma^2/2)(grad log G_u - grad log F_u)``: the probability-flow ODE; (B, d)."""
        return 0.5 * self.sigma**2 * (self.to_come(x, u) - self.has_been(x, u))


def _axis(value: Tensor, k: int) -> Tensor:
    a = parameter(value, f"axes[{k}]", (None,)).to(torch.float64)
    gaps = a.diff()
    if len(a) < 3 or float(gaps.min()) <= 0 or float(gaps.max() / gaps.min() - 1) > 1e-6:
        msg = f"axes[{k}] must be three or more ascending, equally spaced nodes, got {a.tolist()}"
        raise InvalidLawError(msg[:300])
    return a


def _density(value: Tensor, name: str, axes: Sequence[Tensor]) -> Tensor:
    p = torch.as_tensor(value, dtype=torch.float64)
    p = parameter(p, name, tuple(len(a) for a in axes))
    if float(p.min()) < 0:
        msg = f"{name} must not be negative, got {float(p.min()):.4g}"
        raise InvalidLawError(msg)
    cell = math.prod(float(a[1] - a[0]) for a in axes)
    mass = float(p.sum()) * cell
    if abs(mass - 1.0) > CUT:
        msg = f"{name} has mass {mass:.6g} on its grid, accepted is 1 within {CUT:g}: widen it"
        raise InvalidLawError(msg)
    heaviest = float(p.max()) * cell
    if heaviest > 0.5:
        msg = (
            f"{name} has {heaviest:.3g} of its mass on one node: a law without a density is no "
            "end of this bridge; smooth it, or take finer nodes"
        )
        raise InvalidLawError(msg)
    return p / mass


def _time(u: float) -> float:
    if not 0.0 <= u <= 1.0:
        msg = f"the time u of a bridge must be in [0, 1], got {u}"
        raise InvalidLawError(msg)
    return float(u)
