"""Bridges learned by matching: against the exact law of the same steps, and exact iterates.

Statistical tests: in 30 seeds the standard deviation of a covariance of 100 000 pairs after four
half-steps was at most 0.007; six of them are allowed, a false alarm once in 5e8 under normality.
"""

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidLawError, ShapeError
from fokker.solvers.transport.gaussian_bridge import GaussianBridge
from fokker.solvers.transport.gaussian_iterations import imf, ipf
from fokker.solvers.transport.matching import (
    LinearLearner,
    Source,
    bridge_state,
    dsbm,
    matching_loss,
    transported,
)
from fokker.solvers.transport.reference import brownian
from fokker.toy_models.bridges import MixtureBridge
from fokker.toy_models.learned_bridge import NetworkLearner
from fokker.toy_models.mixture import GaussianMixture

SIGMA, STEPS, PAIRS, SLACK = 0.8, 8, 100_000, 0.042
ENDS = GaussianBridge([-0.5], [[1.0]], [1.0], [[0.5]], brownian(1, SIGMA))


def normal(mean: float, std: float) -> Source:
    def draw(n: int, generator: torch.Generator) -> Tensor:
        return mean + std * torch.randn(n, 1, generator=generator, dtype=torch.float64)

    return draw


FIRST, LAST = normal(-0.5, 1.0), normal(1.0, math.sqrt(0.5))


def stepped(pairs: GaussianBridge, mean: Tensor, cov: Tensor, steps: int) -> tuple[Tensor, ...]:
    """Mean and covariance of the end, and covariance with the start, of Euler-Maruyama."""
    eye, h = torch.eye(1, dtype=torch.float64), 1 / steps
    end, noise, gain = mean.clone(), torch.zeros_like(cov), eye
    for k in range(steps):
        value, moved = pairs.drift(torch.stack([end, end + 1.0]), k * h)
        slope = (moved - value)[:, None]
        end = end + h * value
        one = eye + h * slope
        gain, noise = one @ gain, one @ noise @ one.mT + h * SIGMA**2 * eye
    return end, gain @ cov @ gain.mT + noise, cov @ gain.mT


def exact_halves(steps: int, reference: bool) -> Iterator[tuple[float, ...]]:
    """Means, variances and covariance of the pairs of DSBM without sampling error."""
    m, a, n, b = ENDS.mean_a, ENDS.cov_a, ENDS.mean_b, ENDS.cov_b
    law = (m, a, m, a + SIGMA**2, a) if reference else (m, a, n, b, torch.zeros_like(a))
    forward = not reference
    while True:
        yield tuple(float(v) for v in law)
        x, va, y, vb, c = law
        if forward:
            end, var, cross = stepped(GaussianBridge(x, va, y, vb, ENDS.reference, c), m, a, steps)
            law = (m, a, end, var, cross)
        else:
            end, var, cross = stepped(
                GaussianBridge(y, vb, x, va, ENDS.reference, c.mT), n, b, steps
            )
            law = (end, var, n, b, cross)
        forward = not forward


@pytest.mark.parametrize("start", ["independent", "reference"])
def test_linear_matching_follows_the_exact_law_of_its_own_steps(start: str):
    learner = LinearLearner(STEPS)
    run = dsbm(FIRST, LAST, SIGMA, learner, samples=PAIRS, steps=STEPS, start=start)
    exact = exact_halves(STEPS, start == "reference")
    for half, wanted in islice(zip(run, exact, strict=False), 5):
        found = (
            half.x0.mean(), half.x0.var(), half.x1.mean(), half.x1.var(), half.cross(),
        )  # fmt: skip
        assert [float(v) for v in found] == pytest.approx(list(wanted), abs=SLACK)


def test_the_two_starts_are_two_iterations():
    """The negative control of the test above: their exact laws differ by more than it allows."""
    one, two = ([v[-1] for v in islice(exact_halves(STEPS, r), 3)] for r in (False, True))
    assert all(abs(a - b) > SLACK for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("start", ["independent", "reference"])
def test_with_more_steps_its_iterates_become_those_of_imf_and_ipf_with_order_one(start: str):
    if start == "independent":
        wanted = [float(c) for c in islice(imf(ENDS), 3)]
    else:
        wanted = [float(c[1]) for c in islice(ipf(ENDS), 3)]
    gaps = []
    for steps in (20, 40, 80):
        found = [v[-1] for v in islice(exact_halves(steps, start == "reference"), 3)]
        gaps.append(max(abs(a - b) for a, b in zip(found, wanted, strict=True)))
    assert gaps[0] < 0.05
    assert np.log2(np.array(gaps[:-1]) / gaps[1:]) == pytest.approx([1.0, 1.0], abs=0.1)


def test_each_half_step_has_one_exact_end():
    run = dsbm(FIRST, LAST, SIGMA, LinearLearner(4), samples=5000, steps=4, seed=3)
    start, forth, back = islice(run, 3)
    assert (start.forward, forth.forward, back.forward) == (None, True, False)
    assert start.predictor is None
    assert float(forth.x0.var()) == pytest.approx(1.0, abs=0.12)  # 6 sd
    assert float(back.x1.var()) == pytest.approx(0.5, abs=0.06)
    assert not torch.equal(start.x0, forth.x0)  # fresh samples


def test_equal_seeds_give_equal_pairs_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    for learner in (LinearLearner(3), NetworkLearner(steps=2, batch=8, width=4)):
        one, two = (
            list(islice(dsbm(FIRST, LAST, SIGMA, learner, samples=50, steps=3, seed=1), 3))[-1]
            for _ in range(2)
        )
        torch.testing.assert_close(one.x0, two.x0, rtol=0, atol=1e-6)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_noise_the_state_is_the_straight_line_and_with_noise_it_is_a_pinned_motion():
    x0, x1 = (torch.full((400_000, 1), v, dtype=torch.float64) for v in (1.0, 3.0))
    z = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    line = bridge_state(x0, x1, 0.25, 0.0, z)
    torch.testing.assert_close(line, 1.5 * torch.ones_like(x0))
    state = bridge_state(x0, x1, 0.25, 2.0, z)
    assert float(state.mean()) == pytest.approx(1.5, abs=6 * 0.87 / 632)
    assert float(state.var()) == pytest.approx(4 * 0.25 * 0.75, rel=6 * math.sqrt(2 / 4e5))


def test_the_drift_of_a_mixture_bridge_has_the_least_matching_loss():
    """On pairs of the exact bridge; a predictor that is scaled either way is worse, paired."""
    means = torch.tensor([[-1.0], [1.5]], dtype=torch.float64)
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64)
    covs = torch.tensor([[[0.3]], [[0.2]]], dtype=torch.float64)
    parts = [GaussianMixture(weights, s * means, covs) for s in (1.0, -0.7)]
    bridge = MixtureBridge(parts[0], parts[1], 1.0)
    x0, x1 = bridge.sample(20_000, seed=1)
    z = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    losses = [
        float(
            matching_loss(
                lambda x, u, s=s: x + s * (bridge.last_given(x, u) - x), x0, x1, 0.4, 1.0, z
            )
        )
        for s in (0.8, 1.0, 1.2)
    ]
    assert losses[1] < min(losses[0], losses[2]) - 0.005
    assert losses[1] > 0.1  # not 0: the target has a variance of its own


def test_the_exact_predictor_carries_the_first_end_to_the_second():
    """Two variances of 50 000 samples: six standard deviations, and the bias of 100 steps."""
    gen = torch.Generator().manual_seed(5)

    def predict(x: Tensor, u: float) -> Tensor:
        return x + (1 - u) * ENDS.drift(x, u)

    end = transported(predict, FIRST(50_000, gen), SIGMA, 100, gen)
    assert float(end.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(end.var()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_a_network_finds_the_coupling_that_lines_find():
    learner = NetworkLearner(steps=300, batch=256, width=32)
    run = dsbm(FIRST, LAST, SIGMA, learner, samples=10_000, steps=40)
    crosses = [float(h.cross()) for h in islice(run, 3)]
    wanted = [float(c) for c in islice(imf(ENDS), 3)]
    assert crosses == pytest.approx(wanted, abs=0.06)
    assert abs(wanted[-1] - wanted[0]) > 0.3


@pytest.mark.slow
def test_a_network_predicts_the_end_of_a_mixture_bridge_where_a_line_cannot():
    means = torch.tensor([[-2.0], [2.0]], dtype=torch.float64)
    eye = torch.eye(1, dtype=torch.float64).expand(2, 1, 1)
    half = torch.full((2,), 0.5, dtype=torch.float64)
    first = GaussianMixture(half[:1] * 2, 0.0 * means[:1], 0.5 * eye[:1])
    bridge = MixtureBridge(first, GaussianMixture(half, means, 0.1 * eye), 1.0)
    x0, x1 = bridge.sample(20_000, seed=1)
    x, gen = bridge.law(0.6).sample(500, seed=2), torch.Generator().manual_seed(0)
    errors = []
    for learner in (NetworkLearner(steps=400, batch=256, width=32), LinearLearner(10)):
        predict = learner(x0, x1, 1.0, gen)
        errors.append(float((predict(x, 0.6) - bridge.last_given(x, 0.6)).square().mean().sqrt()))
    assert errors[0] < 0.15
    assert errors[1] > 2 * errors[0]


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: dsbm(FIRST, LAST, 0.0, LinearLearner()), InvalidLawError, "sigma must be"),
        (lambda: dsbm(FIRST, LAST, 1.0, LinearLearner(), start="x"), InvalidLawError, "start 'x'"),
        (
            lambda: bridge_state(
                torch.zeros(2, 1), torch.zeros(3, 1), 0.5, 1.0, torch.zeros(2, 1)
            ),
            ShapeError,
            r"\(2, 1\), \(3, 1\)",
        ),
        (
            lambda: NetworkLearner()(torch.zeros(2, 1), torch.zeros(3, 1), 1.0, torch.Generator()),
            InvalidLawError,
            r"pairs must be two \(N, d\)",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, error: type[Exception], sentence: str):
    with pytest.raises(error, match=sentence):
        make()
