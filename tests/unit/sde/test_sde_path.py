"""A path refined from the top is Brownian: additive, the same in any order of questions."""

from __future__ import annotations

import math

import pytest
import torch

from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.errors import InvalidGridError
from fokker.solvers.ops import Noise
from fokker.solvers.sde.basic import euler_maruyama, milstein
from fokker.solvers.sde.path import DyadicPath
from fokker.solvers.sde.solve import solve
from sde_problems import gbm

MANY = torch.empty(40_000, 1, dtype=torch.float64)
FEW = torch.empty(5, 3, dtype=torch.float64)


def test_halves_add_up_to_the_whole_and_their_areas_to_its_area():
    path = DyadicPath(-1.0, 2.0, seed=3)
    piece = path.halves(path.whole(FEW), None)[1]
    left, right = path.halves(piece, None)
    torch.testing.assert_close(left.w + right.w, piece.w, rtol=1e-14, atol=1e-14)
    area = (left.area + right.area) / 2 + (left.w - right.w) / 4
    torch.testing.assert_close(area, piece.area, rtol=1e-14, atol=1e-14)


def covariance(redrawn: bool = False) -> torch.Tensor:
    """Of increments and areas, normalised, of the four quarters: the identity."""
    path = DyadicPath(0.0, 1.0, seed=1)
    quarters = []
    for half in path.halves(path.whole(MANY), None):
        quarters += path.halves(half, None)
    fields = [q.w * 2 for q in quarters] + [q.area * math.sqrt(48) for q in quarters]
    block = torch.cat(fields, 1)
    if redrawn:
        block[:, 1] = 0.95 * block[:, 1] + 0.05 * block[:, 0]
    return block.T @ block / len(MANY)


def test_quarters_are_independent_normals_with_the_variances_of_a_path():
    """36 entries at 6.5 standard errors: false alarm below 1e-8. The control is seen."""
    gap = covariance() - torch.eye(8, dtype=torch.float64)
    error = (torch.ones(8, 8) + torch.eye(8)).sqrt() / len(MANY) ** 0.5
    assert bool((gap.abs() < 6.5 * error).all())
    gap = covariance(redrawn=True) - torch.eye(8, dtype=torch.float64)
    assert not bool((gap.abs() < 6.5 * error).all())


def test_a_cell_has_one_value_in_any_order_and_for_any_batch():
    cells = [Noise("t", k / 8, (k + 1) / 8, kind) for k in range(8) for kind in "WH"]
    cells += [Noise("t", 0.25, 0.5), Noise("t", 0.0, 1.0)]
    path = DyadicPath(0.0, 1.0, seed=9)
    forward = [path.draw(c, FEW) for c in cells]
    again = DyadicPath(0.0, 1.0, seed=9, sample_ids=[3, 1])
    for c, field in zip(reversed(cells), reversed(forward), strict=True):
        assert torch.equal(again.draw(c, FEW[:2]), field[[3, 1]])


def test_the_walk_and_any_question_see_one_path():
    """Also on ends that are no dyadic numbers, and from the leaf up the other way."""
    path, tree = DyadicPath(-0.3, 1.1, 6), TreePath([-0.3, 1.1], 6, tolerance=1e-6)
    pieces = [path.whole(FEW)]
    for _ in range(4):
        pieces = [half for piece in pieces for half in path.halves(piece, None)]
    for piece in pieces:
        for kind, value, scale in (("W", piece.w, 1.0), ("H", piece.area, 12.0)):
            h = piece.b - piece.a
            field = tree.draw(Noise("t", piece.a, piece.b, kind), FEW)
            torch.testing.assert_close(field * (h / scale) ** 0.5, value, rtol=1e-12, atol=1e-13)
    other = DyadicPath(-0.3, 1.1, 7).whole(FEW)  # the control
    assert float((other.w - path.whole(FEW).w).abs().min()) > 1e-4


@pytest.mark.parametrize("cell", [(0.0, 0.3), (0.25, 0.75), (0.5, 0.25), (-0.5, 0.0), (1.0, 1.5)])
def test_a_cell_that_is_not_dyadic_is_refused(cell: tuple[float, float]):
    with pytest.raises(InvalidGridError, match="is not a dyadic cell"):
        DyadicPath(0.0, 1.0, seed=0).draw(Noise("t", *cell), FEW)


@pytest.mark.parametrize("cell", [(0.5, 0.5), (0.0, math.inf), (math.nan, 1.0)])
def test_a_cell_without_a_length_is_refused(cell: tuple[float, float]):
    with pytest.raises(InvalidGridError, match="is not a dyadic cell"):
        DyadicPath(0.0, 1.0, seed=0).draw(Noise("t", *cell), FEW)


@pytest.mark.parametrize("ends", [(1.0, 0.0), (0.0, 0.0), (0.0, math.inf)])
def test_ends_that_do_not_increase_are_refused(ends: tuple[float, float]):
    with pytest.raises(InvalidGridError, match="finite ends that increase"):
        DyadicPath(*ends, seed=0)


def test_coarse_and_fine_solves_see_one_path():
    """Strong orders on it: 1/2 for Euler-Maruyama, 1 for Milstein."""
    x = torch.ones(4000, 1, dtype=torch.float64)
    path = DyadicPath(0.0, 1.0, seed=4)
    exact = x * torch.exp((0.1 - 0.125) + 0.5 * path.whole(x).w)
    for method, order in ((euler_maruyama, 0.5), (milstein, 1.0)):
        errors = []
        for n in (8, 32):
            out = solve(
                gbm(mu=0.1, sigma=0.5), method, [k / n for k in range(n + 1)], x, noise=path
            )
            errors.append(float((out.x - exact).square().mean().sqrt()))
        assert math.log(errors[0] / errors[1], 4) == pytest.approx(order, abs=0.12)
