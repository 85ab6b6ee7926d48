"""Densities on grids: well balanced, positive, their mass, their orders; spectra and Hermite."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm, solve_continuous_lyapunov
from scipy.special import ndtr

from fokker.analysis.fokker_planck import (
    Box,
    DiffusionError,
    Generator,
    GridTooSmallError,
    OrnsteinUhlenbeck,
    bernoulli,
    chain_gaps,
    drifting,
    evolve,
    grid_gaps,
    hermite_gaps,
    positive_step,
    reversible,
)
from fokker.solvers.errors import AnalysisError, NonFiniteError, ShapeError

Array = NDArray[np.float64]


def well(noise: float):
    """``(x^2 - 1)^2/D``; the second axis, if any, is a parabola that leans on the first."""

    def potential(x: Array) -> Array:
        first = (x[:, 0] ** 2 - 1) ** 2
        return (first + (2 * (x[:, 1] - 0.5 * x[:, 0]) ** 2 if x.shape[1] == 2 else 0)) / noise

    return potential


LINE, PLANE = Box((-2.5,), (2.5,), (80,)), Box((-2.0, -2.0), (2.0, 2.0), (24, 30))


def wavy(x: Array) -> Array:
    return 1 + 0.5 * np.sin(3 * x[:, 0])


def by_axis(x: Array) -> Array:
    return 1 + 0.5 * np.sin(3 * x) ** 2 + 0.2 * x[:, ::-1] ** 2


@pytest.mark.parametrize("box", [LINE, PLANE], ids=["1-D", "2-D"])
@pytest.mark.parametrize("diffusion", [0.5, wavy, by_axis], ids=["constant", "wavy", "by axis"])
def test_the_steady_density_is_kept_exactly(box: Box, diffusion):
    """Balance of each face to rounding; the same rates from the drift are off by O(h^2)."""
    chain = reversible(box, well(0.25), diffusion)
    steady = np.exp(-well(0.25)(box.centres))
    left_over = chain.matrix @ steady
    assert np.abs(left_over).max() < 1e-13 * (abs(chain.matrix) @ steady).max()
    for k in range(box.dim):
        one, two = box.pairs(k)
        there, back = chain.right[k] * steady[one], chain.left[k] * steady[two]
        np.testing.assert_allclose(there, back, rtol=1e-12)


def test_rates_from_the_drift_are_not_well_balanced():
    slope = lambda x: -4 * x * (x**2 - 1)  # noqa: E731
    chain = drifting(LINE, slope, 0.5)
    steady = np.exp(-well(0.25)(LINE.centres))
    assert np.abs(chain.matrix @ steady).max() > 1e-6 * (abs(chain.matrix) @ steady).max()


@pytest.mark.parametrize("box", [LINE, PLANE], ids=["1-D", "2-D"])
def test_rates_are_not_negative_and_columns_sum_to_zero(box: Box):
    for chain in (
        reversible(box, well(0.01), wavy),  # jumps of hundreds between neighbours
        drifting(box, lambda x: 50 * np.sin(5 * x), wavy),
    ):
        matrix = chain.matrix.toarray()
        assert (matrix - np.diag(np.diag(matrix)) >= 0).all()
        assert np.abs(matrix.sum(0)).max() <= 1e-14 * chain.fastest
        assert chain.fastest == pytest.approx(-np.diag(matrix).min())


def test_the_bernoulli_function_holds_from_zero_to_overflow():
    z = np.array([0.0, 1e-17, 1e-9, 1e-3, 1.0, 30.0, 800.0, -800.0])
    found = bernoulli(z)
    assert found[0] == found[1] == 1.0
    assert found[2] == pytest.approx(1 - 0.5e-9, rel=1e-15)
    assert found[4] == pytest.approx(1 / (math.e - 1), rel=1e-15)
    assert (found[6], found[7]) == (0.0, 800.0)
    np.testing.assert_allclose(bernoulli(-z[2:6]) - bernoulli(z[2:6]), z[2:6], rtol=1e-7)


# time

KAPPA, SIGMA, START, SPREAD = 1.2, 0.8, 1.5, 0.05


def normal(mean: float, variance: float):
    def density(x: Array) -> Array:
        z = (x[:, 0] - mean) ** 2 / variance
        return np.exp(-0.5 * z) / math.sqrt(2 * math.pi * variance)

    return density


def ou_error(cells: int, steps: int, method: str) -> float:
    """L1 error of an Ornstein-Uhlenbeck density at t = 1, against exact masses of the cells."""
    box, steady = Box((-3.0,), (3.5,), (cells,)), SIGMA**2 / (2 * KAPPA)
    chain = reversible(box, lambda x: x[:, 0] ** 2 / (2 * steady), SIGMA**2)
    end = evolve(chain, box.masses(normal(START, SPREAD)), 1.0, steps, method=method)
    kept = math.exp(-KAPPA)
    deviation = math.sqrt(SPREAD * kept**2 + steady * (1 - kept**2))
    edges = np.linspace(-3.0, 3.5, cells + 1)
    truth = np.diff(ndtr((edges - START * kept) / deviation))
    return float(np.abs(end.masses - truth).sum())


def test_space_and_time_are_of_order_two_together():
    errors = [ou_error(n, n // 4, "tr-bdf2") for n in (128, 256, 512)]
    ratios = np.array(errors[:-1]) / errors[1:]
    assert (np.abs(ratios - 4) < 0.1).all()
    assert errors[0] < 1.8e-3


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("tr-bdf2", 2)])
def test_each_method_has_its_order_in_time(method: str, order: int):
    """Against the exponential of the chain itself: no error of space."""
    box = Box((-3.0,), (3.0,), (40,))
    chain = reversible(box, lambda x: x[:, 0] ** 2 / 2, 2.0)
    start = box.masses(normal(1.0, 0.1), lost=1e-4)
    truth = expm(chain.matrix.toarray()) @ start
    errors = [
        np.abs(evolve(chain, start, 1.0, n, method=method, walls=1.0).masses - truth).sum()
        for n in (40, 80, 160)
    ]
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.abs(slopes - order).max() < 0.1


@pytest.mark.parametrize("box", [LINE, PLANE], ids=["1-D", "2-D"])
@pytest.mark.parametrize("method", ["euler", "tr-bdf2"])
@pytest.mark.parametrize("span", [1e-3, 1e6])
def test_mass_stays_to_thirteen_digits_at_every_stiffness(box: Box, method: str, span: float):
    chain = reversible(box, well(0.25), wavy)
    start = np.zeros(len(box.centres))
    start[len(start) // 3] = 1.0
    end = evolve(chain, start, span, 30, method=method, walls=math.inf)
    assert abs(end.masses.sum() - 1) < 1e-13
    assert end.repaired < 1e-16 * (10 + chain.fastest * span)


@pytest.mark.parametrize("box", [LINE, PLANE], ids=["1-D", "2-D"])
def test_euler_is_positive_at_every_step_and_reaches_the_steady_density(box: Box):
    chain = reversible(box, well(0.25), 0.5)
    start = np.zeros(len(box.centres))
    start[3] = 1.0
    for span in (1e-6, 1.0, 1e8):
        assert evolve(chain, start, span, 1, method="euler", walls=math.inf).least >= 0
    steady = np.exp(-well(0.25)(box.centres))
    end = evolve(chain, start, 1e12, 2, method="euler", walls=math.inf).masses
    assert np.abs(end - steady / steady.sum()).sum() < 1e-7


def test_trbdf2_is_positive_up_to_its_step_and_not_far_beyond():
    """One cell holds all: the entry left there is R(-h rate), the first to turn negative."""
    box = Box((-1.0,), (1.0,), (12,))
    chain = reversible(box, lambda x: 0 * x[:, 0], 1.0)
    start = np.zeros(12)
    start[6] = 1.0
    limit = positive_step(chain)
    assert limit == pytest.approx((1 + math.sqrt(2)) / chain.fastest)
    for steps in (1, 2, 5):
        assert evolve(chain, start, limit * steps, steps, walls=math.inf).least >= 0
    assert evolve(chain, start, 8 * limit, 1, walls=math.inf).least < 0


def test_the_barrier_of_trbdf2_is_sharp_on_a_chain_without_return():
    """Cells that only empty to the right: the first entries are R and its derivatives at -h r."""
    box = Box((0.0,), (1.0,), (30,))
    chain = Generator(box, (np.ones(29),), (np.zeros(29),))
    start = np.zeros(30)
    start[0] = 1.0
    assert evolve(chain, start, 2.41, 1, walls=math.inf).least >= -1e-16
    assert evolve(chain, start, 2.43, 1, walls=math.inf).least < -1e-4


# any drift


def test_itos_drift_of_a_varying_diffusion_has_its_steady_density():
    """``dx = -x dt + sqrt(a) dW``, ``a = k (1 + x^2)``: the density is ``(1+x^2)^{-1-1/k}``."""
    k, errors = 0.2, []
    for cells in (100, 200, 400):
        box = Box((-6.0,), (6.0,), (cells,))
        chain = drifting(box, lambda x: -x, lambda x: k * (1 + x[:, 0] ** 2))
        end = evolve(chain, np.ones(cells) / cells, 1e10, 2, method="euler", walls=math.inf)
        truth = (1 + box.axis(0) ** 2) ** (-1 - 1 / k)
        errors.append(np.abs(end.masses - truth / truth.sum()).sum())
    assert np.abs(np.array(errors[:-1]) / errors[1:] - 4).max() < 0.2
    assert errors[-1] < 1e-3


def test_a_rotating_flow_in_the_plane_has_its_moments():
    """A turning normal law: mean and covariance by matrix exponentials; errors of order two."""
    turn = np.array([[-1.0, 2.0], [-2.0, -1.0]])
    noise = np.array([1.0, 0.25])
    steady = solve_continuous_lyapunov(turn, -np.diag(noise))
    flow, first = expm(0.5 * turn), np.array([0.8, -0.3])
    mean = flow @ first
    cov = steady + flow @ (0.1 * np.eye(2) - steady) @ flow.T
    errors = []
    for cells in (40, 80):
        box = Box((-3.2, -3.2), (3.2, 3.2), (cells, cells))
        chain = drifting(box, lambda x: x @ turn.T, lambda x: np.broadcast_to(noise, x.shape))

        def density(x: Array) -> Array:
            return np.exp(-((x - first) ** 2).sum(1) / 0.2) / (0.2 * math.pi)

        m = evolve(chain, box.masses(density), 0.5, cells // 4, walls=1e-5).masses
        got = m @ box.centres
        spread = (m[:, None] * (box.centres - got)).T @ (box.centres - got)
        errors.append(max(np.abs(got - mean).max(), np.abs(spread - cov).max()))
    assert errors[1] < 0.02
    assert errors[0] / errors[1] > 3


def test_two_axes_do_what_each_does_alone():
    """A product stays one: the plane's chain is the Kronecker sum of two lines."""
    box = Box((-2.0, -3.0), (2.0, 3.0), (10, 14))
    lines = [Box((-2.0,), (2.0,), (10,)), Box((-3.0,), (3.0,), (14,))]
    plane = reversible(box, lambda x: x[:, 0] ** 2 + 0.5 * x[:, 1] ** 4, 0.7).matrix.toarray()
    one = reversible(lines[0], lambda x: x[:, 0] ** 2, 0.7).matrix.toarray()
    two = reversible(lines[1], lambda x: 0.5 * x[:, 0] ** 4, 0.7).matrix.toarray()
    whole = np.kron(one, np.eye(14)) + np.kron(np.eye(10), two)
    np.testing.assert_allclose(plane, whole, rtol=1e-9, atol=1e-9)


# spectra


@pytest.mark.parametrize(
    ("noise", "gaps"), [(0.5, (0.2272733015, 4.07827989)), (0.25, (0.0297795932, 3.31039406))]
)
def test_gaps_of_double_wells_two_ways_and_from_the_literature(noise: float, gaps):
    cells = grid_gaps(-3.5, 3.5, well(noise), 2 * noise)
    waves = hermite_gaps(
        lambda x: 4 * x[:, 0] * (x[:, 0] ** 2 - 1), lambda x: 12 * x[:, 0] ** 2 - 4, noise
    )
    np.testing.assert_allclose(cells.values, gaps, rtol=1e-8)
    np.testing.assert_allclose(waves.values, gaps, rtol=1e-8)
    np.testing.assert_allclose(cells.values, waves.values, rtol=3e-9)
    assert (cells.errors < 1e-8).all()
    kramers = math.sqrt(8 * 4) / math.pi * math.exp(-1 / noise)  # twice the rate of one well
    assert 0.05 < kramers / cells.values[0] - 1 < 0.12


def test_extrapolated_gaps_are_of_order_six():
    """An error of order four would fall by 16 where these fall by about 64."""
    truth = 1.2 * np.arange(1, 4)
    errors = [
        np.abs(grid_gaps(-8, 8, lambda x: x[:, 0] ** 2 / 2, 2.4, count=3, cells=n).values - truth)
        for n in (48, 96)
    ]
    assert (errors[0] / errors[1] > 40).all()
    assert (errors[0] > 1e-9).all()


def test_a_coarse_grid_has_the_gap_to_a_share_of_a_percent():
    """0.04 % at 256 cells, where central differences without balance are 5.6 % off."""
    box = Box((-3.0,), (3.0,), (256,))
    found = chain_gaps(reversible(box, well(0.25), 0.5), 1)[0]
    assert found == pytest.approx(0.0297795932, rel=1e-3)
    assert found != pytest.approx(0.0297795932, rel=1e-5)


def test_gaps_of_an_ornstein_uhlenbeck_process_are_multiples_of_its_rate():
    cells = grid_gaps(-8, 8, lambda x: x[:, 0] ** 2 / 2, 2.4, count=4)
    np.testing.assert_allclose(cells.values, 1.2 * np.arange(1, 5), rtol=1e-7)
    waves = hermite_gaps(
        lambda x: 1.2 * x[:, 0], lambda x: 1.2 + 0 * x[:, 0], 0.7, count=4, width=0.8
    )
    np.testing.assert_allclose(waves.values, 1.2 * np.arange(1, 5), rtol=1e-12)


# Hermite


@pytest.mark.parametrize(("modes", "bar"), [(10, 7e-6), (20, 4e-12), (40, 4e-16)])
def test_hermite_functions_converge_exponentially(modes: int, bar: float):
    ou = OrnsteinUhlenbeck(KAPPA, 0.0, SIGMA)
    x = np.linspace(-3, 3.5, 2001)
    kept = math.exp(-KAPPA)
    var = SPREAD * kept**2 + ou.variance * (1 - kept**2)
    truth = normal(START * kept, var)(x[:, None])
    found = ou.density(ou.coefficients(1.0, START, SPREAD, modes), 1.0, x)
    assert np.abs(found - truth).sum() * (x[1] - x[0]) < bar


def test_a_mixture_in_hermite_functions_is_the_sum_of_its_parts_and_relaxes():
    ou = OrnsteinUhlenbeck(2.0, 0.7, 1.3)
    x = np.linspace(-3, 4, 50)
    both = ou.coefficients([0.3, 0.7], [0.0, 1.0], [0.2, 0.1], 60)
    parts = [ou.coefficients(1.0, m, v, 60) for m, v in ((0.0, 0.2), (1.0, 0.1))]
    np.testing.assert_allclose(both, 0.3 * parts[0] + 0.7 * parts[1], atol=1e-15)
    late = ou.density(both, 50.0, x)
    np.testing.assert_allclose(late, normal(0.7, ou.variance)(x[:, None]), rtol=1e-12)
    t = 0.3
    truth = sum(
        w * normal(0.7 + (m - 0.7) * math.exp(-2 * t), v * math.exp(-4 * t) + ou.variance
                   * (1 - math.exp(-4 * t)))(x[:, None])
        for w, m, v in ((0.3, 0.0, 0.2), (0.7, 1.0, 0.1))
    )  # fmt: skip
    np.testing.assert_allclose(ou.density(both, t, x), truth, atol=1e-12)


# bad input


def test_a_box_that_cannot_hold_a_density_says_which_would():
    density = normal(1.5, 1.0)
    with pytest.raises(GridTooSmallError, match="would be enough") as caught:
        Box((-2.0,), (2.0,), (64,)).masses(density)
    low, high = caught.value.needed
    assert Box((low,), (high,), (64,)).masses(density).sum() == pytest.approx(1.0)
    with pytest.raises(GridTooSmallError, match="more cells would be enough"):
        Box((-2.0,), (2.0,), (8,)).masses(normal(0.1, 1e-4))
    with pytest.raises(GridTooSmallError, match="not normalised, or too narrow"):
        Box((-2.0,), (2.0,), (8,)).masses(lambda x: 0.5 * normal(0.1, 0.1)(x))


def test_mass_at_the_walls_is_refused_with_a_box_that_would_do():
    box = Box((-2.0,), (2.0,), (64,))
    chain = reversible(box, lambda x: 0 * x[:, 0], 1.0)
    start = box.masses(normal(0.0, 0.05))
    with pytest.raises(GridTooSmallError, match="or walls=math") as caught:
        evolve(chain, start, 1.0, 32)
    low, high = caught.value.needed
    evolve(chain, start, 1.0, 32, walls=math.inf)
    for _ in range(3):  # each answer is an estimate from what is seen so far
        wide = Box((low,), (high,), (128,))
        free = reversible(wide, lambda x: 0 * x[:, 0], 1.0)
        try:
            evolve(free, wide.masses(normal(0.0, 0.05)), 1.0, 32)
            break
        except GridTooSmallError as error:
            low, high = error.needed
    else:
        pytest.fail("no box was large enough")
    with pytest.raises(GridTooSmallError, match="steady mass") as caught:
        grid_gaps(-1.5, 1.5, well(0.5), 1.0)
    grid_gaps(*caught.value.needed, well(0.5), 1.0)


BAD_GENERATORS = [
    (lambda: reversible(LINE, well(1.0), -1.0), DiffusionError, "positive and finite.*-1"),
    (lambda: drifting(LINE, lambda x: x, lambda x: x[:, 0]), DiffusionError, "positive"),
    (lambda: reversible(LINE, well(1.0), np.ones((2, 2))), ShapeError, "corners"),  # type: ignore[arg-type]
    (lambda: drifting(LINE, lambda x: x[:, 0], 1.0), ShapeError, "the drift must have shape"),
    (lambda: reversible(LINE, lambda x: np.log(x[:, 0] - 9), 1.0), NonFiniteError, "not finite"),
    (lambda: Box((0.0,), (0.0,), (9,)), AnalysisError, "low < high"),
    (lambda: Box((0.0,) * 3, (1.0,) * 3, (9,) * 3), AnalysisError, "one or two axes"),
    (lambda: LINE.masses(lambda x: -x[:, 0]), AnalysisError, "must not be negative"),
    (lambda: OrnsteinUhlenbeck(-1.0, 0.0, 1.0), AnalysisError, "kappa must be positive"),
    (lambda: OrnsteinUhlenbeck(1.0, 0.0, -1.0), DiffusionError, "sigma must be positive"),
    (
        lambda: OrnsteinUhlenbeck(1.0, 0.0, 1.0).coefficients(1.0, 0.0, 1.1, 9),
        AnalysisError,
        "below 1, twice the steady one",
    ),
    (
        lambda: OrnsteinUhlenbeck(1.0, 0.0, 1.0).coefficients(1.0, [0.0, 1.0], 0.1, 9),
        AnalysisError,
        "of one length",
    ),
    (
        lambda: OrnsteinUhlenbeck(1.0, 0.0, 1.0).density(np.ones(3), -1.0, [0.0]),
        AnalysisError,
        "heat does not flow back",
    ),
    (lambda: grid_gaps(-2, 2, well(0.1), 1.0, count=0), AnalysisError, "count must be"),
    (lambda: hermite_gaps(well(1), well(1), -1.0), AnalysisError, "must be positive"),
]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(("make", "error", "words"), BAD_GENERATORS)
def test_bad_input_is_refused_in_one_sentence(make, error: type[Exception], words: str):
    with pytest.raises(error, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "crank"}, "accepted: euler, tr-bdf2"),
        ({"span": -1.0}, "span must be positive"),
        ({"steps": 0}, "steps at least 1"),
        ({"masses": np.ones(3)}, "masses must have shape"),
        ({"masses": -np.ones(80)}, "not negative"),
    ],
)
def test_bad_evolutions_are_refused(change: dict, words: str):
    given = {"masses": np.ones(80) / 80, "span": 1.0, "steps": 4, "walls": math.inf} | change
    with pytest.raises((AnalysisError, ShapeError), match=words):
        evolve(reversible(LINE, well(1.0), 1.0), **given)
