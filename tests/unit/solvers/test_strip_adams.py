"""The predictor-corrector for few evaluations: what it contains, and that it is the best there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fokker.solvers.errors import InvalidGridError, InvalidPlanError
from fokker.solvers.grids import logistic_lam, power_t, uniform_lam, wavy_lam
from fokker.solvers.plan import Eval
from fokker.solvers.plan_algebra import distance
from fokker.solvers.predictor_corrector import unipc
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.solvers.strip_adams import normal_jacobian, strip_adams
from fokker.toy_models import Gaussian, exact_model
from fokker.toy_models.problems import problem

VP = VPLinear()
GRID = wavy_lam(VP, -2.0, 2.0).grid(7)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_without_a_strip_and_realignment_it_is_unipc_with_exact_weights(order):
    ours = strip_adams(VP, GRID, order=order, strip=float("inf"), size=0)
    assert distance(ours, unipc(VP, GRID, order=order, rule="exact")) < 1e-12
    assert distance(strip_adams(VP, GRID, order=order, size=0), ours) > (1e-3 if order > 1 else 0)


def test_realignment_is_exact_on_the_normal_law_of_its_size():
    """There the moved output is the model at the corrected state, so PEC becomes PECE."""
    size, process = 1.7, EDM()
    law = Gaussian(torch.zeros(3, dtype=torch.float64), size**2 * torch.eye(3).double())
    model = exact_model(law, process, "data")
    grid = uniform_lam(process, -1.5, 1.5).grid(4)
    states: dict[int, torch.Tensor] = {}
    plan = strip_adams(process, grid, order=2, size=size)
    asked = {op.node.t: op for op in plan.ops if isinstance(op, Eval)}
    assert len(asked) == plan.nfe == 4
    x = 3.0 * torch.randn(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    run(plan, model, x, callback=lambda e: states.update({e.step: e.x.clone()}))
    node = grid[1]
    first = strip_adams(process, grid.part(0, 1), order=2, size=size)
    predicted = run(first, model, x).x
    corrected = states[1]
    moved = model(predicted, node.t) + normal_jacobian(node, size) * (corrected - predicted)
    torch.testing.assert_close(moved, model(corrected, node.t), rtol=1e-12, atol=1e-13)


def test_it_is_the_most_accurate_of_the_well_known_samplers_at_few_evaluations():
    """Root mean square on the digits mixture; every peer on every grid: the figure 'accuracy'."""
    p = problem("digits-mixture")
    x = p.starts(64, seed=1)
    truth = p.endpoint(x)
    times = [float(p.start.t), float(p.end.t)]
    squares = power_t(p.process, times[0], times[1], 2.0)
    ours = logistic_lam(p.process, p.lam_start, p.lam_end)

    def error(name: str, maps, steps: int) -> float:
        sampler = get(name)
        out = run(sampler(p.process, maps.grid(steps)), p.model(sampler.prediction), x).x
        return float((out - truth).square().mean().sqrt())

    for steps in (5, 6, 8, 10):
        best = error("strip_adams_3", ours, steps)
        for peer in ("ddim", "dpmpp_2m", "unipc_2", "ipndm"):
            assert best < error(peer, squares, steps)
            assert best < error(peer, ours, steps)


def test_a_logistic_grid_centred_at_zero_is_uniform_in_the_time_of_a_rectified_flow():
    flow = RectifiedFlow()
    times = [float(t) for t in flow.t_of_lam(np.array([-4.0, 3.0]))]
    want = [n.lam for n in power_t(flow, *times).grid(9).nodes]
    found = [n.lam for n in logistic_lam(flow, -4.0, 3.0, 0.0, 1.0).grid(9).nodes]
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


def test_a_logistic_grid_nests_and_keeps_its_ends():
    maps = logistic_lam(VP, -4.0, 4.0)
    coarse, fine = maps.grid(5), maps.grid(10)
    assert [n.lam for n in fine.nodes][::2] == [n.lam for n in coarse.nodes]
    assert (coarse[0].lam, coarse[-1].lam) == (-4.0, 4.0)


def test_bad_input_is_one_sentence():
    with pytest.raises(InvalidPlanError, match="order >= 1 and a finite size >= 0, got order=0"):
        strip_adams(VP, GRID, order=0)
    with pytest.raises(InvalidPlanError, match="size=-1"):
        strip_adams(VP, GRID, order=2, size=-1)
    with pytest.raises(InvalidPlanError, match="half width"):
        strip_adams(VP, GRID, order=2, strip=0)
    with pytest.raises(InvalidGridError, match=r"positive width, got 0\.2 and 0"):
        logistic_lam(VP, -1, 1, width=0)
    with pytest.raises(InvalidGridError, match="does not reach to u = -1"):
        logistic_lam(VP, -1, 1, width=0.2).history(1, 1)
