"""The variational bound against its closed form on Gaussian data."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidGridError, InvalidPlanError, ShapeError
from fokker.solvers.likelihood.elbo import lower_bound
from fokker.solvers.process import Process
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem

ENDS = (-4.0, 5.0)


def law() -> Gaussian:
    return problem("gaussian").law  # type: ignore[return-value]


def expected_miss(law: Gaussian, x: Tensor, alpha: float, sigma: float) -> Tensor:
    """``E_eps |x_0 - D|^2`` given x_0, closed form."""
    c2 = law.eigenvalues
    v = alpha**2 * c2 + sigma**2
    u = (x - law.mean) @ law.eigenvectors
    return ((sigma**2 / v * u) ** 2 + (alpha * sigma * c2 / v) ** 2).sum(1)


def exact_diffusion(process: Process, x: Tensor) -> Tensor:
    """The time integral by a fine rule in lam."""
    lams = torch.linspace(*ENDS, 2001, dtype=torch.float64)
    nodes = [process.node_at_lam(float(lam)) for lam in lams]
    rows = [math.exp(2 * n.lam) * expected_miss(law(), x, n.alpha, n.sigma) for n in nodes]
    return -torch.trapezoid(torch.stack(rows), lams, dim=0)


@pytest.mark.parametrize("process", [VPLinear(), EDM()], ids=["vp", "edm"])
def test_each_term_is_what_it_says(process: Process):
    """Eight noises a level: the mean over 20 points within 6 standard errors (< 1e-8)."""
    x = law().sample(20, seed=1)
    found = lower_bound(exact_model(law(), process), process, x, *ENDS, seed=2, draws=4)
    more = lower_bound(exact_model(law(), process), process, x, *ENDS, seed=3, draws=4)
    exact = exact_diffusion(process, x)
    error = (found.diffusion - more.diffusion).std() / 2  # of their mean, for each point
    off = 0.5 * (found.diffusion + more.diffusion) - exact
    assert abs(float(off.mean())) < 6 * float(error) / math.sqrt(20)
    assert abs(float(off.mean() - 0.05 * exact.mean())) > 6 * float(error) / math.sqrt(20)
    first = process.node_at_lam(ENDS[0])
    a = torch.distributions.Normal(first.alpha * x, first.sigma)
    b = torch.distributions.Normal(torch.zeros_like(x), process.prior_std)
    torch.testing.assert_close(-torch.distributions.kl_divergence(a, b).sum(1), found.prior)
    rho = math.exp(-ENDS[1])
    assert found.rebuilt == pytest.approx(-2.0 * math.log(2 * math.pi * math.e * rho**2))
    torch.testing.assert_close(found.bound, found.prior + found.diffusion + found.rebuilt)


def test_the_gap_to_the_density_is_the_known_one_on_average():
    """8000 points: mean gap within 6 standard errors of its closed form (< 1e-8)."""
    process, x = VPLinear(), law().sample(8000, seed=5)
    found = lower_bound(exact_model(law(), process), process, x, *ENDS, seed=6)
    gap = law().log_density(x) - found.bound
    c2, first = law().eigenvalues, process.node_at_lam(ENDS[0])
    a = torch.distributions.Normal(
        first.alpha * (law().mean @ law().eigenvectors),
        (first.alpha**2 * c2 + first.sigma**2).sqrt(),
    )
    b = torch.distributions.Normal(torch.zeros(4, dtype=torch.float64), process.prior_std)
    known = 0.5 * torch.log1p(math.exp(-2 * ENDS[1]) / c2).sum()
    known = known + torch.distributions.kl_divergence(a, b).sum()
    error = 6 * float(gap.std()) / math.sqrt(8000)
    assert abs(float(gap.mean() - known)) < error
    assert error < 0.1  # small enough to mean something


def test_a_wrong_model_has_a_lower_bound_and_any_prediction_the_same():
    process, x = VPLinear(), law().sample(50, seed=5)
    exact = exact_model(law(), process)
    good = lower_bound(exact, process, x, *ENDS, seed=1)
    bad = lower_bound(lambda y, t: 0.9 * exact(y, t), process, x, *ENDS, seed=1)
    assert float((good.bound - bad.bound).mean()) > 1.0
    noise = exact_model(law(), process, "noise")
    same = lower_bound(noise, process, x, *ENDS, seed=1, prediction="noise")
    torch.testing.assert_close(same.bound, good.bound, rtol=1e-8, atol=1e-8)


def test_noise_belongs_to_the_sample():
    process, x = VPLinear(), law().sample(3, seed=5)
    exact = exact_model(law(), process)
    whole = lower_bound(exact, process, x, *ENDS, seed=1).bound
    part = lower_bound(exact, process, x[2:], *ENDS, seed=1, sample_ids=[2]).bound
    torch.testing.assert_close(part, whole[2:], rtol=1e-12, atol=1e-12)


def test_each_bad_input_is_one_sentence():
    process, x = VPLinear(), law().sample(2, seed=0)
    exact = exact_model(law(), process)
    with pytest.raises(InvalidGridError, match=r"lam_start < lam_end, got 2.0 and 1.0"):
        lower_bound(exact, process, x, 2.0, 1.0, seed=0)
    with pytest.raises(InvalidGridError, match="inf"):
        lower_bound(exact, process, x, -4.0, math.inf, seed=0)
    with pytest.raises(InvalidPlanError, match="draws must be a whole number >= 1, got 0"):
        lower_bound(exact, process, x, *ENDS, seed=0, draws=0)
    with pytest.raises(ShapeError, match="x must have shape"):
        lower_bound(exact, process, x[0], *ENDS, seed=0)


def test_levels_whose_snr_is_no_number_are_refused():
    process, x = VPLinear(), law().sample(2, seed=0)
    with pytest.raises(InvalidGridError, match=r"got -4.0 and 400.0, within \+-300"):
        lower_bound(exact_model(law(), process), process, x, -4.0, 400.0, seed=0)


def test_a_model_whose_answer_would_be_broadcast_is_refused():
    process, x = VPLinear(), law().sample(2, seed=0)
    with pytest.raises(ShapeError, match=r"model's output must have the shape \(2, \d\) of the"):
        lower_bound(lambda z, _: z[:, :1], process, x, *ENDS, seed=0)
