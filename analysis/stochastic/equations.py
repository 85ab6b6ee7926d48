"""Equations whose solution is known on the path, or in law, for each kind of noise.

==============  ==========  ====================================================================
name            noise       equation, and what is exact
==============  ==========  ====================================================================
gbm             diagonal    ``dX = mu X dt + s X dW``; ``X = x e^{(mu - s^2/2) t + s W}``
sinh            diagonal    ``dX = (b^2 X/2 + a r) dt + b r dW``, ``r = sqrt(1 + X^2)``;
                            ``X = sinh(asinh x + a t + b W)``
turned          scalar      gbm and sinh on one noise, mixed by a linear map
two-noises      general     ``dX = (b^2 X/2 + a r) dt + b dW_1 + b X dW_2``: columns that do not
                            commute; the law of sinh, at ``a = 0`` an integral along the path
double-well     additive    ``dX = -U' dt + s dW``, ``U = 0.4 x^2 + 0.75 cos 2x + x/10``; keeps
                            ``e^{-2 U/s^2}``; on the path a fine reference
==============  ==========  ====================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from ...solvers.noise import NoiseSource
from ...solvers.ops import Noise
from ...solvers.sde.method import Method
from ...solvers.sde.problem import SDE, Kind
from ...solvers.sde.rungekutta import sra1
from ...solvers.sde.solve import solve

MU, S, A, B = 0.6, 0.4, 0.5, 0.4
WELL_NOISE = 0.8
_MIX = torch.tensor([[1.0, 0.4], [-0.3, 0.8]], dtype=torch.float64)


def _root(x: Tensor) -> Tensor:
    return torch.sqrt(1 + x * x)


def gbm() -> SDE:
    """Geometric Brownian motion."""
    return SDE(lambda _, x: MU * x, lambda _, x: S * x, signed=True)


def sinh(kind: Kind = "diagonal") -> SDE:
    """The hyperbolic sine of a Brownian motion with drift."""
    return SDE(lambda _, x: 0.5 * B * B * x + A * _root(x), lambda _, x: B * _root(x), kind)


def turned() -> SDE:
    """Geometric motion and hyperbolic sine driven by one noise, in mixed coordinates."""
    back = torch.linalg.inv(_MIX)

    def drift(_: float, z: Tensor) -> Tensor:
        one, two = (z @ back.T).unbind(1)
        return torch.stack([MU * one, 0.5 * B * B * two + A * _root(two)], 1) @ _MIX.T

    def diffusion(_: float, z: Tensor) -> Tensor:
        one, two = (z @ back.T).unbind(1)
        return torch.stack([S * one, B * _root(two)], 1) @ _MIX.T

    return SDE(drift, diffusion, "scalar", signed=True)


def two_noises(a: float = A) -> SDE:
    """An additive and a multiplicative noise, whose columns do not commute."""

    def diffusion(_: float, x: Tensor) -> Tensor:
        return torch.stack([B * torch.ones_like(x), B * x], -1)

    return SDE(lambda _, x: 0.5 * B * B * x + a * _root(x), diffusion, "general", noises=2)


def double_well() -> SDE:
    """A particle between two wells, without inertia; its drift is Lipschitz, for safety."""
    return SDE(
        lambda _, x: 1.5 * torch.sin(2 * x) - 0.8 * x - 0.1, lambda *_: WELL_NOISE, "additive"
    )


def for_method(sde: SDE, method: Method) -> SDE:
    """The same process in the calculus of the method."""
    if method.calculus == "both" or sde.noise == "additive":
        return sde
    return sde.converted(method.calculus)


@dataclass(frozen=True)
class OnPath:
    """An equation on [0, 1] with its start and its exact end on a path."""

    name: str
    sde: SDE
    start: Tensor
    end: Tensor


def _whole(path: NoiseSource, sde: SDE, x: Tensor) -> Tensor:
    return path.draw(Noise("t", 0.0, 1.0), sde.noise_like(x))


def on_path(kind: str, path: NoiseSource, times: list[float], rows: int) -> list[OnPath]:
    """The equations of a kind of noise, solved exactly on a path of that kind's shape."""
    one = torch.linspace(0.5, 1.5, rows, dtype=torch.float64)[:, None]
    if kind == "diagonal":
        w = _whole(path, gbm(), one)
        ends = {
            "gbm": one * torch.exp(MU - 0.5 * S * S + S * w),
            "sinh": torch.sinh(torch.asinh(one) + A + B * w),
        }
        return [OnPath(n, s, one, ends[n]) for n, s in (("gbm", gbm()), ("sinh", sinh()))]
    if kind == "scalar":
        two = torch.cat([one, one - 1.2], 1)
        w = _whole(path, turned(), two)
        end = [two[:, :1] * torch.exp(MU - 0.5 * S * S + S * w)]
        end += [torch.sinh(torch.asinh(two[:, 1:]) + A + B * w)]
        return [OnPath("turned", turned(), two @ _MIX.T, torch.cat(end, 1) @ _MIX.T)]
    if kind == "general":
        sde = two_noises(0.0)
        return [OnPath("two-noises", sde, one, _integrated(path, sde, times, one))]
    sde = double_well()
    end = solve(sde, sra1, times, one, noise=path).x
    return [OnPath("double-well", sde, one, end)]


def _integrated(path: NoiseSource, sde: SDE, times: list[float], x: Tensor) -> Tensor:
    """``e^{b W_2} (x + b int e^{-b W_2} dW_1)``, the integral by fine sums with the areas."""
    like, w2, total = sde.noise_like(x), torch.zeros_like(x), x.clone()
    for a, b in pairwise(times):
        h = b - a
        dw = path.draw(Noise("t", a, b), like) * math.sqrt(h)
        step = dw[:, 1:]
        total += B * torch.exp(-B * w2) * dw[:, :1] * (1 - 0.5 * B * step)
        w2 = w2 + step
    return torch.exp(B * w2) * total


def noise_shape(kind: str, rows: int) -> tuple[int, int]:
    """Shape of the noises of those equations."""
    return (rows, 2 if kind == "general" else 1)


def same_law(kind: str) -> SDE:
    """The one-dimensional nonlinear equation whose law is known exactly, for a kind of noise."""
    if kind == "additive":
        return double_well()
    return two_noises() if kind == "general" else replace(sinh(), noise=kind)
