"""Langevin steps: what ULA keeps on a Gaussian, what the step rules do to it, MALA, damping.

Statistical checks use fixed seeds and bounds of at least 5 standard errors (false alarms below
1e-6 each), with the uncorrected method as the negative control.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidPlanError, NonFiniteError, ShapeError
from fokker.solvers.langevin.correctors import (
    Corrector,
    DampedLangevin,
    Langevin,
    Mala,
    accepted,
    damped,
    damped_variance,
    mala_log_ratio,
)
from fokker.solvers.langevin.steps import (
    LamRule,
    LevelRule,
    SnrPublished,
    SnrRule,
    langevin_step,
    snr_variance_factor,
    ula_after,
    ula_variance,
)
from fokker.solvers.process import Node
from fokker.solvers.schedules import EDM, VPLinear

EDM_NODE = EDM().node_at_lam(0.0)  # alpha = sigma = 1
RULES = [LevelRule, SnrRule, SnrPublished]


def fields(seed: int, like: Tensor):
    """Independent fields by number and by visit."""
    generator = torch.Generator().manual_seed(seed)
    return lambda _: torch.randn(like.shape, generator=generator, dtype=like.dtype)


def visited(corrector: Corrector, x: Tensor, variance: float, visits: int = 1) -> Tensor:
    """States after visits at one level, the target N(0, variance I)."""
    draw = fields(1, x)
    for _ in range(visits):
        x = corrector(x, lambda y: -y / variance, draw, EDM_NODE, EDM_NODE)
    return x


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("variance", "step"), [(1.0, 0.5), (0.3, 0.02), (2.0, 3.5)])
def test_the_kept_variance_is_the_fixed_point_of_a_step(variance, step):
    """X' = (1 - e/v) x + sqrt(2 e) z, iterated by hand."""
    w = 0.7
    for n in range(1, 400):
        w = (1 - step / variance) ** 2 * w + 2 * step
        if n in (1, 7):
            assert ula_after(0.7, variance, step, n) == pytest.approx(w, rel=1e-12)
    assert ula_variance(variance, step) == pytest.approx(w, rel=1e-6)
    assert ula_after(0.7, variance, step, 0) == pytest.approx(0.7)


def test_a_step_is_affine_with_the_coefficients_of_ula():
    x, g, z = normals(3, 4, 2).unbind(0)
    want = x + 0.3 * g + math.sqrt(0.6) * z
    torch.testing.assert_close(langevin_step(x, g, 0.3, z), want)
    torch.testing.assert_close(langevin_step(x, g, torch.full((4, 1), 0.3), z), want)


def test_rules_are_the_published_formulas():
    process = VPLinear()
    s, t = process.node_at_lam(-1.0), process.node_at_lam(-0.5)
    a = (s.alpha / t.alpha) ** 2
    g, z = normals(2, 5, 3).unbind(0)
    norms = z.norm(dim=1) / g.norm(dim=1)
    means = float(z.norm(dim=1).mean() / g.norm(dim=1).mean())
    assert LevelRule(0.2)(g, z, s, t) == pytest.approx(2 * a * (0.2 * s.sigma) ** 2)
    got = SnrRule(0.2)(g, z, s, t)
    torch.testing.assert_close(got, (2 * a * (0.2 * norms) ** 2)[:, None])
    assert SnrPublished(0.2)(g, z, s, t) == pytest.approx(2 * a * (0.2 * means) ** 2)
    want = 0.7 * s.sigma**2 * (1 - math.exp(-1.0)) / 2
    assert LamRule(0.7)(g, z, s, t) == pytest.approx(want)
    near = process.node_at_lam(-1.0 + 1e-6)
    assert LamRule(1.0)(g, z, s, near) == pytest.approx(s.sigma**2 * 1e-6, rel=1e-5)


def test_the_published_rule_couples_the_samples_of_a_batch_and_ours_does_not():
    g, z = normals(2, 6, 3).unbind(0)
    node = EDM_NODE
    torch.testing.assert_close(
        SnrRule()(g, z, node, node)[:2], SnrRule()(g[:2], z[:2], node, node)
    )
    alone = SnrPublished()(g[:2], z[:2], node, node)
    assert abs(SnrPublished()(g, z, node, node) / alone - 1) > 0.05


@pytest.mark.parametrize("dim", [4, 16])
def test_the_snr_rule_keeps_another_law_however_small_its_step(dim):
    """Variance v ((d + 2)/d)^2, not v: factors 2.25 and 1.27; the rule of the level keeps v.

    Scatter of 3000 d dependent squares below 0.02 of the value, bias of the finite step 0.1.
    """
    v, count = 0.5, 3000
    start = math.sqrt(v) * normals(count, dim)
    factor = snr_variance_factor(dim)
    seen = visited(Langevin(SnrRule(0.12), 1), start, v, 250).square().mean() / v
    assert abs(float(seen) / factor - 1) < 0.15
    kept = visited(Langevin(LevelRule(0.12 * math.sqrt(v)), 1), start, v, 250).square().mean() / v
    assert abs(float(kept) - 1) < 0.15 < factor - 1
    whole = visited(Langevin(SnrPublished(0.12), 1), start, v, 250).square().mean() / v
    assert abs(float(whole) - 1) < 0.15


def test_mala_keeps_the_law_where_the_same_step_unadjusted_does_not():
    """E = 1.2 v: ULA keeps 2.5 v. 40000 squares: standard error 0.7 %, bound 5 %."""
    v, count = 0.7, 40_000
    rule = LevelRule(math.sqrt(0.6 * v))  # e = 2 (r sigma)^2 = 1.2 v
    start = math.sqrt(v) * normals(count, 1)
    kept = visited(Mala(lambda x, _: -0.5 * (x * x).sum(1) / v, rule, 8), start, v)
    assert abs(float(kept.square().mean()) / v - 1) < 0.05
    loose = visited(Langevin(rule, 8), start, v)
    assert float(loose.square().mean()) / v > 2.0
    assert ula_variance(v, 1.2 * v) == pytest.approx(2.5 * v)


def test_the_ratio_of_mala_is_that_of_the_joint_densities_both_ways():
    x, y = normals(2, 7, 2).unbind(0)
    step, v = torch.full((7, 1), 0.4, dtype=torch.float64), 0.6

    def log_p(u: Tensor) -> Tensor:
        return -0.5 * u.square().sum(1) / v

    def log_q(b: Tensor, a: Tensor) -> Tensor:  # density of b, proposed from a
        return -((b - a * (1 - 0.4 / v)) ** 2).sum(1) / (4 * 0.4)

    got = mala_log_ratio((x, -x / v, log_p(x)), (y, -y / v, log_p(y)), step)
    torch.testing.assert_close(got, log_p(y) + log_q(x, y) - log_p(x) - log_q(y, x))


def test_a_move_is_accepted_with_the_probability_of_its_ratio():
    """Uniform numbers from normal fields; 40000 trials at probability 0.3: bound 5 s.e."""
    z = normals(40_000, 2)
    old, new = torch.zeros(40_000, 2), torch.ones(40_000, 2)
    (state,) = accepted((old,), (new,), torch.full((40_000,), math.log(0.3)), z)
    assert abs(float(state.mean()) - 0.3) < 5 * math.sqrt(0.21 / 40_000)
    (all_new,) = accepted((old,), (new,), torch.zeros(40_000), z)
    assert torch.equal(all_new, new)


def test_the_damped_matrix_is_that_of_levenberg_and_marquardt_and_its_root_squares_to_it():
    e, v = normals(2, 3, 5).unbind(0)
    matrix = torch.eye(5, dtype=e.dtype) + e[:, :, None] * e[:, None, :] / 0.7
    torch.testing.assert_close(damped(v, e, 0.7), torch.linalg.solve(matrix, v))
    half = damped(damped(v, e, 0.7, 0.5), e, 0.7, 0.5)
    torch.testing.assert_close(half, damped(v, e, 0.7))
    torch.testing.assert_close(damped(v, 0 * e, 0.7), v)


def test_damped_langevin_with_a_frozen_direction_keeps_the_variance_of_its_smaller_step():
    """Along e the step is p = d/(d + |e|^2) times as long: ULA of that step, by hand."""
    v, step, damping = 1.0, 0.4, 0.5
    e = torch.tensor([[1.2, 0.0]], dtype=torch.float64)
    p = damping / (damping + 1.44)
    x, z = normals(2, 1, 2).unbind(0)
    got = langevin_step(x, damped(-x / v, e, damping), step, damped(z, e, damping, 0.5))
    want = (1 - step * p / v) * x[0, 0] + math.sqrt(2 * step * p) * z[0, 0]
    assert float(got[0, 0]) == pytest.approx(float(want))
    assert float(got[0, 1]) == pytest.approx(float(0.6 * x[0, 1] + math.sqrt(0.8) * z[0, 1]))
    seen = []
    corrector = DampedLangevin(LevelRule(0.3), 3, 1e9)
    for kind in (corrector, Langevin(LevelRule(0.3), 3)):
        seen.append(visited(kind, x.clone(), v))
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-6, atol=1e-6)


def test_a_damped_step_is_the_formula_with_the_matrix_written_out():
    x, z = normals(2, 1, 3, seed=5).unbind(0)
    got = DampedLangevin(LevelRule(0.4), 1, 0.7)(
        x, lambda y: -y / 1.3, lambda _: z, EDM_NODE, EDM_NODE
    )
    e = (x / 1.3 / math.sqrt(3))[0]
    matrix = torch.linalg.inv(torch.eye(3, dtype=x.dtype) + torch.outer(e, e) / 0.7)
    values, vectors = torch.linalg.eigh(matrix)
    root = (vectors * values.sqrt()) @ vectors.mT
    step = 2 * 0.4**2
    want = x - step * (x / 1.3) @ matrix + math.sqrt(2 * step) * z @ root
    torch.testing.assert_close(got, want)


def test_single_damped_steps_keep_the_law_of_the_closed_form_and_not_the_target():
    """In d = 3, v = 1.5: 2.31, not 1.5. Scatter of 4000 samples below 0.03, step bias 0.05."""
    v, damping = 1.5, 2.0
    want = damped_variance(3, v, EDM_NODE.sigma, damping)
    corrector = DampedLangevin(LevelRule(0.12), 1, damping)
    seen = visited(corrector, math.sqrt(v) * normals(4000, 3), v, 500).square().mean()
    assert abs(float(seen) / want - 1) < 0.12 < want / v - 1
    many = damped_variance(10**6, v, 1.0, damping)
    assert many == pytest.approx(v / (1 - 1 / (damping * v)), rel=1e-5)
    with pytest.raises(InvalidPlanError, match=r"no law is kept at damping 0\.1"):
        damped_variance(100, 1.0, 1.0, 0.1)


def test_damping_shortens_the_step_along_the_score():
    x = normals(4, 3)
    near = visited(DampedLangevin(LevelRule(0.5), 1, 1e-9), x, 1.0) - x
    e = x / x.norm(dim=1, keepdim=True)
    assert float((near * e).sum(1).abs().max()) < 1e-3  # nothing is left along e
    assert float(near.norm(dim=1).min()) > 0.1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("snr", [0.0, -0.1, math.inf, math.nan])
def test_a_ratio_that_is_not_positive_is_refused(rule, snr):
    with pytest.raises(InvalidPlanError, match="snr must be a positive finite number"):
        rule(snr)


def test_what_no_corrector_can_do_is_one_sentence():
    with pytest.raises(InvalidPlanError, match=r"MALA needs the log density.*got None"):
        Mala()
    with pytest.raises(InvalidPlanError, match="does not depend on the state"):
        Mala(lambda x, _: x.sum(1), SnrRule())
    with pytest.raises(InvalidPlanError, match=r"whole number of steps.*got 0"):
        Langevin(LevelRule(), 0)
    with pytest.raises(InvalidPlanError, match=r"damping.*-1"):
        DampedLangevin(damping=-1.0)
    with pytest.raises(InvalidPlanError, match=r"must lie in \(0, 2.0\), got 2.0"):
        ula_variance(1.0, 2.0)
    with pytest.raises(InvalidPlanError, match="steps >= 0"):
        ula_after(1.0, 1.0, 0.5, -1)
    with pytest.raises(InvalidPlanError, match="dimension"):
        snr_variance_factor(0)
    with pytest.raises(InvalidPlanError, match="kappa"):
        LamRule(0.0)
    g = torch.tensor([[1.0], [0.0]])
    with pytest.raises(NonFiniteError, match=r"divides by the score.*\[1\]"):
        SnrRule()(g, g + 1, EDM_NODE, EDM_NODE)


def test_a_density_that_fails_is_named():
    x = torch.ones(3, 1)
    for value, words in ((math.nan, "log density is NaN"), (-math.inf, "density is not positive")):
        mala = Mala(lambda x, _, v=value: torch.full((len(x),), v))
        with pytest.raises(NonFiniteError, match=words):
            mala(x, lambda y: -y, fields(0, x), EDM_NODE, EDM_NODE)


@dataclass(frozen=True)
class Fixed:
    """The same step whatever is asked."""

    step: Any

    def __call__(self, score: Tensor, z: Tensor, s: Node, t: Node) -> Any:
        del score, z, s, t
        return self.step


@dataclass(frozen=True)
class Own:
    """A rule of somebody else's: the step depends on the score, on the noise, or on neither."""

    reads: str

    def __call__(self, score: Tensor, z: Tensor, s: Node, t: Node) -> Tensor | float:
        del s, t
        read = {"score": score, "noise": z}.get(self.reads)
        return 0.3 if read is None else 0.1 + read.square().mean(1, keepdim=True)


def test_a_rule_that_looks_at_the_state_is_found_out_by_mala():
    """With such a step the ratio is that of other proposals: the chain would keep another law."""
    x = normals(5, 2)
    for reads in ("score", "noise"):
        with pytest.raises(InvalidPlanError, match=f"depend on the state, got Own.*{reads}"):
            visited(Mala(lambda u, _: -0.5 * (u * u).sum(1), Own(reads)), x, 1.0)
    found = visited(Mala(lambda u, _: -0.5 * (u * u).sum(1), Own("neither")), x, 1.0)
    assert not torch.equal(found, x)


def test_a_score_that_is_not_finite_is_not_called_zero():
    for bad in (math.nan, math.inf):
        g = torch.tensor([[1.0], [bad]])
        with pytest.raises(NonFiniteError, match=r"which is not finite at t = .* \[1\]"):
            SnrRule()(g, g, EDM_NODE, EDM_NODE)


def test_a_dimension_below_one_is_refused():
    with pytest.raises(InvalidPlanError, match="dimension must be at least 1, got 0"):
        damped_variance(0, 1.0, 1.0, 1.0)


def test_a_density_or_a_step_that_would_be_broadcast_is_refused():
    """One density for all samples accepts them together; four steps of four samples look alike."""
    x = normals(4, 4)
    for density in (
        lambda u, _: -0.5 * (u * u).sum(),
        lambda u, _: -0.5 * (u * u).sum(1)[:, None],
    ):
        with pytest.raises(ShapeError, match=r"log density must have shape \(4,\), got"):
            visited(Mala(density), x, 1.0)
    with pytest.raises(ShapeError, match=r"must have shape \(4, 1\), got \(4,\)"):
        visited(Langevin(Fixed(torch.full((4,), 0.1))), x, 1.0)
    for step in (-0.1, math.nan, math.inf):
        with pytest.raises(InvalidPlanError, match="a step must be a finite number >= 0, got"):
            visited(Langevin(Fixed(step)), x, 1.0)
