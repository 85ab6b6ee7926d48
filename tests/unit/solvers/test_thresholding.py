"""Thresholding: the identity inside the box, into it from outside, and the order it leaves."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from fokker.analysis.paired import rms
from fokker.solvers.errors import InvalidPlanError, ShapeError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.model import PREDICTIONS
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.wrappers.thresholding import (
    dpmpp_2m_thresholded,
    dynamic_threshold,
    static_threshold,
    thresholded,
)
from fokker.solvers.wrappers.wrapping import converted, nodes_of
from fokker.toy_models.problems import problem

P = problem("product")
COLD = P.cold()
RULES = [static_threshold, dynamic_threshold]


def data(count: int = 5, size: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limit", [0.7, 1.0, 3.0])
def test_inside_the_box_nothing_changes_whatever_the_size_of_the_box(rule, limit):
    x = data().clamp(-limit, limit)
    assert x.abs().max() == limit or limit == 3.0
    torch.testing.assert_close(rule(x, limit=limit), x, rtol=1e-15, atol=0)


def test_dynamic_thresholding_clips_at_the_quantile_of_the_sample_and_shrinks_to_the_box():
    x, c, p = data(), 0.5, 0.9
    reach = torch.quantile(x.abs(), p, dim=1, keepdim=True)
    assert (reach > c).all()
    torch.testing.assert_close(
        dynamic_threshold(x, limit=c, quantile=p), x.clamp(-reach, reach) * c / reach
    )
    assert not torch.equal(static_threshold(x, limit=c), dynamic_threshold(x, limit=c, quantile=p))


@pytest.mark.parametrize("rule", RULES)
def test_a_sample_is_thresholded_by_itself(rule):
    x = data()
    whole = rule(x)
    for k in range(len(x)):
        assert torch.equal(rule(x[k : k + 1])[0], whole[k])
    louder = torch.cat([x[:1], 10 * x[1:]])
    assert torch.equal(rule(louder)[0], whole[0])


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_thresholding_any_prediction_is_thresholding_the_data(prediction):
    x, rule = P.starts(6), partial(dynamic_threshold, limit=0.4)
    grid = uniform_lam(P.process, -1.0, 2.0).grid(4)
    for t in (grid[0].t, grid[3].t, torch.linspace(0.2, 0.8, 6, dtype=torch.float64)):
        got = thresholded(P.model(prediction), P.process, rule, prediction=prediction)(x, t)
        want = rule(P.model("data")(x, t))
        back = converted(got, x, nodes_of(P.process, t, x), prediction, "data")
        torch.testing.assert_close(back, want, rtol=1e-9, atol=1e-9)
        assert (want - P.model("data")(x, t)).abs().max() > 1e-2


def test_samples_end_in_the_box_and_without_thresholding_they_do_not():
    x, limit = P.starts(64), 0.5
    grid = uniform_lam(P.process, P.lam_start, P.lam_end).grid(12, to_zero=True)
    out = dpmpp_2m_thresholded(P.model(), P.process, grid, x, limit=limit)
    assert out.nfe == 13
    assert out.x.abs().max() <= limit
    assert run(get("dpmpp_2m")(P.process, grid), P.model(), x).x.abs().max() > 2 * limit


def _slopes(name: str, limit: float) -> list[float]:
    """Slopes against a fine run of the same thresholded model."""
    grids = uniform_lam(COLD.process, COLD.lam_start, -COLD.lam_start)
    model = thresholded(COLD.model(), COLD.process, partial(static_threshold, limit=limit))
    x = COLD.starts(16)

    def sample(steps: int) -> torch.Tensor:
        return run(get(name)(COLD.process, grids.grid(steps)), model, x).x

    truth = sample(1024)
    errors = [rms(sample(n) - truth) for n in (16, 32, 64, 128)]
    return [math.log2(a / b) for a, b in pairwise(errors)]


def test_active_thresholding_caps_the_order_at_two_and_spares_order_two():
    for limit in (4.0, 0.5):
        assert min(_slopes("dpmpp_2m", limit)) > 1.8
    assert min(_slopes("exp_ab4_data_rkstart", 4.0)) > 3.8
    fallen = _slopes("exp_ab4_data_rkstart", 0.5)
    assert 1.8 < sum(fallen) / 3 < 3.0


def test_bad_options_are_refused_before_the_first_evaluation():
    grid, x = uniform_lam(P.process, -1.0, 1.0).grid(2), P.starts(2)

    def model(*_: object) -> torch.Tensor:
        raise AssertionError

    with pytest.raises(InvalidPlanError, match=r"positive finite number, got -1"):
        dpmpp_2m_thresholded(model, P.process, grid, x, limit=-1.0)
    with pytest.raises(InvalidPlanError, match=r"\(0, 1\], got 1.5"):
        dpmpp_2m_thresholded(model, P.process, grid, x, quantile=1.5)
    with pytest.raises(InvalidPlanError, match="got inf"):
        static_threshold(x, limit=math.inf)
    with pytest.raises(ShapeError, match=r"scalar or of shape \(2,\), got \(3,\)"):
        thresholded(P.model(), P.process)(x, torch.ones(3) / 2)
