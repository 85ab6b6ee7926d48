"""Optimal maps and entropic plans between Gaussians, against their defining equations."""

import math

import numpy as np
import ot
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from fokker.solvers.errors import InvalidLawError
from fokker.solvers.transport.bures import bures_map, bures_squared
from fokker.solvers.transport.entropic import EntropicGaussian
from fokker.solvers.transport.gaussian import GaussianMap

EYE = torch.eye(3, dtype=torch.float64)


def spd(seed: int, dim: int = 3, rank: int | None = None) -> Tensor:
    root = np.random.default_rng(seed).normal(size=(dim, rank or dim + 1))
    return torch.from_numpy(root @ root.T)


def ends(dim: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    means = torch.from_numpy(np.random.default_rng(5).normal(size=(2, dim)))
    return means[0], spd(1, dim), means[1], spd(2, dim)


def test_the_map_solves_its_equation_and_is_symmetric_and_positive():
    a, b = spd(1), spd(2)
    m = bures_map(a, b)
    torch.testing.assert_close(m @ a @ m, b, rtol=1e-13, atol=1e-13)
    assert torch.equal(m, m.mT)
    assert torch.linalg.eigvalsh(m)[0] > 0


def test_the_cost_is_that_of_pot_and_of_the_map():
    step = GaussianMap(*ends())
    m_a, a, m_b, b = (np.asarray(v) for v in ends())
    theirs = np.asarray(ot.gaussian.bures_wasserstein_distance(m_a, m_b, a, b))
    assert float(step.cost) == pytest.approx(theirs.item() ** 2, rel=1e-12)
    away = step.matrix - EYE
    moved = (step.mean_b - step.mean_a).square().sum() + torch.trace(away @ step.cov_a @ away)
    assert float(step.cost) == pytest.approx(float(moved), rel=1e-12)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (spd(1), spd(2)),
        (spd(1), spd(1)),
        (EYE, EYE),
        (EYE, spd(2)),
        (4 * EYE, torch.diag(torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64))),
    ],
    ids=["apart", "equal", "identities", "from identity", "multiple eigenvalues"],
)
def test_gradients_of_cost_and_map_are_right_at_every_coincidence(a: Tensor, b: Tensor):
    weight = spd(7)
    way_a, way_b = spd(8) - 2 * EYE, spd(9) - EYE

    def value(t: Tensor) -> Tensor:
        x, y = a + t[0] * way_a, b + t[1] * way_b
        return (weight * bures_map(x, y)).sum() + 3 * bures_squared(x, y)

    t = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(value(t), t)
    for i in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[i] = 1e-4
        sides = [value(k * step) for k in (-2, -1, 1, 2)]
        truth = (sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) / 12e-4
        assert float(found[i]) == pytest.approx(float(truth), rel=1e-7, abs=1e-8)


def test_gradients_of_a_singular_covariance_are_finite():
    a = spd(3, rank=2).requires_grad_()
    b = spd(4, rank=1).requires_grad_()
    (bures_map(a, b).sum() + bures_squared(a, b)).backward()
    for c in (a, b):
        assert c.grad is not None
        assert torch.isfinite(c.grad).all()


def test_the_distance_is_exact_where_the_laws_agree():
    assert float(bures_squared(spd(1), spd(1))) < 1e-28


def test_displacement_has_the_energy_of_the_cost_and_satisfies_continuity():
    step = GaussianMap(*ends())

    def energy(u: float) -> float:
        mean, cov = step.law(u)
        slope = _velocity_matrix(step, u)
        drift = step.velocity(mean[None], u)[0]
        return float(drift.square().sum() + torch.trace(slope @ cov @ slope.mT))

    assert quad(energy, 0, 1, epsabs=1e-12)[0] == pytest.approx(float(step.cost), rel=1e-10)
    u, h = 0.37, 1e-4
    moved = (step.law(u + h)[1] - step.law(u - h)[1]) / (2 * h)
    slope = _velocity_matrix(step, u)
    flow = slope @ step.law(u)[1] + step.law(u)[1] @ slope.mT
    torch.testing.assert_close(moved, flow, rtol=1e-6, atol=1e-6)


def _velocity_matrix(step: GaussianMap, u: float) -> Tensor:
    mean, _ = step.law(u)
    return (step.velocity(mean + EYE, u) - step.velocity(mean[None], u)).mT


def test_distances_along_the_displacement_are_proportional_to_time():
    step = GaussianMap(*ends())
    part = GaussianMap(*step.law(0.2), *step.law(0.7))
    assert math.sqrt(part.cost) == pytest.approx(0.5 * math.sqrt(step.cost), rel=1e-12)


def test_the_inverse_map_undoes_the_map():
    step = GaussianMap(*ends())
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(step.inverse()(step(x)), x, rtol=1e-11, atol=1e-11)


def test_a_singular_end_is_reached_and_a_singular_start_is_refused_in_a_sentence():
    full, thin = spd(1), spd(2, rank=1)
    zero = torch.zeros(3, dtype=torch.float64)
    step = GaussianMap(zero, full, zero, thin)
    torch.testing.assert_close(step.matrix @ full @ step.matrix, thin, rtol=1e-10, atol=1e-10)
    with pytest.raises(InvalidLawError, match="cov_a must have the range of cov_b"):
        GaussianMap(zero, thin, zero, full)


@pytest.mark.parametrize("epsilon", [2e-3, 0.2, 2.0, 60.0])
def test_the_entropic_plan_is_stationary(epsilon: float):
    """``s B^{-1} C^T (A - C B^{-1} C^T)^{-1} = I``: no other coupling has a smaller cost."""
    m_a, a, m_b, b = ends()
    c = EntropicGaussian(m_a, a, m_b, b, epsilon).cross
    back = torch.linalg.solve(b, c.mT)
    found = (epsilon / 2) * back @ torch.linalg.inv(a - c @ back)
    torch.testing.assert_close(found, EYE, rtol=0, atol=3e-10)


@pytest.mark.parametrize("epsilon", [2e-3, 0.2, 2.0, 60.0])
def test_the_entropic_cost_is_transport_and_relative_entropy(epsilon: float):
    m_a, a, m_b, b = ends()
    plan = EntropicGaussian(m_a, a, m_b, b, epsilon)
    _, joint = plan.joint()
    entropy = 0.5 * (torch.logdet(a) + torch.logdet(b) - torch.logdet(joint))
    expected = plan.transport + epsilon * entropy
    assert float(plan.cost) == pytest.approx(float(expected), rel=1e-11)


def test_the_entropic_cost_has_the_gradients_of_its_potentials():
    m_a, a, m_b, b = (v.clone().requires_grad_() for v in ends())
    way = spd(8)
    EntropicGaussian(m_a, a, m_b, b, 0.7).cost.backward()
    assert a.grad is not None
    assert b.grad is not None
    h = 1e-4

    def at(i: int, t: float) -> float:
        law = [v.detach().clone() for v in (m_a, a, m_b, b)]
        law[i] += t * way
        return float(EntropicGaussian(law[0], law[1], law[2], law[3], 0.7).cost)

    for i, grad in ((1, a.grad), (3, b.grad)):
        truth = (at(i, -2 * h) - 8 * at(i, -h) + 8 * at(i, h) - at(i, 2 * h)) / (12 * h)
        assert float((grad * way).sum()) == pytest.approx(truth, rel=1e-8)


def test_little_entropy_gives_the_map_and_much_gives_independence():
    m_a, a, m_b, b = ends()
    sharp = EntropicGaussian(m_a, a, m_b, b, 1e-7)
    torch.testing.assert_close(sharp.cross, a @ bures_map(a, b), rtol=0, atol=1e-6)
    x = torch.ones(1, 3, dtype=torch.float64)
    torch.testing.assert_close(
        sharp.barycentric(x), GaussianMap(m_a, a, m_b, b)(x), rtol=0, atol=1e-6
    )
    loose = EntropicGaussian(m_a, a, m_b, b, 1e7)
    assert float(loose.cross.abs().max()) < 1e-5
    assert float(loose.cost) == pytest.approx(
        float((m_a - m_b).square().sum() + a.trace() + b.trace()), rel=1e-5
    )


def test_singular_ends_have_a_plan_too():
    zero = torch.zeros(3, dtype=torch.float64)
    thin, near = spd(2, rank=1), spd(2, rank=1) + 1e-9 * EYE
    plans = [EntropicGaussian(zero, spd(1), zero, c, 0.5) for c in (thin, near)]
    torch.testing.assert_close(plans[0].cross, plans[1].cross, rtol=0, atol=1e-7)
    assert float(plans[0].cost) == pytest.approx(float(plans[1].cost), rel=1e-7)


def test_sinkhorn_between_gaussians_shrinks_at_the_stated_rates():
    """The potentials of Sinkhorn stay quadratic; their precisions and shifts are iterated here."""
    epsilon, s = 1.0, 0.5
    a, b, m_b = 1.0, 0.5, 1.0
    plan = EntropicGaussian([0.0], [[a]], [m_b], [[b]], epsilon)
    q, shift, precisions, shifts = 1.0, 0.0, [], []
    for _ in range(30):
        p = 1 / a + 1 / (q * s * s)
        forth = shift / (q * s)
        q = 1 / b + 1 / (p * s * s)
        shift = m_b / b + forth / (p * s)
        precisions.append(q)
        shifts.append(shift)
    means, covs = plan.sinkhorn_rates()
    found = (precisions[9] - precisions[8]) / (precisions[8] - precisions[7])
    assert found == pytest.approx(covs, rel=1e-3)
    late = (shifts[20] - shifts[19]) / (shifts[19] - shifts[18])
    assert late == pytest.approx(means, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epsilon": 0.0}, "epsilon must be positive"),
        ({"epsilon": math.nan}, "epsilon must be positive"),
        ({"mean_b": [0.0, 1.0]}, "one dimension, got 1 and 2"),
        ({"cov_a": [[-1.0]]}, "no negative eigenvalue"),
        ({"cov_a": [[math.nan]]}, "must be finite"),
    ],
)
def test_bad_input_is_refused_with_its_value(change: dict, sentence: str):
    good = {"mean_a": [0.0], "cov_a": [[1.0]], "mean_b": [0.0], "cov_b": [[1.0]], "epsilon": 1.0}
    with pytest.raises(InvalidLawError, match=sentence):
        EntropicGaussian(**{**good, **change})
