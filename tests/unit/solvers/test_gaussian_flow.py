"""The closed flow of a Gaussian, what it foretells of other laws, and the jump that it allows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fokker.analysis.paired import rms, sample
from fokker.solvers.errors import InvalidPlanError, ShapeError
from fokker.solvers.fitted.gaussian_flow import (
    GaussianStatistics,
    emergence,
    gaussian_denoiser,
    plane_share,
    teleport,
)
from fokker.solvers.fitted.statistics_v3 import flow_states
from fokker.solvers.grids import uniform_lam
from fokker.solvers.process import Node
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem
from fokker.toy_models.reference import reference_flow

VP = VPLinear()


def level(node: Node) -> tuple[float, float]:
    return node.alpha, node.sigma


def statistics(name: str, rank: int | None = None) -> GaussianStatistics:
    law = problem(name).law
    return GaussianStatistics.from_moments(law.mean, law.cov, rank)


@pytest.mark.parametrize("process", [VP, EDM(), RectifiedFlow()], ids=["vp", "edm", "flow"])
@pytest.mark.parametrize("name", ["gaussian", "digits-gaussian"])
def test_teleportation_is_the_exact_flow_of_a_gaussian(process, name):
    p = problem(name).on(process)
    x = p.starts(16, seed=1)
    got = teleport(x, statistics(name), p.start, p.end)
    torch.testing.assert_close(got, p.endpoint(x), rtol=1e-12, atol=1e-12)
    middle = process.node_at_lam(0.3)
    twice = teleport(
        teleport(x, statistics(name), p.start, middle), statistics(name), middle, p.end
    )
    torch.testing.assert_close(twice, got, rtol=1e-12, atol=1e-12)


def test_a_low_rank_covariance_moves_its_null_space_with_sigma_alone():
    basis, _ = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).normal(size=(6, 6))))
    mean, variances = torch.linspace(-1, 1, 6).double(), torch.tensor([2.0, 0.5]).double()
    whole = torch.cat([variances, torch.zeros(4).double()])
    law = Gaussian.from_eigen(mean, basis, whole)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 6)))
    s, t = VP.node_at_lam(-2.0), VP.node_at_lam(2.0)
    low = GaussianStatistics(mean, basis[:, :2], variances)
    got = teleport(x, low, s, t)
    torch.testing.assert_close(got, law.flow(x, level(s), level(t)), rtol=1e-12, atol=1e-12)
    outside = (got - t.alpha * mean) @ basis[:, 2:]
    before = (x - s.alpha * mean) @ basis[:, 2:]
    torch.testing.assert_close(outside, before * (t.sigma / s.sigma), rtol=1e-12, atol=1e-12)
    denoised = gaussian_denoiser(x, low, s)
    torch.testing.assert_close(denoised, law.denoiser(x, *level(s)), rtol=1e-12, atol=1e-12)


def test_statistics_of_few_samples_span_what_the_samples_span():
    data = torch.from_numpy(np.random.default_rng(2).normal(size=(4, 2, 3)))
    found, flat = GaussianStatistics.from_samples(data), data.reshape(4, 6)
    assert found.basis.shape == (6, 3)
    assert found.rest == 0.0
    rebuilt = (found.basis * found.variances) @ found.basis.mT
    torch.testing.assert_close(rebuilt, flat.T.cov(), rtol=1e-12, atol=1e-12)
    cut = GaussianStatistics.from_samples(data, rank=1)
    total = float(cut.variances.sum() + 5 * cut.rest)
    assert total == pytest.approx(float(flat.T.cov().trace()))  # no variance is lost
    x = torch.ones(2, 2, 3, dtype=torch.float64)
    assert teleport(x, cut, VP.node_at_lam(-1.0), VP.node_at_lam(1.0)).shape == x.shape


STATES = {-3.0: 7e-6, -2.0: 1.6e-4, -1.0: 2.9e-3, -0.5: 1.2e-2, 0.0: 3.9e-2, 0.5: 9.8e-2}
"""How far the Gaussian flow has left that of the mixture: another implementation, other starts."""


def test_the_state_leaves_the_gaussian_flow_like_the_cube_of_the_signal_to_noise_ratio():
    p = problem("mixture")
    x, found = p.starts(256, seed=3), {}
    for lam in STATES:
        node = p.process.node_at_lam(lam)
        truth = reference_flow(p.law, x, level(p.start), level(node)).x
        found[lam] = rms(teleport(x, statistics("mixture"), p.start, node) - truth)
        assert found[lam] == pytest.approx(STATES[lam], rel=0.2), lam
    assert found[-2.0] / found[-3.0] == pytest.approx(math.exp(3), rel=0.1)


def test_modes_emerge_at_minus_the_logarithm_of_their_width_on_a_gaussian():
    law, s = problem("digits-gaussian").law, statistics("digits-gaussian")
    lams = np.linspace(-4.0, 5.0, 91)
    times, widths = _emergence("digits-gaussian", lams), s.variances.sqrt().numpy()
    wide = widths > 0.05
    assert wide.sum() > 40
    slope, offset = np.polyfit(-np.log(widths[wide]), times[wide], 1)
    assert slope == pytest.approx(1.0, abs=0.05)
    assert offset == pytest.approx(0.0, abs=0.05)
    assert law.dim == len(widths)


def test_modes_of_a_mixture_emerge_another_way():
    """The negative control: five narrow components are no Gaussian at the time they part."""
    times = _emergence("mixture", np.linspace(-4.0, 5.0, 91))
    widths = statistics("mixture").variances.sqrt().numpy()
    assert np.abs(times + np.log(widths)).max() > 0.05


def _emergence(name: str, lams: np.ndarray) -> np.ndarray:
    p, s = problem(name), statistics(name)
    states = flow_states(p.model(), p.process, lams, p.starts(64, seed=3))
    predictions = [
        p.model()(x, p.process.node_at_lam(lam).t) for lam, x in zip(lams, states, strict=True)
    ]
    parts = [((d - s.mean) @ s.basis).square().mean(0).sqrt() for d in predictions]
    return emergence(lams, torch.stack(parts).numpy())


def test_emergence_finds_where_a_known_sigmoid_has_half_its_power():
    lams = np.linspace(-6.0, 8.0, 4001)
    widths = np.array([2.0, 1.0, 0.1])
    sigmoid = 1 / np.sqrt(1 + np.exp(-2 * lams[:, None]) / widths**2)
    np.testing.assert_allclose(emergence(lams, sigmoid), -np.log(widths), atol=1e-4)
    with pytest.raises(InvalidPlanError, match="mode 1 has no power"):
        emergence(lams, sigmoid * np.array([1.0, 0.0, 1.0]))


def test_a_trajectory_in_sixty_four_dimensions_lies_in_a_plane():
    p = problem("digits-mixture")
    lams = np.linspace(p.lam_start, p.lam_end, 41)
    states = flow_states(p.model(), p.process, lams, p.starts(16, seed=3))
    assert plane_share(states).min() > 0.99
    assert plane_share(states, count=1).max() < 0.99
    noise = [torch.from_numpy(np.random.default_rng(k).normal(size=(4, 64))) for k in range(41)]
    assert plane_share(noise).max() < 0.3  # what is no trajectory does not


def test_a_third_of_the_steps_can_be_skipped_and_not_two_thirds():
    p = problem("digits-mixture")
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(40)
    x, s = p.starts(32, seed=2), statistics("digits-mixture")
    whole, unit = (
        sample(get("dpmpp_2m"), p.model(), p.process, grid, x),
        float(s.variances.mean().sqrt()),
    )
    moved = []
    for skipped in (12, 26):
        options = {"statistics": s, "lam": grid[skipped].lam}
        result = get("teleport_2m").build(p.model(), p.process, grid, x, **options)
        assert result.nfe == 40 - skipped
        moved.append(rms(result.x - whole) / unit)
    assert moved[0] < 0.01
    assert moved[1] > 0.1


def test_on_a_gaussian_any_number_of_steps_may_be_skipped():
    p = problem("gaussian")
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(8)
    x, options = p.starts(8), {"statistics": statistics("gaussian"), "base": "ddim"}
    errors = []
    for skipped in (0, 4, 7):
        lam = grid[skipped].lam
        got = sample(get("teleport_2m"), p.model(), p.process, grid, x, lam=lam, **options)
        middle = grid[skipped]
        arrived = p.law.flow(x, level(p.start), level(middle))
        rest = get("ddim")(p.process, grid.part(skipped, 8))
        torch.testing.assert_close(got, run(rest, p.model(), arrived).x, rtol=1e-11, atol=1e-11)
        errors.append(rms(got - p.endpoint(x)))
    assert errors[0] > errors[1] > errors[2]


def test_fitting_takes_data_and_unfitted_nothing_is_skipped():
    p = problem("mixture")
    grid = uniform_lam(p.process, -4.0, 3.0).grid(6)
    x, entry = p.starts(4), get("teleport_2m")
    data = p.law.sample(500, seed=7)
    assert entry.fit is not None
    options = entry.fit(p.model(), p.process, grid, x, data=data, lam=-1.0)
    found = options["statistics"]
    torch.testing.assert_close(found.mean, data.mean(0))
    plain = sample(get("dpmpp_2m"), p.model(), p.process, grid, x)
    assert torch.equal(sample(entry, p.model(), p.process, grid, x), plain)
    assert not torch.equal(sample(entry, p.model(), p.process, grid, x, **options), plain)


def test_what_cannot_be_is_refused_in_one_sentence():
    s, (start, end) = statistics("gaussian"), (VP.node_at_lam(-1.0), VP.node_at_lam(1.0))
    with pytest.raises(ShapeError, match=r"dimension 4 do not fit a state \(2, 3\)"):
        teleport(torch.ones(2, 3).double(), s, start, end)
    flat = GaussianStatistics(s.mean, s.basis, 0 * s.variances)
    with pytest.raises(InvalidPlanError, match="no width in some direction"):
        teleport(torch.ones(2, 4).double(), flat, VP.node(0.0), start)
    with pytest.raises(InvalidPlanError, match="orthonormal"):
        GaussianStatistics(s.mean, 2 * s.basis, s.variances)
    with pytest.raises(InvalidPlanError, match="variances from -1"):
        GaussianStatistics(s.mean, s.basis, -torch.ones(4).double())
    with pytest.raises(ShapeError, match="at least two samples, got 1"):
        GaussianStatistics.from_samples(torch.ones(1, 3).double())
    with pytest.raises(InvalidPlanError, match="rank must be at least 1, got 0"):
        GaussianStatistics.from_samples(torch.ones(3, 3).double(), rank=0)
    with pytest.raises(ShapeError, match="need a mean"):
        GaussianStatistics(s.mean[:2], s.basis, s.variances)


def test_the_model_of_the_statistics_is_the_model_of_the_law():
    p = problem("gaussian")
    x, node = p.starts(5), p.process.node_at_lam(0.4)
    truth = exact_model(p.law, p.process)(x, node.t)
    got = gaussian_denoiser(x, statistics("gaussian"), node)
    torch.testing.assert_close(got, truth, rtol=1e-12, atol=1e-12)
    assert gaussian_denoiser(x.float(), statistics("gaussian"), node).dtype == torch.float32
