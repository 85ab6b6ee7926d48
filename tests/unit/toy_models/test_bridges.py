"""Bridges that are exact by construction: their equations, and other solvers against them."""

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vmap

from fokker.analysis.gaussian_path import Normal, normal
from fokker.analysis.law import output_law
from fokker.solvers.errors import InvalidLawError
from fokker.solvers.grids import grid_from_sigmas
from fokker.solvers.registry import get
from fokker.solvers.schedules import EDM
from fokker.solvers.transport.gaussian_bridge import GaussianBridge
from fokker.solvers.transport.reference import brownian
from fokker.toy_models.bridges import MixtureBridge
from fokker.toy_models.mixture import GaussianMixture

F64 = torch.float64
EYE = torch.ones(1, 1, dtype=F64)


def mixtures(dim: int = 2) -> tuple[GaussianMixture, GaussianMixture]:
    rng = np.random.default_rng(3)
    roots = rng.normal(size=(5, dim, dim + 1))
    covs = torch.from_numpy(0.3 * roots @ roots.transpose(0, 2, 1)) + 0.1 * torch.eye(dim)
    means = torch.from_numpy(rng.normal(size=(5, dim)) * 1.5)
    w = torch.tensor([0.3, 0.7], dtype=F64)
    v = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    return GaussianMixture(w, means[:2], covs[:2]), GaussianMixture(v, means[2:], covs[2:])


def bridge(dim: int = 2) -> MixtureBridge:
    return MixtureBridge(*mixtures(dim), 0.8)


def points(dim: int = 2, n: int = 16) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, dim)))


@pytest.mark.parametrize("u", [0.0, 0.2, 0.7, 1.0])
def test_the_law_is_the_product_of_the_potentials(u: float):
    b, x = bridge(), points()
    first = b.first.log_density(x, 1.0, b.sigma * math.sqrt(u))
    last = b.last.log_density(x, 1.0, b.sigma * math.sqrt(1 - u))
    gap = b.law(u).log_density(x) - first - last
    assert float(gap.max() - gap.min()) < 1e-12
    torch.testing.assert_close(b.law(u).score(x, 1.0, 0.0), b.score(x, u), rtol=0, atol=1e-12)


@pytest.mark.parametrize("u", [0.13, 0.5, 0.9])
def test_law_and_velocity_satisfy_the_continuity_equation(u: float):
    b, x = bridge(), points()
    h = 1e-3
    sides = [b.law(u + k * h).log_density(x) for k in (-2, -1, 1, 2)]
    rate = (sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) / (12 * h)
    slopes = vmap(jacrev(lambda y: b.velocity(y[None], u)[0]))(x)
    divergence = slopes.diagonal(dim1=-2, dim2=-1).sum(-1)
    flux = (b.velocity(x, u) * b.score(x, u)).sum(-1)
    assert float((rate + divergence + flux).abs().max()) < 1e-8
    wrong = rate + divergence + (b.drift(x, u) * b.score(x, u)).sum(-1)
    assert float(wrong.abs().max()) > 0.1


def test_with_one_component_it_is_the_gaussian_bridge():
    f, g = mixtures()
    one = torch.ones(1, dtype=F64)
    b = MixtureBridge(
        GaussianMixture(one, f.means[:1], f.covs[:1]),
        GaussianMixture(one, g.means[:1], g.covs[:1]),
        0.8,
    )
    ends = [b.law(u) for u in (0.0, 1.0)]
    exact = GaussianBridge(
        ends[0].means[0], ends[0].covs[0], ends[1].means[0], ends[1].covs[0], brownian(2, 0.8)
    )
    x = points()
    for u in (0.0, 0.3, 0.8, 1.0):
        torch.testing.assert_close(b.drift(x, u), exact.drift(x, u), rtol=0, atol=1e-10)
        torch.testing.assert_close(b.law(u).covs[0], exact.law(u)[1], rtol=0, atol=1e-12)


def test_pairs_have_the_marginals_and_the_regression_of_the_coupling():
    """4 standard errors on 20 moments: a false alarm in 1e-3 over all, but the seed is fixed."""
    b, n = bridge(), 40_000
    x, y = b.sample(n, seed=4)
    for got, law in ((x, b.law(0.0)), (y, b.law(1.0))):
        error = (got.mean(0) - law.mean).abs() / (got.std(0) / math.sqrt(n))
        assert float(error.max()) < 4
    residual = (y - b.last_given(x, 0.0)) * torch.sin(x)
    assert float((residual.mean(0).abs() / (residual.std(0) / math.sqrt(n))).max()) < 4
    control = (y - x) * torch.sin(x)
    assert float((control.mean(0).abs() / (control.std(0) / math.sqrt(n))).max()) > 20


@pytest.mark.parametrize(("name", "order"), [("sde_dpmpp_1", 1), ("sde_dpmpp_2m", 2)])
def test_the_bridge_is_the_reverse_diffusion_of_its_second_potential(name: str, order: int):
    """The registry's samplers for eta = 1 run it, with their weak orders; exactly."""
    one = torch.ones(1, dtype=F64)
    first, last = (GaussianMixture(one, m * EYE, c * EYE) for m, c in ((0.3, 0.5), (1.2, 0.4)))
    b = MixtureBridge(first, last, 0.8)
    data = normal(last.means[0].numpy(), last.covs[0].numpy())

    def law_at(u: float) -> Normal:
        law = b.law(u)
        return normal(law.means[0].numpy(), law.covs[0, 0].numpy())

    def error(steps: int) -> float:
        levels = b.sigma * np.sqrt(1.0 - np.linspace(0.0, 0.9, steps + 1))
        plan = get(name)(EDM(), grid_from_sigmas(EDM(), levels.tolist()))
        found, truth = output_law(plan, data, law_at(0.0)), law_at(0.9)
        return float(abs(found.var - truth.var).max() + abs(found.mean - truth.mean).max())

    assert math.log2(error(80) / error(160)) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MixtureBridge(*mixtures(), 0.0), "sigma must be positive"),
        (lambda: MixtureBridge(mixtures(1)[0], mixtures(2)[1], 1.0), "one dimension, got 1 and 2"),
        (
            lambda: MixtureBridge(
                GaussianMixture(*cast(Any, ([1.0], [[0.0, 0.0]], torch.ones(1, 2)))).to(
                    dtype=torch.float32
                ),
                mixtures()[1],
                1.0,
            ),
            "must be float64, got torch.float32 and torch.float64: give tensors of",
        ),
        (lambda: bridge().law(-0.1), r"in \[0, 1\], got -0.1"),
    ],
)
def test_bad_input_is_refused_with_its_value(make, sentence: str):
    with pytest.raises(InvalidLawError, match=sentence):
        make()
