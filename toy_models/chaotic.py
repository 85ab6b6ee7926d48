"""Chaotic systems whose Lyapunov exponents are known: truths for gradients through long runs.

=================  ===  ===================================================================
system             d    exponents
=================  ===  ===================================================================
``skew_tent(p)``   1    ``H(p) = -p log p - (1-p) log(1-p)``; at 1/2 it is log 2
``logistic()``     1    log 2 (conjugate to the tent map)
``baker(p,a,b)``   2    ``H(p)`` and ``p log a + (1-p) log b``
``cat_map()``      2    ``+- log((3 + sqrt 5)/2)``: the Jacobian is one symmetric matrix
``tent_network``   1    those of the skew tent: a piecewise-linear network that *is* that map
``Lorenz63``       3    the sum is ``-(sigma + 1 + beta)`` exactly, the second is 0; the first
                        is 0.9056 for the classic parameters
=================  ===  ===================================================================

The tent map with slope 2 is a trap: it shifts the bits of a float out, so that every orbit is at 0
after 53 steps.  The skew one with p = 0.3 is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError

CLASSIC_LORENZ = 0.9056
"""Largest exponent at sigma, rho, beta = 10, 28, 8/3 (Sprott 2003): not exact, known to 1e-4."""


@dataclass(frozen=True)
class ChaoticMap:
    """A map with its derivative and its exponents.

    Attributes
    ----------
    name : str
        Its name.
    dim : int
        d.
    step, jacobian : callable
        ``(B, d) -> (B, d)`` and ``(B, d) -> (B, d, d)``.
    exponents : tuple of float
        Lyapunov exponents a step, largest first.
    """

    name: str
    dim: int
    step: Callable[[Tensor], Tensor]
    jacobian: Callable[[Tensor], Tensor]
    exponents: tuple[float, ...]

    def orbit(self, x: Tensor, steps: int) -> Tensor:
        """``x_0 .. x_steps``, shape (steps + 1, B, d)."""
        out = [x]
        for _ in range(steps):
            out.append(self.step(out[-1]))
        return torch.stack(out)


def _in_unit(p: float, name: str) -> None:
    if not 0.0 < p < 1.0:
        msg = f"{name} must lie strictly between 0 and 1, got {p}"
        raise InvalidLawError(msg)


def entropy(p: float) -> float:
    """``-p log p - (1-p) log(1-p)``."""
    return -p * math.log(p) - (1 - p) * math.log1p(-p)


def skew_tent(p: float = 0.3) -> ChaoticMap:
    """``x/p`` below p, ``(1 - x)/(1 - p)`` above: uniform in the mean, its sides are coin throws.

    Raises
    ------
    InvalidLawError
        If p is not strictly between 0 and 1.
    """
    _in_unit(p, "p")

    def slope(x: Tensor) -> Tensor:
        return torch.where(x < p, 1 / p, torch.full_like(x, -1 / (1 - p)))

    return ChaoticMap(
        "skew tent",
        1,
        lambda x: torch.where(x < p, x / p, (1 - x) / (1 - p)),
        lambda x: slope(x)[..., None],
        (entropy(p),),
    )


def logistic() -> ChaoticMap:
    """``4 x (1 - x)``."""
    return ChaoticMap(
        "logistic",
        1,
        lambda x: 4 * x * (1 - x),
        lambda x: (4 - 8 * x)[..., None],
        (math.log(2),),
    )


def baker(p: float = 0.3, a: float = 0.4, b: float = 0.5) -> ChaoticMap:
    """``(x/p, a y)`` for x below p, ``((x - p)/(1 - p), 1 - b + b y)`` above.

    It stretches along x and lays two thin copies, of heights a and b, into the unit square.

    Raises
    ------
    InvalidLawError
        If a number is not strictly between 0 and 1, or the copies overlap (a + b > 1).
    """
    for name, value in (("p", p), ("a", a), ("b", b)):
        _in_unit(value, name)
    if a + b > 1:
        msg = f"the copies of a baker's map must not overlap: a + b <= 1, got {a} and {b}"
        raise InvalidLawError(msg)

    def step(x: Tensor) -> Tensor:
        u, v = x[..., 0], x[..., 1]
        left = u < p
        there = torch.where(left, u / p, (u - p) / (1 - p))
        return torch.stack([there, torch.where(left, a * v, 1 - b + b * v)], -1)

    def jacobian(x: Tensor) -> Tensor:
        left, one = x[..., 0] < p, torch.ones_like(x[..., 0])
        sizes = torch.where(left, one / p, one / (1 - p)), torch.where(left, one * a, one * b)
        return torch.diag_embed(torch.stack(sizes, -1))

    lower = p * math.log(a) + (1 - p) * math.log(b)
    return ChaoticMap("baker", 2, step, jacobian, (entropy(p), lower))


def cat_map() -> ChaoticMap:
    """``(2 x + y, x + y) mod 1``: the largest singular value is the largest eigenvalue."""
    matrix = torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    size = math.log((3 + math.sqrt(5)) / 2)
    return ChaoticMap(
        "cat",
        2,
        lambda x: torch.remainder(x @ matrix.to(x).T, 1.0),
        lambda x: matrix.to(x).expand(*x.shape, 2),
        (size, -size),
    )


@dataclass(frozen=True, eq=False)
class PiecewiseLinear:
    """A shallow piecewise-linear recurrent network, ``A z + W1 max(W2 z + h2, 0) + h1``.

    Its Jacobians are ``A + W1 diag(on) W2``: a finite number, so their largest norm is known.
    Shapes: A (d, d), W1 (d, L), W2 (L, d), h1 (d,), h2 (L,).
    """

    linear: Tensor
    outer: Tensor
    inner: Tensor
    shift: Tensor
    thresholds: Tensor

    def step(self, z: Tensor) -> Tensor:
        """The next state, (B, d)."""
        hidden = torch.relu(z @ self.inner.T + self.thresholds)
        return z @ self.linear.T + hidden @ self.outer.T + self.shift

    def jacobian(self, z: Tensor) -> Tensor:
        """The derivative, (B, d, d)."""
        on = (z @ self.inner.T + self.thresholds > 0).to(z)
        return self.linear + (self.outer * on[..., None, :]) @ self.inner

    def all_jacobians(self) -> Tensor:
        """Those of every pattern of hidden units, (2^L, d, d); some may not occur."""
        units = len(self.thresholds)
        patterns = torch.arange(2**units)[:, None] >> torch.arange(units) & 1
        return self.linear + (self.outer * patterns[:, None].to(self.outer)) @ self.inner


def tent_network(p: float = 0.3) -> PiecewiseLinear:
    """The network with one hidden unit that is the skew tent on [0, 1].

    Raises
    ------
    InvalidLawError
        If p is not strictly between 0 and 1.
    """
    _in_unit(p, "p")

    def row(*values: float) -> Tensor:
        return torch.tensor([values], dtype=torch.float64)

    bend = -1 / p - 1 / (1 - p)
    return PiecewiseLinear(row(1 / p), row(bend), row(1.0), row(0.0)[0], row(-p)[0])


@dataclass(frozen=True)
class Lorenz63:
    """``x' = sigma (y - x)``, ``y' = x (rho - z) - y``, ``z' = x y - beta z`` (Lorenz 1963)."""

    sigma: float = 10.0
    rho: float = 28.0
    beta: float = 8 / 3

    @property
    def sum_of_exponents(self) -> float:
        """``-(sigma + 1 + beta)``: the trace of the Jacobian, which is the same everywhere."""
        return -(self.sigma + 1 + self.beta)

    def drift(self, t: float, x: Tensor) -> Tensor:  # noqa: ARG002 - the form of all drifts
        """Velocity at x, (B, 3)."""
        u, v, w = x.unbind(-1)
        return torch.stack(
            [self.sigma * (v - u), u * (self.rho - w) - v, u * v - self.beta * w], -1
        )

    def jacobian(self, x: Tensor) -> Tensor:
        """Derivative of the drift, (B, 3, 3)."""
        u, v, w = x.unbind(-1)
        one = torch.ones_like(u)
        rows = (
            (-self.sigma * one, self.sigma * one, 0 * one),
            (self.rho - w, -one, -u),
            (v, u, -self.beta * one),
        )
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    def flow(self, h: float) -> ChaoticMap:
        """One classic Runge-Kutta step of size h as a map, with its exact derivative.

        The exponents are those of the continuous system times h; the middle one is 0, the first
        is known for the classic parameters only and NaN for others.
        """
        known = (self.sigma, self.rho, self.beta) == (10.0, 28.0, 8 / 3)
        first = CLASSIC_LORENZ if known else math.nan
        exponents = (first * h, 0.0, (self.sum_of_exponents - first) * h)

        def step(x: Tensor) -> Tensor:
            return self._stages(x, h, None)[0]

        def jacobian(x: Tensor) -> Tensor:
            return self._stages(x, h, torch.eye(3, dtype=x.dtype).expand(*x.shape, 3))[1]

        return ChaoticMap("Lorenz 63", 3, step, jacobian, exponents)

    def _stages(self, x: Tensor, h: float, tangent: Tensor | None) -> tuple[Tensor, Tensor]:
        """State and tangent after a step: the tangent's equation is solved by the same stages."""
        k, d = torch.zeros_like(x), torch.zeros(())
        out, turned = x, torch.zeros(()) if tangent is None else tangent
        for c, weight in ((0.0, 1 / 6), (0.5, 1 / 3), (0.5, 1 / 3), (1.0, 1 / 6)):
            at = x + c * h * k
            k = self.drift(0.0, at)
            out = out + weight * h * k
            if tangent is not None:
                d = self.jacobian(at) @ (tangent + c * h * d)
                turned = turned + weight * h * d
        return out, turned


def lyapunov_exponents(system: ChaoticMap, x: Tensor, steps: int, discard: int = 0) -> Tensor:
    """Exponents a step, measured: logs of the diagonal of R in repeated QR, largest first.

    Parameters
    ----------
    system : ChaoticMap
        The map.
    x : Tensor
        Starts, shape (B, d); the result is the mean over them.
    steps, discard : int
        Steps that count, and steps before them in which the frame turns into place.
    """
    frame = torch.eye(system.dim, dtype=x.dtype).expand(len(x), -1, -1)
    total = torch.zeros(system.dim, dtype=x.dtype)
    for k in range(discard + steps):
        frame, triangle = torch.linalg.qr(system.jacobian(x) @ frame)
        if k >= discard:
            total = total + triangle.diagonal(dim1=-2, dim2=-1).abs().log().mean(0)
        x = system.step(x)
    return total / steps
