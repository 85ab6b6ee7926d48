"""The three stable classes keep their promises; naive equations and steps do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import kstest

from fokker.solvers.errors import ShapeError
from fokker.solvers.noise import GridPath
from fokker.solvers.ops import Noise
from fokker.solvers.sde.basic import euler_maruyama, milstein
from fokker.solvers.sde.rungekutta import sra1
from fokker.solvers.sde.solve import solve
from fokker.solvers.sde.stable import LogForm, geometric, langevin, linear_noise
from sde_problems import edges

Z = torch.tensor([[1.0, -0.5], [0.3, 2.0], [-1.2, -0.1]], dtype=torch.float64)


def test_the_log_form_is_exact_where_rate_and_noise_are_constant():
    path = GridPath(edges(64), seed=3)
    form = LogForm(lambda _, z: 0 * z + 0.4, lambda _: 0.9, Z)
    for n in (1, 64):
        grid = [edges(64)[0], edges(64)[-1]] if n == 1 else edges(64)
        z = form.back(solve(form.sde, euler_maruyama, grid, form.start, noise=path).x)
        w = path.increment(Noise("t", 0.0, 1.0), Z)[0]
        exact = Z * torch.exp(0.4 - 0.405 + 0.9 * w)
        torch.testing.assert_close(z, exact, rtol=1e-13, atol=1e-13)


def test_the_log_form_and_the_equation_have_one_limit():
    path = GridPath(edges(256), seed=3)

    def gamma(t: float, z: torch.Tensor) -> torch.Tensor:
        return torch.cos(z + t) - z.square()

    def sigma(t: float) -> float:
        return 0.3 + 0.2 * t

    z = Z.repeat(50, 1)
    form = LogForm(gamma, sigma, z)
    fine = form.back(solve(form.sde, sra1, edges(256), form.start, noise=path).x)
    plain = solve(geometric(gamma, sigma), milstein, edges(256), z, noise=path).x
    assert float((fine - plain).square().mean().sqrt()) < 2e-3


def flips(log_form: bool) -> int:
    """Changes of sign in 1e6 steps of 0.5 with noise 2: Euler crosses zero, the log cannot."""
    z = torch.ones(10_000, 1, dtype=torch.float64)
    times = [0.5 * k for k in range(101)]

    def gamma(_: float, z: torch.Tensor) -> torch.Tensor:
        return 1.0 - 0 * z

    signs = [z.sign()]
    if log_form:
        form = LogForm(gamma, lambda _: 2.0, z)
        run = solve(form.sde, euler_maruyama, times, form.start, noise=0, save_at=range(101))
        signs += [form.back(y).sign() for y in run.saved.values()]
    else:
        run = solve(
            geometric(gamma, lambda _: 2.0), euler_maruyama, times, z, noise=0, save_at=range(101)
        )
        signs += [s.sign() for s in run.saved.values()]
    return int((torch.stack(signs).diff(dim=0) != 0).sum())


def test_the_log_form_never_changes_sign_where_euler_does():
    assert flips(log_form=True) == 0
    assert flips(log_form=False) > 1000


@pytest.mark.parametrize(("a", "sigma"), [(1.0, 0.5), (0.1, 0.8)])
def test_the_second_moment_of_linear_noise_grows_or_decays_as_its_exponent_says(
    a: float, sigma: float
):
    """``E z^2 = exp((sigma^2 - 2 a) t)``; Milstein's own factor is known, the bar is 6 errors."""
    z = torch.ones(40_000, 1, dtype=torch.float64)
    n, h = 32, 1 / 32
    grid = [k * h for k in range(n + 1)]
    sde = linear_noise(lambda _, z: -a * z, lambda _: sigma)
    square = solve(sde, milstein, grid, z, noise=5).x.square()
    factor = (1 - a * h) ** 2 + sigma**2 * h + sigma**4 * h**2 / 2
    error = float(square.std()) / len(z) ** 0.5
    assert abs(float(square.mean()) - factor**n) < 6 * error
    assert factor**n == pytest.approx(math.exp(sigma**2 - 2 * a), rel=0.03)
    assert (factor < 1) == (sigma**2 < 2 * a)


def stationary_p_value(sigma_of_law: float) -> float:
    """Kolmogorov-Smirnov against exp(-2 U/s^2), U = (z^2 - 1)^2/4, of 4000 long runs."""
    sde = langevin(lambda z: z - z**3, lambda _: 1.0)
    z = torch.linspace(-1.5, 1.5, 4000, dtype=torch.float64).reshape(-1, 1)
    out = solve(sde, sra1, [0.05 * k for k in range(201)], z, noise=1).x

    def density(u: float) -> float:
        return math.exp(-((u * u - 1) ** 2) / (2 * sigma_of_law**2))

    nodes = np.linspace(-4, 4, 2001)
    values = np.array([density(u) for u in nodes])
    cdf = np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(nodes))])
    cdf /= quad(density, -4, 4)[0]
    return float(kstest(out.flatten().numpy(), lambda v: np.interp(v, nodes, cdf)).pvalue)


def test_langevin_motion_settles_in_its_gibbs_law():
    """False alarm 1e-6; a law of another temperature is refused."""
    assert stationary_p_value(1.0) > 1e-6
    assert stationary_p_value(2.0) < 1e-6


def test_the_logarithm_of_zero_is_refused():
    with pytest.raises(ShapeError, match="starts that are not zero"):
        LogForm(lambda _, z: z, lambda _: 1.0, 0 * Z)
