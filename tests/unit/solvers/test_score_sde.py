"""Predictor and corrector: exact laws on Gaussians, equal evaluations, what is published."""

from __future__ import annotations

import math
from inspect import signature
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.analysis.boxes import box_response
from fokker.analysis.gaussian_path import eigenbasis, normal
from fokker.analysis.impulses import FullNormal, affine_law
from fokker.analysis.law import weak_error_of
from fokker.analysis.order import refine
from fokker.solvers.errors import AnalysisError, InvalidGridError, InvalidPlanError, NonFiniteError
from fokker.solvers.grids import Grid, grid_from_times, uniform_lam
from fokker.solvers.langevin.correctors import Langevin, Mala
from fokker.solvers.langevin.predictor_corrector import corrector_cell, predictor_corrector
from fokker.solvers.langevin.score_sde import (
    AnnealedRule,
    annealed_langevin,
    pc_annealed,
    pc_langevin,
    pc_lml,
    pc_score_sde,
    pc_score_sde_published,
)
from fokker.solvers.langevin.steps import LevelRule, ula_after, ula_variance
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Noise
from fokker.solvers.process import Process
from fokker.solvers.registry import get, samplers
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.toy_models import Gaussian, exact_model, problem

PROCESS = VPLinear()
LAW = Gaussian.from_eigen(
    torch.tensor([0.4, -0.2], dtype=torch.float64),
    torch.eye(2, dtype=torch.float64),
    torch.tensor([1.0, 0.05], dtype=torch.float64),
)
ALL = [pc_langevin, pc_score_sde, pc_score_sde_published, pc_annealed, pc_lml, annealed_langevin]


def grid_of(steps: int, **options: bool) -> Grid:
    return uniform_lam(PROCESS, -3.0, 2.0).grid(steps, **options)


def law_of(sampler, grid: Grid, process: Process = PROCESS, **options) -> FullNormal:
    """Exact law of the output from the exact law at the start."""
    s, model = grid[0], exact_model(LAW, process, "noise")
    eye = torch.eye(2, dtype=torch.float64)
    start = FullNormal(s.alpha * LAW.mean, s.alpha**2 * LAW.cov + s.sigma**2 * eye)

    def execute(x: Tensor, noise) -> Tensor:
        return sampler(model, process, grid, x, noise=noise, **options).x

    return affine_law(execute, start)


def test_a_corrector_alone_keeps_mean_and_ula_variance_at_its_level_exactly():
    """No predictor, two nodes: a hundred steps at the first, read without sampling."""
    process = EDM()
    grid = uniform_lam(process, 0.0, 0.1).grid(1)
    s, snr = grid[0], 0.4
    step = 2 * (snr * s.sigma) ** 2
    for count in (1, 40):

        def execute(model, process, grid, x, *, noise, count=count):
            corrector = Langevin(LevelRule(snr), count)
            return predictor_corrector(
                model, process, grid, x, noise=noise, corrector=corrector, predictor=None
            )

        got = law_of(execute, grid, process)
        torch.testing.assert_close(got.mean, LAW.mean)
        for k, c2 in enumerate((1.0, 0.05)):
            v = c2 + s.sigma**2
            assert float(got.cov[k, k]) == pytest.approx(ula_after(v, v, step, count), rel=1e-9)
    assert float(got.cov[0, 0]) == pytest.approx(ula_variance(2.0, step), rel=1e-4)


def test_a_step_that_shrinks_with_the_grid_solves_the_sde_of_eta_plus_kappa():
    """Weak order 1 towards eta = 2; towards eta = 1 nothing converges: start off the marginal."""
    data, start = eigenbasis(LAW), normal([0.3, 0.3], [0.5, 0.5])
    begin, end = (PROCESS.node_at_lam(lam) for lam in (-1.5, 1.5))
    grids = uniform_lam(PROCESS, -1.5, 1.5)

    def error(eta: float, steps: int) -> float:
        found = box_response(get("pc_langevin"), PROCESS, grids.grid(steps), data)
        seen = weak_error_of(found, data, begin, end, start, eta=eta)
        return math.hypot(seen.mean, seen.var)

    seen = refine(lambda n: error(2.0, n), claim=1.0, floor=1e-14)
    assert seen.verdict(1.0) == "met", seen.slopes
    assert error(1.0, 128) > 5 * error(2.0, 128)


def test_a_step_that_the_level_decides_ends_in_the_law_that_ula_keeps_there_on_any_grid():
    """Its distance from ``v/(1 - e/(2v))`` of the last level halves, that from v does not fall."""
    process, snr = EDM(), 0.5
    truth, kept = [], []
    for steps in (40, 80, 160):
        grid = uniform_lam(process, 0.0, 1.0).grid(steps)
        got = law_of(pc_annealed, grid, process, snr=snr).cov.diagonal()
        s, t = grid[-2], grid[-1]
        want = [c2 + t.sigma**2 for c2 in (1.0, 0.05)]
        ula = [ula_variance(v, 2 * (snr * s.sigma) ** 2) for v in want]
        truth.append([float(g) / v - 1 for g, v in zip(got, want, strict=True)])
        kept.append([abs(float(g) - v) for g, v in zip(got, ula, strict=True)])
    for k in (0, 1):
        assert kept[2][k] < 0.6 * kept[1][k] < 0.36 * kept[0][k]
        assert truth[2][k] > 0.8 * truth[0][k] > 0.03


def test_a_corrector_repairs_a_coarse_predictor_but_twice_the_steps_repair_more():
    """Exact variances of ten steps of reverse diffusion, ten with the published corrector, twenty.

    The published ratio 0.16 at equal evaluations; errors relative to the law at the last level.
    """
    t = grid_of(10)[-1]
    want = t.alpha**2 * LAW.eigenvalues + t.sigma**2

    def gap(steps: int, corrector: Langevin | None) -> float:
        def execute(model, process, grid, x, *, noise):
            return predictor_corrector(model, process, grid, x, noise=noise, corrector=corrector)

        got = law_of(execute, grid_of(steps)).cov.diagonal()
        return float((got / want - 1).abs().max())

    assert gap(10, Langevin(LevelRule(0.16))) < 0.92 * gap(10, None)
    assert gap(20, None) < 0.5 * gap(10, Langevin(LevelRule(0.16)))


def test_data_dependent_steps_are_not_affine():
    with pytest.raises(AnalysisError, match="not affine"):
        law_of(pc_score_sde, grid_of(4))


def test_without_corrector_it_is_the_predictor_bit_for_bit():
    p = problem("product")
    grid = uniform_lam(p.process, -3.0, 2.0).grid(6, to_zero=True)
    x, model = p.starts(5), p.model("noise")
    got = predictor_corrector(model, p.process, grid, x, noise=3, corrector=None)
    plan = get("reverse_diffusion")(p.process, grid)
    truth = run(plan, p.model("score"), x, noise=3).x
    torch.testing.assert_close(got.x, truth)
    assert (got.nfe, got.steps) == (7, 7)


@pytest.mark.parametrize(
    ("sampler", "options", "nfe"),
    [(pc_score_sde, {}, 10), (pc_annealed, {"steps": 3}, 20), (annealed_langevin, {}, 50)],
)
def test_evaluations_are_counted_and_asked_as_often(sampler, options, nfe):
    calls = []
    model = exact_model(LAW, PROCESS, "noise")

    def counted(x: Tensor, t: float) -> Tensor:
        calls.append(t)
        return model(x, t)

    got = sampler(counted, PROCESS, grid_of(5), torch.zeros(2, 2).double(), noise=0, **options)
    assert got.nfe == len(calls) == nfe


def test_mala_in_the_loop_counts_its_own_evaluation_and_keeps_the_density():
    corrector = Mala(lambda x, t: LAW.log_density(x, *_levels(t)), LevelRule(0.9), 2)
    x = torch.zeros(3, 2, dtype=torch.float64)
    model, grid = exact_model(LAW, PROCESS, "noise"), grid_of(5)
    got = predictor_corrector(model, PROCESS, grid, x, noise=0, corrector=corrector)
    assert got.nfe == 5 * 4


def _levels(t: float) -> tuple[float, float]:
    node = PROCESS.node(t)
    return node.alpha, node.sigma


def test_fields_of_one_visit_and_of_neighbours_are_independent_cells():
    s, m, t = (PROCESS.node_at_lam(lam) for lam in (-1.0, 0.0, 1.0))
    cells = [corrector_cell(a, b, j, 4, None) for a, b in ((s, m), (m, t)) for j in range(4)]
    assert len(set(cells)) == 8
    plan = get("ancestral")(PROCESS, Grid((s, m)))
    single = corrector_cell(s, m, 0, 1, plan)
    assert (single.clock, single.kind, single.a) == ("snr^1.0", "H", -1.0)
    zero = grid_of(2, to_zero=True)
    last = [corrector_cell(zero[-2], zero[-1], j, 3, None) for j in range(3)]
    assert all(math.isfinite(c.a) and c.b > c.a for c in last)


def test_the_published_sampler_depends_on_the_batch_and_ours_does_not():
    p = problem("product")
    grid = uniform_lam(p.process, -3.0, 2.0).grid(5)
    x, model = p.starts(6), p.model("noise")
    for sampler, same in ((pc_score_sde, True), (pc_score_sde_published, False)):
        whole = sampler(model, p.process, grid, x, noise=CellNoise(1)).x[:2]
        part = sampler(model, p.process, grid, x[:2], noise=CellNoise(1)).x
        assert (float((whole - part).abs().max()) < 1e-12) == same


def test_annealed_dynamics_takes_the_published_step_at_each_level():
    """At one level: x + a/2 score + sqrt(a) z with a = step sigma^2/sigma_L^2."""
    process = EDM()
    grid = uniform_lam(process, -1.0, 0.0).grid(1)
    model = exact_model(LAW, process, "noise")
    x = torch.ones(1, 2, dtype=torch.float64)
    got = annealed_langevin(model, process, grid, x, noise=4, step=0.3, steps=1).x
    z = CellNoise(4).draw(corrector_cell(grid[0], grid[1], 0, 1, None), x)
    want = x + 0.15 * LAW.score(x, 1.0, grid[0].sigma) + math.sqrt(0.3) * z
    torch.testing.assert_close(got, want)


def test_annealed_dynamics_reaches_the_law_of_its_last_level_and_zero_denoises():
    process = EDM()
    grid = uniform_lam(process, -1.0, 1.5).grid(6)
    got = law_of(annealed_langevin, grid, process, steps=60)
    s = grid[-2]
    want = [ula_variance(c2 + s.sigma**2, 0.1 * s.sigma**2) for c2 in (1.0, 0.05)]
    assert float(got.cov[1, 1]) == pytest.approx(want[1], rel=1e-3)
    assert float(got.cov[0, 0]) == pytest.approx(want[0], rel=0.05)
    clean = law_of(annealed_langevin, grid.with_zero(), process, steps=50)
    assert float(clean.cov[1, 1]) < 0.05  # the data prediction has less variance than the data


@pytest.mark.parametrize("sampler", ALL)
def test_no_noise_and_no_score_are_one_sentence(sampler):
    model, x = exact_model(LAW, PROCESS, "noise"), torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(InvalidPlanError, match="draws noise: give noise"):
        sampler(model, PROCESS, grid_of(3), x)
    flow = RectifiedFlow()
    grid = grid_from_times(flow, [1.0, 0.5, 0.2])
    with pytest.raises(InvalidGridError, match="alpha = 0"):
        sampler(exact_model(LAW, flow, "noise"), flow, grid, x, noise=0)
    with pytest.raises(NonFiniteError, match="not finite at t"):
        sampler(lambda x, _: x * math.nan, PROCESS, grid_of(3), x, noise=0)


def test_predictors_that_are_no_single_step_are_refused():
    model, x = exact_model(LAW, PROCESS, "noise"), torch.zeros(2, 2, dtype=torch.float64)
    for name in ("dpmpp_2m", "sada"):
        with pytest.raises(InvalidPlanError, match=f"'{name}' is not"):
            pc_score_sde(model, PROCESS, grid_of(3), x, noise=0, predictor=name)
    with pytest.raises(InvalidPlanError):
        pc_score_sde(model, PROCESS, grid_of(3), x, noise=0, snr=-1.0)
    with pytest.raises(InvalidPlanError):
        pc_score_sde(model, PROCESS, grid_of(3), x, noise=0, steps=0)
    with pytest.raises(InvalidPlanError, match="step must be"):
        annealed_langevin(model, PROCESS, grid_of(3), x, noise=0, step=0.0)


def single_steps() -> list[str]:
    return [s.name for s in samplers("plan") if s.stochastic and not s.history and s.multiple == 1]


@pytest.mark.parametrize("name", single_steps())
@pytest.mark.parametrize("count", [1, 2])
def test_a_corrector_never_draws_the_noise_of_its_predictor(name: str, count: int):
    """Some predictors read the area of their cell, which is what one corrector field would be."""
    for process in (PROCESS, RectifiedFlow()):
        grid = uniform_lam(process, -1.0, 1.0).grid(2)
        drawn: list[Noise] = []
        for s, t, part in ((grid[0], grid[1], (0, 1)), (grid[1], grid[2], (1, 2))):
            plan = get(name)(process, grid.part(*part))
            drawn += dict.fromkeys(op for op in plan.ops if isinstance(op, Noise))
            drawn += [corrector_cell(s, t, j, count, plan) for j in range(count)]
        assert len(set(drawn)) == len(drawn)


def test_a_predictor_with_areas_carries_on_what_the_corrector_added_and_no_more():
    """A variance gains by the corrector's step in proportion to what the step added at its level.

    Noise that both shared would add a term in the root of the step.
    """
    grid = uniform_lam(PROCESS, -1.0, 0.0).grid(1)
    s, t = grid[0], grid[1]
    sizes = torch.tensor([s.alpha**2 * v + s.sigma**2 for v in (1.0, 0.05)], dtype=torch.float64)

    def variances(**options: Any) -> Tensor:
        return torch.diagonal(law_of(pc_annealed, grid, predictor="sde_weak3", **options).cov)

    alone, gains = variances(snr=1e-9), []
    for snr in (0.2, 0.5):
        e = LevelRule(snr)(sizes, sizes, s, t)
        added = (1 - e / sizes) ** 2 * sizes + 2 * e - sizes
        gains.append((variances(snr=snr) - alone) / added)
    torch.testing.assert_close(*gains, rtol=1e-6, atol=0)
    assert bool((gains[0] > 1e-3).all())


@pytest.mark.parametrize("noise", [1.7, "3", math.nan])
def test_a_seed_that_is_not_whole_is_refused(noise: object):
    p = problem("gaussian")
    with pytest.raises(InvalidPlanError, match="a seed must be a whole number"):
        pc_annealed(p.model("noise"), PROCESS, grid_of(2), p.law.sample(1, seed=0), noise=noise)


def test_a_builder_says_which_options_it_takes_and_takes_no_other():
    accepted = {f: list(signature(f).parameters)[4:] for f in ALL}
    assert accepted[pc_lml] == ["noise", "snr", "steps", "damping", "predictor"]
    assert accepted[pc_langevin] == ["noise", "kappa", "steps", "predictor"]
    assert signature(pc_annealed).parameters["snr"].default == 0.16
    assert pc_annealed.__doc__ is not None
    assert (pc_annealed.__name__, pc_annealed.__module__) == ("pc_annealed", pc_lml.__module__)
    p = problem("gaussian")
    with pytest.raises(TypeError, match=r"pc_annealed\(\) got an unexpected keyword .* 'kappa'"):
        pc_annealed(p.model("noise"), PROCESS, grid_of(2), p.starts(1), noise=0, kappa=1.0)


def test_annealed_dynamics_needs_levels_and_steps_that_are_positive():
    for step, last in ((0.0, 1.0), (1.0, 0.0), (1.0, math.nan)):
        with pytest.raises(InvalidPlanError, match="must be a positive finite number"):
            AnnealedRule(step, last)
