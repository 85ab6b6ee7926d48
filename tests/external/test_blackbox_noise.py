"""torchsde's solvers on the reverse SDE: coefficients, exact laws, weak and strong orders."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from external.boxes import (
    DATA,
    MEAN,
    NAMES,
    SDES,
    UNIFORM,
    VARIANCES,
    VP,
    WAVY,
    Given,
    line,
    line_model,
    slopes,
    starts,
    strong_error,
)
from fokker.analysis.gaussian_path import marginal
from fokker.solvers.adapters.affine import (
    AffineMap,
    affine_map,
    gaussian_noise_model,
)
from fokker.solvers.adapters.blackbox import BlackBoxRun, run_blackbox
from fokker.solvers.errors import AnalysisError, InvalidLawError
from fokker.solvers.noise import CellNoise, GridPath
from fokker.solvers.registry import get


def moment_error(found: AffineMap, grid) -> float:
    mean, var = found.law(*marginal(DATA, grid[0]))
    true_mean, true_var = marginal(DATA, grid[-1])
    return max(np.abs(mean - true_mean).max(), np.abs(var / true_var - 1).max())


def test_one_euler_step_has_the_coefficients_of_the_reverse_sde_in_both_clocks():
    grid = UNIFORM.grid(1)
    s, t = grid[0], grid[1]
    gain = s.sigma / (s.alpha**2 * VARIANCES + s.sigma**2)  # eps = gain (x - alpha m)
    h = t.lam - s.lam
    rates = {
        "lam": (s.sigma**2, 2 * s.sigma, 2 * s.sigma**2, h),  # VP: dlog alpha/dlam = sigma^2
        "t": (
            -float(VP.f(s.t)), float(VP.g2(s.t)) / s.sigma, float(VP.g2(s.t)), s.t - t.t
        ),
    }  # fmt: skip
    for clock, (a, b, c2, step) in rates.items():
        found = affine_map(get(f"torchsde_euler_{clock}"), VP, grid, MEAN, VARIANCES)
        np.testing.assert_allclose(found.start, 1 + step * (a - b * gain), rtol=1e-12)
        np.testing.assert_allclose(found.offset, step * b * gain * s.alpha * MEAN, rtol=1e-12)
        np.testing.assert_allclose(found.noise[0] ** 2, c2 * step, rtol=1e-12)


@pytest.mark.parametrize("clock", ["lam", "t"])
def test_milstein_is_euler_number_for_number_where_noise_is_additive(clock):
    one, two = (
        run_blackbox(f"torchsde_{m}_{clock}", line_model(), VP, WAVY.grid(7), starts(), noise=1).x
        for m in ("euler", "milstein")
    )
    assert torch.equal(one, two)


@pytest.mark.parametrize("name", [n for n in NAMES if "lsoda" not in n])
def test_impulses_read_the_map_that_the_box_computes(name):
    grid, seed = WAVY.grid(5), CellNoise(3)
    found = affine_map(get(name), VP, grid, MEAN, VARIANCES)
    x = torch.tensor([[0.3, -1.0, 2.0], [0.0, 0.5, 0.1]], dtype=torch.float64)
    model = gaussian_noise_model(VP, MEAN, VARIANCES)
    ran = run_blackbox(name, model, VP, grid, x, noise=seed)
    by_map = found.offset + found.start * x.numpy()
    for cell, coefficient in zip(found.cells, found.noise, strict=True):
        by_map = by_map + coefficient * seed.draw(cell, x).numpy()
    np.testing.assert_allclose(ran.x.numpy(), by_map, rtol=1e-12, atol=1e-12)
    assert found.nfe == ran.nfe
    kinds = {cell.kind for cell in found.cells}
    assert kinds == ({"W", "H"} if "srk" in name else {"W"} if name in SDES else set())


@pytest.mark.parametrize("name", SDES)
def test_weak_and_strong_orders_are_as_claimed_exactly_on_a_gaussian(name):
    sampler, weak, strong = get(name), [], []
    assert sampler.weak == sampler.weak_cold
    for steps in (32, 64):
        grid = WAVY.grid(steps)
        found = affine_map(sampler, VP, grid, MEAN, VARIANCES)
        weak.append(moment_error(found, grid))
        strong.append(strong_error(found, grid))
    seen = 2 if "midpoint" in name else sampler.weak  # a linear denoiser cannot tell midpoint
    assert abs(slopes(weak)[-1] - seen) < 0.2, weak
    seen = 2 if "srk" in name else sampler.strong
    assert abs(slopes(strong)[-1] - seen) < 0.2, strong


@pytest.mark.parametrize("eta", [0.25, 1.0, 2.0])
def test_the_marginals_are_those_of_the_process_for_every_eta(eta):
    grid = UNIFORM.grid(100)
    found = affine_map(get("torchsde_srk_lam"), VP, grid, MEAN, VARIANCES, eta=eta)
    mean, var = found.law(*marginal(DATA, grid[0]))
    true_mean, true_var = marginal(DATA, grid[-1])
    np.testing.assert_allclose(mean, true_mean, atol=1e-3)
    np.testing.assert_allclose(var, true_var, rtol=5e-3)


def test_without_noise_the_sde_is_the_probability_flow_ode():
    errors = []
    for steps in (64, 128):
        grid = UNIFORM.grid(steps)
        found = affine_map(get("torchsde_heun_t"), VP, grid, MEAN, VARIANCES, eta=0.0)
        assert not found.noise.any()
        errors.append(strong_error(found, grid, eta=0.0))
    assert abs(slopes(errors)[0] - 2) < 0.1
    assert errors[-1] < 1e-3


def test_the_exact_strong_error_is_that_of_coarse_noise_written_in_fine_cells():
    fine, coarse, ratio = UNIFORM.grid(256), UNIFORM.grid(16), 16
    best = affine_map(get("torchsde_srk_lam"), VP, fine, MEAN, VARIANCES)
    found = affine_map(get("torchsde_heun_lam"), VP, coarse, MEAN, VARIANCES)
    on_fine = dict.fromkeys(best.cells, 0.0)
    for cell, coefficient in zip(found.cells, found.noise, strict=True):
        inside = [c for c in best.cells if cell.a <= c.a < cell.b and c.kind == "W"]
        assert len(inside) == ratio
        on_fine |= {c: coefficient * math.sqrt((c.b - c.a) / (cell.b - cell.a)) for c in inside}
    gap = np.array([on_fine[c] - k for c, k in zip(best.cells, best.noise, strict=True)])
    mean_s, var_s = marginal(DATA, coarse[0])
    bias = found.offset - best.offset + (found.start - best.start) * mean_s
    by_cells = bias**2 + (found.start - best.start) ** 2 * var_s + (gap**2).sum(0)
    exact = strong_error(found, coarse)
    np.testing.assert_allclose(exact, np.sqrt(by_cells).max(), rtol=2e-3)


@pytest.mark.parametrize("factor", [0.0, -1.0, 0.5])
def test_srk_needs_the_space_time_area_it_is_given(factor):
    """The control of the strong order: with a spoilt area it falls to 1."""

    class Spoilt:
        def __init__(self, noise):
            self.noise = noise

        def draw(self, cell, like):
            value = self.noise.draw(cell, like)
            return value if cell.kind == "W" else factor * value

    def box(model, process, grid, x, *, noise=None) -> BlackBoxRun:
        return run_blackbox("torchsde_srk_lam", model, process, grid, x, noise=Spoilt(noise))

    errors = []
    for steps in (32, 64):
        grid = UNIFORM.grid(steps)
        found = affine_map(box, VP, grid, MEAN, VARIANCES)
        errors.append(strong_error(found, grid))
    assert abs(slopes(errors)[0] - 1) < 0.15, errors


def strong_on_a_line(name: str, counts: tuple[int, ...], samples: int) -> list[float]:
    """Distance to the finest SRK solution on the same path, in RMS over samples."""
    model, finest = line_model(), UNIFORM.grid(4 * counts[-1])
    clock = name.rsplit("_", 1)[1]
    edges = [n.lam if clock == "lam" else n.t for n in finest.nodes]
    path, x = GridPath(edges, seed=5), starts(samples)
    best = run_blackbox(f"torchsde_srk_{clock}", model, VP, finest, x, noise=path).x
    runs = (run_blackbox(name, model, VP, UNIFORM.grid(n), x, noise=path).x for n in counts)
    return [float((out - best).square().mean().sqrt()) for out in runs]


@pytest.mark.parametrize("name", ["torchsde_srk_lam", "torchsde_srk_t", "torchsde_euler_t"])
def test_strong_orders_are_as_claimed_on_a_nonlinear_law(name):
    """One path from a fixed seed: deterministic. A Gaussian would show 2 for SRK."""
    errors = strong_on_a_line(name, (16, 32, 64), 256)
    assert abs(slopes(errors).mean() - (get(name).strong or 0)) < 0.3, errors


class LineLaw:
    """Expectations of the law of a box on a line, without Monte Carlo.

    Backward recursion ``u_k(x) = E u_{k+1}(step_k(x, noise))`` on Chebyshev nodes, the noise
    integrated by Gauss-Hermite rules: one run of the box on one interval, on nodes x noises.
    """

    def __init__(self, name: str, nodes: int = 64, reach: float = 7.0) -> None:
        self.sampler, self.model, self.reach = get(name), line_model(), reach
        angle = np.pi * (np.arange(nodes) + 0.5) / nodes
        self.x = -reach * np.cos(angle)
        self.bary = (-1.0) ** np.arange(nodes) * np.sin(angle)
        (w, p), (h, q) = (np.polynomial.hermite_e.hermegauss(k) for k in (10, 5))
        if "srk" not in name:
            h, q = np.zeros(1), np.ones(1)
        start, w, h = (a.ravel() for a in np.meshgrid(self.x, w, h, indexing="ij"))
        self.start, self.noise = torch.from_numpy(start)[:, None], Given(w, h)
        self.weight = (p[:, None] * q).ravel() / (p.sum() * q.sum())

    def at(self, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        gap = np.clip(y, -self.reach, self.reach)[:, None] - self.x
        gap[gap == 0] = 1e-300
        return (self.bary / gap) @ u / (self.bary / gap).sum(1)

    def expectation(self, test, grid) -> float:
        u = test(self.x)
        for k in range(len(grid) - 1, -1, -1):
            part = grid.part(k, k + 1)
            run = run_blackbox(self.sampler, self.model, VP, part, self.start, noise=self.noise)
            values = self.at(u, run.x[:, 0].numpy()).reshape(len(self.x), -1)
            u = values @ self.weight
        return self.integrate(lambda x: self.at(u, x), grid[0])

    def integrate(self, test, node) -> float:
        x, w = np.polynomial.legendre.leggauss(400)
        x, w = 0.999 * self.reach * x, 0.999 * self.reach * w
        points = torch.from_numpy(x)[:, None]
        return float(
            (test(x) * w) @ line().log_density(points, node.alpha, node.sigma).exp().numpy()
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in SDES if "milstein" not in n])
def test_weak_orders_are_as_claimed_on_a_nonlinear_law(name):
    law, errors = LineLaw(name), []
    for steps in (12, 24):
        grid = WAVY.grid(steps)
        errors.append(abs(law.expectation(np.square, grid) - law.integrate(np.square, grid[-1])))
    assert abs(slopes(errors)[0] - get(name).weak) < 0.35, errors


def test_midpoint_is_of_weak_order_one_on_a_nonlinear_law_although_two_on_a_gaussian():
    def error(name, steps):
        law, grid = LineLaw(name, nodes=40), UNIFORM.grid(steps)
        return abs(law.expectation(np.cos, grid) - law.integrate(np.cos, grid[-1]))

    midpoint = [error("torchsde_midpoint_lam", n) for n in (8, 16)]
    heun = [error("torchsde_heun_lam", n) for n in (8, 16)]
    assert abs(slopes(midpoint)[0] - (get("torchsde_midpoint_lam").weak or 0)) < 0.2, midpoint
    assert slopes(heun)[0] > 1.8, heun


def test_a_box_that_chooses_its_steps_is_not_affine_and_is_refused():
    with pytest.raises(AnalysisError, match="not affine"):
        affine_map(get("scipy_rk45_t"), VP, UNIFORM.grid(2), MEAN, VARIANCES, tol=1e-3)


def test_questions_without_an_answer_are_refused():
    euler, grid = get("torchsde_euler_lam"), UNIFORM.grid(2)
    with pytest.raises(InvalidLawError, match="one length"):
        affine_map(euler, VP, grid, MEAN, VARIANCES[:2])
    with pytest.raises(InvalidLawError, match=">= 0"):
        affine_map(euler, VP, grid, MEAN, -VARIANCES)
