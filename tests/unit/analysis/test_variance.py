"""Many means from one sample: identities, exact variances, coupled weak errors, no bias."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from fokker.analysis.fokker_planck import (
    OrnsteinUhlenbeck,
    TooFewSamplesError,
    exact_log_density,
    exact_score,
    log_residual,
    mean,
    quadrature,
    reverse_sde,
)
from fokker.analysis.fokker_planck.collocation import quantile
from fokker.analysis.variance import (
    Proposal,
    Seen,
    adapt,
    adapted,
    adaptive,
    controlled,
    coupled_paths,
    coupled_weak_error,
    expectations,
    weighted,
)
from fokker.analysis.variance.adapt import DEFENCE, WIDEN, fitted
from fokker.analysis.variance.controls import corrected
from fokker.analysis.variance.coupled import integral_weights
from fokker.solvers.errors import AnalysisError, NonFiniteError, ShapeError
from fokker.solvers.schedules import VPLinear
from fokker.solvers.sde.basic import euler_maruyama
from fokker.solvers.sde.rungekutta import sra1
from fokker.toy_models.draws import uniforms
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.mixture import GaussianMixture
from fokker.toy_models.problems import problem

F64 = torch.float64
CERTAIN = 1 - 1e-6
NORMAL = Gaussian(torch.zeros(1, dtype=F64), torch.eye(1, dtype=F64))
WIDE = Gaussian(torch.zeros(1, dtype=F64), 4 * torch.eye(1, dtype=F64))
TAIL = float(ndtr(-3.0))
EXCESS = NormalDist().pdf(4.0) - 4 * float(ndtr(-4.0))


def rare(x: Tensor) -> Tensor:
    """``1{x > 3}`` and ``(x - 4)_+``."""
    return torch.cat([(x > 3).to(x), (x - 4).clamp_min(0)], 1)


# the identity


@dataclass(frozen=True)
class Beyond:
    """The normal law beyond 3: the best density for ``1{x > 3}``."""

    def sample(self, n: int, *, seed: int) -> Tensor:
        u = uniforms(n, 1, seed=seed, label="beyond")
        return torch.from_numpy(-ndtri(u * TAIL))

    def log_density(self, x: Tensor) -> Tensor:
        inside = NORMAL.log_density(x) - math.log(TAIL)
        return torch.where(x[:, 0] > 3, inside, torch.full_like(inside, -math.inf))


@dataclass(frozen=True)
class Excess:
    """Density ``(x - 4)_+ f/I``, by inversion of its integral on a fine table."""

    def sample(self, n: int, *, seed: int) -> Tensor:
        x = np.linspace(4, 14, 400_001)
        below = 1 - (np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) - 4 * ndtr(-x)) / EXCESS
        return torch.from_numpy(np.interp(uniforms(n, 1, seed=seed, label="e"), below, x))

    def log_density(self, x: Tensor) -> Tensor:
        return NORMAL.log_density(x) + (x[:, 0] - 4).clamp_min(0).log() - math.log(EXCESS)


def test_with_the_best_densities_every_point_gives_every_mean():
    """Relative errors of rounding for both means at once: variance zero."""
    best = Proposal((Beyond(), Excess()), (0.5, 0.5))
    x = best.sample(64, seed=0)
    values, ratios = weighted(rare, NORMAL, best, x), best.controls(x)[:, 0]
    truth = torch.tensor([TAIL, EXCESS], dtype=F64)
    both = torch.stack([-ratios, ratios], 1)  # of equal shares: g_1/g - 1 = -(g_2/g - 1)
    torch.testing.assert_close(values - both * truth, truth.expand(64, 2), rtol=1e-10, atol=0)
    found = expectations(rare, NORMAL, best, 64, seed=1)
    for estimate, exact in zip(found, (TAIL, EXCESS), strict=True):
        assert estimate.value == pytest.approx(exact, rel=1e-10)
        assert estimate.bar < 1e-10 * exact
    assert pytest.approx((1.349898e-3, 7.15e-6), rel=1e-3) == (TAIL, EXCESS)


# exact variances


def moments(values: np.ndarray, weights: np.ndarray, controls: np.ndarray) -> tuple[float, float]:
    """Relative deviations of one point: plain, and after the best regression on the controls."""
    centre = weights @ values
    v = values - centre
    plain, cross = weights @ (v * v), controls.T @ (weights * v)
    gram = controls.T @ (weights[:, None] * controls)
    left = plain - cross @ np.linalg.solve(gram, cross)
    return math.sqrt(float(plain)) / float(centre), math.sqrt(float(left)) / float(centre)


@cache
def best_normals() -> Proposal:
    """Parts of the exact means and variances of both best densities, widened; and f."""
    x = torch.linspace(-9, 14, 400_001, dtype=F64)[:, None]
    f = NORMAL.log_density(x).exp()
    return fitted(x, rare(x) * f[:, None], NORMAL)


def test_relative_errors_are_those_of_exact_integrals_and_far_below_plain_sampling():
    """At 2000 points: plain .608 and 5.50, mixture .039 and .032, with controls .031 and .019."""
    x = torch.linspace(-9, 14, 400_001, dtype=F64)[:, None]
    f, g = NORMAL.log_density(x).exp(), best_normals()
    w = (g.log_density(x).exp() / g.log_density(x).exp().sum()).numpy()
    h, table = g.controls(x).numpy(), weighted(rare, NORMAL, g, x).numpy()
    found, n = expectations(rare, NORMAL, g, 2000, seed=3), 2000
    plain = rare(g.sample(2000, seed=3))
    assert plain.shape == (2000, 2)
    seen = weighted(rare, NORMAL, g, g.sample(2000, seed=3))
    rows = []
    for j, exact in enumerate((TAIL, EXCESS)):
        crude = math.sqrt(float((f * rare(x)[:, j] ** 2).sum() / f.sum()) / exact**2 - 1)
        mixed, controlled_ = moments(table[:, j], w, h)
        rows.append([s / math.sqrt(n) for s in (crude, mixed, controlled_)])
        measured = found[j].bar / quantile(found[j].certainty) / exact
        assert measured == pytest.approx(rows[-1][2], rel=0.15)
        by_hand = float(seen[:, j].std()) / math.sqrt(n) / exact
        assert by_hand == pytest.approx(rows[-1][1], rel=0.15)
        assert abs(found[j].value / exact - 1) < 4.9 * rows[-1][2]
    np.testing.assert_allclose(rows, [[0.6082, 0.0389, 0.0306], [5.50, 0.0316, 0.0183]], rtol=6e-3)


def test_adaptation_finds_the_tails_from_a_wider_law():
    """4000 points: both means to 0.2 of themselves with certainty 0.999; and a fresh sample."""
    asked: list[Tensor] = []

    def recorded(x: Tensor) -> Tensor:
        asked.append(x)
        return rare(x)

    found = adaptive(recorded, NORMAL, budget=4000, pilot=800, first=WIDE, seed=1, within=0.2)
    for estimate, exact in zip(found, (TAIL, EXCESS), strict=True):
        assert abs(estimate.value - exact) < 1.5 * estimate.bar
    *pilots, last = asked
    assert len(pilots) * 800 + len(last) == 4000
    assert not np.isin(last.numpy(), torch.cat(pilots).numpy()).any()
    assert len(np.unique(torch.cat(pilots).numpy())) == 800 * len(pilots)


def test_adaptation_stops_when_a_round_does_not_pay():
    """A second round on a function that needs none costs its points and no more are bought."""
    short = adapted(lambda x: 2 + x.tanh(), NORMAL, budget=20_000, pilot=400, seed=0)
    assert short.spent == 800
    assert short.variances[1] > short.variances[0]
    assert short.proposal.parts == (NORMAL,)
    (found,) = expectations(lambda x: 2 + x.tanh(), NORMAL, short.proposal, 400)
    assert abs(found.value - 2) < 1.5 * found.bar
    long = adapted(rare, NORMAL, budget=20_000, pilot=1500, first=WIDE, seed=0)
    assert 3000 <= long.spent < 12_000
    assert min(long.variances) < 0.2 * long.variances[0]
    assert long.proposal.shares == pytest.approx((DEFENCE, 0.45, 0.45))


def test_no_proposal_is_fitted_that_no_round_is_left_to_try(monkeypatch: pytest.MonkeyPatch):
    seen = []

    def counted(*given: Any) -> Proposal:
        seen.append(len(given[0]))
        return fitted(*given)

    monkeypatch.setattr(adapt, "fitted", counted)
    found = adapted(rare, NORMAL, budget=20_000, pilot=1500, first=WIDE, seed=0, rounds=2)
    assert (len(found.variances), found.spent) == (2, 3000)
    assert seen == [1500]


def test_a_fitted_part_has_the_weighted_moments_widened():
    g = best_normals()
    tail = NormalDist().pdf(3.0) / TAIL  # mean beyond 3; variance 1 + 3 m - m^2
    part = g.parts[1]
    assert isinstance(part, GaussianMixture)
    assert float(part.mean) == pytest.approx(tail, rel=1e-4)
    assert float(part.cov) == pytest.approx(WIDEN**2 * (1 + 3 * tail - tail**2), rel=1e-3)


def test_points_of_a_proposal_have_its_shares_and_independent_parts():
    far = Gaussian(torch.full((1,), 100.0, dtype=F64), torch.eye(1, dtype=F64))
    g = Proposal((NORMAL, far), (3.0, 1.0))
    x = g.sample(4000, seed=5)[:, 0]
    low, high = x[x < 50], x[x > 50]
    assert len(high) == pytest.approx(1000, abs=135)  # 4.9 deviations
    assert not np.isin((high - 100).numpy().round(9), low.numpy().round(9)).any()
    at = torch.zeros(1, 1, dtype=F64)
    assert float(g.log_density(at)) == pytest.approx(
        float(NORMAL.log_density(at)) + math.log(0.75)
    )


# controls


def test_halves_that_fit_each_other_leave_no_bias():
    """1000 repetitions, n = 32, a skewed control: reuse of the rows is off by 8 deviations."""
    rng = np.random.default_rng(0)
    h = rng.exponential(size=(1000, 32, 1)) - 1
    v = (h[..., 0] + 0.3) ** 2  # mean 1.09, nonlinear in h
    kept, reused = [], []
    for one, two in zip(torch.from_numpy(v), torch.from_numpy(h), strict=True):
        kept.append(float(corrected(one[:, None], two).mean()))
        b = float(((two[:, 0] - two.mean()) * one).sum() / (two - two.mean()).square().sum())
        reused.append(float((one - b * two[:, 0]).mean()))
    for means, good in ((kept, True), (reused, False)):
        off = abs(np.mean(means) - 1.09) / (np.std(means) / math.sqrt(1000))
        assert bool(off < 4.9) is good


def test_the_slope_is_fitted_with_an_intercept_and_dependent_controls_do_no_harm():
    h = torch.from_numpy(np.random.default_rng(1).standard_normal((64, 2)))
    v = 5 + h @ torch.tensor([[1.0], [-2.0]], dtype=F64)
    twice = torch.cat([h, h.sum(1, keepdim=True)], 1)
    for controls in (h, twice):
        (found,) = controlled(v, controls)
        assert found.value == pytest.approx(5.0, abs=1e-12)
        assert found.bar < 1e-12


# weak errors


@cache
def ou_paths(name: str = "euler", n: int = 20_000):
    process = OrnsteinUhlenbeck(1.0, 0.0, math.sqrt(2.0))
    method = {"euler": euler_maruyama, "sra1": sra1}[name]
    return coupled_paths(method, process, 2.0, [k / 10 for k in range(11)], n)


def exact_pair(h: float, steps: int) -> tuple[float, np.ndarray]:
    """Means and covariance of Euler's and of the exact end: both are sums over the cells."""
    w, _ = integral_weights(1.0, h, area=False)
    k = np.arange(steps)
    euler = math.sqrt(2 * h) * (1 - h) ** k
    exact = math.sqrt(2) * np.exp(-h * k)
    cov = np.array([[euler @ euler, euler @ exact * w], [0, w * w * exact @ exact]])
    cov[1, 0] = cov[0, 1]
    return (1 - h) ** steps, cov


def test_a_coupled_weak_error_has_a_twentieth_of_the_deviation_of_a_plain_one():
    """Euler, ``dx = -x dt + sqrt 2 dW`` from 2, ten steps, ``E x^2``: the bias is .0049569."""
    factor, cov = exact_pair(0.1, 10)
    mx, my = 2 * factor, 2 * math.exp(-1)
    truth = mx**2 + cov[0, 0] - my**2 - cov[1, 1]
    assert truth == pytest.approx(0.0049569, abs=5e-8)
    found = coupled_weak_error(torch.square, ou_paths(), certainty=CERTAIN)
    assert abs(found.value - truth) < found.bar
    assert abs(found.value + truth) > found.bar  # the sign is seen
    one = 2 * cov[0, 0] ** 2 + 4 * mx**2 * cov[0, 0]
    two = 2 * cov[1, 1] ** 2 + 4 * my**2 * cov[1, 1]
    both = 2 * cov[0, 1] ** 2 + 4 * mx * my * cov[0, 1]
    best = math.sqrt((one - both**2 / two) / 20_000)
    assert found.bar / quantile(CERTAIN) == pytest.approx(best, rel=0.05)
    plain = mean(ou_paths().numerical.square(), certainty=CERTAIN)
    assert math.sqrt((one + two - 2 * both) / 20_000) == pytest.approx(0.00066, rel=0.02)
    assert best < 0.00062  # the slope is fitted, not 1
    assert plain.bar > 20 * found.bar
    assert plain.bar / quantile(CERTAIN) == pytest.approx(math.sqrt(one / 20_000), rel=0.05)
    assert plain.bar / quantile(CERTAIN) == pytest.approx(0.0133, rel=0.05)


@pytest.mark.parametrize("name", ["euler", "sra1"])
def test_the_exact_partner_has_the_law_of_the_process(name: str):
    """False alarms 1e-6; 5 % more variance would be seen."""
    area = name == "sra1"
    w, v = integral_weights(1.3, 0.4, area=area)
    assert w * w + v * v == pytest.approx((1 - math.exp(-1.04)) / 2.6, rel=1e-12)
    early = (1 - math.exp(-0.52)) / 1.3  # the integral itself of the kernel
    tilt = math.sqrt(12) / 1.3 * (early / 0.4 - 0.5 * (1 + math.exp(-0.52)))
    assert v / w == pytest.approx(tilt / early if area else 0.0, rel=1e-10)
    paths, kept = ou_paths(name), math.exp(-1.0)
    assert (paths.mean, paths.variance) == pytest.approx((2 * kept, 1 - kept**2))
    z = (paths.exact - paths.mean) / math.sqrt(paths.variance)
    assert abs(float(z.mean())) < 4.9 / math.sqrt(20_000)
    assert abs(float(z.var()) - 1) < 4.9 * math.sqrt(2 / 20_000)


def test_areas_bring_the_partner_nearer_to_a_method_that_uses_them():
    """SRA1 is off by O(h^2) in the path: 300 times less deviation than a plain mean."""
    found = coupled_weak_error(torch.square, ou_paths("sra1"), certainty=CERTAIN)
    plain = mean(ou_paths("sra1").numerical.square(), certainty=CERTAIN)
    assert found.bar < plain.bar / 300


def test_a_weak_error_of_paths_is_resolved_by_the_control_alone():
    """The difference to a partner whose error is known, against the sampler itself."""
    from fokker.analysis.paired import sample
    from fokker.analysis.stochastic.path import OnePath
    from fokker.analysis.stochastic.problems import nonlinear
    from fokker.solvers.grids import uniform_lam
    from fokker.solvers.registry import get

    posed = nonlinear(1000)
    grid = uniform_lam(posed.process, -1.0, 1.0).grid(16)
    path = OnePath([node.lam for node in grid.nodes], (1000, 1), 4, posed.process)
    ends = [
        sample(one, posed.model(one.prediction), posed.process, grid, posed.starts(), noise=path)
        for one in (get("sde_dpmpp_1"), get("sde_dpmpp_2m"))
    ]
    values, partner = ((3 * x).cos() for x in ends)
    plain, (coupled,) = mean(values[:, 0]), controlled(values, partner - partner.mean())
    assert coupled.bar < 0.35 * plain.bar


# a named check: mean squares of residuals over the density


def test_mean_square_residuals_of_many_scores_come_from_one_sample():
    """Two wrong scores of a mixture, truth by quadrature: half the bar of plain collocation.

    As many points; 99.9999 % certain; 1.2 times the truth is refused.
    """
    law, process, t = problem("mixture").law, VPLinear(), 0.4
    score, phi = exact_score(law, process), exact_log_density(law, process)
    wrongs = (
        lambda x, s: 1.2 * score(x, s),
        lambda x, s: score(x, s) + 0.2 * x**2,
    )

    def squares(x: Tensor) -> Tensor:
        found = [log_residual(reverse_sde(process, w), phi, x, t).square for w in wrongs]
        return torch.stack(found, 1)

    nodes = quadrature(law, process, t, 20)
    assert nodes.weights is not None
    truth = nodes.weights @ squares(nodes.x)
    seen = Seen(law, process.node(t))
    found = adaptive(squares, seen, budget=2000, pilot=400, seed=2, certainty=CERTAIN)
    x = seen.sample(2000, seed=2)
    for estimate, values, exact in zip(found, squares(x).unbind(1), truth.tolist(), strict=True):
        assert abs(estimate.value - exact) < estimate.bar
        assert abs(estimate.value - 1.2 * exact) > estimate.bar
        assert estimate.bar < 0.5 * mean(values, certainty=CERTAIN).bar


# bad input


def test_too_few_samples_are_told_how_many_would_do():
    with pytest.raises(
        TooFewSamplesError, match=r"of function 1.*about .* would be enough"
    ) as one:
        adaptive(rare, NORMAL, budget=4000, pilot=800)
    assert one.value.needed > 800
    with pytest.raises(TooFewSamplesError, match="would be enough") as two:
        expectations(rare, NORMAL, best_normals(), 200, within=0.05)
    expectations(rare, NORMAL, best_normals(), int(1.5 * two.value.needed), within=0.05)
    with pytest.raises(TooFewSamplesError, match=r"20 samples.*24 would be enough"):
        controlled(torch.zeros(20, 1, dtype=F64), torch.zeros(20, 2, dtype=F64))
    with pytest.raises(TooFewSamplesError, match="16 would be enough"):
        coupled_weak_error(torch.square, ou_paths(n=10))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Proposal((NORMAL,), (0.5, 0.5)), AnalysisError, "one positive share"),
        (lambda: Proposal((NORMAL,), (0.0,)), AnalysisError, "one positive share"),
        (lambda: expectations(
            lambda x: x[:, 0], NORMAL, best_normals(), 64
        ), ShapeError, r"must give \(64, J\)"),
        (lambda: expectations(
            lambda x: 1 / (0 * x), NORMAL, best_normals(), 64
        ), NonFiniteError, "not finite at"),
        (lambda: adapted(rare, NORMAL, budget=10, pilot=10), AnalysisError, "pilot 10, budget 10"),
        (lambda: controlled(torch.zeros(64, 1), torch.zeros(63, 1)), ShapeError, "as many rows"),
        (lambda: coupled_paths(
            sra1, OrnsteinUhlenbeck(1.0, 0.0, 1.0), 0.0, [1.0, 0.0], 8
        ), AnalysisError, "increasing times"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(call: Any, error: type[Exception], words: str):
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
