"""Teleportation by the statistics of a network's own samples, on exact networks."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import pytest
import torch

from fokker.solvers.errors import InvalidPlanError, NonFiniteError, ShapeError
from fokker.solvers.fitted.gaussian_flow import GaussianStatistics, teleport
from fokker.solvers.fitted.own_statistics import (
    fresh_starts,
    gaussian_until,
    own_statistics,
    teleported,
)
from fokker.solvers.networks.network import Network
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.digits import digits_mixture
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.networks import exact_network, named_network
from fokker.toy_models.problems import problem

COUNT = 1500


@functools.cache
def found() -> GaussianStatistics:
    return own_statistics(named_network("digits-mixture"), count=COUNT, batch=400)


def test_a_network_tells_mean_and_covariance_of_its_data():
    """Errors of counting: c_k/sqrt(n) for means, five of them; covariances in norm."""
    law, seen = problem("digits-mixture").law, found()
    gap = (seen.mean - law.mean).abs()
    assert float((gap / law.cov.diagonal().sqrt()).max()) < 6 / math.sqrt(COUNT)
    cov = (seen.basis * seen.variances) @ seen.basis.mT
    assert float((cov - law.cov).norm() / law.cov.norm()) < 0.15
    assert float((cov - law.cov).norm() / law.cov.norm()) < 0.2 * float(
        (torch.eye(64, dtype=torch.float64) * law.cov.trace() / 64 - law.cov).norm()
        / law.cov.norm()
    )


def test_labels_and_batches_are_taken_in_order():
    """Statistics of two classes, each drawn by its label, are those of the two Gaussians."""
    labels = [0, 1] * 200
    network = named_network("digits-mixture")
    both = own_statistics(network, labels=labels, count=400, batch=77)
    law = digits_mixture()
    wanted = law.means[:2].mean(0)
    assert float((both.mean - wanted).square().mean().sqrt()) < 0.05
    again = own_statistics(network, labels=labels, count=400, batch=400)
    assert torch.allclose(again.mean, both.mean, atol=1e-6)


def test_of_a_few_samples_of_many_pixels_the_rest_is_their_mean_variance():
    network = named_network("image-mixture-32")
    seen = own_statistics(network, count=24, steps=4, rank=8)
    assert seen.basis.shape == (3072, 8)
    whole = own_statistics(network, count=24, steps=4)
    total = float(seen.variances.sum()) + seen.rest * (3072 - 8)
    assert total == pytest.approx(float(whole.variances.sum()), rel=1e-9)


def test_a_third_of_the_steps_is_skipped_at_the_price_that_was_agreed():
    """The median change of the samples is the tolerance, to a factor of two; 128 starts."""
    network = named_network("digits-mixture")
    grid, x, tolerance = network.grid(20), fresh_starts(network, 128, 7), 0.03
    lam = gaussian_until(network, found(), grid, tolerance=tolerance)
    later, rest = teleported(x, found(), grid, lam)
    assert len(rest) in (12, 13)
    sampler, model = get("dpmpp_2m"), network.model(prediction="data")
    whole = run(sampler(network.process, grid), model, x).x
    short = run(sampler(network.process, rest), model, later).x
    unit = whole.std(0).square().mean().sqrt()
    change = (whole - short).flatten(1).square().mean(1).sqrt() / unit
    assert 0.5 * tolerance < float(change.median()) < 2.0 * tolerance


def test_the_answer_is_how_gaussian_the_network_is():
    network = named_network("digits-mixture")
    grid = network.grid(20)
    levels = [gaussian_until(network, found(), grid, tolerance=t) for t in (1e-3, 0.02, 0.2)]
    assert grid[0].lam <= levels[0] < levels[1] < levels[2] < grid[-2].lam
    flat = Gaussian(torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 0.2, 0.05])).double())
    gaussian = exact_network("gaussian", flat, VPLinear(), (-4.0, 3.0))
    exact = GaussianStatistics.from_moments(flat.mean, flat.cov)
    steps = gaussian.grid(8)
    assert gaussian_until(gaussian, exact, steps, tolerance=1e-5) == steps[-2].lam


@pytest.mark.parametrize("along", [False, True], ids=["constant", "along x"])
def test_a_wrong_data_prediction_costs_what_it_moves(along: bool):
    """D wrong by 0.01 on N(0, 1), by 0.01 x on N(0, 4): both cost 0.01 asinh(nu) in the end.

    ``int nu/sqrt(1 + nu^2) dlam`` for the one; for the other |x| = sigma sqrt(1 + c^2 nu^2) along
    the flow leaves ``c int nu sigma dlam``, where nu sigma = alpha = nu/sqrt(1 + nu^2).
    """
    c2 = 4.0 if along else 1.0
    law = Gaussian(torch.zeros(64).double(), c2 * torch.eye(64).double())
    exact = GaussianStatistics.from_moments(law.mean, law.cov)
    network = exact_network("gaussian", law, VPLinear(), (-4.0, 3.0))
    shifted = replace(
        network, call=lambda x, t, k: network.call(x, t, k) + 0.01 * (x if along else 1.0)
    )
    lam = gaussian_until(shifted, exact, network.grid(200), tolerance=0.01)
    assert math.asinh(math.exp(lam)) - math.asinh(math.exp(-4.0)) == pytest.approx(1.0, rel=0.05)


def test_a_start_is_carried_to_the_last_node_below():
    network = named_network("digits-mixture")
    grid, x = network.grid(10), fresh_starts(named_network("digits-mixture"), 3, 0)
    same, all_of_it = teleported(x, found(), grid, grid[0].lam)
    assert len(all_of_it) == 10
    assert torch.allclose(same, x, atol=1e-6)
    later, rest = teleported(x, found(), grid, grid[3].lam + 1e-9)
    assert rest.nodes == grid.nodes[3:]
    assert torch.equal(later, teleport(x, found(), grid[0], grid[3]))


def test_starts_are_noise_of_the_noisiest_level():
    network = named_network("digits-mixture")
    sigma = network.process.node_at_lam(-4.0).sigma
    x = fresh_starts(network, 400, 3)
    assert float(x.std()) == pytest.approx(sigma, rel=0.02)
    assert torch.equal(x, fresh_starts(network, 400, 3))


def test_a_tolerance_is_positive():
    network = named_network("digits-mixture")
    with pytest.raises(InvalidPlanError, match="must be positive, got 0"):
        gaussian_until(network, found(), network.grid(4), tolerance=0)


def test_a_network_that_breaks_is_not_followed():
    """A comparison with NaN is false: the flow must not be followed to the end for that."""
    p = problem("gaussian")
    broken = Network(
        "broken", lambda x, _t, _: x * math.nan, p.process, "data", (4,), (p.lam_start, p.lam_end)
    )
    seen = GaussianStatistics.from_samples(torch.randn(9, 4, dtype=torch.float64))
    with pytest.raises(NonFiniteError, match="not finite at lam = -"):
        gaussian_until(broken, seen, broken.grid(8))


@pytest.mark.parametrize(("count", "batch"), [(0, 4), (1, 4), (8, 0)])
def test_no_samples_and_no_batch_are_refused(count: int, batch: int):
    with pytest.raises(ShapeError, match="two samples and a batch of one"):
        own_statistics(named_network("gaussian"), count=count, batch=batch)
