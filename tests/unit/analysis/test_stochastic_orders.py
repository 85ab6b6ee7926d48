"""Stochastic orders on nonlinear laws: quadrature, one path, honest verdicts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fokker.analysis.gaussian_path import normal
from fokker.analysis.law import output_law
from fokker.analysis.order_rows import exact_sde_orders, verdicts
from fokker.analysis.paired import FlowProblem
from fokker.analysis.stochastic.backward import Resolution, Slot, Step, expectations, grids
from fokker.analysis.stochastic.barred import doubled, from_bars, from_squares
from fokker.analysis.stochastic.chains import most_live
from fokker.analysis.stochastic.path import OnePath
from fokker.analysis.stochastic.problems import STRETCH, nonlinear
from fokker.analysis.stochastic.rows import nonlinear_rows, row, weak_observed
from fokker.analysis.stochastic.strong import strong_order, strong_squares
from fokker.analysis.stochastic.weak import chain, mean, size_for, state_slot
from fokker.analysis.strong import strong_error
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import uniform_lam, wavy_lam
from fokker.solvers.ops import Noise
from fokker.solvers.registry import get
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.product import ProductMixture


def one(value: float) -> torch.Tensor:
    return torch.tensor([[value]], dtype=torch.float64)


PLAIN = FlowProblem(
    "plain", ProductMixture(one(1.0), one(0.3), one(0.5)), VPLinear(), *STRETCH, batch=4000
)
"""A Gaussian, as a mixture of one: what law.py knows exactly."""

DATA = normal(0.3, 0.25)


@pytest.mark.parametrize(
    ("name", "steps"), [("sde_dpmpp_1", 8), ("edm_churn", 6), ("sde_dpmpp_2m", 6), ("sde_sra1", 6)]
)
def test_quadrature_gives_the_exact_law_of_a_sampler_on_a_gaussian(name: str, steps: int):
    sampler, maps = get(name), wavy_lam(PLAIN.process, *STRETCH)
    found = chain(sampler, PLAIN, maps, steps, warm=False)
    values = expectations(found, lambda x: [x, x * x], size_for(found))
    begin, _ = PLAIN.ends()
    first, second = mean(PLAIN.law, begin, values, state_slot(PLAIN.law, begin))
    law = output_law(sampler(PLAIN.process, maps.grid(steps)), DATA)
    assert first == pytest.approx(law.mean[0], abs=2e-6)
    assert second - first**2 == pytest.approx(law.var[0], abs=2e-6)


def test_exact_history_is_that_of_the_reverse_sde():
    sampler, maps = get("sde_dpmpp_2m"), uniform_lam(PLAIN.process, *STRETCH)
    found = chain(sampler, PLAIN, maps, 6, warm=True)
    values = expectations(found, lambda x: [x, x * x], size_for(found))
    begin, _ = PLAIN.ends()
    first, second = mean(PLAIN.law, begin, values, state_slot(PLAIN.law, begin))
    plan = sampler(PLAIN.process, maps.grid(6), history=maps.history(6, 1))
    law = output_law(plan, DATA, history_eta=1.0)
    assert (first, second - first**2) == pytest.approx((law.mean[0], law.var[0]), abs=2e-6)


def test_three_live_vectors_give_the_exact_law():
    sampler, maps = get("sde_dpmpp_3m"), uniform_lam(PLAIN.process, *STRETCH)
    found = chain(sampler, PLAIN, maps, 5, warm=False)
    assert max(len(step.ins) for step in found) == 3
    values = expectations(found, lambda x: [x, x * x], Resolution(100, noise=(1, 5)))
    begin, _ = PLAIN.ends()
    first, second = mean(PLAIN.law, begin, values, state_slot(PLAIN.law, begin))
    law = output_law(sampler(PLAIN.process, maps.grid(5)), DATA)
    assert (first, second - first**2) == pytest.approx((law.mean[0], law.var[0]), abs=2e-4)


def test_a_black_box_is_certified_step_by_step_like_its_plan():
    maps = uniform_lam(PLAIN.process, *STRETCH)
    box = chain(get("torchsde_euler_t"), PLAIN, maps, 3, warm=False)
    plan = chain(get("euler_maruyama"), PLAIN, maps, 3, warm=False)
    ends = [expectations(c, lambda x: [np.sin(x)], Resolution(80)) for c in (box, plan)]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-10)


def test_live_vectors_are_those_that_a_later_step_reads():
    grid = uniform_lam(VPLinear(), *STRETCH).grid(6)
    names = {"sde_dpmpp_1": 1, "sde_dpmpp_2m": 2, "sde_dpmpp_3m": 3, "sde_sra1": 1}
    for name, count in names.items():
        assert most_live(get(name)(VPLinear(), grid)) == count


def test_a_resolution_that_is_too_coarse_shows_in_the_bar():
    def halve(ins, noises):
        return [0.5 * ins[0] + 0.2 * noises[0]]

    steps = [Step((Slot(-2, 2),), (Slot(-2, 2),), 1, halve)] * 3

    def seen(size):
        values = expectations(steps, lambda x: [np.sin(9 * x)], size)
        return values[size.state // 2, 0]

    at = grids([Slot(-2, 2)], Resolution(201))[0][100] / 8
    var = 0.04 * (1 + 0.25 + 0.0625)
    exact = math.sin(9 * at) * math.exp(-40.5 * var)
    assert seen(Resolution(201)) == pytest.approx(exact, abs=1e-7)
    assert seen(Resolution(201, noise=(1, 10))) == pytest.approx(exact, abs=1e-7)
    coarse = Resolution(201, noise=(1, 2))
    value = expectations(steps, lambda x: [np.cos(9 * x)], coarse)[100, 0]
    assert abs(value - math.exp(-40.5 * var)) > 1e-3


def test_the_weak_order_on_a_nonlinear_law_is_seen_and_a_higher_claim_refused():
    problem = nonlinear(512)
    maps = wavy_lam(problem.process, *STRETCH)
    euler = weak_observed(get("sde_dpmpp_1"), maps, claim=1, warm=False, most=3)
    assert euler.verdict(1) == "met"
    assert euler.verdict(2) == "not met"
    better = weak_observed(get("sde_dpmpp_2m"), maps, claim=2, warm=False, most=4)
    assert better.verdict(2) == "met"
    assert max(euler.bars) < 1e-6


@pytest.mark.slow
def test_a_weak_order_that_only_a_gaussian_shows_is_refused():
    """The midpoint rule has weak order 2 on every Gaussian, and order 1 in general."""
    false = replace(get("torchsde_midpoint_lam"), weak=None, weak_cold=2, strong=None)
    linear = exact_sde_orders(false, "uniform-lam")
    bent = nonlinear_rows(false, quick=True)
    assert verdicts(linear) == {"weak_cold": "not resolved"}
    assert [r["verdict"] for r in linear] == ["met"]
    assert verdicts(linear + bent) == {"weak_cold": "not met"}


@pytest.mark.slow
def test_a_strong_order_that_only_a_gaussian_shows_is_refused():
    """SRA1 has strong order 2 where nothing bends, 1.5 in general."""
    false = replace(get("sde_sra1"), weak=None, weak_cold=None, strong=2)
    linear = exact_sde_orders(false, "uniform-lam")
    seen = strong_order(false, nonlinear(3000), levels=6)
    bent = [row("strong", 2, seen, 0.0, problem="three-modes")]
    assert verdicts(linear) == {"strong": "not resolved"}
    assert [r["verdict"] for r in linear] == ["met"]
    assert verdicts(linear + bent) == {"strong": "not met"}
    assert seen.verdict(1.5) == "met"


@pytest.mark.parametrize("name", ["sde_dpmpp_1", "euler_maruyama", "ddim_eta", "sde_sra1"])
def test_errors_on_the_path_are_the_exact_strong_errors_on_a_gaussian(name: str):
    """Samplers of the clocks snr, t and of stages see one path with one reference."""
    sampler, maps = get(name), uniform_lam(PLAIN.process, *STRETCH)
    seen = math.sqrt(float(strong_squares(sampler, PLAIN, [16], 384)[0].mean()))
    plan = sampler(PLAIN.process, maps.grid(16))
    exact = strong_error(plan, DATA, eta=sampler.sde_eta or 0.0, process=PLAIN.process).rms
    assert seen == pytest.approx(exact, rel=0.06)


def test_a_path_gives_normalised_noises_and_refuses_other_cells():
    process = VPLinear()
    lams = [n.lam for n in uniform_lam(process, *STRETCH).grid(96).nodes]
    path = OnePath(lams, (4, 1), 1, process)
    ends = float(process.t_of_lam(np.array(lams[8]))), float(process.t_of_lam(np.array(lams[40])))
    cells = [("lam", lams[8], lams[40]), ("snr^1.0", lams[8], lams[40]), ("t", *ends)]
    for clock, a, b in cells:
        for kind in "WH":
            _, _, flat, tilt = path.weights(Noise(clock, a, b, kind))
            assert flat @ flat + tilt @ tilt == pytest.approx(1.0, abs=1e-6)
            assert len(flat) == 32
    with pytest.raises(AnalysisError, match="not a union"):
        path.draw(Noise("lam", lams[0] + 1e-3, lams[4]), torch.zeros(4, 1))


def test_increments_and_areas_of_a_path_fit_together():
    """``H = (h_1 + h_2)/2 + (w_1 - w_2)/4`` over two equal cells; all are of variance 1."""
    path = OnePath([0.0, 0.5, 1.0], (3, 1), 2)
    for a, b, kind in ((0.0, 0.5, "W"), (0.0, 0.5, "H"), (0.0, 1.0, "W"), (0.0, 1.0, "H")):
        _, _, flat, tilt = path.weights(Noise("t", a, b, kind))
        assert flat @ flat + tilt @ tilt == pytest.approx(1.0, rel=1e-13)
    like = torch.zeros(3, 1, dtype=torch.float64)
    w = [path.draw(Noise("t", a, a + 0.5), like) * 0.5**0.5 for a in (0.0, 0.5)]
    h = [path.draw(Noise("t", a, a + 0.5, "H"), like) * (0.5 / 12) ** 0.5 for a in (0.0, 0.5)]
    whole = path.draw(Noise("t", 0.0, 1.0, "H"), like) / 12**0.5
    torch.testing.assert_close(whole, (h[0] + h[1]) / 2 + (w[0] - w[1]) / 4)
    torch.testing.assert_close(path.draw(Noise("t", 0.0, 1.0), like), w[0] + w[1])


def test_wide_bars_never_make_a_method_exact_or_met():
    steps, errors = [8, 16, 32, 64], [0.1, 0.05, 0.025, 0.0125]
    assert from_bars(steps, errors, [0.0] * 4).verdict(1) == "met"
    wide = from_bars(steps, errors, [0.06] * 4)
    assert not wide.exact
    assert wide.verdict(1) == "not resolved"
    assert from_bars(steps, errors, [0.003] * 4).verdict(1) == "not resolved"
    assert doubled(lambda _: (0.0, 0.0), claim=2, first=8).exact


def test_the_interval_of_a_strong_order_holds_it_and_widens_with_fewer_paths():
    rng = np.random.default_rng(0)
    field = rng.standard_normal(4000) ** 2
    steps = [8, 16, 32, 64]
    noisy = field + 0.5 * rng.standard_normal((4, 4000)) ** 2
    squares = noisy * np.array([4.0**-k for k in range(4)])[:, None]
    many, few = from_squares(steps, squares), from_squares(steps, squares[:, :200])
    widths = []
    for seen in (many, few):
        assert seen.low is not None
        assert seen.high is not None
        assert seen.low < 1 < seen.high
        widths.append(seen.high - seen.low)
    assert widths[0] < widths[1]
    assert many.verdict(1.5) == "not met"
