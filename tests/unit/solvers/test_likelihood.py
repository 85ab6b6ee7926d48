"""Log-densities along the probability-flow ODE against exact ones."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import (
    InvalidGridError,
    InvalidPlanError,
    NonFiniteError,
    PredictionError,
    ShapeError,
)
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.likelihood.density import log_density, sample_with_density
from fokker.solvers.likelihood.divergence import ExactDivergence, Hutchinson, probe_variance
from fokker.solvers.model import Model
from fokker.solvers.process import Process
from fokker.solvers.registry import Sampler, samplers
from fokker.solvers.schedules import EDM, RectifiedFlow, SubVP, VPCosine, VPLinear
from fokker.toy_models.draws import normals
from fokker.toy_models.problems import Problem, problem

TO_1E6 = {"gaussian": 2, "mixture": 2, "product": 2, "digits-gaussian": 2, "digits-mixture": 1}


def grid_of(p: Problem, steps: int = 1) -> Grid:
    return uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)


def points(p: Problem, n: int) -> Tensor:
    """Draws of the law at the last level."""
    eps = torch.from_numpy(normals(n, p.law.dim, seed=4, label="points"))
    return p.end.alpha * p.law.sample(n, seed=3) + p.end.sigma * eps


def start(p: Problem):
    """The exact law at the noise end, as ``start_density``."""
    return lambda z: p.law.log_density(z, p.start.alpha, p.start.sigma)


def truth(p: Problem, x: Tensor) -> Tensor:
    return p.law.log_density(x, p.end.alpha, p.end.sigma)


def worst(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).abs().max())


@pytest.mark.parametrize("name", TO_1E6)
def test_the_log_density_is_exact_to_1e_minus_6(name: str):
    p = problem(name)
    x = points(p, TO_1E6[name])
    found = log_density(
        p.model(), p.process, grid_of(p), x, start_density=start(p),
        sampler="scipy_dop853_lam", tol=3e-9,
    )  # fmt: skip
    assert worst(found.log_density, truth(p, x)) < 1e-6
    assert (found.start, found.end) == (p.start, p.end)


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "flow", "score", "edm"])
def test_any_prediction_gives_the_same_number(prediction: str):
    p = problem("mixture")
    x = points(p, 3)
    found, first = (
        log_density(p.model(kind), p.process, grid_of(p, 8), x, prediction=kind).log_density
        for kind in (prediction, "data")
    )
    torch.testing.assert_close(found, first, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("sampler", "order"),
    [("ddim", 1), ("exp_ab2_data", 2), ("dpm_solver_3", 3), ("rho_rk4", 4), ("exp_rk4_data", 4)],
)
def test_the_log_density_has_the_order_of_the_sampler(sampler: str, order: int):
    p = problem("mixture").cold()
    x = points(p, 8)
    errors = []
    for steps in (64, 128):
        grid = wavy_lam(p.process, p.lam_start, p.lam_end).grid(steps)
        found = log_density(p.model(), p.process, grid, x, start_density=start(p), sampler=sampler)
        errors.append(float((found.log_density - truth(p, x)).square().mean().sqrt()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize(
    "process", [EDM(), RectifiedFlow(), SubVP(), VPCosine()], ids=lambda p: type(p).__name__
)
def test_on_any_process_the_density_at_its_own_level_is_found(process: Process):
    p = problem("gaussian").on(process)
    x = points(p, 3)
    found = log_density(p.model(), p.process, grid_of(p, 100), x, start_density=start(p))
    assert worst(found.log_density, truth(p, x)) < 1e-5


def test_the_prior_of_samplers_costs_exactly_its_own_mismatch():
    """With N(0, I) at the noise end the number is off by log N(z) - log p_start(z), no more."""
    p = problem("mixture")
    x = points(p, 4)
    grid = grid_of(p, 60)
    ours = log_density(p.model(), p.process, grid, x)
    exact = log_density(p.model(), p.process, grid, x, start_density=start(p))
    assert torch.equal(ours.latent, exact.latent)
    z = ours.latent
    var = p.process.prior_std**2
    normal = -0.5 * (z.square().sum(1) / var + 2 * math.log(2 * math.pi * var))
    torch.testing.assert_close(ours.log_start, normal)
    gap = normal - start(p)(z)
    torch.testing.assert_close(ours.log_density - exact.log_density, gap, rtol=1e-9, atol=1e-12)
    assert 1e-4 < float(gap.abs().max()) < 0.1  # seen, and small at lam = -4


def test_it_is_the_density_at_the_last_level_not_that_of_the_data():
    p = problem("gaussian")
    x = points(p, 4)
    found = log_density(p.model(), p.process, grid_of(p, 100), x, start_density=start(p))
    assert worst(found.log_density, truth(p, x)) < 1e-5
    assert worst(found.log_density, p.law.log_density(x)) > 0.05  # sigma_min is seen


def test_samples_come_with_the_same_density_as_when_they_are_asked_back():
    p = problem("product")
    z = p.starts(4)
    grid = grid_of(p, 80)
    made = sample_with_density(p.model(), p.process, grid, z, start_density=start(p))
    assert worst(made.log_density, truth(p, made.x)) < 1e-4
    assert worst(made.x, p.endpoint(z)) < 1e-5
    back = log_density(p.model(), p.process, grid, made.x, start_density=start(p))
    assert worst(back.log_density, made.log_density) < 1e-4
    assert worst(back.latent, z) < 1e-5


@pytest.mark.parametrize("process", [VPLinear(), EDM()], ids=["vp", "edm"])
def test_the_density_of_samples_is_right_on_processes_of_any_scale(process: Process):
    p = problem("gaussian").on(process)
    made = sample_with_density(
        p.model(), p.process, grid_of(p, 80), p.starts(3), start_density=start(p)
    )
    assert worst(made.log_density, truth(p, made.x)) < 2e-5


def test_images_keep_their_shape_and_a_density_is_one_number():
    p = problem("digits-gaussian")
    x = points(p, 2)
    grid = grid_of(p, 10)
    flat = log_density(p.model(), p.process, grid, x)
    image = log_density(p.model(), p.process, grid, x.reshape(2, 1, 8, 8))
    assert image.latent.shape == (2, 1, 8, 8)
    assert torch.equal(image.log_density, flat.log_density)
    assert (image.nfe, image.products) == (40, 64)


@pytest.mark.parametrize("sampler", ["exp_rk4_data", "adams_adaptive", "scipy_dop853_lam"])
def test_a_sample_has_the_same_density_in_any_batch(sampler: str):
    p = problem("mixture")
    x = points(p, 3)
    options: dict[str, Any] = {} if sampler == "exp_rk4_data" else {"tol": 1e-4}
    for ask in (ExactDivergence(), Hutchinson(3)):
        alone = ask if isinstance(ask, ExactDivergence) else Hutchinson(3, sample_ids=[2])
        whole, part = (
            log_density(
                p.model(), p.process, grid_of(p, 8), y, divergence=d, sampler=sampler, **options
            ).log_density
            for y, d in ((x, ask), (x[2:], alone))
        )
        torch.testing.assert_close(whole[2:], part, rtol=1e-12, atol=1e-12)


def closed_divergence(model: Model, x: Tensor, t: Any) -> tuple[Tensor, Tensor]:
    """Of the denoiser of "mixture", ``D = (x + sigma^2 score)/alpha``, without autograd."""
    p = problem("mixture")
    node = p.process.node(float(t))
    curved = p.law.hessian(x, node.alpha, node.sigma).diagonal(dim1=1, dim2=2).sum(1)
    return model(x, t), (x.shape[1] + node.sigma**2 * curved) / node.alpha


def test_the_closed_divergence_of_the_tests_is_that_of_autograd():
    p = problem("mixture")
    for t in (0.1, 0.5, 0.9):
        mine, general = (
            f(p.model(), p.starts(3), t) for f in (closed_divergence, ExactDivergence())
        )
        torch.testing.assert_close(mine, general, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "entry", [s for s in samplers("plan") if not s.stochastic], ids=lambda s: s.name
)
def test_every_deterministic_plan_of_the_registry_integrates_it(entry: Sampler):
    p = problem("mixture")
    x = points(p, 2)
    coarse, fine = (
        log_density(
            p.model(), p.process, grid_of(p, n), x, start_density=start(p), sampler=entry,
            divergence=closed_divergence,
        ).log_density
        for n in (48, 192)
    )  # fmt: skip
    assert worst(fine, truth(p, x)) < 0.1
    assert worst(fine, truth(p, x)) < 0.5 * worst(coarse, truth(p, x))


def test_adaptive_adams_follows_its_tolerance():
    p = problem("mixture")
    x = points(p, 2)
    found = log_density(
        p.model(), p.process, grid_of(p), x, start_density=start(p),
        sampler="adams_adaptive", tol=1e-7,
    )  # fmt: skip
    assert worst(found.log_density, truth(p, x)) < 1e-4
    assert found.nfe < 130


@pytest.mark.parametrize("law", ["rademacher", "gaussian"])
def test_probes_are_unbiased_over_a_solve_with_the_variance_of_one_matrix(law: str):
    """A probe stays in a solve, so the estimate is ``v^T M v`` and has the variance of M.

    Gaussian data: M is the same at every x, and is read off by polarisation from solves with
    given vectors. 3000 probes; bounds of 6 standard errors (false alarm below 1e-8 each).
    """
    p = problem("gaussian")
    n, grid = 3000, grid_of(p, 12)
    x = points(p, 1)
    exact = log_density(p.model(), p.process, grid, x).log_density
    ask = Hutchinson(11, law=law)
    found = log_density(p.model(), p.process, grid, x.expand(n, -1), divergence=ask).log_density
    matrix = path_matrix(p, grid, x)
    var = float(probe_variance(matrix, law))
    assert abs(float(found.mean() - exact)) < 6 * math.sqrt(var / n)
    off = (found - exact).square()
    assert abs(float(off.mean()) - var) < 6 * float(off.std()) / math.sqrt(n)
    assert abs(float(off.mean()) - 4 * var) > 6 * float(off.std()) / math.sqrt(n)  # control


def path_matrix(p: Problem, grid: Grid, x: Tensor) -> Tensor:
    """M with ``estimate = constant + v^T M v``: from the vectors e_i and e_i + e_j."""
    d = p.law.dim

    def value(v: Tensor) -> float:
        def ask(model: Model, x: Tensor, t: Any) -> tuple[Tensor, Tensor]:
            found = torch.func.jvp(lambda y: model(y, t), (x,), (v.expand_as(x).clone(),))
            return found[0], (found[1] * v).sum(1)

        return float(log_density(p.model(), p.process, grid, x, divergence=ask).log_density)

    zero, e = value(torch.zeros(d, dtype=x.dtype)), torch.eye(d, dtype=x.dtype)
    one = [value(e[i]) - zero for i in range(d)]
    out = torch.diag(torch.tensor(one, dtype=x.dtype))
    for i in range(d):
        for j in range(i):
            out[i, j] = out[j, i] = 0.5 * (value(e[i] + e[j]) - zero - one[i] - one[j])
    return out


def test_the_dtype_of_the_points_is_that_of_the_question():
    p = problem("gaussian")
    x, seen = points(p, 2).to(torch.float32), []

    def model(y: Tensor, t: float) -> Tensor:
        seen.append(y.dtype)
        return p.model()(y, t)

    found = log_density(model, p.process, grid_of(p, 60), x, start_density=start(p))
    assert set(seen) == {torch.float32}
    assert found.log_density.dtype == torch.float64
    assert worst(found.log_density, truth(p, x.to(torch.float64))) < 1e-3


def test_each_bad_input_is_one_sentence():
    p = problem("gaussian")
    x, grid, model = points(p, 2), grid_of(p, 2), p.model()

    def ask(model=model, grid=grid, x=x, **options):
        log_density(model, p.process, grid, x, **options)

    with pytest.raises(InvalidGridError, match="this one ends at sigma = 0"):
        ask(grid=grid.with_zero())
    cosine = VPCosine()
    pure = Grid((cosine.node(1.0), cosine.node(0.5)))
    with pytest.raises(InvalidGridError, match="this one begins at alpha = 0"):
        log_density(model, cosine, pure, x)
    with pytest.raises(InvalidPlanError, match="sde_dpmpp_1 draws noise"):
        ask(sampler="sde_dpmpp_1")
    with pytest.raises(PredictionError, match="has no Jacobian"):
        ask(model=lambda y, _: torch.zeros_like(y))
    with pytest.raises(PredictionError, match="unknown prediction 'x0'"):
        ask(prediction="x0")
    with pytest.raises(ShapeError, match=r"one number a sample, shape \(2,\), got \(2, 4\)"):
        ask(start_density=lambda z: z)
    with pytest.raises(ShapeError, match="x must have shape"):
        ask(x=x[0])
    with pytest.raises(NonFiniteError, match="not finite"):
        ask(x=x * math.inf)
    with pytest.raises(NonFiniteError, match="not finite"):
        ask(model=lambda y, _: y * math.nan)


def test_what_a_divergence_of_the_users_own_gives_is_not_broadcast():
    p = problem("gaussian")
    model, x = p.model(), points(p, 3)

    def ask(out: Any, div: Any) -> None:
        own: Any = lambda *_: (out, div)  # noqa: E731
        log_density(model, p.process, grid_of(p), x, divergence=own)

    for div in (torch.tensor(1.0), torch.ones(1), torch.ones(3, 1), 1.0):
        with pytest.raises(ShapeError, match=r"model's divergence must have shape \(3,\), got"):
            ask(x, div)
    with pytest.raises(ShapeError, match=r"model's output must have shape \(3, 4\), got \(1, 4\)"):
        ask(x[:1], torch.ones(3))


def test_a_start_density_that_is_no_number_is_told():
    p = problem("gaussian")
    bad = torch.tensor([0.0, math.nan, -math.inf], dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="start_density is NaN at the latents of samples 1"):
        log_density(p.model(), p.process, grid_of(p), points(p, 3), start_density=lambda _: bad)
    zero = log_density(
        p.model(),
        p.process,
        grid_of(p),
        points(p, 3),
        start_density=lambda _: bad.nan_to_num(0.0, neginf=-math.inf),
    )
    assert float(zero.log_density[2]) == -math.inf  # where the law has no mass
