"""Mixtures, Gaussians and starts that the tests of interpolants share."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from fokker.solvers.transport.interpolant import Interpolant
from fokker.toy_models.interpolated import MixtureInterpolant, between
from fokker.toy_models.mixture import GaussianMixture

F64 = torch.float64
LAMS = (-1.5, 2.5)
"""Ends of the stretch in ``lam = log(u/(1 - u))`` on which orders are measured."""


def time_of(lam: float) -> float:
    return 1.0 / (1.0 + math.exp(-lam))


def mixture(w: list[float], means: list[list[float]], stds: list[float]) -> GaussianMixture:
    m = torch.tensor(means, dtype=F64)
    covs = torch.stack([s * s * torch.eye(m.shape[1], dtype=F64) for s in stds])
    return GaussianMixture(torch.tensor(w, dtype=F64), m, covs)


def mixtures(interpolant: Interpolant) -> MixtureInterpolant:
    """Between two mixtures of two components in the plane."""
    first = mixture([0.4, 0.6], [[-1.0, 0.3], [0.8, -0.5]], [0.6, 0.5])
    last = mixture([0.5, 0.5], [[0.9, 0.7], [-0.7, -0.9]], [0.45, 0.6])
    return between(interpolant, first, last)


def gaussians(interpolant: Interpolant) -> MixtureInterpolant:
    """Between two Gaussians of the plane with one pair of axes, neither centred nor round."""
    one = torch.ones(1, dtype=F64)
    covs = torch.tensor([[[1.0, 0.0], [0.0, 0.3]], [[0.2, 0.0], [0.0, 0.7]]], dtype=F64)
    means = torch.tensor([[0.3, -1.0], [2.0, 0.4]], dtype=F64)
    return between(
        interpolant,
        GaussianMixture(one, means[:1], covs[:1]),
        GaussianMixture(one, means[1:], covs[1:]),
    )


def skew_gaussians(interpolant: Interpolant) -> MixtureInterpolant:
    """Between two Gaussians whose axes differ."""
    one = torch.ones(1, dtype=F64)
    covs = torch.tensor([[[1.0, 0.5], [0.5, 0.6]], [[0.4, -0.2], [-0.2, 0.7]]], dtype=F64)
    means = torch.tensor([[0.3, -1.0], [2.0, 0.4]], dtype=F64)
    return between(
        interpolant,
        GaussianMixture(one, means[:1], covs[:1]),
        GaussianMixture(one, means[1:], covs[1:]),
    )


def starts(path: MixtureInterpolant, n: int = 6) -> Tensor:
    return path.law(time_of(LAMS[0])).sample(n, seed=3)


def carried(path: MixtureInterpolant, x: Tensor) -> Tensor:
    """The end of the ODE from x over the stretch, by DOP853 at 1e-13, halted at a kink."""

    def rate(u: float, y) -> Tensor:
        return path.velocity(torch.from_numpy(y).reshape(x.shape), u).flatten()

    kinks = [0.5] if path.interpolant.name == "encoder-decoder" else []
    y = x.flatten().numpy()
    for a, b in pairwise([time_of(LAMS[0]), *kinks, time_of(LAMS[1])]):
        y = solve_ivp(rate, (a, b), y, method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    return torch.from_numpy(y).reshape(x.shape)
