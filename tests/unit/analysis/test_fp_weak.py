"""The weak and the moment form, and the closed forms of the gap between ODE and SDE."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fokker.analysis.fokker_planck import (
    DiffusionError,
    Dynamics,
    Moments,
    Motion,
    TooFewSamplesError,
    Waves,
    exact_score,
    flow_ode,
    forward_sde,
    gronwall,
    linear_variance,
    pathwise,
    process_variance,
    quadrature,
    reverse_sde,
    riccati,
    scaled_score_variance,
    weak_residual,
)
from fokker.solvers.errors import AnalysisError, ShapeError
from fokker.solvers.schedules import VE, VPLinear
from fokker.toy_models import problem
from fokker.toy_models.gaussian import Gaussian


@pytest.mark.parametrize(("name", "order"), [("gaussian", 14), ("mixture", 40)])
def test_the_weak_form_of_an_exact_law_vanishes_in_quadrature(name: str, order: int):
    law, process, t = problem(name).law, VPLinear(), 0.4
    score, motion = exact_score(law, process), quadrature(law, process, 0.4, order)
    waves = Waves.random(law.dim, 6, size=3.0, seed=1)
    for dynamics in (
        forward_sde(process),
        flow_ode(process, score),
        *(reverse_sde(process, score, eta) for eta in (0.0, 0.5, 1.0)),
    ):
        for tests in (Moments(law.dim), waves):
            assert float(weak_residual(dynamics, motion, t, tests).relative.max()) < 1e-12


def test_the_moments_of_a_wrong_linear_score_leave_their_closed_form():
    """Score ``(1 + c) s`` of N(0, V): ``dV/dt`` is off by ``(1 + eta) c g^2``."""
    process, t, c, eta = VPLinear(), 0.4, 0.1, 0.7
    law = Gaussian(torch.zeros(2, dtype=torch.float64), torch.diag(torch.tensor([0.2, 1.5])))
    score = exact_score(law.to(dtype=torch.float64), process)
    wrong = reverse_sde(process, lambda x, s: (1 + c) * score(x, s), eta)
    motion = quadrature(law.to(dtype=torch.float64), process, t, 4)
    left = weak_residual(wrong, motion, t, Moments(2)).value
    off = (1 + eta) * c * float(process.g2(t))
    expected = torch.tensor([0, 0, off, 0, off], dtype=torch.float64)
    torch.testing.assert_close(left, expected, rtol=1e-10, atol=1e-10)


def test_a_quadrature_carries_its_law():
    """Masses, mean and covariance of the nodes, and the same a moment later."""
    law, process, t, h = problem("mixture").law, VPLinear(), 0.3, 1e-5
    now, later = quadrature(law, process, t, 6), quadrature(law, process, t + h, 6)
    w = now.weights
    assert w is not None
    assert float(w.sum()) == pytest.approx(1.0, abs=1e-13)
    moved = (later.x - now.x) / h
    torch.testing.assert_close(moved, now.velocity, rtol=1e-3, atol=1e-3)
    node = process.node(t)
    centre = (w[:, None] * now.x).sum(0)
    torch.testing.assert_close(centre, node.alpha * law.mean)
    spread = (w[:, None] * (now.x - centre)).mT @ (now.x - centre)
    expected = node.alpha**2 * law.cov + node.sigma**2 * torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(spread, expected)


@pytest.mark.parametrize("name", ["mixture", "digits-mixture"])
def test_samples_of_the_law_see_a_wrong_score_and_clear_the_right_one(name: str):
    """False alarms at most 1e-6; 64 dimensions need no Jacobian. The control is 40 % off."""
    law, process, t = problem(name).law, VPLinear(), 0.4
    motion = pathwise(law, process, t, 4000, seed=0)
    waves = Waves.random(law.dim, 8, size=2.0 * math.sqrt(law.dim), seed=2)
    score = exact_score(law, process)
    for factor, seen in ((1.0, False), (1.4, True)):
        dynamics = reverse_sde(process, lambda x, s, c=factor: c * score(x, s), 1.0)
        found = weak_residual(dynamics, motion, t, waves, certainty=1 - 1e-6)
        assert found.seen is seen


def test_the_velocity_of_samples_is_their_derivative_in_time():
    law, h = problem("mixture").law, 1e-6
    for process, t in ((VPLinear(), 0.4), (VE(0.01, 10.0), 0.6)):
        now, later = (pathwise(law, process, s, 16, seed=0) for s in (t, t + h))
        torch.testing.assert_close((later.x - now.x) / h, now.velocity, rtol=1e-3, atol=1e-4)


def test_waves_and_moments_are_what_their_derivatives_say():
    generator = torch.Generator().manual_seed(0)
    x, v = (torch.randn(5, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    root = torch.randn(5, 3, 3, dtype=torch.float64, generator=generator)
    full = root @ root.mT
    waves = Waves.random(3, 4)
    kinds = {
        "waves": (waves, lambda y: (y @ waves.frequencies.mT + waves.phases).cos()),
        "moments": (
            Moments(3),
            lambda y: torch.cat([y, torch.stack([
                y[:, i] * y[:, j] for i in range(3) for j in range(i, 3)
            ], 1)], 1),
        ),
    }  # fmt: skip
    for tests, psi in kinds.values():
        rate = torch.func.jvp(psi, (x,), (v,))[1]
        torch.testing.assert_close(tests.rate(x, v), rate)
        for a in (full[:, 0, 0], full.diagonal(dim1=1, dim2=2), full):
            matrix = a[:, None].expand_as(x) if a.ndim == 1 else a
            matrix = torch.diag_embed(matrix) if matrix.ndim == 2 else matrix
            bent = torch.zeros_like(rate)
            for i in range(3):
                for j in range(3):
                    one, two = (torch.eye(3, dtype=x.dtype)[k].expand_as(x) for k in (i, j))
                    second = torch.func.jvp(
                        lambda y, p=psi, w=two: torch.func.jvp(p, (y,), (w,))[1], (x,), (one,)
                    )[1]
                    bent += matrix[:, i, j, None] * second
            torch.testing.assert_close(tests.curvature(x, a), bent)


def test_too_few_samples_for_the_weak_form_are_told_how_many_would_do():
    law, process = problem("mixture").law, VPLinear()
    waves = Waves.random(2, 4)
    forward = forward_sde(process)
    with pytest.raises(TooFewSamplesError, match="would be enough") as caught:
        weak_residual(forward, pathwise(law, process, 0.4, 100, seed=0), 0.4, waves, within=0.05)
    more = pathwise(law, process, 0.4, int(1.2 * caught.value.needed), seed=0)
    assert weak_residual(forward, more, 0.4, waves, within=0.05).certainty == 0.999
    with pytest.raises(TooFewSamplesError, match="8 samples give no error bar"):
        weak_residual(forward, pathwise(law, process, 0.4, 8, seed=0), 0.4, waves)


def test_bad_dynamics_are_refused_by_the_weak_form():
    x = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    motion, waves = Motion(x, x), Waves.random(1, 2)
    with pytest.raises(DiffusionError, match="negative"):
        weak_residual(Dynamics(lambda y, _: y, lambda y, _: -(y[:, 0] ** 2)), motion, 0.1, waves)
    with pytest.raises(AnalysisError, match="samples with pathwise"):
        quadrature(problem("product").law, VPLinear(), 0.4)
    with pytest.raises(ShapeError, match="the drift must have the shape"):
        weak_residual(Dynamics(lambda y, _: y[:3]), motion, 0.1, waves)


# the gap of linear scores


def _ou(factor: float, data: float = 0.2) -> tuple[float, float]:
    """``f = -1``, ``g = 1``, T = 4, data N(0, 0.2): variances of the ODE and the SDE."""

    def var(t: float, v: float) -> float:
        return v * math.exp(-2 * t) + 0.5 * (1 - math.exp(-2 * t))

    return tuple(
        linear_variance(
            lambda _: -1.0, lambda _: 1.0, lambda t: factor / var(t, data), eta,
            start=var(4.0, 0.2), span=(4.0, 0.0),
        )
        for eta in (0.0, 1.0)
    )  # type: ignore[return-value]  # fmt: skip


@pytest.mark.parametrize(
    ("factor", "ode", "sde"), [(1.0, 0.2, 0.2), (1.1, 0.082, 0.16667), (0.9, 0.48781, 0.24996)]
)
def test_a_scaled_score_gives_two_laws(factor: float, ode: float, sde: float):
    assert _ou(factor) == pytest.approx((ode, sde), rel=3e-5)


def test_a_wrong_score_of_residual_zero_gives_one_wrong_law():
    """Built from a variance of 0.3: Riccati holds, ODE and SDE agree, both are 0.1 off."""
    assert _ou(1.0, data=0.3) == pytest.approx((0.3, 0.3), abs=1e-3)
    t, v = 0.7, 0.3 * math.exp(-1.4) + 0.5 * (1 - math.exp(-1.4))
    rate = -2 * (0.5 - 0.3) * math.exp(-2 * t) / v**2  # of 1/v
    assert riccati(1 / v, rate, -1.0, 1.0) == pytest.approx(0.0, abs=1e-14)
    assert abs(riccati(1.1 / v, 1.1 * rate, -1.0, 1.0)) > 0.1


@pytest.mark.parametrize("eta", [0.0, 0.25, 1.0, 4.0])
@pytest.mark.parametrize("delta", [0.1, -0.1, -0.5, 0.0])
def test_the_scaled_score_in_closed_form_is_its_equation_integrated(eta: float, delta: float):
    data, noisy = 0.09, 25.09
    integrated = linear_variance(
        lambda _: 0.0, lambda _: 1.0, lambda t: (1 + delta) / (data + t), eta,
        start=noisy, span=(25.0, 0.0),
    )  # fmt: skip
    closed = scaled_score_variance(data, noisy, delta, eta)
    assert closed == pytest.approx(integrated, rel=1e-8)


@pytest.mark.parametrize(
    ("delta", "ode", "sde"), [(0.1, 0.22639, 0.27389), (-0.1, 0.39754, 0.33504)]
)
def test_the_ode_amplifies_what_the_sde_forgets(delta: float, ode: float, sde: float):
    found = [math.sqrt(scaled_score_variance(0.09, 25.09, delta, eta)) for eta in (0.0, 1.0)]
    assert found == pytest.approx([ode, sde], abs=6e-6)


def test_a_process_gives_its_own_rates():
    process = VPLinear()
    node = process.node(0.8)
    v = 0.2 * node.alpha**2 + node.sigma**2

    def precision(t: float) -> float:
        n = process.node(t)
        return 1 / (0.2 * n.alpha**2 + n.sigma**2)

    end = process.node(0.05)
    truth = 0.2 * end.alpha**2 + end.sigma**2
    for eta in (0.0, 0.5, 1.0):
        found = process_variance(process, precision, eta, start=v, span=(0.8, 0.05))
        assert found == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("delta", [0.01, 0.1, 0.5])
def test_the_bound_holds_and_closes_with_the_error(delta: float):
    """Distance of the two laws against Gronwall's bound, exploding process, g = 1."""
    data, end = 0.09, 25.0
    s = np.linspace(0, end, 4001)
    t = end - s
    sde = np.array(
        [scaled_score_variance(data + v, data + end, delta, 1.0) for v in t]
    )  # the same formula from T down to any t
    k = (1 + delta) / (data + t)
    error = np.abs(1 / sde - k) * np.sqrt(sde)
    bound = gronwall(s, np.ones_like(s), -0.5 * k, error)
    ode = scaled_score_variance(data, data + end, delta, 0.0)
    gap = abs(math.sqrt(ode) - math.sqrt(sde[-1]))
    assert 0 < gap <= bound < 30 * gap
    assert gronwall(s, np.ones_like(s), -0.5 * k, 0 * error) == 0


def test_bad_spans_and_noises_are_refused():
    one = lambda _: 1.0  # noqa: E731
    with pytest.raises(DiffusionError, match="eta must not be negative"):
        linear_variance(one, one, one, -0.1, start=1.0, span=(1.0, 0.0))
    with pytest.raises(AnalysisError, match="decreases"):
        linear_variance(one, one, one, 0.0, start=1.0, span=(0.0, 1.0))
