"""LML: Sherman-Morrison, the identity at kappa = 0, a tangential extrapolation, and rounding."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from fokker.analysis.paired import rms
from fokker.solvers.errors import InvalidGridError, InvalidPlanError
from fokker.solvers.grids import grid_from_times, uniform_lam, wavy_lam
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow
from fokker.solvers.wrappers.lml import (
    ddim_lml,
    ddim_turned,
    dpmpp_2m_lml,
    dpmpp_2m_turned,
    lml_direction,
    lml_direction_published,
    tangential,
)
from fokker.toy_models.problems import problem

P = problem("product")
BOTH = [lml_direction, lml_direction_published]


def pair(count: int = 4, size: int = 3072) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    g, z = torch.randn(2, count, size, generator=generator, dtype=torch.float64)
    return g, g + 0.3 * z


def change(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


@pytest.mark.parametrize("direction", BOTH)
@pytest.mark.parametrize(("kappa", "damping"), [(0.3, 1.0), (0.01, 0.1), (0.9, 20.0)])
def test_the_direction_solves_the_damped_system_and_keeps_its_length(direction, kappa, damping):
    g, last = pair(3, 6)
    e = (1 - kappa) * g + kappa * last
    matrix = damping * torch.eye(6, dtype=g.dtype) + e[:, :, None] * e[:, None, :]
    solved = torch.linalg.solve(matrix, g)
    want = solved * (g.norm(dim=1, keepdim=True) / solved.norm(dim=1, keepdim=True))
    got = direction(g, last, kappa=kappa, damping=damping)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    turned = direction(g.reshape(3, 2, 3), last.reshape(3, 2, 3), kappa=kappa, damping=damping)
    torch.testing.assert_close(turned.flatten(1), got)


def test_at_kappa_zero_it_is_the_identity_in_float64():
    g, last = pair()
    assert torch.equal(lml_direction(g, last, kappa=0.0, damping=1e-3), g)
    assert torch.equal(lml_direction(g, None, kappa=0.4, damping=1e-3), g)
    assert change(lml_direction_published(g, last, kappa=0.0, damping=1e-3), g) < 1e-9
    assert change(lml_direction(g, last, kappa=1e-3, damping=1.0), g) > 0.1


@pytest.mark.parametrize("damping", [1e-3, 1.0])
def test_for_small_kappa_it_is_a_tangential_extrapolation(damping):
    """With ``c = kappa |g|^2/damping`` of each sample, to 1e-6 at ``kappa = 1e-8``."""
    g, last = pair()
    c = 1e-8 * g.square().sum(1) / damping
    want = torch.cat(
        [tangential(g[k : k + 1], last[k : k + 1], float(c[k])) for k in range(len(g))]
    )
    turned = lml_direction(g, last, kappa=1e-8, damping=damping)
    moved = change(turned, g)
    assert change(turned, want) < 1e-6 * moved
    wrong = torch.cat([tangential(g[k : k + 1], last[k : k + 1], -float(c[k])) for k in range(4)])
    assert change(turned, wrong) > 1.9 * moved


@pytest.mark.parametrize(("damping", "least", "most"), [(8e-4, 0.1, 0.2), (1.0, 3e-5, 3e-4)])
def test_the_published_line_cancels_in_float32_and_the_other_does_not(damping, least, most):
    g, last = (a.to(torch.float32) for a in pair())
    noise = change(lml_direction_published(g, last, damping=damping), g)
    assert least < noise < most
    truth = lml_direction(g.double(), last.double(), kappa=1e-8, damping=damping)
    assert change(lml_direction(g, last, kappa=1e-8, damping=damping), truth) < 3e-7
    assert change(lml_direction_published(g, last, kappa=1e-8, damping=damping), truth) > least


def test_without_a_turn_the_samplers_are_ddim_and_2m():
    grid = wavy_lam(P.process, -1.5, 2.0).grid(7)
    x, eps, data = P.starts(5), P.model("noise"), P.model("data")

    def keep(g: torch.Tensor, last: torch.Tensor | None) -> torch.Tensor:
        return g

    for g in (grid, grid.with_zero()):
        ddim = run(get("exp_ab1_noise")(P.process, g), eps, x).x
        torch.testing.assert_close(ddim_turned(eps, g, x, keep).x, ddim)
        torch.testing.assert_close(ddim_lml(eps, P.process, g, x).x, ddim)
        found = dpmpp_2m_turned(data, g, x, keep)
        torch.testing.assert_close(found.x, run(get("dpmpp_2m")(P.process, g), data, x).x)
        assert found.nfe == len(g)
        assert rms(dpmpp_2m_lml(data, P.process, g, x).x - found.x) > 1e-6


def test_a_turn_of_the_noise_itself_does_not_vanish_with_the_step():
    """DDIM with kappa > 0 has no order; on the increments of 2M the turn is of higher order."""
    x, truth = P.cold().starts(8), P.cold().endpoint(P.cold().starts(8))
    errors: dict[str, list[float]] = {"ddim": [], "2m": []}
    for steps in (64, 128, 256):
        grid = uniform_lam(P.process, -1.5, 3.0).grid(steps)
        turn = {"kappa": 0.2, "damping": 1.0}
        errors["ddim"].append(
            rms(ddim_lml(P.model("noise"), P.process, grid, x, **turn).x - truth)
        )
        errors["2m"].append(
            rms(dpmpp_2m_lml(P.model("data"), P.process, grid, x, **turn).x - truth)
        )
    assert errors["ddim"][2] > 0.8 * errors["ddim"][0]
    assert math.log2(errors["2m"][0] / errors["2m"][1]) > 1.8
    assert math.log2(errors["2m"][1] / errors["2m"][2]) > 1.8


@pytest.mark.parametrize("direction", BOTH)
def test_a_direction_that_vanishes_stays_as_it_is(direction):
    zero = torch.zeros(2, 5, dtype=torch.float64)
    assert torch.equal(direction(zero, zero, kappa=0.1, damping=1.0), zero)
    assert torch.isfinite(direction(zero, pair(2, 5)[0], kappa=0.1, damping=1.0)).all()


def test_bad_options_are_refused_in_one_sentence():
    g, last = pair(2, 3)
    for direction in BOTH:
        for kappa, damping in ((-0.1, 1.0), (1.0, 1.0), (0.1, 0.0), (0.1, math.inf)):
            with pytest.raises(InvalidPlanError, match=r"0 <= kappa < 1 and damping > 0, got"):
                direction(g, last, kappa=kappa, damping=damping)
    flow = RectifiedFlow()
    grid = grid_from_times(flow, [1.0, 0.5])
    with pytest.raises(InvalidGridError, match="cannot start at alpha = 0"):
        ddim_turned(P.model("noise"), grid, P.starts(2), partial(lml_direction))
