"""SA-Solver: its printed coefficients, what it is without noise, and its two readings of tau."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fokker.analysis.gaussian_path import eigenbasis
from fokker.analysis.law import weak_error
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import Grid
from fokker.solvers.plan import Noise, Plan, Tape
from fokker.solvers.plan_algebra import distance
from fokker.solvers.process import Node
from fokker.solvers.registry import get
from fokker.solvers.samplers.eta_shapes import Eta, EtaShape, window
from fokker.solvers.samplers.predictor_corrector import unipc
from fokker.solvers.samplers.sa_solver import sa_solver
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.problems import problem
from laws.by_hand import only_x
from laws.zoo import GRIDS, grid_of

PROCESS = VPLinear()
grids = pytest.mark.parametrize("kind", GRIDS)


def _solver(grid: Grid, predictor: int, corrector: int, **options) -> Plan:
    return only_x(sa_solver(PROCESS, grid, predictor=predictor, corrector=corrector, **options))


@grids
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("correct_last", [False, True])
def test_without_noise_it_is_unipc(kind, order, correct_last):
    grid = grid_of(PROCESS, 7, kind)
    mine = _solver(grid, order, order + 1, eta=0.0, correct_last=correct_last)
    theirs = unipc(PROCESS, grid, order=order, rule="exact", correct_last=correct_last)
    assert distance(mine, only_x(theirs)) < 1e-12


@grids
def test_without_corrector_it_is_the_exact_multistep_sde_solver(kind):
    grid = grid_of(PROCESS, 7, kind)
    three = only_x(get("sde_dpmpp_3m")(PROCESS, grid, eta=0.6))
    assert distance(_solver(grid, 3, 0, eta=0.6), three) < 1e-12
    one = only_x(get("sde_dpmpp_1")(PROCESS, grid, eta=0.6))
    assert distance(_solver(grid, 1, 0, eta=0.6), one) < 1e-12


def _printed(grid: Grid, tau2: float) -> Plan:
    """Predictor and corrector of two outputs as in the reference code, in its own names."""
    tape = Tape()
    x = tape.input("x", grid[0])
    old: tuple[int, Node] | None = None
    m = tape.eval(x, grid[0])
    for i, (s, t) in enumerate(grid.steps()):
        h, k = t.lam - s.lam, 1 + tau2
        xi = tape.noise(f"snr^{tau2!r}", s.lam, t.lam)
        # integrals of e^{k l} and e^{k l} (l - lam_s); the code makes the latter h^2/2
        zero, first = (1 - math.exp(-k * h)) / k, h * h / 2
        scale, keep = k * t.alpha, t.sigma / s.sigma * math.exp(-tau2 * h)
        std = t.sigma * math.sqrt(1 - math.exp(-2 * tau2 * h))
        if old is None:
            terms = [(m, scale * zero)]
        else:
            r = s.lam - old[1].lam
            terms = [(m, scale * (zero + first / r)), (old[0], -scale * first / r)]
        before, x = x, tape.lin((x, keep), *terms, (xi, std))
        old = (m, s)
        if i < len(grid) - 1:
            m = tape.eval(x, t)
            if i > 0:
                terms = [(m, scale * first / h), (old[0], scale * (zero - first / h))]
                x = tape.lin((before, keep), *terms, (xi, std))
        tape.mark(x, t)
    return tape.plan(x=x)


@grids
@pytest.mark.parametrize("tau2", [0.3, 1.0])
def test_the_published_coefficients_are_the_printed_ones(kind, tau2):
    grid = grid_of(PROCESS, 6, kind)
    plan = _solver(grid, 2, 2, eta=tau2, published=True)
    assert distance(plan, _printed(grid, tau2)) < 1e-12
    assert distance(_solver(grid, 2, 2, eta=tau2), _printed(grid, tau2)) > 1e-3


def _cells(eta: Eta, grid: Grid, *, published: bool) -> list[Noise]:
    plan = _solver(grid, 2, 2, eta=eta, published=published)
    return [op for op in plan.ops if isinstance(op, Noise)]


def test_the_published_tau_is_that_of_the_end_of_each_step():
    grid = grid_of(PROCESS, 4, "uniform")  # lam = -1.5, -0.75, 0, 0.75, 1.5
    shape = window(1.0, -0.5, 0.5)
    exact, code = (_cells(shape, grid, published=p) for p in (False, True))
    assert [(c.a, c.b) for c in exact] == [(-0.5, 0.0), (0.0, 0.5)]
    assert [(c.a, c.b) for c in code] == [(-0.75, 0.0)]
    smooth = EtaShape((lambda lam: 1 + lam / 10,))
    assert [c.clock for c in _cells(smooth, grid, published=True)] == [
        f"snr^{1 + node.lam / 10!r}" for node in grid.nodes[1:]
    ]


@pytest.mark.parametrize("published", [False, True])
def test_either_reading_of_tau_keeps_the_marginals(published):
    data, errors = eigenbasis(problem("gaussian").law), []
    for steps in (32, 64, 128):
        grid = grid_of(PROCESS, steps, "uniform")
        plan = _solver(grid, 2, 2, eta=window(1.0, -0.5, 0.5), published=published)
        errors.append(math.hypot(*weak_error(plan, data)))
    assert np.log2(errors[0] / errors[2]) / 2 > 1.8


def test_predictor_and_corrector_share_the_noise_of_their_step():
    grid = grid_of(PROCESS, 6)
    for name in ("sa_solver_2", "sa_solver_3"):
        plan = get(name)(PROCESS, grid, correct_last=True)
        noises = [i for i, op in enumerate(plan.ops) if isinstance(op, Noise)]
        assert len(noises) == 6
        assert plan.nfe == 7


@pytest.mark.parametrize(("predictor", "corrector"), [(0, 2), (2, 1), (2, -1)])
def test_numbers_of_outputs_that_cannot_be_are_refused(predictor, corrector):
    with pytest.raises(
        InvalidPlanError, match=f"at least 1 output .* got {predictor} and {corrector}"
    ):
        _solver(grid_of(PROCESS, 4), predictor, corrector)
