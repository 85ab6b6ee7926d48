"""The weak error at the first power of a nonlinearity: closed forms, and what they can see."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
from numpy.polynomial.hermite_e import HermiteE, hermegauss

from fokker.analysis.gaussian_path import marginal, prediction_of
from fokker.analysis.law import end_node, start_node, weak_error
from fokker.analysis.order import refine
from fokker.analysis.stochastic.perturbed import (
    DATA,
    DEGREES,
    DIRECTION,
    bend,
    drift_factor,
    wave_moment,
)
from fokker.analysis.stochastic.problems import STRETCH
from fokker.analysis.stochastic.rows import nonlinear_rows
from fokker.analysis.stochastic.weak_expansion import (
    OUTPUT,
    WAVES,
    weak_gaps,
    weak_order,
)
from fokker.analysis.testing import assert_weak_order
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.interpret import interpret
from fokker.solvers.model import conversion
from fokker.solvers.ops import Eval, Input, Lin, Noise
from fokker.solvers.plan import Plan, Tape
from fokker.solvers.process import Process
from fokker.solvers.registry import Sampler, get
from fokker.solvers.schedules import VPLinear

PROCESS = VPLinear()
WAVY = wavy_lam(PROCESS, *STRETCH)


def he(n: int, q: np.ndarray) -> np.ndarray:
    """The orthonormal Hermite polynomial."""
    return HermiteE.basis(n)(q) / math.sqrt(math.factorial(n))


@cache
def normals(count: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    x, w = hermegauss(nodes)
    mesh = np.meshgrid(*[x] * count, indexing="ij")
    weights = np.prod(np.meshgrid(*[w / w.sum()] * count, indexing="ij"), 0)
    return np.stack([m.ravel() for m in mesh]), weights.ravel()


# -- the law --------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", DEGREES)
def test_noising_keeps_the_hermite_part_and_the_denoiser_bends_by_its_derivative(degree: int):
    """``E[he_n(a.x_0) | x]``, and ``Cov(x_0, he_n(a.x_0) | x)``, by quadrature."""
    node, x = PROCESS.node_at_lam(0.3), np.array([0.7, -0.4])
    gain = node.alpha * DATA.var / marginal(DATA, node).var
    std = np.sqrt(DATA.var * node.sigma**2 / marginal(DATA, node).var)
    z, w = normals(2, 12)
    x0 = (gain * x)[:, None] + std[:, None] * z
    h = he(degree, DIRECTION @ x0)
    rho, u = bend(node)
    q = np.array(u @ x)
    assert h @ w == pytest.approx(rho**degree * he(degree, q), rel=1e-11)
    bent = drift_factor(node, degree, rho) * he(degree - 1, q) * u
    np.testing.assert_allclose(x0 @ (h * w) - (x0 @ w) * (h @ w), bent, rtol=1e-10)
    assert u**2 @ marginal(DATA, node).var == pytest.approx(1.0)


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_hermite_moments_with_a_wave_are_those_of_quadrature(degree: int):
    root = np.array([[1.1, 0.0], [0.4, 0.6]])
    z, w = normals(2, 40)
    q, y = root @ z
    exact = (he(degree, q) * np.exp(1.4j * y)) @ w
    cov = root @ root.T
    found = wave_moment(degree, cov[0, 1], cov[0, 0] - 1, 1.4, cov[1, 1])
    np.testing.assert_allclose(found, exact, rtol=1e-11)


# -- the coefficient ------------------------------------------------------------------------------


def ends_at(plan: Plan, degree: int, e: complex) -> tuple[np.ndarray, np.ndarray]:
    """``y`` at the end of a plan on the bent law, and its weights: every noise by quadrature."""
    noises = [i for i, op in enumerate(plan.ops) if isinstance(op, Noise)]
    past = [name for name in plan.inputs if name != "x"]
    z, w = normals(2 * (1 + len(noises) + len(past)), 7)
    z = z.reshape(-1, 2, z.shape[1])

    def asked(node, prediction, x):
        rho, u = bend(node)
        bent = drift_factor(node, degree, rho) * he(degree - 1, u @ x)
        out = prediction_of(DATA, node, prediction).gain[:, None] * x
        return out + e * conversion("data", prediction, node)[1] * u[:, None] * bent

    begin, end = start_node(plan), end_node(plan)
    x = np.sqrt(marginal(DATA, begin).var)[:, None] * z[0]
    first, inputs, node = bend(begin), {"x": x}, begin
    for k, name in enumerate(sorted(past)):
        op = plan.ops[plan.inputs[name]]
        assert isinstance(op, Input)
        assert op.prediction
        ratio = op.node.alpha / node.alpha
        std = op.node.sigma * math.sqrt(-math.expm1(2 * (op.node.lam - node.lam)))
        x, node = ratio * x + std * z[1 + k], op.node
        inputs[name] = asked(node, op.prediction, x)
    places = {row: 1 + len(past) + k for k, row in enumerate(noises)}
    out = interpret(
        plan, inputs=inputs, draw=lambda row, _: z[places[row]],
        evaluate=lambda _, op, v: asked(op.node, op.prediction, v),
    )["x"]  # fmt: skip
    weights = w * (1 + e * first.rho**degree * he(degree, first.u @ inputs["x"]))
    return OUTPUT / math.sqrt(OUTPUT**2 @ marginal(DATA, end).var) @ out, weights


@pytest.mark.parametrize(
    ("name", "steps", "warm"),
    [
        ("sa_solver_2", 2, False),
        ("sde_sra1", 1, False),
        ("sde_dpmpp_2m", 1, True),
        ("ddim_eta", 1, False),
    ],
)
def test_the_coefficient_is_the_derivative_of_the_run_itself(name, steps, warm):
    """By a complex step in e, through every noise of the plan: no cancellation, no sampling."""
    sampler, tiny, maps = get(name), 1e-30, wavy_lam(PROCESS, -0.4, 0.2)
    extra = {"history": maps.history(steps, sampler.history)} if warm else {}
    plan = sampler(PROCESS, maps.grid(steps), **extra)
    gaps, end = weak_gaps(plan), end_node(plan)
    for i, degree in enumerate(DEGREES):
        y, w = ends_at(plan, degree, 1j * tiny)
        for j, wave in enumerate(WAVES):
            seen = [np.sum(f(wave * y) * w).imag / tiny for f in (np.cos, np.sin)]
            rho, u = bend(end)
            var = marginal(DATA, end).var
            cov = u * var @ OUTPUT / math.sqrt(OUTPUT**2 @ var)
            exact = rho**degree * wave_moment(degree, np.array(cov), np.array(0.0), wave, 1.0)
            assert gaps[i, j] == pytest.approx(seen[0] + 1j * seen[1] - exact, abs=(1e-7, 1e-5)[j])


# -- what it sees ---------------------------------------------------------------------------------

Forest = tuple[int, int, int]
"""Twice the weight, noises, and vertices with two children or more."""


@cache
def trees(most: int) -> tuple[Forest, ...]:
    """Rooted trees of no more than so many half weights: a noise, or an evaluation on a forest."""
    found = [(1, 1, 0)] if most >= 1 else []
    if most >= 2:
        found += [
            (weight + 2, noises, bent + (count > 1))
            for weight, noises, bent, count in forests(most - 2, most)
        ]
    return tuple(found)


def forests(left: int, cap: int) -> Iterator[tuple[int, int, int, int]]:
    """Multisets of trees, as weight, noises, bent vertices and number of trees."""
    yield 0, 0, 0, 0
    if left < 1:
        return
    kinds = sorted(set(trees(min(left, cap - 1))))

    def grow(first: int, left: int) -> Iterator[tuple[int, int, int, int]]:
        for k in range(first, len(kinds)):
            weight, noises, bent = kinds[k]
            if weight <= left:
                yield weight, noises, bent, 1
                for w, n, b, c in grow(k, left - weight):
                    yield weight + w, noises + n, bent + b, 1 + c

    yield from grow(0, left)


def test_conditions_of_weak_order_three_bend_at_one_vertex_and_those_of_four_at_two():
    even = [(w // 2, bent) for w, noises, bent, _ in forests(8, 9) if noises % 2 == 0]
    assert {w for w, _ in even} == {0, 1, 2, 3, 4}
    assert max(bent for w, bent in even if w <= 3) == 1
    assert max(bent for w, bent in even if w == 4) == 2
    assert max(bent for w, bent in even if w == 1) == 0


def split(sampler: Sampler, power: float) -> Sampler:
    """The same method with ``D(x)`` as ``(D(x + d) + D(x - d))/2``, ``d = h^power x``.

    Equal on every linear law; else wrong by ``h^{2 power}`` in each evaluation.
    """

    def build(process: Process, grid: Grid) -> Plan:
        plan, tape = sampler(process, grid), Tape()
        part, new = (STRETCH[1] - STRETCH[0]) / len(grid), {}
        for i, op in enumerate(plan.ops):
            if isinstance(op, Eval):
                ends = [
                    tape.lin((new[op.source], 1 + sign * 0.5 * part**power)) for sign in (1, -1)
                ]
                answers = [tape.eval(end, op.node, op.prediction) for end in ends]
                new[i] = tape.lin((answers[0], 0.5), (answers[1], 0.5))
            elif isinstance(op, Lin):
                new[i] = tape.lin(*((new[j], w) for j, w in op.terms))
            elif isinstance(op, Noise):
                new[i] = tape.noise(op.clock, op.a, op.b, op.kind)
            else:
                new[i] = tape.input(op.name, op.node)
        for mark in plan.marks:
            tape.mark(new[mark.vector], mark.node)
        return tape.plan(x=new[plan.outputs["x"]])

    return replace(sampler, name=f"{sampler.name}_split", build=build, options={})


@pytest.mark.parametrize(("power", "order"), [(0.5, 1), (1.0, 2), (1.5, 3)])
def test_a_method_that_is_right_on_linear_laws_alone_is_caught(power: float, order: int):
    false = split(get("sde_weak3"), power)

    def on_gaussian(steps: int) -> float:
        return math.hypot(*weak_error(false(PROCESS, WAVY.grid(steps)), DATA, eta=1.0))

    assert refine(on_gaussian, claim=3, floor=1e-13, first=8).verdict(3) == "met"
    seen = weak_order(false, WAVY, claim=order, warm=False)
    assert seen.verdict(order) == "met"
    assert order == 3 or seen.verdict(order + 1) == "not met"


def test_the_assertion_for_other_suites_refuses_it_on_nonlinear_laws_alone():
    false = split(get("sde_sra1"), 0.5)
    assert_weak_order(false, 2, grids=["wavy-lam"])
    with pytest.raises(AssertionError, match="not of weak order 2 on hermite"):
        assert_weak_order(false, 2, grids=["wavy-lam"], nonlinear=True)


@pytest.mark.parametrize("name", ["sa_solver_3", "sa_solver_2_published"])
def test_a_long_memory_is_no_obstacle_and_one_noise_a_step_stops_at_order_two(name: str):
    for warm in (True, False):
        seen = weak_order(get(name), uniform_lam(PROCESS, *STRETCH), claim=2, warm=warm)
        assert seen.verdict(2) == "met"
        assert seen.verdict(3) == "not met"


def test_the_rows_of_a_sampler_with_a_memory_are_all_judged():
    rows = nonlinear_rows(replace(get("sa_solver_2"), strong=None), quick=True)
    assert [(r["claim"], r["problem"], r["verdict"]) for r in rows] == [
        ("weak", "hermite", "met"), ("weak_cold", "hermite", "met")
    ]  # fmt: skip
    false = replace(get("sa_solver_2"), strong=None, weak=3, weak_cold=3)
    assert {r["verdict"] for r in nonlinear_rows(false, quick=True)} == {"not met"}


def test_what_the_expansion_does_not_cover_is_refused():
    order = partial(weak_order, maps=WAVY, claim=2, warm=True)
    with pytest.raises(AnalysisError, match="up to 3, not 4"):
        weak_order(get("sde_weak3"), WAVY, claim=4, warm=False)
    with pytest.raises(AnalysisError, match="no plan"):
        order(get("torchsde_heun_lam"))
    with pytest.raises(AnalysisError, match=r"eta = 1 only, not for 0\.5"):
        order(replace(get("sde_dpmpp_2m"), sde_eta=0.5))
    grid, tape = WAVY.grid(1), Tape()
    tape.input("x-1", PROCESS.node_at_lam(-1.2))
    tape.mark(tape.lin((tape.eval(tape.input("x", grid[0]), grid[0]), 1.0)), grid[1])
    with pytest.raises(AnalysisError, match="'x-1'"):
        weak_gaps(tape.plan(x=3))
    tape = Tape()
    tape.mark(tape.eval(tape.input("x", grid[0]), grid[0], head="other"), grid[1])
    with pytest.raises(AnalysisError, match="'other'"):
        weak_gaps(tape.plan(x=1))
