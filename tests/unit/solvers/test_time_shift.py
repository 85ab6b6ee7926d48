"""Time-Shift: the time that a variance belongs to, both readings, what they do to Gaussians."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from fokker.analysis.paired import rms
from fokker.solvers.errors import InvalidGridError, InvalidPlanError
from fokker.solvers.grids import grid_from_times, uniform_lam
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.solvers.wrappers.time_shift import (
    ddim_time_shift,
    ddim_time_shift_target,
    matching_times,
    mean_square,
    pixel_variance,
    time_shifted,
)
from fokker.toy_models import Gaussian, exact_model, problem

VP = VPLinear()
P = problem("product")
DIM, WIDTH = 256, 0.5


def isotropic(width: float = WIDTH, dim: int = DIM) -> Gaussian:
    zero = torch.zeros(dim, dtype=torch.float64)
    eye = torch.eye(dim, dtype=torch.float64)
    return Gaussian.from_eigen(zero, eye, torch.full_like(zero, width**2))


@pytest.mark.parametrize("process", [VP, EDM(), RectifiedFlow()], ids=["vp", "edm", "flow"])
def test_a_variance_finds_the_time_it_belongs_to_within_the_window(process):
    t, width = 0.4 * min(process.t_max, 1.0), 0.1 * min(process.t_max, 1.0)
    times = torch.linspace(t - 0.8 * width, t + 0.8 * width, 9, dtype=torch.float64)
    law = torch.from_numpy(
        process.alpha(times.numpy()) ** 2 * 0.04 + process.sigma(times.numpy()) ** 2
    )
    found = matching_times(process, t, law, width=width, data_variance=0.04)
    want = times.clamp(t - width / 2, t + width / 2)
    torch.testing.assert_close(found, want, rtol=0, atol=width / 256)
    assert found[4] == t  # no-op where the variance matches


def test_nothing_is_shifted_where_variance_says_nothing_or_at_the_cutoff():
    x = P.starts(5)
    flat = matching_times(VP, 0.3, mean_square(x), width=0.2, data_variance=1.0)
    assert (flat == 0.3).all()
    model = P.model("noise")
    off = time_shifted(model, VP, window=0.2, cutoff=0.5)
    assert torch.equal(off(x, 0.5), model(x, 0.5))
    assert torch.equal(time_shifted(model, VP, window=0.0)(x, 0.7), model(x, 0.7))
    assert not torch.equal(off(x, 0.6), model(x, 0.6))


def test_each_sample_is_asked_at_its_own_time():
    x, seen = P.starts(5), []

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(t)
        return P.model("noise")(x, t)

    shifted = time_shifted(model, VP, window=0.4, data_variance=0.3)
    whole = shifted(x, 0.5)
    assert seen[0].shape == (5,)
    assert len(set(seen[0].tolist())) > 1
    for k in range(5):
        torch.testing.assert_close(shifted(x[k : k + 1], 0.5), whole[k : k + 1])


def test_the_two_variances_agree_on_many_independent_pixels_and_not_about_a_mean():
    x = torch.randn(4, 4096, dtype=torch.float64)
    torch.testing.assert_close(mean_square(x), pixel_variance(x), rtol=3e-3, atol=0)
    torch.testing.assert_close(mean_square(x + 2), pixel_variance(x + 2) + 4, rtol=0.1, atol=0)


def ratios(steps: int, **options) -> dict[str, float]:
    """Final variance over the exact one, of DDIM and of the two readings, on N(0, 1/4)."""
    law, lams = isotropic(), (-4.0, 3.0)
    grid = uniform_lam(VP, *lams).grid(steps)
    start, end = (VP.node_at_lam(lam) for lam in lams)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, DIM, generator=generator, dtype=torch.float64)
    x = x * math.hypot(start.alpha * WIDTH, start.sigma)
    model = exact_model(law, VP, "noise")
    nominal = (end.alpha * WIDTH) ** 2 + end.sigma**2
    found = {
        "ddim": run(get("exp_ab1_noise")(VP, grid), model, x).x,
        "a": ddim_time_shift(model, VP, grid, x, **options).x,
        "b": ddim_time_shift_target(model, VP, grid, x, **options).x,
    }
    return {name: float(mean_square(out).mean()) / nominal for name, out in found.items()}


def test_ddim_contracts_too_much_as_computed_by_hand():
    """Each step multiplies by the same number on every coordinate: exact variance ratios."""
    for steps, printed in ((5, 0.50), (10, 0.71), (20, 0.84), (50, 0.93)):
        nodes, factor = uniform_lam(VP, -4.0, 3.0).grid(steps).nodes, 1.0
        for s, t in pairwise(nodes):
            v = (s.alpha * WIDTH) ** 2 + s.sigma**2
            gain = s.alpha * WIDTH**2 / v  # D = gain x
            factor *= t.sigma / s.sigma + (t.alpha - t.sigma * s.alpha / s.sigma) * gain
        start, end = nodes[0], nodes[-1]
        grew = ((start.alpha * WIDTH) ** 2 + start.sigma**2) * factor**2
        exact = grew / ((end.alpha * WIDTH) ** 2 + end.sigma**2)
        assert exact == pytest.approx(printed, abs=0.03)
        assert ratios(steps)["ddim"] == pytest.approx(exact, rel=0.06)  # 4096 normals, se 0.022


def test_with_the_law_of_the_whole_variance_the_gap_closes_by_a_third():
    for steps in (10, 20):
        found = ratios(steps, window=1.0, data_variance=WIDTH**2)
        assert 1 - found["a"] < 0.7 * (1 - found["ddim"])
        assert found["b"] > 1.2  # reading (b) overshoots


def test_with_the_published_law_the_gap_opens():
    found = ratios(10, window=1.0, data_variance=0.0)
    assert found["a"] < found["ddim"] < 1


def test_a_window_that_shrinks_with_the_step_keeps_order_one_in_reading_a_only():
    x, truth = P.starts(16), P.endpoint(P.starts(16))
    model, grids = P.model("noise"), uniform_lam(VP, P.lam_start, P.lam_end)
    errors = {
        build.__name__: [rms(build(model, VP, grids.grid(n), x).x - truth) for n in (40, 160)]
        for build in (ddim_time_shift, ddim_time_shift_target)
    }
    assert errors["ddim_time_shift"][0] > 2.5 * errors["ddim_time_shift"][1]
    assert errors["ddim_time_shift_target"][0] < 1.5 * errors["ddim_time_shift_target"][1]


def test_without_a_window_both_readings_are_ddim():
    grid, model = uniform_lam(VP, -1.5, 2.0).grid(5), P.model("noise")
    for g in (grid, grid.with_zero()):
        want = run(get("exp_ab1_noise")(VP, g), model, P.starts(3)).x
        for build in (ddim_time_shift, ddim_time_shift_target):
            found = build(model, VP, g, P.starts(3), window=0.0)
            torch.testing.assert_close(found.x, want)
            assert found.nfe == len(g)


def test_the_first_and_the_last_step_are_not_shifted():
    """The first state's variance is no news, and the last level is what was asked for."""
    model, x = P.model("noise"), P.starts(3)
    one = uniform_lam(VP, -1.5, 1.0)
    for steps in (1, 2):
        grid = one.grid(steps)
        found = ddim_time_shift_target(model, VP, grid, x, window=1.0).x
        torch.testing.assert_close(found, run(get("exp_ab1_noise")(VP, grid), model, x).x)
    grid = one.grid(3)
    found = ddim_time_shift_target(model, VP, grid, x, window=1.0).x
    assert rms(found - run(get("exp_ab1_noise")(VP, grid), model, x).x) > 1e-3


def test_bad_options_are_refused_in_one_sentence():
    grid, x = uniform_lam(VP, -1.0, 1.0).grid(3), P.starts(2)
    for build in (ddim_time_shift, ddim_time_shift_target):
        with pytest.raises(InvalidPlanError, match="between 0 and 2 steps wide, got 3"):
            build(P.model("noise"), VP, grid, x, window=3)
    ask = partial(matching_times, VP, 0.5, mean_square(x))
    with pytest.raises(InvalidPlanError, match="got -1 and 0"):
        ask(width=-1)
    with pytest.raises(InvalidPlanError, match=r"got 0.1 and nan"):
        ask(width=0.1, data_variance=math.nan)
    flow = RectifiedFlow()
    with pytest.raises(InvalidGridError, match=r"alpha = 0; start later than t = 1.0"):
        ddim_time_shift_target(P.model("noise"), flow, grid_from_times(flow, [1.0, 0.5]), x)
