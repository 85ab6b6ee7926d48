"""Samplers whose stages see the path: the order conditions, and why each of them is needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch

from fokker.analysis.gaussian_path import eigenbasis
from fokker.analysis.law import weak_error
from fokker.analysis.paired import paired_error
from fokker.analysis.path_order import MonteCarloPath
from fokker.analysis.stochastic import weak
from fokker.analysis.strong import strong_error
from fokker.solvers.process import Array, Node
from fokker.solvers.registry import Sampler, get
from fokker.solvers.run import run
from fokker.solvers.samplers.onestep import KUTTA3
from fokker.solvers.samplers.step_kernel import StepKernel
from fokker.solvers.samplers.stochastic_rk import (
    Scheme,
    Stages,
    exact_law,
    shark_stages,
    snr_stages,
    sra1_stages,
    stage_plan,
    weak3_stages,
)
from fokker.toy_models.problems import problem
from laws.measuring import PROCESS, SPAN, flow_problem, line
from laws.zoo import grid_map, grid_of

SCHEMES: dict[str, Scheme] = {
    "sra1": sra1_stages, "snr": snr_stages, "shark": shark_stages, "weak3": weak3_stages,
}  # fmt: skip
TINY = 1e-5


def _limit(scheme: Scheme) -> tuple[Array, Array, Array, Array]:
    """``c, a, b`` and what the stages see of (W, zeta), for a step of length 1, as h -> 0."""
    kernel = StepKernel(1.0, PROCESS.node_at_lam(0.0), PROCESS.node_at_lam(TINY))
    c, rows, b, sees = scheme(kernel)
    a = np.zeros((len(c), len(c)))
    for i, row in enumerate(rows):
        a[i, : len(row)] = row
    root = math.sqrt(2 * TINY)  # sigma^2 (1 - e^{-2 eta h}) is the variance of the whole step
    return np.array(c), a / (2 * TINY), np.array(b) / (2 * TINY), np.array(sees) / root


def _conditions(scheme: Scheme) -> dict[str, float]:
    """How far each condition is from being met, at the limit of small steps."""
    c, a, b, theta = _limit(scheme)
    cov, beta = theta @ theta.T, theta[:, 0]
    var = np.diag(cov)
    gaps = {
        "order 1": b.sum() - 1,
        "order 2": b @ c - 1 / 2,
        "order 3": b @ c**2 - 1 / 3,
        "order 3, nested": b @ a @ c - 1 / 6,
        "rows": float(np.abs(a.sum(1) - c).max()),
        "weak 2, W": b @ beta - 1 / 2,
        "weak 2, curvature": b @ var - 1 / 2,
        "strong 1.5, area": float(np.abs(b @ theta - (1 / 2, 1 / math.sqrt(12))).max()),
        "weak 3, area": b @ cov @ b - 1 / 3,
        "weak 3, fourth": b @ var**2 - 1 / 3,
        "weak 3, third": b @ (var * beta) - 1 / 3,
        "weak 3, square": b @ beta**2 - 1 / 3,
        "weak 3, time": b @ (var * c) - 1 / 3,
        "weak 3, W and time": b @ (beta * c) - 1 / 3,
        "weak 3, child": b @ a @ var - 1 / 6,
        "weak 3, parent and child": float((b[:, None] * a * cov).sum() - 1 / 6),
        "weak 3, child and W": b @ a @ beta - 1 / 6,
    }
    return {name: float(gap) for name, gap in gaps.items()}


WEAK2 = ("order 1", "order 2", "weak 2, W", "weak 2, curvature", "rows")
STRONG = (*WEAK2, "strong 1.5, area")


def test_each_scheme_meets_the_conditions_of_its_orders_and_no_more():
    for name, scheme in SCHEMES.items():
        gaps = _conditions(scheme)
        needed = tuple(gaps) if name == "weak3" else STRONG
        assert max(abs(gaps[k]) for k in needed) < 1e-4, (name, gaps)
        if name != "weak3":
            assert abs(gaps["order 3, nested"]) > 0.1


def test_sra1_is_roesslers_table_in_the_limit():
    c, a, b, theta = _limit(sra1_stages)
    assert c == pytest.approx([0, 3 / 4])
    assert a[1] == pytest.approx([3 / 4, 0], abs=1e-4)
    assert b == pytest.approx([1 / 3, 2 / 3], abs=1e-4)
    # the second stage sees 3/2 of I_10/h = W/2 + zeta/sqrt(12)
    assert theta[1] == pytest.approx([3 / 4, 3 / 2 / math.sqrt(12)], abs=1e-4)


def test_sra1_in_the_snr_is_roesslers_table_at_any_step():
    """``dy = D du + dW_u``, ``u = e^{2 lam}``, ``y = x e^{lam}/sigma``, written out."""
    s, t = PROCESS.node_at_lam(-0.6), PROCESS.node_at_lam(0.5)
    c, rows, b, sees = snr_stages(StepKernel(1.0, s, t))
    u = [math.exp(2 * lam) for lam in (s.lam, t.lam)]
    du = u[1] - u[0]
    middle = PROCESS.node_at_lam(s.lam + c[1] * (t.lam - s.lam))
    assert math.exp(2 * middle.lam) == pytest.approx(u[0] + 0.75 * du, rel=1e-12)

    def back(node: Node) -> float:  # x = y sigma e^{-lam}, over alpha for outputs
        return node.sigma * math.exp(-node.lam) / node.alpha

    assert rows[1][0] == pytest.approx(0.75 * du * back(middle), rel=1e-12)
    assert b == pytest.approx([du / 3 * back(t), 2 * du / 3 * back(t)], rel=1e-12)
    root = math.sqrt(du) * math.exp(-middle.lam)
    assert sees[1] == pytest.approx([0.75 * root, 1.5 / math.sqrt(12) * root], rel=1e-12)


def test_shark_is_the_printed_table_in_the_limit():
    c, _, b, theta = _limit(shark_stages)
    assert c == pytest.approx([0, 5 / 6])
    assert b == pytest.approx([2 / 5, 3 / 5], abs=1e-4)
    area = 1 / math.sqrt(12)
    assert theta == pytest.approx(np.array([[0, area], [5 / 6, area]]), abs=1e-4)


def test_the_weak_third_order_scheme_is_kuttas_rule_with_its_midpoint_split():
    _, a, b, theta = _limit(weak3_stages)
    assert (b[0], b[1] + b[2], b[3]) == pytest.approx(KUTTA3.b, abs=1e-4)
    assert (a[3, 0], a[3, 1] + a[3, 2]) == pytest.approx(KUTTA3.a[2], abs=1e-4)
    assert theta[1] == pytest.approx([1 / 2, 1 / 2], abs=1e-4)
    assert theta[2] == pytest.approx([1 / 2, -1 / 2], abs=1e-4)


def test_a_stage_has_the_exact_law_of_the_path_and_its_correlation_with_the_end():
    s, t = PROCESS.node_at_lam(-1.0), PROCESS.node_at_lam(0.3)
    for eta in (0.4, 1.0, 2.0):
        kernel = StepKernel(eta, s, t)
        for c in (0.25, 0.75, 1.0):
            w, h = exact_law(kernel, c)
            # y = x e^{eta lam}/sigma has the Brownian motion v = e^{2 eta lam}
            v = [math.exp(2 * eta * lam) for lam in (s.lam, kernel.lam(c), t.lam)]
            assert w**2 + h**2 == pytest.approx((v[1] - v[0]) / v[1], rel=1e-12)
            end = exact_law(kernel, 1.0)[0]
            covariance = (v[1] - v[0]) / math.sqrt(v[1] * v[2])
            assert w * end == pytest.approx(covariance, rel=1e-12)


# -- what a Gaussian sees, and what it does not ---------------------------------------------------


def _kutta(see: Callable[[StepKernel], tuple[float, float]]) -> Scheme:
    """Kutta's rule with one midpoint that sees the path in some way."""

    def scheme(kernel: StepKernel) -> Stages:
        half, whole = (float(kernel.weights([0.0], c)[0]) for c in (0.5, 1.0))
        b1, middle, b3 = map(float, kernel.weights([0.0, 0.5, 1.0]))
        sees = ((0.0, 0.0), see(kernel), exact_law(kernel, 1.0))
        return Stages((0.0, 0.5, 1.0), ((), (half,), (-whole, 2 * whole)), (b1, middle, b3), sees)

    return scheme


def _exact_midpoint(kernel: StepKernel) -> tuple[float, float]:
    return exact_law(kernel, 0.5)


def _exact_area(kernel: StepKernel) -> tuple[float, float]:
    """The area so that ``sum b theta = W/2 + H``; the variance of the stage is then 7/16."""
    w, h = exact_law(kernel, 0.5)
    return w, h * math.sqrt(3) / 2


def _entry(scheme: Scheme) -> Sampler:
    return Sampler(
        name="tried", build=lambda process, grid: stage_plan(process, grid, scheme, 1.0),
        nfe=lambda n: 0 * n, prediction="data", source="here", weak=1, weak_cold=1, sde_eta=1.0,
    )  # fmt: skip


def _slopes(errors: Sequence[float]) -> list[float]:
    return [math.log2(a / b) for a, b in pairwise(errors)]


def _on_gaussian(scheme: Scheme) -> float:
    data, errors = eigenbasis(problem("gaussian").law), []
    for steps in (64, 128):
        plan = stage_plan(PROCESS, grid_of(PROCESS, steps), scheme, 1.0)
        errors.append(math.hypot(*weak_error(plan, data, eta=1.0)))
    return _slopes(errors)[-1]


def _on_a_line(scheme: Scheme, steps: tuple[int, ...] = (8, 16)) -> float:
    maps = grid_map(PROCESS, "uniform", SPAN)
    errors = [weak.weak_error(_entry(scheme), line(), maps, n)[0] for n in steps]
    return _slopes(errors)[-1]


def test_weak_order_3_is_there_on_a_gaussian_and_on_a_nonlinear_law():
    assert _on_gaussian(weak3_stages) > 2.9
    assert _on_a_line(weak3_stages) > 2.7
    assert 1.8 < _on_a_line(sra1_stages) < 2.3


def test_the_exact_path_at_one_midpoint_is_not_enough_for_weak_order_3():
    """Every stage has the exact law of the path; the area of the quadrature is too large."""
    gaps = _conditions(_kutta(_exact_midpoint))
    assert abs(gaps["weak 3, area"]) > 0.02
    assert max(abs(gaps[k]) for k in WEAK2) < 1e-4
    assert _on_gaussian(_kutta(_exact_midpoint)) < 2.2


def test_a_gaussian_sees_weak_order_3_where_a_nonlinear_law_sees_1():
    """Kutta's rule with the exact area: its midpoint varies too little for a curved drift."""
    scheme = _kutta(_exact_area)
    assert abs(_conditions(scheme)["weak 2, curvature"]) > 0.02
    assert _on_gaussian(scheme) > 2.8
    assert _on_a_line(scheme, (16, 32)) < 1.6


def test_strong_order_2_on_a_gaussian_is_one_and_a_half_where_the_drift_is_curved():
    """``D = 0.3 cos 12 x``: curvature rules from the first step on; one path for all grids."""
    data, maps = eigenbasis(problem("gaussian").law), grid_map(PROCESS, "uniform", (-0.2, 0.2))
    generator = torch.Generator().manual_seed(0)
    x = 0.3 * torch.randn(400, 1, generator=generator, dtype=torch.float64)
    path = MonteCarloPath.random(maps.grid(128), tuple(x.shape), seed=1)

    def curved(x: torch.Tensor, _t: object) -> torch.Tensor:
        return 0.3 * torch.cos(12 * x)

    for name in ("sde_sra1", "sde_weak3"):
        build = get(name)
        plans = [build(PROCESS, grid_of(PROCESS, n)) for n in (64, 128)]
        exact = [strong_error(plan, data, eta=1.0).rms for plan in plans]
        assert _slopes(exact)[-1] > 1.9
        ends = [
            run(build(PROCESS, maps.grid(n)), curved, x, noise=path).x for n in (8, 16, 64, 128)
        ]
        gaps = [float((ends[i] - ends[i + 1]).square().mean().sqrt()) for i in (0, 2)]
        # 3 octaves; the standard error of the slope is 0.03 by other seeds
        assert 1.25 < math.log2(gaps[0] / gaps[1]) / 3 < 1.7


@pytest.mark.parametrize(("name", "order"), [("sde_weak3", 3), ("sde_sra1", 2)])
def test_without_noise_they_are_exponential_runge_kutta_rules_of_the_ode(name, order):
    entry, maps = get(name), grid_map(PROCESS, "wavy", SPAN)
    ode = Sampler(
        name="ode", build=lambda process, grid: entry(process, grid, eta=0.0),
        nfe=entry.nfe, prediction="data", source="here",
    )  # fmt: skip
    error = paired_error(ode, flow_problem("product"), maps, warm=False)
    assert _slopes([error(64), error(128)])[-1] == pytest.approx(order, abs=0.3)
    if name == "sde_weak3":  # the two midpoints are one
        assert ode.build(PROCESS, maps.grid(4)).nfe == 3 * 4
