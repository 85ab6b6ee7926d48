"""The predictor-corrector for few evaluations: what it contains, and that it is the best there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fokker.solvers.errors import InvalidGridError, InvalidPlanError
from fokker.solvers.grids import power_t, sinh_lam, uniform_lam, wavy_lam
from fokker.solvers.plan_algebra import distance
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.predictor_corrector import unipc
from fokker.solvers.samplers.strip import strip_weights
from fokker.solvers.samplers.strip_adams import normal_jacobian, strip_adams
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models import Gaussian, exact_model
from fokker.toy_models.problems import problem

VP = VPLinear()
GRID = wavy_lam(VP, -2.0, 2.0).grid(7)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_in_lam_without_strip_and_realignment_it_is_unipc_with_exact_weights(order):
    plain = {"strip": float("inf"), "size": float("inf"), "realign": False}
    ours = strip_adams(VP, GRID, order=order, **plain)
    assert distance(ours, unipc(VP, GRID, order=order, rule="exact")) < 1e-12
    for change in ({"strip": 1.0}, {"size": 2.0}, {"realign": True}):
        assert distance(strip_adams(VP, GRID, order=order, **{**plain, **change}), ours) > 1e-3


def test_realignment_is_exact_on_the_normal_law_of_its_size():
    """There the moved output is the model at the corrected state, so PEC becomes PECE."""
    size, strip, process = 1.7, 1.1, EDM()
    law = Gaussian(torch.zeros(3, dtype=torch.float64), size**2 * torch.eye(3).double())
    model = exact_model(law, process, "data")
    grid = uniform_lam(process, -1.5, 1.5).grid(4)
    asked: list[torch.Tensor] = []

    def watched(x: torch.Tensor, t: float) -> torch.Tensor:
        asked.append(x.clone())
        return model(x, t)

    x = 3.0 * torch.randn(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plan = strip_adams(process, grid, order=2, size=size, strip=strip)
    first = run(plan, watched, x, save_at=[1]).saved[1]
    s, t, u = grid[0], grid[1], grid[2]
    weights = strip_weights(np.array([t.lam, s.lam]), t.lam, u.lam, strip=strip, size=size)
    outputs = (model(first, t.t), model(x, s.t))  # the first at the corrected state
    want = u.sigma / t.sigma * first + sum(w * d for w, d in zip(weights, outputs, strict=True))
    torch.testing.assert_close(asked[2], want, rtol=1e-12, atol=1e-13)
    assert normal_jacobian(t, size) == pytest.approx(1 / (1 + (t.sigma / size) ** 2), rel=1e-14)
    assert plan.nfe == len(asked) == 4


def test_it_is_the_most_accurate_at_few_evaluations_on_the_digits():
    """Root mean square and median; all peers on all grids, many starts: the figure 'accuracy'."""
    p = problem("digits-mixture")
    x = p.starts(96, seed=1)
    truth = p.endpoint(x)
    squares = power_t(p.process, float(p.start.t), float(p.end.t), 2.0)
    ours = sinh_lam(p.process, p.lam_start, p.lam_end)

    def errors(name: str, maps, steps: int) -> tuple[float, float]:
        sampler = get(name)
        out = run(sampler(p.process, maps.grid(steps)), p.model(sampler.prediction), x).x
        each = (out - truth).square().mean(1)
        return float(each.mean().sqrt()), float(each.sqrt().median())

    for steps in (5, 10):
        rms, median = errors("strip_adams_4", ours, steps)
        for peer in ("dpmpp_2m", "unipc_2", "ipndm"):
            for maps in (squares, ours):
                peer_rms, peer_median = errors(peer, maps, steps)
                assert rms < peer_rms
                assert median < peer_median


def test_a_sinh_grid_is_uniform_in_its_clock_and_keeps_its_ends():
    maps = sinh_lam(VP, -4.0, 4.0, 2.0, 0.0)
    zeta = np.arcsinh(2.0 * np.exp([n.lam for n in maps.grid(9).nodes]))
    np.testing.assert_allclose(np.diff(zeta), np.diff(zeta)[0], rtol=1e-10)
    maps = sinh_lam(VP, -4.0, 4.0)
    coarse, fine = maps.grid(5), maps.grid(10)
    assert [n.lam for n in fine.nodes][::2] == [n.lam for n in coarse.nodes]
    assert (coarse[0].lam, coarse[-1].lam) == (-4.0, 4.0)


def test_bad_input_is_one_sentence():
    with pytest.raises(InvalidPlanError, match="order >= 1, got 0"):
        strip_adams(VP, GRID, order=0)
    with pytest.raises(InvalidPlanError, match="size of the leading modes must be positive"):
        strip_adams(VP, GRID, order=2, size=-1)
    with pytest.raises(InvalidPlanError, match="half width"):
        strip_adams(VP, GRID, order=2, strip=0)
    with pytest.raises(InvalidGridError, match="positive finite size and a stretch >= 0, got 0"):
        sinh_lam(VP, -1, 1, size=0)
    with pytest.raises(InvalidGridError, match="does not reach to u = -1"):
        sinh_lam(VP, -1, 1, stretch=0.0).history(1, 1)
