"""The amount of noise as a function of the level: integrals, marginals, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from fokker.analysis.gaussian_path import eigenbasis, transition
from fokker.analysis.law import response, weak_error
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import Grid
from fokker.solvers.plan import Noise, Plan
from fokker.solvers.plan_algebra import distance
from fokker.solvers.registry import get
from fokker.solvers.samplers.eta_shapes import EtaShape, window, window_of_steps
from fokker.solvers.samplers.step_kernel import StepKernel, step_weights
from fokker.solvers.schedules import RectifiedFlow, VPLinear
from fokker.toy_models.problems import problem
from laws.zoo import constant_data_response, grid_map, grid_of

PROCESS = VPLinear()
SMOOTH = EtaShape((lambda lam: 0.8 + 0.5 * np.sin(lam),))
JUMPS = EtaShape((0.0, 1.3, 0.4), (-0.77, 0.41))
BUMP = EtaShape((0.0, lambda lam: 2.0 * (lam + 0.8) ** 2, 0.2), (-0.8, 0.6))
SHAPES = {"smooth": SMOOTH, "jumps": JUMPS, "bump": BUMP}
TAKERS = [
    "sde_dpmpp_1", "sde_dpmpp_2m", "sde_dpmpp_3m", "sde_dpmpp_2s", "sde_dpmpp_3s",
    "sde_sra1", "sde_shark", "sde_weak3", "sa_solver_2", "sa_solver_3",
]  # fmt: skip

shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
takers = pytest.mark.parametrize("name", TAKERS)


def _eta(shape: EtaShape, lam: float) -> float:
    if shape is SMOOTH:
        return 0.8 + math.sin(lam) / 2
    if shape is JUMPS:
        return 0.0 if lam < -0.77 else 1.3 if lam < 0.41 else 0.4
    return 2 * (lam + 0.8) ** 2 if -0.8 <= lam < 0.6 else 0.2 if lam > 0 else 0.0


def _quad(f: Callable[[float], float], shape: EtaShape, a: float, b: float) -> float:
    cuts = [a, *(e for e in shape.edges if a < e < b), b]
    return math.fsum(quad(f, u, v, epsabs=1e-14, epsrel=1e-13)[0] for u, v in pairwise(cuts))


def _integral(shape: EtaShape, a: float, b: float) -> float:
    return _quad(lambda lam: _eta(shape, lam), shape, a, b)


@shapes
def test_the_integral_of_eta_is_exact_across_jumps(shape):
    for a, b in ((-2.0, 1.5), (-0.9, -0.7), (0.0, 0.5), (-0.5, -0.4)):
        assert shape.total(a, b) == pytest.approx(_integral(shape, a, b), abs=1e-13)


@shapes
def test_weights_are_the_integrals_of_lagrange_polynomials_against_the_kernel(shape):
    s, t = PROCESS.node_at_lam(-0.9), PROCESS.node_at_lam(0.7)
    places = [0.0, -0.6, -1.1]
    found = StepKernel(shape, s, t).weights(places)
    for j, own in enumerate(places):
        others = [p for p in places if p != own]

        def integrand(lam: float, own: float = own, others: list[float] = others) -> float:
            u = (lam - s.lam) / (t.lam - s.lam)
            basis = math.prod((u - p) / (own - p) for p in others)
            kernel = math.exp(lam - t.lam - _integral(shape, lam, t.lam))
            return (1 + _eta(shape, lam)) * kernel * basis

        assert found[j] == pytest.approx(_quad(integrand, shape, s.lam, t.lam), abs=1e-12)


@takers
def test_a_number_and_a_shape_of_that_number_are_one_plan(name):
    grid = grid_of(PROCESS, 5)
    number = get(name)(PROCESS, grid, eta=0.7)
    one = get(name)(PROCESS, grid, eta=EtaShape((0.7,)))
    assert distance(one, number) < 1e-13
    other = get(name)(PROCESS, grid, eta=EtaShape((0.7, 0.8), (0.1,)))
    assert _keeps(other) != pytest.approx(_keeps(number), rel=1e-3)


def _keeps(plan: Plan) -> float:
    return float(constant_data_response(plan)["x"][0])


@takers
@shapes
@pytest.mark.parametrize("steps", [1, 6])
def test_constant_data_are_sampled_exactly_under_every_shape(name, shape, steps):
    for kind in ("uniform", "wavy"):
        grid = grid_map(PROCESS, kind, (-1.5, 1.5)).grid(steps)
        keep, data, *noise = constant_data_response(get(name)(PROCESS, grid, eta=shape))["x"]
        start, end = grid[0], grid[-1]
        variance = keep**2 * start.sigma**2 + math.fsum(np.square(noise))
        assert keep * start.alpha + data == pytest.approx(end.alpha, abs=1e-13)
        assert variance == pytest.approx(end.sigma**2, abs=1e-13)
        kept = math.exp(-_integral(shape, start.lam, end.lam))
        assert keep == pytest.approx(end.sigma / start.sigma * kept, rel=1e-12)


@shapes
def test_the_marginals_of_a_gaussian_are_kept_to_the_order_of_the_sampler(shape):
    data = eigenbasis(problem("gaussian").law)
    for name, order in (("sde_dpmpp_1", 1), ("sde_dpmpp_2m", 2), ("sde_weak3", 3)):
        inside = shape if name != "sde_weak3" else SMOOTH  # stages do not see a jump
        errors = []
        for steps in (40, 80):
            grid = grid_of(PROCESS, steps, "uniform")
            found = weak_error(get(name)(PROCESS, grid, eta=inside), data)
            errors.append(math.hypot(*found))
        assert math.log2(errors[0] / errors[1]) > order - 0.2


def test_a_jump_inside_of_a_step_costs_nothing_when_integrated_and_an_order_when_not():
    """What the end remembers of the start, on a Gaussian: the transition of the SDE itself."""
    data, span = eigenbasis(problem("gaussian").law), (-1.5, 1.5)
    shape = EtaShape((0.2, 1.5, 0.0), (-0.777, 0.413))
    nodes = [PROCESS.node_at_lam(lam) for lam in (span[0], *shape.edges, span[1])]
    exact = np.prod(
        [
            transition(data, a, b, float(v)).gain  # type: ignore[arg-type]
            for a, b, v in zip(nodes, nodes[1:], shape.levels, strict=False)
        ],
        axis=0,
    )

    def error(name: str, steps: int) -> float:
        plan = get(name)(PROCESS, grid_of(PROCESS, steps, "uniform", span), eta=shape)
        return float(np.abs(response(plan, data).start - exact).max())

    for steps in (32, 64, 128):
        assert error("sa_solver_2", steps) < 0.1 * error("sa_solver_2_published", steps)
    assert error("sa_solver_2", 128) < 3e-4
    assert error("sa_solver_2_published", 128) > 3e-3


def test_a_window_is_noise_inside_and_the_ode_outside():
    grid = grid_of(PROCESS, 8, "uniform")
    shape = window(1.0, grid[2].lam, grid[5].lam)
    plan = get("sde_dpmpp_2m")(PROCESS, grid, eta=shape)
    cells = [(op.a, op.b) for op in plan.ops if isinstance(op, Noise)]
    assert cells == [(grid[i].lam, grid[i + 1].lam) for i in (2, 3, 4)]
    same = get("sde_dpmpp_2m")(PROCESS, grid, eta=window_of_steps(grid, 1.0, 2, 5))
    assert distance(plan, same) == 0.0
    assert (
        distance(
            get("sde_dpmpp_2m")(PROCESS, grid, eta=window(0.6, -math.inf, math.inf)),
            get("sde_dpmpp_2m")(PROCESS, grid, eta=0.6),
        )
        < 1e-14
    )
    assert [window(2.0, -1.0, 1.0, outside=0.5).at(x) for x in (-1.1, -1.0, 0.9, 1.0)] == [
        0.5, 2.0, 2.0, 0.5,
    ]  # fmt: skip


def test_the_noise_of_a_smooth_shape_belongs_to_the_clock_of_its_mean():
    grid = grid_of(PROCESS, 4)
    plan = get("sde_dpmpp_1")(PROCESS, grid, eta=lambda lam: 2.0 + lam)
    for op, (s, t) in zip(
        [op for op in plan.ops if isinstance(op, Noise)], grid.steps(), strict=True
    ):
        assert float(op.clock.removeprefix("snr^")) == pytest.approx(2.0 + (s.lam + t.lam) / 2)


def test_euler_maruyama_takes_eta_at_the_start_of_each_step():
    grid, data = grid_of(PROCESS, 4), eigenbasis(problem("gaussian").law)
    parts = [
        get("euler_maruyama")(PROCESS, grid.part(i, i + 1), eta=SMOOTH.at(grid[i].lam))
        for i in range(4)
    ]
    plan = get("euler_maruyama")(PROCESS, grid, eta=SMOOTH)
    start = np.prod([response(part, data).start for part in parts], axis=0)
    assert response(plan, data).start == pytest.approx(start, rel=1e-13)
    errors = [
        math.hypot(
            *weak_error(get("euler_maruyama")(PROCESS, grid_of(PROCESS, n), eta=SMOOTH), data)
        )
        for n in (100, 200)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.1)


def test_noise_from_pure_noise_is_followed_through_a_window_at_the_clean_end():
    flow = RectifiedFlow()
    grid = Grid((flow.node(1.0), *(flow.node_at_lam(v) for v in (-1.0, 0.5, 1.5))))
    for shape in (window(1.0, -2.0, 0.7), window(1.0, 0.0, math.inf), SMOOTH):
        plan = get("sde_dpmpp_2m")(flow, grid, eta=shape)
        keep, data, *noise = constant_data_response(plan)["x"]
        variance = keep**2 * grid[0].sigma ** 2 + math.fsum(np.square(noise))
        assert data == pytest.approx(grid[-1].alpha, abs=1e-13)
        assert variance == pytest.approx(grid[-1].sigma ** 2, abs=1e-13)


def test_what_is_no_shape_is_refused_in_one_sentence():
    grid = grid_of(PROCESS, 4)
    with pytest.raises(InvalidPlanError, match=r"eta must be a finite number >= 0, got -1"):
        EtaShape((1.0, -1.0), (0.0,))
    with pytest.raises(InvalidPlanError, match="increasing edges and one level more"):
        EtaShape((1.0, 2.0), (0.0, 1.0))
    with pytest.raises(InvalidPlanError, match="increasing edges and one level more"):
        EtaShape((1.0, 2.0, 3.0), (1.0, 0.0))
    with pytest.raises(InvalidPlanError, match=r"eta must be .* got nan at lam"):
        get("sde_dpmpp_2m")(PROCESS, grid, eta=lambda lam: lam * math.nan)
    with pytest.raises(InvalidPlanError, match=r"eta must be .* got -\S+ at lam"):
        get("sde_sra1")(PROCESS, grid, eta=lambda lam: np.cos(3 * lam))
    with pytest.raises(InvalidPlanError, match="0 <= first < last <= 4, got 2 and 5"):
        window_of_steps(grid, 1.0, 2, 5)
    with pytest.raises(InvalidPlanError, match="rule of weights must be one of"):
        step_weights(StepKernel(1.0, grid[0], grid[1]), [0.0, -1.0], "guess")
