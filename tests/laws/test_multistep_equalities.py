"""Multistep and single-step methods in lam, in rho and in t are the tables that were printed.

E3 to E6 and E13 of the sixteen equalities (``test_equalities.py`` lists them all), and the printed
form of each method, with plain exponentials or by another library's quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.integrate import quad

from fokker.solvers.grids import grid_from_sigmas
from fokker.solvers.plan import Tape
from fokker.solvers.plan_algebra import canonical, distance
from fokker.solvers.process import Node
from fokker.solvers.registry import get
from fokker.solvers.samplers.onestep import one_step
from fokker.solvers.samplers.predictor_corrector import unipc
from laws.by_hand import Row, multistep_by_hand, on_grids, on_processes, same
from laws.zoo import PROCESSES, grid_map, grid_of
from tolerances import EXACT

# -- E3 .. E5: multistep in lam -----------------------------------------------------------------


def _steps(nodes: Sequence[Node], t: Node) -> tuple[float, float, float]:
    """``(h, sigma_t/sigma_s, e^{-h})`` of the step from the newest node to t."""
    h = t.lam - nodes[0].lam
    return h, t.sigma / nodes[0].sigma, math.exp(-h)


def _two_m(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
    """DPM-Solver++(2M), Alg. 2: ``D = (1 + 1/2r) D_0 - D_1/2r``, r = h_last/h."""
    h, ratio, decay = _steps(nodes, t)
    if len(nodes) == 1:
        return ratio, [t.alpha * (1 - decay)]
    r = (nodes[0].lam - nodes[1].lam) / h
    return ratio, [t.alpha * (1 - decay) * w for w in (1 + 1 / (2 * r), -1 / (2 * r))]


def _exact_two(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
    """The same with the slope exact: ``1 - (1 - e^{-h})/h`` in place of ``(1 - e^{-h})/2``."""
    h, ratio, decay = _steps(nodes, t)
    if len(nodes) == 1:
        return ratio, [t.alpha * (1 - decay)]
    slope = (1 - (1 - decay) / h) * h / (nodes[0].lam - nodes[1].lam)
    return ratio, [t.alpha * (1 - decay + slope), -t.alpha * slope]


def _three(second: float) -> Row:
    """Third-order multistep update in divided differences; ``second`` scales D2."""

    def row(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
        if len(nodes) < 3:
            return _exact_two(nodes, t)
        h, ratio, decay = _steps(nodes, t)
        r0 = (nodes[0].lam - nodes[1].lam) / h
        r1 = (nodes[1].lam - nodes[2].lam) / h
        d0, d10, d11 = np.eye(3)[0], np.array([1, -1, 0]) / r0, np.array([0, 1, -1]) / r1
        d1 = d10 + r0 / (r0 + r1) * (d10 - d11)
        d2 = (d10 - d11) / (r0 + r1)
        p1 = 1 - (1 - decay) / h
        p2 = 0.5 - p1 / h
        return ratio, list(t.alpha * ((1 - decay) * d0 + p1 * d1 + second * p2 * d2))

    return row


@on_grids
@on_processes
@pytest.mark.parametrize(
    ("name", "count", "row"),
    [
        ("dpmpp_2m", 2, _two_m),
        ("exp_ab2_data", 2, _exact_two),
        ("dpmpp_3m", 3, _three(2.0)),
        ("exp_ab3_data", 3, _three(2.0)),
        ("dpmpp_3m_published", 3, _three(1.0)),
    ],
)
def test_e3_e4_e5_multistep_tables_are_the_printed_ones(process, kind, name, count, row):
    grid = grid_of(process, 7, kind)
    assert same(get(name)(process, grid), multistep_by_hand(grid, count, "data", row))


@on_grids
@on_processes
def test_e3_2m_is_unip_2_with_b2_and_not_with_b1(process, kind):
    maps = grid_map(process, kind)
    history, grid = maps.history(4, 1), maps.grid(4).part(0, 1)
    two_m = get("dpmpp_2m")(process, grid, history=history)
    assert same(two_m, unipc(process, grid, order=2, rule="B2", history=history))
    assert not same(two_m, unipc(process, grid, order=2, rule="B1", history=history))
    assert not same(two_m, get("exp_ab2_data")(process, grid, history=history))


@on_grids
@on_processes
def test_e5_unip_3_is_exponential_adams_bashforth_3_for_any_b(process, kind):
    maps = grid_map(process, kind)
    history, grid = maps.history(4, 2), maps.grid(4).part(0, 1)
    adams = get("exp_ab3_data")(process, grid, history=history)
    for rule in ("B1", "B2", "exact"):
        assert same(adams, unipc(process, grid, order=3, rule=rule, history=history)), rule
    published = get("dpmpp_3m_published")(process, grid, history=history)
    assert distance(adams, published) > 1e-3


@on_grids
@on_processes
def test_b_of_unipc_is_immaterial_from_three_nodes_on(process, kind):
    maps = grid_map(process, kind)
    plans = [
        unipc(process, maps.grid(5), order=3, rule=rule, history=maps.history(5, 2))
        for rule in ("B1", "B2", "exact")
    ]
    assert (
        max(distance(plans[0], p) for p in plans[1:]) < EXACT
    )  # predictors 3, correctors 4 nodes
    one, two = (
        unipc(
            process,
            maps.grid(5).part(0, 1),
            order=2,
            rule=rule,
            history=maps.history(5, 1),
            correct_last=True,
        )
        for rule in ("B1", "B2")
    )
    gap = np.abs(canonical(one) - canonical(two)).max(axis=1)
    assert gap[1] > 1e-4  # the second evaluated state: a two-node prediction, where B matters
    assert np.delete(gap, 1).max() < EXACT  # corrected by three nodes: B is gone


@on_grids
@on_processes
def test_the_corrector_of_unipc_1_with_b2_is_the_trapezoidal_rule(process, kind):
    grid = grid_of(process, 1, kind)
    (s, t), tape = grid.nodes, Tape()
    x = tape.input("x", s)
    weight = t.alpha * (1 - math.exp(s.lam - t.lam))
    d0 = tape.eval(x, s)
    d1 = tape.eval(tape.lin((x, t.sigma / s.sigma), (d0, weight)), t)
    end = tape.lin((x, t.sigma / s.sigma), (d0, weight / 2), (d1, weight / 2))
    truth = tape.plan(x=tape.mark(end, t))
    assert same(unipc(process, grid, order=1, correct_last=True), truth)


# -- E6: single-step methods in lam ---------------------------------------------------------------


@on_grids
@on_processes
def test_e6_two_stage_solvers_are_exponential_midpoint_rules(process, kind):
    grid = grid_of(process, 5, kind)

    def middle(s: Node, t: Node) -> Node:
        return process.node_at_lam(0.5 * (s.lam + t.lam))

    def data(tape: Tape, s: Node, t: Node, x: int) -> int:
        m = middle(s, t)
        mid = tape.lin(
            (x, m.sigma / s.sigma), (tape.eval(x, s), m.alpha * (1 - math.exp(s.lam - m.lam)))
        )
        weight = t.alpha * (1 - math.exp(s.lam - t.lam))
        return tape.lin((x, t.sigma / s.sigma), (tape.eval(mid, m), weight))

    def noise(tape: Tape, s: Node, t: Node, x: int) -> int:
        m = middle(s, t)
        mid = tape.lin(
            (x, m.alpha / s.alpha),
            (tape.eval(x, s, "noise"), -m.sigma * (math.exp(m.lam - s.lam) - 1)),
        )
        weight = -t.sigma * (math.exp(t.lam - s.lam) - 1)
        return tape.lin((x, t.alpha / s.alpha), (tape.eval(mid, m, "noise"), weight))

    assert same(get("dpmpp_2s")(process, grid), one_step(grid, data))
    assert same(get("dpm_solver_2")(process, grid), one_step(grid, noise))
    assert not same(get("dpmpp_2s")(process, grid), get("dpm_solver_2")(process, grid))


@on_grids
@on_processes
def test_dpm_solver_3_is_the_printed_one(process, kind):
    grid = grid_of(process, 4, kind)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:  # Lu et al., Alg. 2
        h = t.lam - s.lam
        a, b = (process.node_at_lam(s.lam + r * h) for r in (1 / 3, 2 / 3))
        grow = {n: math.exp(n.lam - s.lam) - 1 for n in (a, b, t)}
        e0 = tape.eval(x, s, "noise")
        u1 = tape.lin((x, a.alpha / s.alpha), (e0, -a.sigma * grow[a]))
        d1 = tape.lin((tape.eval(u1, a, "noise"), 1.0), (e0, -1.0))
        second = 2 * b.sigma * (grow[b] / (2 / 3 * h) - 1)
        u2 = tape.lin((x, b.alpha / s.alpha), (e0, -b.sigma * grow[b]), (d1, -second))
        d2 = tape.lin((tape.eval(u2, b, "noise"), 1.0), (e0, -1.0))
        third = 1.5 * t.sigma * (grow[t] / h - 1)
        return tape.lin((x, t.alpha / s.alpha), (e0, -t.sigma * grow[t]), (d2, -third))

    assert same(get("dpm_solver_3")(process, grid), one_step(grid, step))


# -- E13 and classical multistep methods ----------------------------------------------------------


@on_grids
@on_processes
def test_e13_plms_is_ipndm(process, kind):
    """DDIM's transfer by a mean of noise predictions, Adams coefficients of equal steps."""
    grid = grid_of(process, 7, kind)
    table = ((1,), (1.5, -0.5), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))

    def row(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
        ratio = t.alpha / nodes[0].alpha
        slope = t.sigma - ratio * nodes[0].sigma
        return ratio, [slope * b for b in table[len(nodes) - 1]]

    assert same(get("ipndm")(process, grid), multistep_by_hand(grid, 4, "noise", row))


@on_grids
@on_processes
def test_lms_is_deis_rhoab4_is_adams_bashforth_in_sigma_over_alpha(process, kind):
    grid = grid_of(process, 7, kind)

    def row(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
        rho = [n.sigma / n.alpha for n in nodes]

        def weight(j: int) -> float:  # as image libraries integrate the Lagrange basis
            def basis(tau: float) -> float:
                terms = [(tau - r) / (rho[j] - r) for i, r in enumerate(rho) if i != j]
                return math.prod(terms)

            return quad(basis, rho[0], t.sigma / t.alpha, epsabs=1e-14, epsrel=1e-13)[0]

        ratio = t.alpha / nodes[0].alpha
        return ratio, [t.alpha * weight(j) for j in range(len(nodes))]

    truth = multistep_by_hand(grid, 4, "noise", row)
    assert same(get("lms")(process, grid), truth)
    assert distance(get("lms")(process, grid), get("deis_rhoab4")(process, grid)) == 0.0


@on_processes
def test_where_rho_is_uniform_ipndm_is_lms_and_where_t_is_affine_in_rho_so_is_tab(process):
    rhos = list(np.linspace(4.0, 0.4, 9))
    grid = grid_from_sigmas(process, rhos)
    assert same(get("ipndm")(process, grid), get("lms")(process, grid))
    tab = get("deis_tab4")(process, grid)
    # on EDM the time is rho itself; elsewhere it bends, and the two differ
    assert same(tab, get("lms")(process, grid)) == (process is PROCESSES["edm"])


@on_grids
@on_processes
def test_tab_is_the_printed_one(process, kind):
    """Polynomials in t of the noise prediction, integrated against drho by another quadrature."""
    grid = grid_of(process, 5, kind)

    def row(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
        times = [n.t for n in nodes]

        def weight(j: int) -> float:
            def basis(time: float) -> float:
                value = math.prod(
                    (time - r) / (times[j] - r) for i, r in enumerate(times) if i != j
                )
                rho = math.exp(-float(process.lam(time)))
                return -value * rho * float(process.dlam_dt(time))

            return quad(basis, times[0], t.t, epsabs=1e-13, epsrel=1e-12)[0]

        ratio = t.alpha / nodes[0].alpha
        return ratio, [t.alpha * weight(j) for j in range(len(nodes))]

    for order in (2, 3, 4):
        truth = multistep_by_hand(grid, order, "noise", row)
        assert same(get(f"deis_tab{order}")(process, grid), truth), order
