"""Bridges between clouds of points: sampled paths against the exact law, seeds, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fokker.analysis.cloud_bridge import METHODS, CloudBridge, bridge_clouds, linear_reference
from fokker.solvers.errors import FokkerError
from fokker.solvers.transport.cloud_transport import transport_clouds
from fokker.solvers.transport.clouds import Cloud
from fokker.solvers.transport.gaussian_bridge import GaussianBridge

TIMES = (0.0, 0.3, 0.9, 1.0)


def ends() -> tuple[Cloud, Cloud]:
    rng = np.random.default_rng(0)
    w = rng.uniform(0.2, 1, 25)
    return Cloud(rng.normal(size=(20, 2)), name="A"), Cloud(
        rng.exponential(size=(25, 2)) * 2 + 1, w / w.sum(), "B"
    )


def bridged(method: str, count: int = 8000, **options) -> CloudBridge:
    options = {"sigma": 0.8, "times": TIMES, **options}
    return bridge_clouds(*ends(), method, count=count, **options)


def scores(found: CloudBridge, moment: int) -> tuple[float, float]:
    """Largest deviation of paths from the law at their time, and at the next, in errors."""
    right, wrong = [], []
    for k, law in enumerate(found.marginals):
        others = found.marginals[k - 1]
        for which, out in ((law, right), (others, wrong)):
            away = found.paths[:, k] - which.mean
            seen = away if moment == 1 else away[:, :, None] * away[:, None] - which.cov
            error = seen.std(0) / math.sqrt(len(seen))
            out.append(float((seen.mean(0) / error).abs().max()))
    return max(right), min(wrong)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kappa", [0.0, 1.5])
def test_paths_have_the_mean_and_covariance_of_the_bridge_at_every_time(method: str, kappa: float):
    """24 moments within 5.7 standard errors: a false alarm of 3e-7; the seed is fixed.

    The law of another time is the control.
    """
    found = bridged(method, kappa=kappa, centre=0.5 if kappa else 0.0)
    for moment in (1, 2):
        right, _ = scores(found, moment)
        assert right < 5.7
    assert scores(found, 1)[1] > 12
    assert scores(found, 2)[1] > 7


@pytest.mark.parametrize("method", METHODS)
def test_a_path_is_a_function_of_the_seed_and_its_index(method: str):
    many, few = bridged(method, 50), bridged(method, 7)
    assert torch.equal(many.paths[:7], few.paths)
    assert not torch.equal(bridged(method, 7, seed=1).paths, few.paths)


def test_the_closed_form_is_that_of_the_moments():
    a, b = ends()
    found = bridged("gaussian", 3)
    exact = GaussianBridge(a.mean, a.cov, b.mean, b.cov, found.reference)
    assert torch.equal(found.marginals[1].cov, exact.law(0.3)[1])
    spread = a.cov.trace() + b.cov.trace() - 2 * exact.cross.trace()
    cost = float((a.mean - b.mean).square().sum() + spread)
    assert found.transport == pytest.approx(cost, rel=1e-12)
    assert found.plan is None


def test_with_hardly_any_noise_the_closed_bridge_is_the_optimal_map():
    """What is left over of X_1 given X_0 is below rounding: 0, not a root of a negative number."""
    for sigma in (1e-9, 1e-6):
        found = bridged("gaussian", 20, sigma=sigma)
        image = transport_clouds(*ends(), "gaussian").arrays
        x0, x1 = found.paths[:, 0], found.paths[:, -1]
        moved = image["mean_b"] + (x0 - image["mean_a"]) @ image["matrix"]
        assert float((x1 - moved).abs().max()) < 20 * sigma + 1e-7


def test_epsilon_means_the_same_as_for_transport():
    """The Brownian bridge of clouds has the entropic plan with ``epsilon = 2 sigma^2``."""
    found = bridge_clouds(*ends(), fraction=0.1, count=2, effort={"tolerance": 1e-10})
    same = transport_clouds(*ends(), "sinkhorn", fraction=0.1, tolerance=1e-10)
    assert 2 * found.sigma**2 == pytest.approx(same.facts["epsilon"], rel=1e-12)
    assert found.transport == pytest.approx(same.cost, rel=1e-8)
    assert found.plan is not None
    assert found.plan.converged


def test_unconverged_plans_are_told_by_their_record():
    found = bridged("points", 2, effort={"max_iterations": 1})
    assert found.plan is not None
    assert not found.plan.converged


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: bridged("points", 0), "the number of paths must be at least 1, got 0"),
        (lambda: bridged("exact"), "unknown method 'exact'; accepted: gaussian, points"),
        (lambda: bridged("points", times=[0.0, 2.0]), r"lie in \[0, 1\], got 0, 2"),
        (lambda: linear_reference(*ends(), sigma=1, fraction=1), "give sigma or epsilon, one of"),
        (lambda: linear_reference(*ends(), kappa=-1), "kappa must be finite and not negative"),
        (lambda: linear_reference(*ends(), fraction=-1), "epsilon must be positive and finite"),
        (lambda: linear_reference(*ends(), sigma=0.0), "sigma must be positive and finite"),
        (
            lambda: bridge_clouds(Cloud([[1.0, 2]], name="A"), ends()[1], "gaussian", sigma=1.0),
            "the covariance of A must be positive definite, its smallest eigenvalue is 0 of 0",
        ),
    ],
)
def test_bad_questions_about_clouds_get_one_sentence(make, sentence: str):
    with pytest.raises(FokkerError, match=sentence):
        make()
