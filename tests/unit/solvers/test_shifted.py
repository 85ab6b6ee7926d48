"""Processes with a shifted mean: MRS and ResShift are the ordinary samplers in ``w = x - mu``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from fokker.analysis.gaussian_path import Normal, marginal
from fokker.analysis.law import output_law
from fokker.solvers.errors import InvalidPlanError, PredictionError
from fokker.solvers.fitted.dpm_v3 import dpm_v3
from fokker.solvers.fitted.statistics_v3 import gaussian_statistics
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.plan import Plan, Tape
from fokker.solvers.plan_algebra import distance
from fokker.solvers.process import Node
from fokker.solvers.processes.mean_reverting import (
    ConstantTheta,
    CosineTheta,
    LinearTheta,
    MeanReverting,
)
from fokker.solvers.processes.shifted import around, from_velocity, shifted
from fokker.solvers.registry import get
from fokker.solvers.rows import data_row
from fokker.solvers.run import run
from fokker.solvers.samplers.multistep import multistep
from fokker.solvers.samplers.resshift import ResShift
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model

EXACT = 1e-12
PROCESS = MeanReverting(sigma_inf=0.3)
GRID = wavy_lam(PROCESS, -1.5, 3.0).grid(7)
F64 = torch.float64


# -- the samplers of MRS, written from the paper's formulas in x, with their terms in mu ----------

MU = "mu"
Step = Callable[[Tape, Node, Node, int, int, list[tuple[int, Node]]], int]


def mrs(grid: Grid, order: int, prediction: str, steps: Sequence[Step]) -> Plan:
    """Orders 1, 2, ..., ``order``; a step gets ``(tape, s, t, x, mu, outputs newest first)``."""
    tape = Tape()
    x = tape.input("x", grid[0])
    mu = tape.input(MU, grid[0])
    past: list[tuple[int, Node]] = []
    for i, (s, t) in enumerate(grid.steps()):
        past = [(tape.eval(x, s, prediction), s), *past][:order]
        x = tape.mark(steps[min(i, order - 1)](tape, s, t, x, mu, past), t)
    return tape.plan(x=x)


def _steps(s: Node, t: Node, past: list[tuple[int, Node]]) -> tuple[float, list[float]]:
    """``h`` and the ratios of older steps to it."""
    nodes = [s, *(n for _, n in past[1:])]
    h = t.lam - s.lam
    return h, [(a.lam - b.lam) / h for a, b in pairwise(nodes)]


def ode_data(order: int, *, whole: bool, tape, s, t, x, mu, past) -> int:
    """MRS-ODE on the data prediction; ``whole`` is the corrected second difference."""
    h, r = _steps(s, t, past)
    phi1, keep = math.exp(-h) - 1, t.sigma / s.sigma
    phi2 = phi1 / h + 1
    phi3 = phi2 / h - 0.5
    m = [j for j, _ in past]
    terms = [(x, keep), (m[0], -t.alpha * phi1)]
    terms.append((mu, 1 - keep + keep * s.alpha - t.alpha))
    if order == 2:
        terms += [(m[0], t.alpha * phi2 / r[0]), (m[1], -t.alpha * phi2 / r[0])]
    if order == 3:
        d0 = np.array([1.0, -1.0, 0.0]) / r[0]
        d1 = np.array([0.0, 1.0, -1.0]) / r[1]
        second = (d0 - d1) / (r[0] + r[1])
        first = d0 + (d0 - d1) * r[0] / (r[0] + r[1])
        weights = t.alpha * (phi2 * first - phi3 * (2 if whole else 1) * second)
        terms += list(zip(m, weights.tolist(), strict=True))
    return tape.lin(*terms)


def ode_noise(order: int, *, tape, s, t, x, mu, past) -> int:
    """MRS-ODE on the noise prediction."""
    h, r = _steps(s, t, past)
    phi1, keep = math.exp(h) - 1, t.alpha / s.alpha
    m = [j for j, _ in past]
    terms = [(x, keep), (m[0], -t.sigma * phi1), (mu, 1 - keep)]
    if order == 2:
        slope = -t.sigma * (phi1 / h - 1) / r[0]
        terms += [(m[0], slope), (m[1], -slope)]
    return tape.lin(*terms)


def sde_data(order: int, *, tape, s, t, x, mu, past) -> int:
    """MRS-SDE on the data prediction."""
    h, r = _steps(s, t, past)
    phi1 = 1 - math.exp(-2 * h)
    m = [j for j, _ in past]
    xi = tape.noise("snr^1.0", s.lam, t.lam)
    terms = [(x, t.sigma / s.sigma * math.exp(-h)), (m[0], t.alpha * phi1)]
    terms += [(xi, t.sigma * math.sqrt(phi1))]
    terms += [(mu, 1 - t.alpha / s.alpha * math.exp(-2 * h) - t.alpha * phi1)]
    if order == 2:
        slope = t.alpha * (1 - phi1 / (2 * h)) / r[0]
        terms += [(m[0], slope), (m[1], -slope)]
    return tape.lin(*terms)


def _ladder(row: Callable, order: int, **options) -> list[Step]:
    def step(k: int) -> Step:
        return lambda tape, s, t, x, mu, past: row(
            k, tape=tape, s=s, t=t, x=x, mu=mu, past=past, **options
        )

    return [step(k) for k in range(1, order + 1)]


def sde_2m_exact(process, grid) -> Plan:
    return multistep(process, grid, order=2, row=partial(data_row, eta=1.0))


def ode_2m_exact(process, grid) -> Plan:
    return multistep(process, grid, order=2)


E9 = {
    "ODE-1": (get("ddim"), "data", 1, _ladder(ode_data, 1, whole=True)),
    "ODE-2": (ode_2m_exact, "data", 2, _ladder(ode_data, 2, whole=True)),
    "ODE-3 published": (
        get("dpmpp_3m_published"), "data", 3, _ladder(ode_data, 3, whole=False),
    ),
    "ODE-3 corrected": (get("dpmpp_3m"), "data", 3, _ladder(ode_data, 3, whole=True)),
    "ODE-1 noise": (get("exp_ab1_noise"), "noise", 1, _ladder(ode_noise, 1)),
    "ODE-2 noise": (get("exp_ab2_noise"), "noise", 2, _ladder(ode_noise, 2)),
    "SDE-1": (get("sde_dpmpp_1"), "data", 1, _ladder(sde_data, 1)),
    "SDE-2": (sde_2m_exact, "data", 2, _ladder(sde_data, 2)),
}  # fmt: skip


def only_x(plan: Plan) -> Plan:
    return Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)


@pytest.mark.parametrize("name", E9)
@pytest.mark.parametrize("process", [PROCESS, ResShift()], ids=["reverting", "resshift"])
def test_e9_every_sampler_of_mrs_is_an_ordinary_one_in_w_with_its_terms_in_mu(name, process):
    build, prediction, order, steps = E9[name]
    grid = wavy_lam(process, -1.5, 3.0).grid(7)
    printed = mrs(grid, order, prediction, steps)
    ours = only_x(around(build(process, grid)))
    assert distance(ours, printed) < EXACT
    wrong = mrs(grid, order, prediction, [_forgets_mu(s) for s in steps])
    assert distance(ours, wrong) > 1e-3


def _forgets_mu(step: Step) -> Step:
    return lambda tape, s, t, x, mu, past: tape.lin(
        (step(tape, s, t, x, mu, past), 1.0), (mu, 1e-2)
    )


def test_the_third_order_of_mrs_as_published_is_not_the_corrected_one():
    published, corrected = (only_x(around(get(n)(PROCESS, GRID))) for n in _THIRD)
    assert distance(published, corrected) > 1e-3


_THIRD = ("dpmpp_3m_published", "dpmpp_3m")


def network(x: torch.Tensor, t: float) -> torch.Tensor:
    """Some smooth nonlinear function of x and t."""
    return torch.tanh(1.3 * x + 0.4) + 0.2 * math.cos(3 * t) * x.flip(1)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_3m", "unipc_3", "ancestral", "exp_ab3_noise"])
def test_the_plan_around_mu_is_the_shifted_model_on_the_shifted_state(name):
    entry = get(name)
    plan = entry(PROCESS, GRID)
    generator = torch.Generator().manual_seed(0)
    x, mu = torch.randn(2, 5, 3, generator=generator, dtype=F64)
    in_w = run(plan, shifted(network, mu, entry.prediction), x - mu, noise=1).x + mu
    in_x = run(around(plan), network, x, noise=1, history={"mu": mu}).x
    torch.testing.assert_close(in_x, in_w, rtol=1e-11, atol=1e-11)
    assert (in_x - run(plan, network, x, noise=1).x).abs().max() > 1e-3


def test_predictions_without_a_meaning_in_x_are_refused():
    with pytest.raises(PredictionError, match="'flow'"):
        shifted(network, 0.0, "flow")
    with pytest.raises(InvalidPlanError, match="mu"):
        around(around(get("ddim")(PROCESS, GRID)))


def test_the_velocity_of_mrs_is_that_of_w_over_s_and_scaled_by_s():
    """Against ``v = dw/dphi`` by differences: sigma = s sin phi, alpha = cos phi."""
    s, mu = PROCESS.sigma_inf, 0.4
    data, eps = torch.tensor([[0.7, -0.2]], dtype=F64), torch.tensor([[0.3, 1.1]], dtype=F64)

    def w_at(phi: float) -> torch.Tensor:
        return math.cos(phi) * data + s * math.sin(phi) * eps

    for t in (0.1, 0.4, 0.9):
        node = PROCESS.node(t)
        phi = math.asin(node.sigma / s)
        velocity = (w_at(phi + 1e-6) - w_at(phi - 1e-6)) / 2e-6
        seen = from_velocity(lambda _x, _t, v=velocity: v, PROCESS, mu, s)
        torch.testing.assert_close(seen(w_at(phi), t), data, rtol=1e-9, atol=1e-9)
        usual = node.alpha * eps - node.sigma * data
        assert (velocity - usual).abs().max() > 1e-2
    with pytest.raises(PredictionError, match="needs alpha"):
        from_velocity(network, ResShift(), mu, s)(data, 0.5)


# -- the mean-reverting process -------------------------------------------------------------------


@pytest.mark.parametrize("theta", [ConstantTheta(), LinearTheta(), CosineTheta()])
def test_the_marginals_are_those_of_the_published_sde(theta):
    """``d mean/dt = theta (mu - mean)``, ``d var/dt = 2 theta (s^2 - var)``, by Runge-Kutta."""
    p, mu, x0 = MeanReverting(sigma_inf=0.2, theta=theta), 0.7, -0.4
    scale, n = -math.log(p.last), 4000

    def slope(t: float, m: float, v: float) -> tuple[float, float]:
        rate = scale * float(theta.rate(np.array(t)))
        return rate * (mu - m), 2 * rate * (p.sigma_inf**2 - v)

    m, v, h = x0, 0.0, 1.0 / n
    for i in range(n):
        t = i * h
        a = slope(t, m, v)
        b = slope(t + h / 2, m + h / 2 * a[0], v + h / 2 * a[1])
        m, v = m + h * b[0], v + h * b[1]
        if i + 1 in (n // 10, n // 2, n):
            node = p.node((i + 1) / n)
            assert mu + node.alpha * (x0 - mu) == pytest.approx(m, rel=1e-5)
            assert node.sigma**2 == pytest.approx(v, rel=1e-5)


def test_theta_and_its_inverse_agree_down_to_the_smallest_times():
    t = np.array([0.0, 1e-12, 1e-8, 1e-4, 0.01, 0.3, 0.999, 1.0])
    for theta in (ConstantTheta(), LinearTheta(), CosineTheta(), CosineTheta(0.3)):
        np.testing.assert_allclose(theta.inverse(theta.integral(t)), t, rtol=1e-12, atol=0)
        assert float(theta.integral(np.array(1.0))) == pytest.approx(1.0, rel=1e-15)


def test_on_a_conditional_gaussian_the_ordinary_orders_are_seen():
    """Slopes 1, 2, 3 of MRS-ODE on ``x_0 | mu`` Gaussian; Euler-Maruyama in x has 1, weakly."""
    data = Normal(np.array([0.3]), np.array([0.05]))

    def error(name: str, steps: int) -> float:
        grid = uniform_lam(PROCESS, -0.5, 3.0).grid(steps)
        found = output_law(get(name)(PROCESS, grid), data)
        truth = marginal(data, grid[-1])
        return float(np.abs(found.mean - truth.mean).sum() + np.abs(found.var - truth.var).sum())

    orders = {"ddim": 1, "dpmpp_2m": 2, "exp_ab3_data_rkstart": 3, "sde_dpmpp_1": 1}
    for name, order in orders.items():
        slope = math.log2(error(name, 64) / error(name, 128))
        assert slope == pytest.approx(order, abs=0.2), name
    slope = math.log2(error("euler_maruyama", 1024) / error("euler_maruyama", 2048))
    assert slope == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("process", [PROCESS, MeanReverting(last=0.05), ResShift()])
def test_with_the_statistics_of_a_gaussian_one_step_of_mrs_is_exact(process, order):
    """``x_0 | mu ~ N(m, diag c^2)``: DPM-Solver-v3 in w, and the same plan written in x."""
    m, var = np.array([0.5, -0.3, 0.8]), np.array([0.4, 0.05, 0.002])
    mu = torch.tensor([[0.2, 0.6, -0.1]], dtype=F64)
    law = Gaussian.from_eigen(
        torch.from_numpy(m) - mu[0], torch.eye(3, dtype=F64), torch.from_numpy(var)
    )  # of w
    in_w = exact_model(law, process)

    def restorer(x: torch.Tensor, t: float) -> torch.Tensor:
        return in_w(x - mu, t) + mu

    statistics = gaussian_statistics(m - mu[0].numpy(), var)
    t0 = 0.9 * process.t_max
    start = process.node(t0)
    grid = Grid((start, process.node_at_lam(start.lam + 5.0)))
    x = mu + start.sigma * torch.randn(8, 3, generator=torch.Generator().manual_seed(3)).to(F64)
    ends = [(n.alpha, n.sigma) for n in grid.nodes]
    truth = mu + law.flow(x - mu, *ends)
    plan = dpm_v3(process, grid, order=order, statistics=statistics)
    for found in (
        run(plan, shifted(restorer, mu), x - mu).x + mu,
        run(around(plan), restorer, x, history={"mu": mu.expand_as(x)}).x,
    ):
        torch.testing.assert_close(found, truth, rtol=0, atol=1e-8)
    plain = dpm_v3(process, grid, order=order)  # no statistics: no fixed parameterisation does
    assert (run(plain, shifted(restorer, mu), x - mu).x + mu - truth).abs().max() > 0.05
