"""Exact flow maps: they solve the ODE, compose, push densities, and agree with a reference."""

from __future__ import annotations

import mpmath as mp
import pytest
import torch

from fokker.solvers.errors import FokkerError, NoExactFlowError
from fokker.toy_models import (
    FourierField,
    Gaussian,
    MisfitGaussian,
    Perturbed,
    ProductMixture,
    problem,
    reference_flow,
)
from toy_laws import DIM, LAWS, case, normal, probes, tensor

EXACT = ("gaussian", "product")
S, T, U = (0.05, 1.0), (0.6, 0.8), (0.99, 0.1)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("way", [(S, T, U), (U, S, T), (T, U, S)], ids=str)
def test_two_flows_in_a_row_are_one(name, way):
    law = case(name).law
    start, middle, end = way
    x = probes(law, *start, n=16)
    direct = law.flow(x, start, end)
    halted = law.flow(law.flow(x, start, middle), middle, end)
    torch.testing.assert_close(halted, direct, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(law.flow(direct, end, start), x, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("end", [U, (1.0, 0.0), (1.0, 30.0)], ids=str)
def test_the_flow_pushes_one_level_to_the_other(name, end):
    law = case(name).law
    x = probes(law, *T)
    y = law.flow(x, T, end)
    for i in range(len(x)):
        slope = torch.autograd.functional.jacobian(lambda r: law.flow(r[None], T, end)[0], x[i])
        volume = torch.linalg.slogdet(slope).logabsdet
        before, after = law.log_density(x, *T)[i], law.log_density(y, *end)[i]
        torch.testing.assert_close(after + volume, before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("level", [S, T, U], ids=str)
def test_the_flow_solves_the_probability_flow_ode(name, level):
    """Along lam with alpha fixed, ``dx/dlam = x_alpha' - sigma eps = sigma^2 score``."""
    (alpha, sigma), law, h = level, case(name).law, 1e-3
    x = probes(law, *level)
    ahead = [law.flow(x, level, (alpha, sigma * mp.e ** (-k * h))) for k in (-2, -1, 1, 2)]
    slope = (ahead[0] - 8 * ahead[1] + 8 * ahead[2] - ahead[3]) / (12 * h)
    torch.testing.assert_close(slope, sigma**2 * law.score(x, *level), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("way", [(S, U), (U, S), ((0.0, 1.0), (1.0, 0.0)), (T, U)], ids=str)
def test_the_exact_flow_is_the_reference_flow(name, way):
    law = case(name).law
    x = probes(law, *way[0], n=16)
    reference = reference_flow(law, x, *way)
    torch.testing.assert_close(law.flow(x, *way), reference.x, rtol=1e-10, atol=1e-10)
    assert reference.error < 1e-10


# (weights, means, stds): three modes, one narrow, with wide gaps
W, M, SD = (0.3, 0.5, 0.2), (-1.0, 0.1, 2.5), (0.2, 0.03, 0.1)


def level_functions(alpha: float, sigma: float):
    a, s = mp.mpf(alpha), mp.mpf(sigma)
    parts = [
        (mp.mpf(w), a * mp.mpf(m), mp.sqrt((a * mp.mpf(d)) ** 2 + s**2))
        for w, m, d in zip(W, M, SD, strict=True)
    ]
    below = lambda y: mp.fsum(w * mp.ncdf(y, m, d) for w, m, d in parts)  # noqa: E731
    above = lambda y: mp.fsum(w * mp.ncdf(-y, -m, d) for w, m, d in parts)  # noqa: E731
    density = lambda y: mp.fsum(w * mp.npdf(y, m, d) for w, m, d in parts)  # noqa: E731
    return below, above, density


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((0.1, 0.99), (0.99, 0.1)),
        ((0.99, 0.1), (0.1, 0.99)),
        ((1.0, 0.05), (1.0, 0.01)),
        ((1.0, 150.0), (1.0, 1e-4)),
        ((0.0, 1.0), (1.0, 0.0)),
    ],
    ids=str,
)
def test_quantiles_are_exact_to_rounding_in_tails_and_in_gaps(start, end):
    law = ProductMixture(tensor([W]), tensor([M]), tensor([SD]))
    spread = max(start[1], 0.3)
    states = [-40 * spread, -spread, 0.1, 0.9, 1.5, 12 * spread]
    out = law.flow(tensor(states)[:, None], start, end)[:, 0]
    with mp.workdps(300):  # in the gaps F differs from its plateau by as little as 1e-140
        _compare(states, out.tolist(), level_functions(*start), level_functions(*end))


def _compare(states, out, start, end):
    for y, got in zip(states, out, strict=True):
        y, got = mp.mpf(y), mp.mpf(got)
        upper = start[0](y) > 0.5
        excess = end[1](got) - start[1](y) if upper else start[0](y) - end[0](got)
        error = abs(excess / end[2](got))  # one Newton step from an answer so near is exact
        condition = abs(y) * start[2](y) / end[2](got) + abs(got) + 0.03
        assert error < 1e-14 * condition, (float(y), float(error / abs(got)))


def test_the_quantile_map_is_differentiable_twice():
    law = case("product").law
    x = probes(law, *T, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: law.flow(r, T, U), x)
    assert torch.autograd.gradgradcheck(lambda r: law.flow(r, T, U), x)


@pytest.mark.parametrize("name", [n for n in LAWS if n not in (*EXACT, "singular gaussian")])
def test_a_law_without_a_closed_flow_says_where_a_reference_is(name):
    law = case(name).law
    with pytest.raises(NoExactFlowError, match="reference_flow"):
        law.flow(probes(law, *T), T, U)


def test_a_singular_gaussian_collapses_onto_its_support_when_the_noise_ends():
    law = case("singular gaussian").law
    y = law.flow(probes(law, *T), T, (1.0, 0.0)) - law.mean
    assert float((y @ law.eigenvectors)[:, 2].abs().max()) < 1e-15


def test_the_reference_of_a_mixture_solves_the_ode_as_a_plain_integrator_does():
    """Classical Runge-Kutta in lam, 1000 steps, shares nothing with the reference but D."""
    p = problem("mixture")
    x = p.starts(2)
    grid = torch.linspace(p.lam_start, p.lam_end, 1001, dtype=torch.float64).tolist()
    h = grid[1] - grid[0]
    state = x / p.start.sigma

    def rate(z, lam):
        return torch.tensor(lam).exp() * p.law.denoiser(z, float(mp.e**lam), 1.0)

    for lam in grid[:-1]:
        k1 = rate(state, lam)
        k2 = rate(state + 0.5 * h * k1, lam + 0.5 * h)
        k3 = rate(state + 0.5 * h * k2, lam + 0.5 * h)
        k4 = rate(state + h * k3, lam + h)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    torch.testing.assert_close(p.endpoint(x), state * p.end.sigma, rtol=1e-8, atol=1e-8)


def test_a_reference_that_misses_its_tolerance_is_refused():
    law = case("mixture").law
    x = probes(law, *S)
    with pytest.raises(FokkerError, match="more than the tolerance 1e-18"):
        reference_flow(law, x, S, U, tolerance=1e-18)


class _WrongScore(Perturbed):
    """A law whose score is wrong by one part in a million."""

    def score(self, x, alpha, sigma):
        return self.law.score(x, alpha, sigma) * (1 + 1e-6)


def test_the_reference_sees_a_score_that_does_not_match_its_denoiser():
    law = case("mixture").law
    broken = _WrongScore(law, FourierField.random(DIM), 0.0)
    with pytest.raises(FokkerError, match="two reference solutions differ"):
        reference_flow(broken, probes(law, *S), S, U)


def test_a_misfit_gaussian_errs_linearly_and_reaches_the_law_it_says():
    truth = Gaussian.from_eigen(
        normal(DIM, seed=51), torch.eye(DIM, dtype=torch.float64), tensor([1.0, 0.2, 0.01])
    )
    wrong = MisfitGaussian.of(truth, factor=tensor([1.5, 0.5, 2.0]), shift=0.1)
    x, v = probes(truth, *T), tensor([1.0, 0.2, 0.01]) * 0.36 + 0.64
    v_wrong = tensor([1.5, 0.1, 0.02]) * 0.36 + 0.64
    error = (1 / v - 1 / v_wrong) * (x - 0.6 * truth.mean) + 0.6 * 0.1 / v_wrong
    torch.testing.assert_close(wrong.score(x, *T) - truth.score(x, *T), error)
    torch.testing.assert_close(wrong.log_density(x, *T), truth.log_density(x, *T))
    reached = wrong.reached(S, U)
    v_s, v_u = (tensor([1.5, 0.1, 0.02]) * a**2 + s**2 for a, s in (S, U))
    start = tensor([1.0, 0.2, 0.01]) * S[0] ** 2 + S[1] ** 2
    torch.testing.assert_close(reached.cov, torch.diag(start * v_u / v_s))
    centre = U[0] * wrong.believed.mean - S[0] * 0.1 * (v_u / v_s).sqrt()
    torch.testing.assert_close(reached.mean, centre)


def test_a_perturbed_law_errs_by_its_field():
    law = case("mixture").law
    field = FourierField.random(DIM, seed=3)
    constant = Perturbed(law, field, 0.01)
    growing = Perturbed(law, field, lambda lam: 0.02 * 2.718281828459045**-lam)
    x, v = probes(law, *T), normal(4, DIM, seed=52)
    delta = field.value(x, *T)
    torch.testing.assert_close(constant.denoiser(x, *T) - law.denoiser(x, *T), 0.01 * delta)
    torch.testing.assert_close(growing.error(x, *T), 0.02 * 0.8 / 0.6 * delta)
    rows = tensor([0.6] * 4), tensor([0.8] * 4)
    torch.testing.assert_close(growing.error(x, *rows), growing.error(x, *T))
    tweedie = (x + 0.64 * growing.score(x, *T)) / 0.6
    torch.testing.assert_close(growing.denoiser(x, *T), tweedie)
    slope = torch.autograd.functional.jvp(lambda r: growing.denoiser(r, *T), x, v)[1]
    torch.testing.assert_close(growing.denoiser_jvp(x, v, *T), slope)
    for row, hess in zip(x, growing.hessian(x, *T), strict=True):
        expected = torch.autograd.functional.jacobian(lambda r: growing.score(r[None], *T)[0], row)
        torch.testing.assert_close(hess, expected)
    with pytest.raises(NoExactFlowError, match="reference_flow"):
        constant.flow(x, S, U)


def test_a_random_field_has_unit_size_and_does_not_see_the_process():
    field = FourierField.random(8, features=256, seed=4)
    x = normal(2000, 8, seed=53)
    assert float(field.value(x, 0.6, 0.8).square().sum(1).mean()) == pytest.approx(1.0, abs=0.2)
    torch.testing.assert_close(field.value(3 * x, 1.8, 2.4), field.value(x, 0.6, 0.8))
