"""Sinkhorn's iteration against closed forms, exact plans and its own theory; and bad input."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidLawError, ShapeError
from fokker.solvers.transport.cost import squared_distance
from fokker.solvers.transport.discrete import discrete_transport
from fokker.solvers.transport.entropic import EntropicGaussian
from fokker.solvers.transport.sinkhorn import epsilon_path, sinkhorn
from fokker.solvers.transport.sinkhorn_divergence import self_transport, sinkhorn_divergence
from fokker.solvers.transport.sinkhorn_kernel import Kernel
from fokker.solvers.transport.sinkhorn_relaxation import (
    Relaxation,
    best_omega,
    plain_rate,
    relaxed_rate,
)
from fokker.solvers.transport.sinkhorn_result import NotConvergedWarning

F64 = torch.float64


def clouds(n: int, m: int, dim: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, dim)), 0.7 * rng.normal(size=(m, dim)) + 0.5
    a, b = rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.5, m)
    return tuple(torch.from_numpy(v) for v in (x, y, a / a.sum(), b / b.sum()))  # type: ignore


def gaussian_grid(mean: float, var: float, n: int = 100) -> tuple[Tensor, Tensor]:
    """Points and weights of a normal law on a line: the trapezoidal rule, exact to rounding."""
    z = torch.linspace(-7.5, 7.5, n, dtype=F64)
    w = torch.exp(-0.5 * z * z)
    return (mean + math.sqrt(var) * z)[:, None], w / w.sum()


def l1(plan: Tensor, a: Tensor, b: Tensor) -> float:
    return float((plan.sum(1) - a).abs().sum() + (plan.sum(0) - b).abs().sum())


@pytest.mark.parametrize("epsilon", [10.0, 0.7, 0.05])
def test_two_points_have_the_plan_in_closed_form(epsilon: float):
    c = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=F64)
    p = sinkhorn(cost=c, epsilon=epsilon).plan()
    assert float(p[0, 0]) == pytest.approx(0.5 / (1 + math.exp(-1 / epsilon)), rel=1e-12)


@pytest.mark.parametrize("epsilon", [0.3, 2.0])
def test_gaussians_on_a_grid_have_the_cost_the_map_and_the_cross_covariance_of_theory(
    epsilon: float,
):
    truth = EntropicGaussian([0.3], [[1.0]], [-0.5], [[0.6]], epsilon)
    (x, a), (y, b) = gaussian_grid(0.3, 1.0), gaussian_grid(-0.5, 0.6)
    plan = sinkhorn(x, y, a, b, epsilon=epsilon, tolerance=1e-11)
    assert plan.converged
    assert float(plan.value) == pytest.approx(float(truth.cost), rel=1e-9)
    assert plan.transport() == pytest.approx(float(truth.transport), rel=1e-9)
    new = torch.tensor([[-2.03], [0.0], [0.77]], dtype=F64)
    torch.testing.assert_close(plan.map(new), truth.barycentric(new), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(plan.barycentric(), plan.plan() @ y / a[:, None])
    torch.testing.assert_close(plan.potential(x), plan.f, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("mean", "power"), [(1.0, 0), (0.0, 1)], ids=["means", "covariances"])
def test_plain_iterations_between_two_errors_are_those_of_the_gaussian_rates(
    mean: float, power: int
):
    truth = EntropicGaussian([0.0], [[1.0]], [mean], [[0.5]], 0.6)
    (x, a), (y, b) = gaussian_grid(0.0, 1.0), gaussian_grid(mean, 0.5)
    counts = [
        sinkhorn(x, y, a, b, epsilon=0.6, tolerance=t, relaxation=1.0).iterations
        for t in (1e-4, 1e-11)
    ]
    predicted = math.log(1e7) / -math.log(truth.sinkhorn_rates()[power])
    assert counts[1] - counts[0] == pytest.approx(predicted, rel=0.1)


def test_overshooting_on_gaussians_is_as_fast_as_theory_says_and_never_less_exact():
    truth = EntropicGaussian([0.0], [[1.0]], [1.0], [[0.5]], 0.2)
    eta = truth.sinkhorn_rates()[0]
    (x, a), (y, b) = gaussian_grid(0.0, 1.0), gaussian_grid(1.0, 0.5)

    def count(tolerance: float, omega: float | None) -> int:
        plan = sinkhorn(x, y, a, b, epsilon=0.2, tolerance=tolerance, relaxation=omega)
        assert l1(plan.plan(), a, b) == pytest.approx(plan.marginal_error, abs=1e-13)
        assert plan.converged
        return plan.iterations

    omega = 1.0 + 0.9 * (best_omega(eta) - 1.0)
    fixed = count(1e-11, omega) - count(1e-4, omega)
    assert fixed == pytest.approx(math.log(1e7) / -math.log(relaxed_rate(omega, eta)), rel=0.1)
    assert count(1e-11, None) < 0.4 * count(1e-11, 1.0)


def test_rates_of_overshooting_invert_each_other_and_are_least_at_the_best_omega():
    for eta in (0.1, 0.7, 0.99):
        best = best_omega(eta)
        for omega in (1.0, 0.5 * (1 + best), best):
            rate = relaxed_rate(omega, eta)
            assert plain_rate(omega, rate) == pytest.approx(eta, rel=1e-6)
            # eigenvalues of one relaxed sweep on one pair of coupled modes
            r = math.sqrt(eta)
            sweep = np.array([
                [1 - omega, -omega * r],
                [omega * r * (omega - 1), 1 - omega + omega**2 * eta],
            ])  # fmt: skip
            seen = np.abs(np.linalg.eigvals(sweep)).max()
            assert rate == pytest.approx(seen, rel=1e-6)
        rates = [relaxed_rate(w, eta) for w in np.linspace(1, 1.99, 200)]
        assert min(rates) >= relaxed_rate(best, eta) - 1e-9


def test_a_growing_error_halves_the_overshoot():
    r = Relaxation()
    error = 1.0
    while r.omega == 1.0:
        error *= 0.8
        r.see(error)
    before = r.omega
    assert before == pytest.approx(best_omega(0.8), rel=1e-6)
    while r.omega == before:
        error *= 1.2
        r.see(error)
    assert r.omega == pytest.approx(1 + 0.5 * (before - 1))


@pytest.mark.parametrize("options", [{}, {"stored": False}, {"scaling": True}, {"check_every": 7}])
def test_every_way_to_run_ends_at_the_same_plan_with_the_error_it_reports(options: dict):
    x, y, a, b = clouds(70, 50)
    plain = sinkhorn(x, y, a, b, fraction=0.05, tolerance=1e-11, relaxation=1.0)
    plan = sinkhorn(x, y, a, b, fraction=0.05, tolerance=1e-11, **options)
    assert plan.converged
    assert plan.marginal_error == pytest.approx(l1(plan.plan(), a, b), abs=1e-14)
    torch.testing.assert_close(plan.plan(), plain.plan(), rtol=1e-6, atol=1e-10)
    assert float(plan.value) == pytest.approx(float(plain.value), rel=1e-12)
    primal = plan.plan()
    entropy = (primal * (primal / (a[:, None] * b)).log()).sum()
    assert float(plan.value) == pytest.approx(
        plan.transport() + plan.epsilon * float(entropy), rel=1e-9
    )


def test_points_a_function_and_a_matrix_of_the_same_costs_have_one_plan():
    x, y, a, b = clouds(40, 60)
    plans = [
        sinkhorn(x, y, a, b, fraction=0.1),
        sinkhorn(x, y, a, b, fraction=0.1, cost=squared_distance),
        sinkhorn(None, None, a, b, fraction=0.1, cost=squared_distance(x, y)),
    ]
    mean = float(a @ squared_distance(x, y) @ b)
    assert plans[0].epsilon == pytest.approx(0.1 * mean, rel=1e-12)
    for plan in plans[1:]:
        torch.testing.assert_close(plan.plan(), plans[0].plan(), rtol=1e-9, atol=1e-12)
        assert plan.epsilon == pytest.approx(plans[0].epsilon, rel=1e-13)


@pytest.mark.filterwarnings("ignore::fokker.solvers.transport.sinkhorn_result.NotConvergedWarning")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("fraction", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("scaling", [None, False])
def test_small_epsilon_keeps_the_mass_and_comes_near_the_exact_cost(
    fraction: float, dtype: torch.dtype, scaling: bool | None
):
    x, y, a, b = clouds(50, 60)
    exact = discrete_transport(x, y, a, b)
    plan = sinkhorn(
        x, y, a, b, fraction=fraction, dtype=dtype, max_iterations=500, scaling=scaling
    )
    p = plan.plan()
    assert bool(torch.isfinite(p).all())
    assert abs(float(p.sum()) - 1.0) <= plan.marginal_error + 1e-12
    assert plan.marginal_error == pytest.approx(l1(p, a, b), rel=1e-9, abs=1e-13)
    assert plan.marginal_error < (2e-2 if scaling is None else 0.6)
    assert plan.converged == (plan.marginal_error <= 1e-6)
    # the cost of a plan, its missing mass moved by at most the largest distance
    slack = plan.marginal_error * float(squared_distance(x, y).max())
    assert exact.value - slack <= plan.transport()
    if plan.converged:
        bound = exact.value + plan.epsilon * math.log(60 / 0.5) + slack
        assert plan.transport() <= bound


def test_absorption_neither_overflows_nor_loses_a_row_or_column():
    x, y, a, b = clouds(60, 40)
    y[0] += 30.0  # a column that no kernel exp(-c/epsilon) would see
    kernel = Kernel(sinkhorn(x, y, a, b, epsilon=50.0).cost, a, b, F64, stored=True)
    kernel.absorb(torch.zeros_like(a), torch.zeros_like(b), 1e-3)
    m = torch.cat([block for _, block in kernel.blocks()])
    torch.testing.assert_close(m.sum(1), a)
    assert float(m.max()) <= 1.0
    assert bool((m.sum(0) >= b * a.min() * (1 - 1e-9)).all())


def test_what_is_not_reached_is_said_aloud_and_by_how_much():
    x, y, a, b = clouds(50, 50)
    with pytest.warns(NotConvergedWarning, match="missed by"):
        plan = sinkhorn(x, y, a, b, fraction=0.01, max_iterations=5)
    assert not plan.converged
    assert plan.iterations == 5
    assert plan.marginal_error == pytest.approx(l1(plan.plan(), a, b), rel=1e-9)
    assert plan.marginal_error > plan.tolerance


def test_the_path_of_epsilons_falls_to_the_one_asked_for():
    path = epsilon_path(1e-4, 1.0, None)
    assert path[0] == pytest.approx(0.1)
    assert path[-1] == 1e-4
    ratios = [b / a for a, b in itertools.pairwise(path)]
    assert all(0.24 < r < 0.5 for r in ratios)
    assert epsilon_path(0.05, 1.0, None) == [0.05]


def test_gradients_are_those_of_the_value_in_points_weights_and_costs():
    x, y, a, b = clouds(12, 9)
    ways = [torch.from_numpy(np.random.default_rng(k).normal(size=v.shape)) for k, v in
            enumerate((x, y, a, b))]  # fmt: skip
    ways[2:] = [0.02 * (w - w.mean()) for w in ways[2:]]

    def value(t: Tensor, cost: object = None) -> Tensor:
        moved = [v + t * w for v, w in zip((x, y, a, b), ways, strict=True)]
        return sinkhorn(*moved, epsilon=0.4, tolerance=1e-13, cost=cost).value  # type: ignore

    def slope(of: object) -> float:
        sides = [float(of(torch.tensor(k * 1e-3, dtype=F64))) for k in (-2, -1, 1, 2)]  # type: ignore
        return (sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) / 12e-3

    for cost in (None, lambda p, q: squared_distance(p, q) ** 0.75):
        t = torch.zeros((), dtype=F64, requires_grad=True)
        (found,) = torch.autograd.grad(value(t, cost), t)
        assert float(found) == pytest.approx(slope(lambda s, c=cost: value(s, c)), rel=1e-7)
    c = squared_distance(x, y).requires_grad_()
    (found,) = torch.autograd.grad(sinkhorn(cost=c, epsilon=0.4, tolerance=1e-13).value, c)
    torch.testing.assert_close(found, sinkhorn(cost=c, epsilon=0.4, tolerance=1e-13).plan())


def test_the_divergence_is_zero_at_equality_positive_elsewhere_and_the_gaussian_one_on_grids():
    (x, a), (y, b) = gaussian_grid(0.0, 1.0), gaussian_grid(0.8, 0.5)
    same = sinkhorn_divergence(x, x, a, a, epsilon=0.5, tolerance=1e-10)
    assert abs(float(same.value)) < 1e-9
    found = sinkhorn_divergence(x, y, a, b, epsilon=0.5, tolerance=1e-10)
    laws = ([0.0], [[1.0]]), ([0.8], [[0.5]])
    terms = [
        float(EntropicGaussian(*laws[i], *laws[j], 0.5).cost) for i, j in ((0, 1), (0, 0), (1, 1))
    ]
    assert found.converged
    assert float(found.value) == pytest.approx(terms[0] - 0.5 * (terms[1] + terms[2]), rel=1e-8)


def test_the_gradient_of_the_divergence_vanishes_at_equality():
    x = clouds(30, 30)[0].requires_grad_()
    found = sinkhorn_divergence(x, x.detach(), fraction=0.1, tolerance=1e-12).value
    (slope,) = torch.autograd.grad(found, x)
    assert float(slope.abs().max()) < 1e-10


@pytest.mark.parametrize("fraction", [0.5, 0.01, 1e-3])
@pytest.mark.parametrize("stored", [True, False])
def test_a_law_with_itself_halves_its_error_at_least_in_every_iteration(
    fraction: float, stored: bool
):
    x, _, a, _ = clouds(120, 5)
    plan = self_transport(x, a, fraction=fraction, tolerance=1e-10, stored=stored)
    assert plan.converged
    assert plan.iterations <= 40
    assert torch.equal(plan.f, plan.g)
    assert l1(plan.plan(), a, a) <= 1.1e-10
    torch.testing.assert_close(plan.potential(x), plan.f, rtol=1e-6, atol=1e-6 * plan.epsilon)


def test_the_exact_plan_of_a_map_of_convex_gradients_is_that_map_for_every_sample():
    rng = np.random.default_rng(3)
    x, w = torch.from_numpy(rng.normal(size=(150, 3))), torch.from_numpy(rng.normal(size=(4, 3)))
    image = 0.6 * x + torch.tanh(x @ w.mT) @ w  # the gradient of .3|x|^2 + sum log cosh
    order = torch.from_numpy(rng.permutation(150))
    exact = discrete_transport(x, image[order])
    truth = float((x - image).square().sum(1).mean())
    assert exact.value == pytest.approx(truth, rel=1e-12)
    slack = squared_distance(x, image[order]) - exact.f[:, None] - exact.g
    assert float(slack.min()) > -1e-9
    assert float(slack[exact.plan > 0].abs().max()) < 1e-9
    near = sinkhorn(x, image[order], fraction=1e-3)
    assert abs(near.transport() - truth) < 1e-2 * truth
    assert float((near.barycentric() - image).square().mean()) < 0.02 * float(image.var())


def test_single_precision_points_are_met_to_a_millionth():
    x, y, _, _ = clouds(80, 80)
    plan = sinkhorn(x.float(), y.float(), fraction=0.02)
    assert plan.converged
    assert plan.f.dtype == F64
    double = sinkhorn(x.float().double(), y.float().double(), fraction=0.02)
    assert float(plan.value) == pytest.approx(float(double.value), rel=1e-7)
    assert plan.map(x.float()).dtype == F64


HALF = [0.5, 0.5]
PAIR = torch.zeros(2, 3, dtype=F64)


def below(x: Tensor, y: Tensor) -> Tensor:
    return x @ y.mT - 1


def skewed(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, :1] - 2 * y.mT[:1]) ** 2


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((PAIR, PAIR, [0.5, 0.6], HALF), {"epsilon": 1.0}, "sum to 1, got 1.1"),
        ((PAIR, PAIR, [1.5, -0.5], HALF), {"epsilon": 1.0}, "positive, got -0.5"),
        ((PAIR, PAIR, [0.5, 0.25, 0.25], HALF), {"epsilon": 1.0}, "shape"),
        ((PAIR, PAIR[:, :2]), {"epsilon": 1.0}, "one dimension.* 3 and 2"),
        ((PAIR * math.nan, PAIR), {"epsilon": 1.0}, "finite, got nan"),
        ((PAIR, PAIR), {"epsilon": 0.0}, "positive and finite, got 0"),
        ((PAIR, PAIR), {"fraction": -1.0}, "positive and finite, got -1"),
        ((PAIR, PAIR), {"fraction": 0.1}, "mean cost is 0"),
        ((PAIR, PAIR), {}, "one of them"),
        ((PAIR,), {"epsilon": 1.0}, "two clouds"),
        ((PAIR, PAIR), {"epsilon": 1.0, "cost": PAIR}, "not both"),
        ((), {"epsilon": 1.0, "cost": torch.tensor([[1.0, -2.0]])}, "not negative, got -2"),
        ((), {"epsilon": 1.0, "cost": torch.tensor([[1.0, math.nan]])}, "finite, got nan"),
        (
            (PAIR, PAIR),
            {"epsilon": 1.0, "cost": below},
            "not negative, got -1",
        ),
        ((PAIR, PAIR), {"epsilon": 1.0, "tolerance": 0.0}, "tolerance"),
        ((PAIR, PAIR), {"epsilon": 1.0, "relaxation": 2.0}, "relaxation must be in"),
        ((PAIR, PAIR), {"epsilon": 1.0, "max_iterations": 0}, "at least 1"),
        ((PAIR, PAIR), {"epsilon": 1.0, "dtype": torch.float16}, "float64 or float32"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments: tuple, options: dict, words: str):
    with pytest.raises(InvalidLawError, match=words):
        sinkhorn(*arguments, **options)


def test_what_needs_points_says_so():
    plan = sinkhorn(cost=torch.rand(3, 3, dtype=F64), epsilon=1.0)
    with pytest.raises(InvalidLawError, match="needs points"):
        plan.barycentric()
    with pytest.raises(InvalidLawError, match="points and a function"):
        sinkhorn_divergence(PAIR, PAIR, cost=torch.rand(2, 2), epsilon=1.0)  # type: ignore
    with pytest.raises(InvalidLawError, match="symmetric"):
        self_transport(clouds(5, 5)[0], epsilon=1.0, cost=skewed)
    with pytest.raises(ShapeError, match="must return"):
        sinkhorn(PAIR, PAIR, cost=lambda x, y: (x + y).sum(1), epsilon=1.0)
