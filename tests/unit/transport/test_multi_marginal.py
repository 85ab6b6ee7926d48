"""Bridges through snapshots, and drifts learned from them: theorems, and what cannot be known."""

import functools
import math
from itertools import pairwise

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from fokker.solvers.errors import InvalidLawError
from fokker.solvers.transport.gaussian_bridge import GaussianBridge
from fokker.solvers.transport.multi_marginal import MultiMarginalBridge, Snapshot, snapshots
from fokker.solvers.transport.reference import LinearReference, brownian, ornstein_uhlenbeck
from fokker.solvers.transport.refinement import Refinement, refine, refit, unseen

ROTATING = LinearReference(torch.tensor([[-1.0, 2.0], [-2.0, -1.0]]), torch.eye(2))
OU = ornstein_uhlenbeck(1, 1.0, 1.0)
TURN = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64) / math.sqrt(2.0)


def plane(seed: int = 0) -> MultiMarginalBridge:
    """Three laws of the plane that no linear process has, a rotating reference."""
    gen = torch.Generator().manual_seed(seed)
    given = []
    for t in (0.0, 0.7, 1.2):
        root = torch.randn(2, 3, generator=gen, dtype=torch.float64)
        mean = torch.randn(2, generator=gen, dtype=torch.float64)
        given.append(Snapshot(t, mean, root @ root.T))
    return MultiMarginalBridge(given, ROTATING)


def path_entropy(cov: Tensor, mean: Tensor, bridge: MultiMarginalBridge) -> float:
    """KL of a Gaussian joint law of three snapshots from the reference's own."""
    first = bridge.snapshots[0]
    start = Snapshot(0.0, first.mean, first.cov)
    later = snapshots(ROTATING, start, [s.time for s in bridge.snapshots])
    p, blocks = [ROTATING.transition(t).phi for t in (0.7, 0.5)], [s.cov for s in later]
    far = [blocks[0] @ p[0].T, blocks[0] @ p[0].T @ p[1].T, blocks[1] @ p[1].T]
    want = torch.cat(
        [
            torch.cat([blocks[0], far[0], far[1]], 1),
            torch.cat([far[0].T, blocks[1], far[2]], 1),
            torch.cat([far[1].T, far[2].T, blocks[2]], 1),
        ]
    )
    off = mean - torch.cat([s.mean for s in later])
    ratio = torch.linalg.solve(want, cov)
    work = off @ torch.linalg.solve(want, off)
    return 0.5 * float(torch.trace(ratio) - 6 - torch.logdet(ratio) + work)


def test_no_other_joint_law_of_the_snapshots_is_closer_to_the_reference():
    """Every pair of times is perturbed, the marginals kept; and KL is the sum of stretches."""
    bridge = plane()
    mean, cov = bridge.joint()
    least = path_entropy(cov, mean, bridge)
    assert bridge.relative_entropy() == pytest.approx(least, rel=1e-10)
    gen = torch.Generator().manual_seed(3)
    for j, k in ((0, 1), (1, 2), (0, 2)):
        way = torch.randn(2, 2, generator=gen, dtype=torch.float64)
        moved = torch.zeros_like(cov)
        moved[2 * j : 2 * j + 2, 2 * k : 2 * k + 2] = way
        moved += moved.T.clone()
        ends = [path_entropy(cov + s * 1e-4 * moved, mean, bridge) - least for s in (-1, 1)]
        assert min(ends) > 0
        assert ends[0] == pytest.approx(ends[1], rel=2e-2)  # a minimum, not a slope


def test_laws_and_drifts_of_a_stretch_are_those_of_its_bridge_in_its_own_clock():
    bridge = plane()
    x = torch.tensor([[0.3, -0.2], [2.0, 1.0]], dtype=torch.float64)
    for given in bridge.snapshots:
        torch.testing.assert_close(bridge.law(given.time)[1], given.cov, rtol=0, atol=1e-12)
    for t in (0.2, 0.7, 1.1):
        mean, _ = bridge.law(t)
        h = 1e-4
        later, earlier = bridge.law(t + h), bridge.law(t + 2 * h)
        rate = (4 * (later[0] - mean) - (earlier[0] - mean)) / (2 * h)
        torch.testing.assert_close(bridge.drift(mean[None], t)[0], rate, rtol=0, atol=1e-5)
        torch.testing.assert_close(bridge.velocity(mean[None], t)[0], rate, rtol=0, atol=1e-5)
    jump = bridge.drift(x, 0.7) - bridge.drift(x, 0.7 - 1e-9)
    assert float(jump.abs().max()) > 0.1


def test_through_the_snapshots_of_the_reference_itself_the_bridge_is_the_reference():
    given = snapshots(ROTATING, Snapshot(0.0, [2.0, 0.0], [[0.5, 0.0], [0.0, 0.2]]), (0, 0.4, 1.1))
    bridge = MultiMarginalBridge(given, ROTATING)
    x = torch.tensor([[0.3, -0.2], [2.0, 1.0]], dtype=torch.float64)
    assert bridge.relative_entropy() == pytest.approx(0.0, abs=1e-12)
    torch.testing.assert_close(bridge.drift(x, 0.6), ROTATING.drift(x), rtol=0, atol=1e-10)
    again = refit(bridge)
    torch.testing.assert_close(again.drift_matrix, ROTATING.drift_matrix, rtol=0, atol=1e-9)
    torch.testing.assert_close(again.offset, ROTATING.offset, rtol=0, atol=1e-9)


def by_hand(rate: float, means: list[float], covs: list[float], times: list[float]) -> float:
    """One round for ``dX = -rate X dt + dW``, by scalar formulae, Ito's and adaptive quadrature.

    ``new = -(1/2) sum(M_{k+1} - M_k - h)/sum int E X^2``, M second moments. Within a stretch the
    bridge of the reference between two points is a regression on both with known covariances.
    """
    top = bottom = 0.0
    for (m0, v0, s), (m1, v1, t) in pairwise(zip(means, covs, times, strict=True)):
        h = t - s

        def noise(r: float) -> float:
            return r if rate == 0 else -math.expm1(-2 * rate * r) / (2 * rate)

        kappa = math.exp(-rate * h) / noise(h)
        c = (math.sqrt(1 + 4 * kappa**2 * v0 * v1) - 1) / (2 * kappa)

        def second(r: float, h=h, c=c, v0=v0, v1=v1, m0=m0, m1=m1) -> float:
            g = noise(r) * math.exp(-rate * (h - r)) / noise(h)
            keep = math.exp(-rate * r) - g * math.exp(-rate * h)
            rest = noise(r) * noise(h - r) / noise(h)
            mean = keep * m0 + g * m1
            return keep**2 * v0 + g * g * v1 + 2 * keep * g * c + rest + mean**2

        top += v1 + m1**2 - v0 - m0**2 - h
        bottom += quad(second, 0.0, h, epsabs=1e-12)[0]
    return -0.5 * top / bottom


@pytest.mark.parametrize("times", [(0.0, 0.5, 1.0, 2.0), (0.0, 2.0)])
def test_each_refit_of_a_rate_is_the_scalar_formula(times: tuple[float, ...]):
    given = snapshots(OU, Snapshot(0.0, [2.0], [[0.25]]), times)
    found = refine(given, brownian(1), offset=False, rounds=4).rounds
    rates = [-float(r.reference.drift_matrix) for r in found]
    means, covs = [float(s.mean[0]) for s in given], [float(s.cov[0, 0]) for s in given]
    for old, new in pairwise(rates):
        assert new == pytest.approx(by_hand(old, means, covs, list(times)), abs=1e-10)
    assert abs(rates[-1] - 1.0) < (1e-3 if len(times) > 2 else 0.1)  # two snapshots: slower


@functools.cache
def learned(case: str) -> Refinement:
    """Snapshots at four times of a rotating process, from a start that says much or nothing."""
    start = {
        "off centre": ([2.0, 0.0], [[0.5, 0.0], [0.0, 0.25]]),
        "centred": ([0.0, 0.0], [[2.0, 0.0], [0.0, 0.1]]),
        "stationary": ([0.0, 0.0], [[0.5, 0.0], [0.0, 0.5]]),
    }[case]
    given = snapshots(ROTATING, Snapshot(0.0, *start), (0, 0.3, 0.6, 0.9))
    return refine(given, brownian(2), rounds=20, tolerance=2e-5)


@pytest.mark.parametrize("case", ["off centre", "centred"])
def test_a_rotating_drift_is_recovered_where_the_snapshots_show_it(case: str):
    found = learned(case)
    assert found.verdict == "recovered"
    torch.testing.assert_close(
        found.reference.drift_matrix, ROTATING.drift_matrix, rtol=0, atol=0.05
    )
    assert len(found.unseen) == 0


def test_a_rotation_in_a_stationary_law_is_not_found_and_this_is_said():
    """KL is 0 with a wrong drift: the negative control. The unseen direction is the rotation."""
    found = learned("stationary")
    assert found.verdict == "KL is about 0 but the drift is not unique"
    assert found.rounds[-1].entropy < 2e-5
    assert float((found.reference.drift_matrix - ROTATING.drift_matrix).abs().max()) > 1.9
    assert found.unseen.shape == (1, 2, 3)
    way = found.unseen[0, :, :2]
    assert abs(float((way * TURN).sum())) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("case", ["off centre", "centred", "stationary"])
def test_the_relative_entropy_falls_at_every_round(case: str):
    entropies = [r.entropy for r in learned(case).rounds]
    assert all(b < a for a, b in pairwise(entropies))
    assert entropies[0] > 0.1


@functools.cache
def with_wrong_noise(count: int) -> Refinement:
    given = snapshots(OU, Snapshot(0.0, [2.0], [[0.25]]), (0.0, 0.5, 1.0, 2.0))
    chosen = given if count == 4 else [given[0], given[-1]]
    return refine(chosen, brownian(1, 1.5), rounds=40, tolerance=1e-6)


def test_a_wrong_diffusion_leaves_a_relative_entropy_that_stays():
    found = with_wrong_noise(4)
    assert found.verdict == "does not fit"
    assert found.rounds[-1].entropy > 1e-2
    assert abs(float(found.reference.drift_matrix) + 1.0) > 0.1


def test_two_snapshots_in_one_dimension_cannot_tell_a_wrong_diffusion():
    """Two numbers are fitted by two: KL is 0 and the drift wrong, and no verdict can know it."""
    found = with_wrong_noise(2)
    assert found.verdict == "recovered"
    assert abs(float(found.reference.drift_matrix) + 1.0) > 0.5


def test_too_few_rounds_are_said_to_be_too_few():
    given = snapshots(OU, Snapshot(0.0, [2.0], [[0.25]]), (0.0, 2.0))
    assert refine(given, brownian(1), offset=False, rounds=2).verdict == "not settled"


def test_more_parameters_than_moments_are_unseen():
    """One stretch in the plane: 2 means and 3 covariances for the 6 numbers of a drift."""
    given = snapshots(ROTATING, Snapshot(0.0, [2.0, 0.0], [[0.5, 0.0], [0.0, 0.2]]), (0.0, 0.5))
    assert len(unseen(ROTATING, given)) == 1
    assert len(unseen(ROTATING, given, offset=False)) == 0
    more = snapshots(ROTATING, given[0], (0.0, 0.25, 0.5))
    assert len(unseen(ROTATING, more)) == 0


def test_a_longer_stretch_is_a_faster_reference():
    """One stretch of length 2 with noise 1 is one of length 1 with noise sqrt(2)."""
    long = MultiMarginalBridge([Snapshot(1.0, [0.0], [[1.0]]), Snapshot(3.0, [1.0], [[2.0]])], OU)
    fast = GaussianBridge(
        [0.0], [[1.0]], [1.0], [[2.0]], ornstein_uhlenbeck(1, 2.0, math.sqrt(2.0))
    )
    torch.testing.assert_close(long.cross(0, 1), fast.cross, rtol=0, atol=1e-14)
    torch.testing.assert_close(long.cross(1, 0), fast.cross.mT, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MultiMarginalBridge([Snapshot(0.0, [0.0], [[1.0]])], OU), "two or more"),
        (
            lambda: MultiMarginalBridge([Snapshot(1.0, [0.0], [[1.0]])] * 2, OU),
            r"increasing finite times, got \[1.0, 1.0\]",
        ),
        (lambda: plane().drift(torch.zeros(1, 2, dtype=torch.float64), 2.0), r"\[0, 1.2\], got 2"),
        (lambda: refine(plane().snapshots, ROTATING, rounds=0), "rounds must be positive, got 0"),
    ],
)
def test_bad_input_is_refused_with_its_value(make, sentence: str):
    with pytest.raises(InvalidLawError, match=sentence):
        make()
