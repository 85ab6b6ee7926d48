"""Semi-discrete maps, against closed forms, integrals by quadrature and a discrete solver."""

import math

import numpy as np
import ot
import pytest
import torch
from scipy.special import ndtri

from fokker.solvers.errors import InvalidLawError
from fokker.solvers.transport.quantile_map import QuantileMap, exponential, uniform
from fokker.solvers.transport.semi_discrete import SemiDiscreteMap, newton, semi_discrete
from fokker.solvers.transport.semi_discrete_cells import LineCells, RayCells, lower_envelope
from fokker.solvers.transport.semi_discrete_points import PointCells
from fokker.solvers.transport.semi_discrete_polygons import PolygonCells, power_diagram
from fokker.solvers.transport.semi_discrete_sources import (
    Box,
    Line,
    Normals,
    Sampled,
    normal,
    same_law,
    standard_normal,
)
from fokker.toy_models.brenier import ring_cost, two_atoms

UNIT = Box([0.0], [1.0])
SQUARE = Box([0.0, 0.0], [1.0, 1.0])
MIXED = Normals(
    [0.3, 0.7], [[-1.0, 0.0], [1.0, 0.5]], [[[0.5, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.9]]]
)


def ring(count: int = 8, radius: float = 2.0) -> np.ndarray:
    angle = 2 * np.pi * np.arange(count) / count
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])


def cloud(count: int, dim: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.2, 1.0, count)
    return rng.normal(size=(count, dim)), w / w.sum()


def draw_normals(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 2))


def test_on_a_line_potential_and_cost_are_those_of_the_closed_form():
    fit = semi_discrete(UNIT, [[0.1], [0.2], [0.7], [1.3]], [0.1, 0.4, 0.3, 0.2])
    psi = fit.potential - fit.potential[0]
    np.testing.assert_allclose(psi, [0.0, 0.01, -0.04, 0.2], atol=1e-15)
    assert fit.cost == pytest.approx(0.136 / 3, abs=2e-15)
    assert fit.cost - fit.dual == pytest.approx(0.0, abs=1e-16)
    assert float(fit.potential.sum()) == pytest.approx(0.0, abs=1e-15)
    assert fit.converged


@pytest.mark.parametrize(("unit", "away"), [(1e-9, 0.0), (1e6, 0.0), (1.0, 1e6)])
def test_neither_units_nor_the_origin_matter(unit: float, away: float):
    """Far from the origin the coordinates of the atoms are known to 1e-10 of their distances."""

    def law(name: str, size: float, at: float):
        if name == "normal":
            return normal([at, at], size**2 * np.eye(2))
        if name == "sampled":
            return Sampled(lambda n, seed: size * draw_normals(n, seed) + at, 2)
        return Box([at] * int(name), [at + size] * int(name))

    for name in ("1", "2", "normal", "sampled"):
        y = 0.5 + 0.2 * cloud(12, 1 if name == "1" else 2)[0]
        fits = [
            semi_discrete(law(name, size, at), size * y + at, samples=512)
            for size, at in ((1.0, 0.0), (unit, away))
        ]
        assert fits[0].converged
        assert fits[1].converged
        assert fits[1].cost / unit**2 == pytest.approx(fits[0].cost, rel=1e-8), name
        x = torch.from_numpy(fits[0].source.draw(100, 1))
        assert torch.equal(fits[0].assign(x), fits[1].assign(unit * x + away))


@pytest.mark.parametrize("source", [UNIT, normal([0.3], [[2.0]])], ids=["uniform", "normal"])
def test_on_a_line_heights_step_by_the_boundary_times_the_gap(source: Box | Normals):
    y, w = cloud(7, 1)
    fit = semi_discrete(source, y, w)
    order = np.argsort(y[:, 0])
    b = source.quantile(np.cumsum(w[order])[:-1])
    np.testing.assert_allclose(
        -np.diff(fit.heights.numpy()[order]), b * np.diff(y[order, 0]), atol=1e-14
    )
    np.testing.assert_allclose(fit.masses, w, atol=1e-14)
    x = torch.from_numpy(source.quantile((np.arange(200_000) + 0.5)[:, None] / 200_000))
    assert fit.cost == pytest.approx(float((x - fit(x)).square().mean()), abs=2e-4)


def test_a_line_law_needs_only_its_distribution_and_quantiles():
    law = exponential()
    source = Line(law.below, lambda p: -np.log1p(-p))
    assert source.mean[0] == pytest.approx(1.0, abs=1e-10)
    assert source.second_moment == pytest.approx(2.0, abs=1e-9)
    n = 400
    fit = semi_discrete(source, ((np.arange(n) + 0.5) / n)[:, None])
    assert fit.marginal_error < 1e-11  # measured 1e-12
    assert fit.cost == pytest.approx(QuantileMap(law, uniform()).cost(), abs=2e-5)
    same = semi_discrete(Line(lambda x: np.clip(x, 0, 1), lambda p: p), [[0.1], [0.6]], [0.4, 0.6])
    assert same.cost == pytest.approx(semi_discrete(UNIT, [[0.1], [0.6]], [0.4, 0.6]).cost)


def test_eight_atoms_on_a_circle_under_a_gaussian_have_sectors():
    fit = semi_discrete(standard_normal(2), ring())
    assert fit.converged
    assert fit.marginal_error < 1e-12
    assert float(fit.potential.abs().max()) < 2e-4  # measured 1.8e-5
    assert fit.cost == pytest.approx(ring_cost(8, 2.0), abs=8e-10)  # measured 8e-11
    assert fit.cost == pytest.approx(fit.dual, abs=1e-14)


@pytest.mark.parametrize("dim", [2, 5])
def test_two_unequal_atoms_cut_space_in_half(dim: int):
    y = np.zeros((2, dim))
    y[:, 0] = 1.3, -1.3
    fit = semi_discrete(standard_normal(dim), y, [0.2, 0.8])
    cost, step = two_atoms(1.3, 0.2, dim)
    bound = 1e-13 if dim == 2 else 3e-3  # measured 4e-16 and 3e-4: Sobol points across the lines
    assert fit.cost == pytest.approx(cost, abs=bound)
    assert float(fit.potential[0] - fit.potential[1]) == pytest.approx(step, abs=3 * bound)


def test_four_quadrants_of_the_square_cost_one_part_in_24():
    fit = semi_discrete(SQUARE, [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])
    assert fit.cost == pytest.approx(1 / 24, abs=1e-16)
    np.testing.assert_allclose(fit.potential, 0.0, atol=1e-15)


def test_a_shift_of_the_atoms_changes_the_cost_as_for_any_optimal_map():
    y, w = cloud(12)
    y = y - w @ y + 0.5  # the mean of the square
    shift = np.array([3.0, -5.0])  # all atoms far outside of it
    near, far = semi_discrete(SQUARE, y, w), semi_discrete(SQUARE, y + shift, w)
    assert far.converged
    assert far.cost == pytest.approx(near.cost + float(shift @ shift), rel=1e-12)


def test_the_ring_breaks_its_symmetry_only_by_the_weights():
    angle = 0.3
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    y, w = cloud(6)
    plain = semi_discrete(standard_normal(2), y, w)
    turned = semi_discrete(standard_normal(2), y @ turn.T, w)
    assert turned.cost == pytest.approx(plain.cost, abs=1e-6)
    np.testing.assert_allclose(turned.potential, plain.potential, atol=2e-4)


RULES = [
    (PolygonCells(SQUARE, 0.5 + 0.3 * cloud(9)[0]), 1e-8),
    (RayCells(standard_normal(2), cloud(9)[0], 512), 1e-8),
    (RayCells(standard_normal(3), cloud(9, 3)[0], 512), 1e-8),
    (RayCells(MIXED, cloud(9)[0], 512), 1e-8),
    (PointCells(standard_normal(2), cloud(9)[0], 1 << 17), 0.03),
]
IDS = ["polygons", "plane", "space", "mixture", "points"]


@pytest.mark.parametrize(("rule", "bound"), RULES, ids=IDS)
def test_the_matrix_is_the_derivative_of_the_masses(rule: PolygonCells, bound: float):
    psi = 0.05 * np.random.default_rng(3).normal(size=9)
    step = 1e-5 if bound < 1e-3 else 0.02
    matrix = rule(psi).matrix
    for k in range(3):
        e = step * np.eye(9)[k]
        slope = (rule(psi + e).masses - rule(psi - e).masses) / (2 * step)
        np.testing.assert_allclose(matrix[:, k], slope, atol=bound)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-14)
    np.testing.assert_allclose(matrix.sum(0), 0.0, atol=1e-13)


@pytest.mark.parametrize(("rule", "bound"), RULES, ids=IDS)
def test_cells_make_up_the_whole_and_the_dual_has_the_masses_as_gradient(
    rule: PolygonCells, bound: float
):
    psi = 0.05 * np.random.default_rng(4).normal(size=9)
    here = rule(psi)
    assert here.masses.sum() == pytest.approx(1.0, abs=1e-13)

    def dual(p: np.ndarray) -> float:
        cells = rule(p)
        return cells.cost - float(cells.masses @ p)

    step = 1e-5 if bound < 1e-3 else 0.02
    for k in range(3):
        e = step * np.eye(9)[k]
        slope = (dual(psi + e) - dual(psi - e)) / (2 * step)
        assert slope == pytest.approx(-here.masses[k], abs=bound)


def test_polygons_are_the_cells_of_the_assignment():
    y, w = cloud(40)
    fit = semi_discrete(SQUARE, y, w)
    grid = (np.arange(400) + 0.5) / 400
    x = torch.from_numpy(np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2))
    share = np.bincount(fit.assign(x).numpy(), minlength=40) / len(x)
    np.testing.assert_allclose(share, w, atol=1e-3)
    assert fit.cost == pytest.approx(float((x - fit(x)).square().sum(1).mean()), abs=1e-3)
    cells = power_diagram(SQUARE.low, SQUARE.high, y, fit.potential.numpy())
    for j in (0, 17):
        centre = cells.corners[j, : cells.sizes[j]].mean(0)
        assert int(fit.assign(torch.from_numpy(centre[None]))) == j


def test_an_atom_with_an_empty_cell_has_no_mass_and_no_neighbours():
    y = np.array([[0.2, 0.2], [0.8, 0.2], [0.5, 0.8], [0.5, 0.4]])
    psi = np.array([0.0, 0.0, 0.0, -1.0])
    cells = PolygonCells(SQUARE, y)(psi)
    assert cells.masses[3] == 0.0
    assert cells.masses.sum() == pytest.approx(1.0, abs=1e-14)
    assert np.all(cells.matrix[3] == 0.0)
    others = PolygonCells(SQUARE, y[:3])(psi[:3])
    np.testing.assert_allclose(cells.masses[:3], others.masses, atol=1e-15)


def test_atoms_on_one_line_cut_the_square_into_strips():
    y = np.array([[0.0, 0.3], [0.4, 0.3], [0.5, 0.3], [0.9, 0.3]])
    w = np.array([0.1, 0.4, 0.3, 0.2])
    fit, line = semi_discrete(SQUARE, y, w), semi_discrete(UNIT, y[:, :1], w)
    np.testing.assert_allclose(fit.potential, line.potential, atol=1e-12)
    assert fit.cost == pytest.approx(line.cost + 1 / 12 + 0.2**2, abs=1e-13)


def test_the_lower_envelope_is_the_lowest_line():
    rng = np.random.default_rng(5)
    slopes, heights = rng.normal(size=12), rng.normal(size=(50, 12))
    slopes[3] = slopes[7]  # parallel
    who, start = lower_envelope(slopes, heights)
    for t in rng.normal(size=20) * 2:
        piece = ((who >= 0) & (start[:, :-1] <= t)).sum(1) - 1
        found = who[np.arange(50), piece]
        assert np.array_equal(found, (slopes * t + heights).argmin(1))


def test_newton_converges_quadratically_and_keeps_every_cell():
    y, w = cloud(100)
    rule = PolygonCells(SQUARE, y)
    whole = semi_discrete(SQUARE, y, w)
    errors = [
        semi_discrete(SQUARE, y, w, max_iterations=k).marginal_error
        for k in range(whole.iterations + 1)
    ]
    assert whole.converged
    assert whole.iterations <= 10
    # the last step at least squares the error, up to a factor
    assert errors[-1] < 100 * errors[-2] ** 1.8 + 1e-12
    psi = whole.potential.numpy()
    assert rule(psi).masses.min() > 0.5 * w.min()


def test_a_fit_that_stops_early_says_by_how_much():
    y, w = cloud(30)
    fit = semi_discrete(SQUARE, y, w, max_iterations=1)
    assert not fit.converged
    assert fit.iterations == 1
    assert fit.marginal_error == pytest.approx(float(abs(fit.masses - fit.weights).sum()))
    assert fit.marginal_error > 1e-3
    assert fit.dual < semi_discrete(SQUARE, y, w).cost


def test_points_reach_what_they_resolve_and_agree_with_lines():
    y, w = cloud(10)
    lines = semi_discrete(standard_normal(2), y, w)
    points = semi_discrete(Sampled(draw_normals, 2), y, w)
    assert points.converged
    assert points.marginal_error <= 10 / 65536
    # sd of a cost from 65536 draws: about 0.02; potentials are far better
    assert points.cost == pytest.approx(lines.cost, abs=0.05)
    np.testing.assert_allclose(points.potential, lines.potential, atol=0.05)
    cube = semi_discrete(Box([0.0] * 3, [1.0] * 3), *cloud(10, 3))
    assert cube.converged


def test_a_fine_discrete_problem_has_the_same_cost():
    y, w = cloud(6)
    fit = semi_discrete(SQUARE, y, w)
    n = 48
    grid = (np.arange(n) + 0.5) / n
    x = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    plain = float(np.asarray(ot.emd2(np.full(n * n, 1 / n**2), w, ot.dist(x, y))))
    # each small square costs 1/(6 n^2) more than its centre
    assert fit.cost == pytest.approx(plain + 1 / (6 * n * n), abs=1.5e-3)  # measured 1.6e-4


def test_a_mixture_of_gaussians_agrees_with_a_discrete_problem_on_its_sample():
    y, w = cloud(5)
    fit = semi_discrete(MIXED, y, w)
    x = MIXED.draw(4000, 1)
    plain = float(np.asarray(ot.emd2(np.full(len(x), 1 / len(x)), w, ot.dist(x, y))))
    spread = float((x - fit(torch.from_numpy(x)).numpy()).__pow__(2).sum(1).std())
    assert abs(fit.cost - plain) < 5 * spread / math.sqrt(len(x))  # 6e-7 for a normal error
    assert fit.marginal_error < 1e-10


def test_the_image_of_the_source_has_the_weights_and_that_of_another_law_has_not():
    fit = semi_discrete(standard_normal(2), *cloud(8))
    n = 40_000
    _, image = fit.sample(n, seed=3)
    assert image.shape == (n, 2)

    def chi_square(x: torch.Tensor) -> float:
        share = torch.bincount(fit.assign(x), minlength=8) / n
        return float((n * (share - fit.weights).square() / fit.weights).sum())

    x = torch.from_numpy(fit.source.draw(n, 3))
    assert chi_square(x) < 41  # probability 8e-7 with 7 degrees of freedom
    cube = torch.from_numpy(Box([-1.0, -1.0], [1.0, 1.0]).draw(n, 3))
    assert chi_square(cube) > 1000


def test_another_source_is_refused_by_name():
    fit = semi_discrete(standard_normal(2), ring())
    x = torch.zeros(1, 2, dtype=torch.float64)
    assert fit(x, source=standard_normal(2)).shape == (1, 2)
    with pytest.raises(InvalidLawError, match="fitted to a source that is mixture of Gaussians"):
        fit(x, source=Box([-1.0, -1.0], [1.0, 1.0]))
    with pytest.raises(InvalidLawError, match=r"total variance 8\)"):
        fit(x, source=normal([0.0, 0.0], [[4.0, 0.0], [0.0, 4.0]]))
    assert not same_law(Sampled(draw_normals, 2), Sampled(lambda n, s: draw_normals(n, s), 2))


def test_one_atom_takes_everything():
    for source in (UNIT, SQUARE, standard_normal(2), Box([0.0] * 3, [1.0] * 3)):
        fit = semi_discrete(source, np.full((1, source.dim), 2.0))
        exact = source.second_moment - 4 * source.mean.sum() + 4 * source.dim
        assert fit.converged
        assert fit.cost == pytest.approx(exact, abs=1e-3)
        assert float(fit.potential) == 0.0


GOOD = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("atoms", "weights", "options", "words"),
    [
        (GOOD, [0.5, 0.5, 0.5], {}, "weights must sum to 1, got 1.5"),
        (GOOD, [0.5, 0.6, -0.1], {}, "weights must be positive, got -0.1"),
        (GOOD, [0.5, 0.5], {}, "weights must be a non-empty tensor of shape"),
        ([[0.0], [1.0]], None, {}, "dimension of the source, 2, got 1"),
        ([*GOOD, GOOD[1]], None, {}, "got atom 1 again as atom 3"),
        ([[0.0, math.nan]], None, {}, "atoms must be finite, got nan"),
        (GOOD, [0.5, 0.5, math.nan], {}, "weights must be finite, got nan"),
        (GOOD, None, {"samples": 1}, "samples must be at least 2, got 1"),
        (GOOD, None, {"tolerance": 0.0}, "tolerance must be positive"),
    ],
)
def test_bad_atoms_and_weights_get_one_sentence(atoms, weights, options, words):
    with pytest.raises(InvalidLawError, match=words) as caught:
        semi_discrete(standard_normal(2), atoms, weights, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Box([0.0, 1.0], [1.0, 1.0]), "got 1.0 and 1.0 at coordinate 1"),
        (lambda: Box([0.0], [math.inf]), "high must be finite"),
        (lambda: normal([0.0], [[-1.0]]), "positive definite, got an eigenvalue -1"),
        (lambda: normal([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]), "covs must be symmetric"),
        (lambda: Sampled(lambda n, _: np.zeros((n, 3)), 2), "the samples of the source"),
        (lambda: Line(lambda x: x, lambda p: p * p), "inverse to each other"),
    ],
)
def test_bad_sources_get_one_sentence(build, words):
    with pytest.raises(InvalidLawError, match=words):
        build()


def test_quantiles_of_a_mixture_invert_its_distribution():
    law = Normals([0.5, 0.5], [[-3.0], [3.0]], [[[0.25]], [[0.01]]])
    p = np.array([1e-12, 0.1, 0.5, 0.9])
    np.testing.assert_allclose(law.cdf(law.quantile(p)), p, rtol=1e-12)
    alone = normal([1.0], [[4.0]])
    np.testing.assert_allclose(alone.quantile(p), 1.0 + 2.0 * ndtri(p), rtol=1e-14)


def test_the_damping_holds_a_floor_under_the_masses():
    """A rule that records every accepted potential sees no cell below the floor."""
    y, w = cloud(60, seed=8)
    rule = LoggedCells(SQUARE, y)
    source = semi_discrete(SQUARE, y, w, max_iterations=0)
    start = source.potential.numpy()
    floor = 0.5 * min(float(source.masses.min()), float(w.min()))
    psi, cells, _ = newton(rule, w, start, 1e-11, 50)
    assert np.abs(cells.masses - w).sum() < 1e-11
    assert cells.masses.min() >= floor
    assert np.array_equal(rule.seen[-1], psi)


class LoggedCells(PolygonCells):
    """Polygons that remember where they were asked."""

    def __init__(self, source: Box, atoms: np.ndarray) -> None:
        super().__init__(source, atoms)
        self.seen: list[np.ndarray] = []

    def __call__(self, psi):
        self.seen.append(psi)
        return super().__call__(psi)


def test_the_record_is_what_it_says():
    fit = semi_discrete(UNIT, [[0.2], [0.9]], [0.5, 0.5])
    assert isinstance(fit, SemiDiscreteMap)
    assert fit.method == LineCells.method
    short = torch.tensor([0.5, 0.25], dtype=torch.float64)
    off = SemiDiscreteMap(UNIT, fit.atoms, fit.weights, fit.potential, short, 1.0, 1e-3, 0, "none")
    assert off.marginal_error == pytest.approx(0.25)
    assert float(fit.potential[1]) == pytest.approx(0.035)  # half of .7 (1.1 - 1)
    assert off.dual == pytest.approx(1.0 + 0.25 * 0.035)
