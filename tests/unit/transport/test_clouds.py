"""Transport between weighted clouds: four methods, what each proves, and clouds on a line."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidLawError
from fokker.solvers.transport.cloud_transport import (
    CloudTransport,
    bounds,
    transport_clouds,
)
from fokker.solvers.transport.clouds import Cloud, one_dimension, principal_plane
from fokker.solvers.transport.discrete import discrete_transport
from fokker.solvers.transport.line_clouds import line_transport
from fokker.solvers.transport.point_bridge import point_bridge
from fokker.solvers.transport.reference import brownian
from fokker.solvers.transport.sinkhorn import sinkhorn
from fokker.solvers.transport.sinkhorn_result import NotConvergedWarning


def cloud(n: int, dim: int, seed: int, name: str = "cloud") -> Cloud:
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.2, 1.0, n)
    return Cloud(rng.normal(size=(n, dim)) * 2 + seed, w / w.sum(), name)


@lru_cache
def pair(dim: int = 2) -> tuple[Cloud, Cloud]:
    return cloud(30, dim, 1, "A"), cloud(40, dim, 2, "B")


def exact(a: Cloud, b: Cloud) -> float:
    return discrete_transport(a.points, b.points, a.weights, b.weights).value


# -- clouds on a line ---------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
def test_in_order_is_the_exact_plan_on_a_line_for_every_convex_cost(power: float):
    a, b = pair(1)
    plan = line_transport(a.points, b.points, a.weights, b.weights)
    costs = (a.points - b.points.mT).abs() ** power
    truth = discrete_transport(cost=costs, a=a.weights, b=b.weights).value
    assert plan.cost(power) == pytest.approx(truth, rel=1e-12)


def test_pieces_have_both_marginals_and_are_few():
    a, b = pair(1)
    plan = line_transport(a.points, b.points, a.weights, b.weights)
    assert len(plan.mass) <= len(a.points) + len(b.points) - 1
    assert float(plan.mass.min()) > 0
    for which, w in ((plan.first, a.weights), (plan.last, b.weights)):
        got = torch.zeros_like(w).index_add(0, which, plan.mass)
        torch.testing.assert_close(got, w, rtol=0, atol=1e-14)
    image = plan.image[a.points[:, 0].argsort()]
    assert bool((image.diff() >= -1e-12).all())
    assert float(a.weights @ plan.image) == pytest.approx(float(b.mean), abs=1e-13)


def test_equal_numbers_of_equal_weights_are_matched_one_by_one():
    x, y = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([10.0, 30.0, 20.0])
    plan = line_transport(x, y)
    assert plan.image.tolist() == pytest.approx([30.0, 10.0, 20.0], rel=1e-14)
    assert plan.mass.tolist() == pytest.approx([1 / 3] * 3)


def test_lists_of_numbers_are_not_rounded_to_single_precision():
    x, y, w = [[0.1], [0.7]], [[0.3], [1.9]], [0.3, 0.7]
    truth = 0.3 * 0.2**2 + 0.7 * 1.2**2
    assert line_transport([0.1, 0.7], [0.3, 1.9], w, w).cost() == pytest.approx(truth, rel=1e-14)
    assert discrete_transport(x, y, w, w).value == pytest.approx(truth, rel=1e-14)
    assert float(sinkhorn(x, y, w, w, epsilon=1.0).a[0]) == 0.3
    bridge = point_bridge(x, y, w, w, reference=brownian(1))
    assert float(bridge.x[0]) == 0.1


# -- four methods -------------------------------------------------------------------------------


@lru_cache
def found(method: str, dim: int = 2) -> CloudTransport:
    return transport_clouds(*pair(dim), method)


@pytest.mark.parametrize("method", ["gaussian", "exact", "sinkhorn", "quantile"])
def test_bounds_hold_the_distance_of_the_clouds(method: str):
    dim = 1 if method == "quantile" else 2
    truth, seen = exact(*pair(dim)), found(method, dim)
    assert seen.lower <= truth + 1e-12
    if seen.upper is not None:
        assert truth <= seen.upper + 1e-12
    assert seen.converged


def test_bounds_hold_without_convergence_too_and_close_at_small_epsilon():
    a, b = pair()
    truth = exact(a, b)
    for fraction, most in ((0.05, 2), (0.002, 20), (1e-3, 5)):
        with pytest.warns(NotConvergedWarning):
            plan = sinkhorn(
                a.points, b.points, a.weights, b.weights, fraction=fraction, max_iterations=most
            )
        low, high = bounds(plan)
        assert low <= truth <= high
    seen = transport_clouds(a, b, fraction=1e-4)
    assert seen.upper is not None
    assert seen.upper - seen.lower < 2e-3 * truth
    assert seen.lower <= truth <= seen.upper


@pytest.mark.parametrize("dim", [1, 2])
def test_between_affine_images_every_method_finds_the_map(dim: int):
    """A symmetric positive matrix and a shift: the Gaussian map is the optimal one of clouds."""
    a, _ = pair(dim)
    matrix = torch.tensor([[2.0, 0.3], [0.3, 0.5]], dtype=torch.float64)[:dim, :dim]
    image = a.points @ matrix + 1.0
    b = Cloud(image, a.weights)
    cost = float(a.weights @ (image - a.points).square().sum(1))
    methods = ["gaussian", "exact", *(["quantile"] if dim == 1 else [])]
    for method in methods:
        seen = transport_clouds(a, b, method)
        assert seen.cost == pytest.approx(cost, rel=1e-12)
        torch.testing.assert_close(seen.mapped, image, rtol=0, atol=1e-9)
        assert seen.distance == pytest.approx(cost**0.5, rel=1e-12)
    seen = transport_clouds(a, b, "sinkhorn", fraction=2e-4)
    assert float((seen.mapped - image).abs().max()) < 0.05


@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_units_are_only_units(unit: float):
    """Tiny costs are not taken for 0: cost, bounds and images move with the points."""
    a, b = pair()
    scaled = Cloud(unit * a.points, a.weights), Cloud(unit * b.points, b.weights)
    for method in ("gaussian", "exact", "sinkhorn"):
        seen, plain = transport_clouds(*scaled, method), found(method)
        assert seen.cost / unit**2 == pytest.approx(plain.cost, rel=1e-11)
        assert seen.lower / unit**2 == pytest.approx(plain.lower, rel=1e-11)
        torch.testing.assert_close(seen.mapped / unit, plain.mapped, rtol=0, atol=1e-10)


def test_a_cloud_is_at_no_distance_from_itself():
    a, _ = pair()
    for method in ("gaussian", "exact"):
        assert transport_clouds(a, a, method).distance < 1e-14
    seen = transport_clouds(a, a, "sinkhorn")
    assert seen.lower == 0.0  # no cost is negative
    assert seen.upper is not None
    assert seen.upper > 0


def test_images_have_the_mean_of_the_second_cloud():
    """For the plans of Sinkhorn up to what it misses of the marginals."""
    for method, off in (("gaussian", 1e-13), ("exact", 1e-13), ("sinkhorn", 1e-5)):
        a, b = pair()
        mean = a.weights @ found(method).mapped
        torch.testing.assert_close(mean, b.mean, rtol=0, atol=off)


def test_the_saved_arrays_make_the_map():
    a, b = pair()
    seen = found("sinkhorn")
    costs = (a.points[:, None] - b.points).square().sum(2)
    weights = ((seen.arrays["g"] - costs) / seen.arrays["epsilon"] + b.weights.log()).softmax(1)
    torch.testing.assert_close(weights @ b.points, seen.mapped, rtol=0, atol=1e-12)
    seen = found("exact")
    parts = seen.arrays["mass"][:, None] * b.points[seen.arrays["last"]]
    image = torch.zeros_like(a.points).index_add(0, seen.arrays["first"], parts)
    torch.testing.assert_close(image / a.weights[:, None], seen.mapped, rtol=0, atol=1e-12)
    kept = found("gaussian").arrays
    image = kept["mean_b"] + (a.points - kept["mean_a"]) @ kept["matrix"]
    torch.testing.assert_close(image, found("gaussian").mapped, rtol=0, atol=0)


def test_progress_is_told_at_each_look_with_a_falling_error():
    seen: list[tuple[int, float, float]] = []
    result = transport_clouds(*pair(), fraction=0.05, progress=lambda *told: seen.append(told))
    assert [count for count, _, _ in seen] == list(range(1, len(seen) + 1))
    assert len(seen) == result.iterations
    assert seen[-1][1] <= 1e-6 < seen[0][1]
    assert {epsilon for _, _, epsilon in seen} == {result.facts["epsilon"]}


# -- clouds -------------------------------------------------------------------------------------


def test_moments_are_those_of_the_weighted_cloud_itself():
    a, _ = pair()
    truth = np.cov(a.points.numpy().T, aweights=a.weights.numpy(), ddof=0)
    np.testing.assert_allclose(a.cov.numpy(), truth, rtol=0, atol=1e-13)


def test_the_plane_of_a_picture_is_that_of_most_variance():
    rng = np.random.default_rng(0)
    turn = torch.linalg.qr(torch.from_numpy(rng.normal(size=(4, 4)))).Q
    corners = torch.from_numpy(np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T)
    x = corners * torch.tensor([3.0, 2.0, 0.5, 0.1], dtype=torch.float64) @ turn.mT
    shift = 4.0 * turn[:, 2]
    plane, share = principal_plane(Cloud(x), Cloud(x + shift))
    assert plane.abs().max(0).values.tolist() == plane.max(0).values.tolist()  # signs
    inside = (turn.mT @ plane).abs()
    wanted = torch.tensor([[1.0, 0], [0, 0], [0, 1], [0, 0]], dtype=torch.float64)
    torch.testing.assert_close(inside, wanted, rtol=0, atol=1e-12)
    assert share == pytest.approx((9 + 4.25) / (9 + 4 + 4.25 + 0.01), rel=1e-12)


NAN = torch.tensor([[0.0, 0.0], [float("nan"), 1.0], [1.0, float("inf")]])


def low_rank() -> Tensor:
    return torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Cloud(NAN, name="a.npy"), "a.npy has 2 of 3 points that are not finite, the fir"),
        (lambda: Cloud([[1e200]], name="A"), r"A has a coordinate of 1e\+200, above 1e\+150"),
        (lambda: sinkhorn([[1e200]], [[0.0]], fraction=0.1), "mean cost is inf, beyond float64"),
        (lambda: Cloud(torch.zeros(3)), r"got \(3,\); points on a line are \(n, 1\)"),
        (lambda: Cloud(torch.zeros(0, 2)), r"at least one, got \(0, 2\)"),
        (lambda: Cloud(torch.zeros(2, 1), [0.5, 0.6], "a.csv"), "a.csv: weights must sum to 1"),
        (lambda: Cloud(torch.zeros(2, 1), [1.5, -0.5]), "cloud: weights must be positive"),
        (lambda: one_dimension(cloud(3, 1, 0, "A"), cloud(3, 2, 0, "B")), "got 1 coord"),
        (lambda: principal_plane(*pair(1)), "at least 2 coordinates, got 1"),
        (lambda: transport_clouds(*pair(), "fastest"), "unknown method 'fastest'; accepted"),
        (lambda: transport_clouds(*pair(), fraction=0.0), "epsilon must be positive"),
        (lambda: transport_clouds(*pair(), fraction=float("nan")), "finite, got nan"),
        (lambda: transport_clouds(*pair(), "exact", fraction=0.1), "epsilon is an option"),
        (lambda: transport_clouds(*pair(), "exact", max_iterations=3), "max iterations is an"),
        (lambda: transport_clouds(*pair(), "quantile"), "on a line, got 2 coordinates in A"),
        (
            lambda: transport_clouds(Cloud(low_rank(), name="A"), pair()[1], "gaussian"),
            "from A to B: no map leads from a singular Gaussian",
        ),
        (lambda: line_transport(torch.zeros(2, 2), torch.zeros(2)), "x must be a non-empty"),
        (lambda: line_transport([0.0], [1.0]).cost(0.5), "power must be at least 1, got 0.5"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(make, sentence: str):
    with pytest.raises(InvalidLawError, match=sentence):
        make()


def test_exact_transport_refuses_what_does_not_fit_memory():
    many = Cloud(torch.zeros(20_000, 1))
    with pytest.raises(InvalidLawError, match=r"keeps 4e\+08 entries .*: use sinkhorn"):
        transport_clouds(many, many, "exact")
