"""One small instance of every exact law, with its 60-digit oracle."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp
import torch
from torch import Tensor

from fokker.toy_models import (
    Empirical,
    Gaussian,
    GaussianMixture,
    LowRankMixture,
    ProductMixture,
)
from high_precision import MPMixture

DIM = 3


class Case(NamedTuple):
    """A law, its oracle, and whether it has a density (then sigma = 0 is a level too)."""

    law: Any
    oracle: MPMixture
    density: bool


def normal(*shape: int, seed: int) -> Tensor:
    """Standard normals of a seed, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def tensor(values: Any) -> Tensor:
    """A float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


def rotation(dim: int = DIM, seed: int = 5) -> Tensor:
    """An orthogonal matrix."""
    return torch.linalg.qr(normal(dim, dim, seed=seed)).Q


def _rows(matrix: Tensor) -> list[list[float]]:
    return [[float(v) for v in row] for row in matrix]


def _covariances(count: int, seed: int) -> Tensor:
    a = 0.4 * normal(count, DIM, DIM, seed=seed)
    return a @ a.mT + 0.01 * torch.eye(DIM, dtype=torch.float64)


def _gaussian() -> Case:
    mean, cov = normal(DIM, seed=1), _covariances(1, 2)[0]
    return Case(Gaussian(mean, cov), MPMixture([1], [mean.tolist()], [_rows(cov)]), True)


def _singular() -> Case:
    mean, u, c2 = normal(DIM, seed=3), rotation(), tensor([0.7, 1e-6, 0.0])
    basis = mp.matrix(_rows(u))
    cov = basis * mp.diag([mp.mpf(v) for v in c2.tolist()]) * basis.T
    return Case(Gaussian.from_eigen(mean, u, c2), MPMixture([1], [mean.tolist()], [cov]), False)


WEIGHTS = (0.1, 0.2, 0.3, 0.4)


def _mixture() -> Case:
    means, covs = normal(4, DIM, seed=11), _covariances(4, 12)
    oracle = MPMixture(WEIGHTS, means.tolist(), [_rows(c) for c in covs])
    return Case(GaussianMixture(tensor(WEIGHTS), means, covs), oracle, True)


def _diagonal() -> Case:
    means, var = normal(4, DIM, seed=13), 1e-3 + 0.3 * normal(4, DIM, seed=14).square()
    oracle = MPMixture(WEIGHTS, means.tolist(), [_rows(torch.diag(v)) for v in var])
    return Case(GaussianMixture(tensor(WEIGHTS), means, var), oracle, True)


def _low_rank(noise: float) -> Case:
    means, factors = normal(4, DIM, seed=15), 0.5 * normal(4, DIM, 2, seed=16)
    covs = []
    for factor in factors:
        u = mp.matrix(_rows(factor))
        covs.append(u * u.T + mp.mpf(noise) ** 2 * mp.eye(DIM))
    oracle = MPMixture(WEIGHTS, means.tolist(), covs)
    return Case(LowRankMixture(tensor(WEIGHTS), means, factors, noise), oracle, noise > 0)


def _product() -> Case:
    weights = tensor([[0.4, 0.6], [0.9, 0.1], [0.25, 0.75]])
    means, stds, turn = (
        normal(DIM, 2, seed=17),
        tensor([[0.3, 0.05], [0.2, 0.4], [0.1, 0.1]]),
        rotation(),
    )
    basis, parts = mp.matrix(_rows(turn)), []
    for which in itertools.product(range(2), repeat=DIM):
        w = math.prod(mp.mpf(float(weights[i, j])) for i, j in enumerate(which))
        m = basis * mp.matrix([mp.mpf(float(means[i, j])) for i, j in enumerate(which)])
        var = mp.diag([mp.mpf(float(stds[i, j])) ** 2 for i, j in enumerate(which)])
        parts.append((w, m, basis * var * basis.T))
    oracle = MPMixture(*zip(*parts, strict=True))
    return Case(ProductMixture(weights, means, stds, turn), oracle, True)


def _empirical(scale: float, offset: float) -> Case:
    points, weights = (
        scale * normal(6, DIM, seed=18) + offset,
        tensor([0.1, 0.1, 0.2, 0.2, 0.25, 0.15]),
    )
    oracle = MPMixture(weights.tolist(), points.tolist(), [mp.zeros(DIM)] * 6)
    return Case(Empirical(points, weights), oracle, False)


_CASES: dict[str, Callable[[], Case]] = {
    "gaussian": _gaussian,
    "singular gaussian": _singular,
    "mixture": _mixture,
    "diagonal mixture": _diagonal,
    "low-rank mixture": functools.partial(_low_rank, 0.05),
    "degenerate low-rank mixture": functools.partial(_low_rank, 0.0),
    "product": _product,
    "empirical": functools.partial(_empirical, 1.0, 0.0),
    "clustered empirical": functools.partial(_empirical, 1e-3, 5.0),
}
LAWS = tuple(_CASES)


@functools.cache
def case(name: str) -> Case:
    """The case of that name, built once in a process."""
    return _CASES[name]()


def probes(law: Any, alpha: float, sigma: float, n: int = 4) -> Tensor:
    """Typical states of the level ``(alpha, sigma)``."""
    return alpha * law.sample(n, seed=21) + sigma * normal(n, law.dim, seed=22)
