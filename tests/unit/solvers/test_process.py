"""Forward processes against 60-digit arithmetic, from one end to the other."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from exact_processes import ANALYTIC, PROCESSES, TABLES, true_lam, truth
from fokker.solvers.discrete import DiscreteVP, from_alphas_cumprod
from fokker.solvers.errors import InvalidProcessError
from fokker.solvers.process import DATA, Node, Process
from fokker.solvers.processes.mean_reverting import MeanReverting
from fokker.solvers.samplers.resshift import ResShift
from fokker.solvers.schedules import (
    EDM,
    VE,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPCosine,
    VPLinear,
)

EPS = float(np.finfo(np.float64).eps)
PRECISE = 1e-12

EARLY = [10.0**k for k in range(-8, 0)]
MIDDLE = [0.137, 0.3, 0.5, 0.75, 0.9]
LATE = [1 - 10.0**-k for k in range(2, 15, 2)] + [1 - 2.0**-53]
INSIDE = [*EARLY, *MIDDLE, *LATE]

on_all = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES.keys())
on_analytic = pytest.mark.parametrize("process", ANALYTIC.values(), ids=ANALYTIC.keys())
on_tables = pytest.mark.parametrize("process", TABLES.values(), ids=TABLES.keys())


def relative(value: Any, exact: Any) -> float:
    """Relative error, exact zeros included."""
    if exact == 0 or mp.isinf(exact):
        return 0.0 if value == float(exact) else math.inf
    return float(abs(mp.mpf(float(value)) - exact) / abs(exact))


def assert_coefficients(process: Process, t: float) -> None:
    alpha, sigma = truth(process, t)
    lam = true_lam(process, t)
    assert relative(process.alpha(t), alpha) < PRECISE
    assert relative(process.sigma(t), sigma) < PRECISE
    if mp.isinf(lam):
        assert float(process.lam(t)) == float(lam)
    else:
        assert abs(process.lam(t) - lam) < PRECISE * max(1, abs(lam))


@on_all
def test_alpha_sigma_and_lam_are_exact_from_the_data_end_to_the_noise_end(process: Process):
    for u in INSIDE:
        assert_coefficients(process, u * process.t_max)


@on_all
def test_both_ends_are_exact(process: Process):
    assert_coefficients(process, 0.0)
    assert_coefficients(process, process.t_max)
    assert process.lam_max == pytest.approx(float(true_lam(process, 0.0)), rel=PRECISE)
    assert process.lam_min == pytest.approx(float(true_lam(process, process.t_max)), rel=PRECISE)
    assert relative(process.prior_std, truth(process, process.t_max)[1]) < PRECISE


def test_processes_whose_end_is_pure_noise_say_so_exactly():
    for name in ("vp-cosine", "flow", "trig", "zero-terminal"):
        process = PROCESSES[name]
        assert float(process.alpha(process.t_max)) == 0.0, name
        assert process.lam_min == -math.inf, name
        assert process.prior_std == pytest.approx(1.0, abs=EPS), name


@on_all
def test_t_of_lam_is_the_inverse_of_lam_up_to_the_rounding_of_t(process: Process):
    for u in INSIDE:
        t = u * process.t_max
        lam = float(process.lam(t))
        back = float(process.t_of_lam(lam))
        rounding = 2 * EPS * t * abs(float(process.dlam_dt(t)))
        error = abs(true_lam(process, back) - mp.mpf(lam))
        assert error < PRECISE * max(1, abs(lam)) + rounding, t


@on_all
def test_infinite_lam_is_the_end_where_it_is_reached(process: Process):
    if process.lam_max == math.inf:
        assert float(process.t_of_lam(math.inf)) == 0.0
    if process.lam_min == -math.inf:
        assert float(process.t_of_lam(-math.inf)) == process.t_max


@on_all
def test_alpha_as_a_function_of_lam_does_not_pass_through_time(process: Process):
    for lam in (-30.0, -5.0, -1.0, 0.0, 1.0, 5.0, 18.0):
        if not process.lam_min <= lam <= process.lam_max:
            continue
        node = process.node_at_lam(lam)
        assert node.lam == lam  # no round trip
        alpha, sigma = mp.mpf(node.alpha), mp.mpf(node.sigma)
        assert abs(mp.log(alpha / sigma) - lam) < PRECISE * max(1, abs(lam))
        exact_alpha, exact_sigma = truth(process, node.t)
        slack = 4 * EPS * node.t * abs(float(process.dlam_dt(node.t)))
        assert relative(node.alpha, exact_alpha) < PRECISE + slack
        assert relative(node.sigma, exact_sigma) < PRECISE + slack


@on_analytic
def test_the_drift_and_the_speed_of_lam_are_the_derivatives(process: Process):
    for u in [*EARLY[::2], *MIDDLE, 0.99, 1 - 1e-6]:
        t = mp.mpf(u * process.t_max)
        f = mp.diff(lambda r: mp.log(truth(process, r)[0]), t, h=mp.mpf(10) ** -25)
        speed = mp.diff(lambda r: true_lam(process, r), t, h=mp.mpf(10) ** -25)
        assert relative(process.f(float(t)), f) < PRECISE or f == 0
        assert relative(process.dlam_dt(float(t)), speed) < PRECISE


@on_tables
def test_the_rates_of_a_table_are_those_of_the_piece(process: DiscreteVP):
    n = process.levels
    for i in sorted({0, 1, n // 2, n - 1}):
        t = mp.mpf((i + 0.37) / n)
        f = mp.diff(lambda r: mp.log(truth(process, r)[0]), t, h=mp.mpf(10) ** -25)
        assert relative(process.f(float(t)), f) < PRECISE * n
        speed = mp.diff(lambda r: true_lam(process, r), t, h=mp.mpf(10) ** -25)
        assert relative(process.dlam_dt(float(t)), speed) < PRECISE * n


@on_analytic
def test_the_squared_diffusion_is_what_keeps_the_variance(process: Process):
    """``g^2 = d(sigma^2)/dt - 2 f sigma^2``, by differentiation, not by the code's own rates."""
    for u in [*EARLY[::2], *MIDDLE, 0.99, 1 - 1e-6]:
        t = mp.mpf(u * process.t_max)
        sigma2 = truth(process, t)[1] ** 2
        rate = mp.diff(lambda r: truth(process, r)[1] ** 2, t, h=mp.mpf(10) ** -25)
        f = mp.diff(lambda r: mp.log(truth(process, r)[0]), t, h=mp.mpf(10) ** -25)
        assert relative(process.g2(float(t)), rate - 2 * f * sigma2) < PRECISE


@on_all
def test_the_two_forms_of_the_squared_diffusion_agree(process: Process):
    t = np.array(INSIDE) * process.t_max
    product = -2.0 * process.sigma(t) ** 2 * process.dlam_dt(t)
    np.testing.assert_allclose(process.g2(t), product, rtol=PRECISE)


@on_all
def test_no_rate_is_nan_at_an_end(process: Process):
    for t in (0.0, process.t_max):
        for rate in (process.f(t), process.dlam_dt(t), process.g2(t)):
            assert not math.isnan(float(rate))


def test_the_squared_diffusion_at_the_data_end_is_the_limit():
    assert float(VPLinear().g2(0.0)) == 0.1
    assert float(SubVP().g2(0.0)) == 0.0
    assert float(EDM().g2(0.0)) == 0.0
    assert float(RectifiedFlow().g2(0.0)) == 0.0
    assert float(Trigonometric().g2(0.0)) == 0.0
    assert float(VPCosine().g2(0.0)) == pytest.approx(
        math.pi / 1.008 * math.tan(0.004 * math.pi / 1.008)
    )


def times() -> st.SearchStrategy[float]:
    return st.floats(-8.0, 0.0).map(lambda e: 10.0**e) | st.floats(1e-8, 1.0)


@given(low=st.floats(1e-3, 5.0), more=st.floats(0.0, 60.0), u=times())
def test_linear_processes_are_exact_for_any_rates(low: float, more: float, u: float):
    for kind in (VPLinear, SubVP):
        assert_coefficients(kind(low, low + more), u)


@given(s=st.floats(1e-4, 0.5), u=times())
def test_the_cosine_process_is_exact_for_any_offset(s: float, u: float):
    process = VPCosine(s)
    assert_coefficients(process, u)
    back = float(process.t_of_lam(process.lam(u)))
    slack = 4 * EPS * max(1.0, 1 / abs(float(process.dlam_dt(u)))) * max(1, abs(process.lam(u)))
    assert abs(back - u) < PRECISE * u + slack


@given(low=st.floats(1e-6, 1.0), ratio=st.floats(1.01, 1e6), u=times())
def test_exploding_processes_are_exact_for_any_range(low: float, ratio: float, u: float):
    high = low * ratio
    assume(high > low)
    assert_coefficients(VE(low, high), u)
    assert_coefficients(EDM(high), u * high)


@given(
    st.lists(st.floats(1e-4, 0.999), min_size=2, max_size=12, unique=True),
    st.booleans(),
    st.floats(1e-6, 1.0),
)
def test_any_decreasing_table_is_a_process(values: list[float], zero: bool, u: float):
    table = sorted(values, reverse=True)
    assume(all(b < a * (1 - 1e-6) for a, b in pairwise(table)))
    process = from_alphas_cumprod([*table, 0.0] if zero else table)
    assert_coefficients(process, u)
    back = float(process.t_of_lam(process.lam(u)))
    slack = 4 * EPS * max(1.0, 1 / abs(float(process.dlam_dt(u)))) * max(1, abs(process.lam(u)))
    assert abs(back - u) < 4 * EPS + slack


@on_tables
def test_a_table_is_met_at_its_levels(process: DiscreteVP):
    t = process.level_time(np.arange(len(process.log_alphas)))
    np.testing.assert_allclose(process.log_alpha(t), process.log_alphas, rtol=1e-13)


def test_a_float32_table_is_taken_as_it_is():
    single = np.array([0.9991, 0.52, 0.0123], dtype=np.float32)
    process = from_alphas_cumprod(single)
    t = process.level_time([0, 1, 2])
    np.testing.assert_allclose(process.alpha(t) ** 2, single.astype(np.float64), rtol=PRECISE)
    assert process.alpha(t).dtype == np.float64


def test_with_zero_terminal_snr_alpha_falls_linearly_to_zero():
    process = from_alphas_cumprod([0.81, 0.25, 0.0])
    assert process.levels == 3
    t = np.array([2 / 3, 5 / 6, 1.0])
    np.testing.assert_allclose(process.alpha(t), [0.5, 0.25, 0.0], atol=1e-15)
    assert process.lam_min == -math.inf


@on_all
def test_nodes_carry_all_coefficients(process: Process):
    t = 0.4 * process.t_max
    node = process.node(t)
    assert node.t == t
    assert node.alpha == pytest.approx(float(process.alpha(t)), rel=1e-15)
    assert node.sigma == pytest.approx(float(process.sigma(t)), rel=1e-15)
    assert node.rho == pytest.approx(node.sigma / node.alpha, rel=1e-14)
    assert node.nu == pytest.approx(node.alpha / node.sigma, rel=1e-14)
    assert all(isinstance(v, float) for v in node)


@on_all
def test_the_ends_are_nodes_without_nan(process: Process):
    assert process.node_at_lam(math.inf) is DATA
    for node in (process.node(process.t_max), process.node_at_lam(process.lam_min)):
        assert isinstance(node, Node)
        assert not any(math.isnan(v) for v in node)
        assert node.sigma == pytest.approx(process.prior_std)


def test_the_node_of_pure_noise_has_alpha_zero_and_sigma_one():
    for process in (VPCosine(), RectifiedFlow(), Trigonometric(), TABLES["zero-terminal"]):
        node = process.node_at_lam(-math.inf)
        assert (node.t, node.lam, node.alpha) == (1.0, -math.inf, 0.0)
        assert node.sigma == pytest.approx(1.0, abs=EPS)


@on_all
@pytest.mark.parametrize("bad", [-1e-9, math.nan, math.inf, -math.inf])
def test_a_time_outside_is_named(process: Process, bad: float):
    for method in (process.alpha, process.lam, process.f, process.g2, process.node):
        with pytest.raises(InvalidProcessError, match=f"time {bad}"):
            method(bad)
    with pytest.raises(InvalidProcessError, match="outside"):
        process.sigma(np.array([0.1, process.t_max * 1.001]))


def test_a_lam_outside_is_named():
    with pytest.raises(InvalidProcessError, match=r"lam -7\.0 is outside"):
        VPLinear().node_at_lam(-7.0)
    with pytest.raises(InvalidProcessError, match="lam nan"):
        VPCosine().node_at_lam(math.nan)
    with pytest.raises(InvalidProcessError, match="lam -inf"):
        EDM().node_at_lam(-math.inf)
    with pytest.raises(InvalidProcessError, match=r"lam 9\.0"):
        VE().t_of_lam(9.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_parameters_that_define_no_process_are_refused(bad: float):
    for make in (
        lambda: VPLinear(beta_min=bad),
        lambda: SubVP(beta_min=bad),
        lambda: VPCosine(s=bad),
        lambda: VE(sigma_min=bad),
        lambda: EDM(sigma_max=bad),
    ):
        with pytest.raises(InvalidProcessError, match=str(bad)):
            make()


def test_ranges_the_wrong_way_round_are_refused():
    with pytest.raises(InvalidProcessError, match=r"beta_max .* got 0\.05"):
        VPLinear(0.1, 0.05)
    with pytest.raises(InvalidProcessError, match=r"sigma_max .* got 0\.001"):
        VE(0.002, 0.001)
    with pytest.raises(InvalidProcessError, match="beta_max"):
        SubVP(0.1, math.nan)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ([0.5], "at least 2"),
        ([[0.5, 0.4]], r"shape \(1, 2\)"),
        ([0.5, 0.5], r"entry 1 is 0\.5"),
        ([0.4, 0.5], r"entry 1 is 0\.5"),
        ([1.0, 0.5], r"entry 0 is 1\.0"),
        ([0.5, -0.1], r"entry 1 is -0\.1"),
        ([0.5, 0.0, 0.0], r"entry 1 is 0\.0"),
        ([0.0, 0.0], r"entry 0 is 0\.0"),
        ([0.5, math.nan], "entry 1 is nan"),
    ],
)
def test_a_table_that_is_no_process_is_refused_by_its_first_bad_entry(table, complaint: str):
    with pytest.raises(InvalidProcessError, match=complaint):
        from_alphas_cumprod(table)


@pytest.mark.parametrize("kind", [np.float32, torch.tensor])
@pytest.mark.parametrize(
    ("make", "numbers"),
    [
        (VPLinear, (0.1, 19.7)), (SubVP, (0.1, 19.7)), (VPCosine, (0.0081,)), (VE, (0.013, 79.3)),
        (EDM, (79.3,)), (MeanReverting, (0.21, 0.0051)), (ResShift, (1.9, 0.041, 0.97, 0.31)),
    ],
)  # fmt: skip
def test_parameters_in_float32_are_those_numbers_and_nothing_is_computed_in_float32(
    make, numbers, kind
):
    given, exact = make(*map(kind, numbers)), make(*(float(kind(v)) for v in numbers))
    assert given == exact
    assert hash(given) == hash(exact)
    for share in (0.0, 1e-7, 0.3, 1.0):
        assert given.node(share * given.t_max) == exact.node(share * exact.t_max)


@pytest.mark.parametrize("bad", ["a", None, [0.1], 1j])
def test_a_parameter_that_is_no_number_is_refused_in_our_words(bad):
    with pytest.raises(InvalidProcessError, match="beta_min must be a number, got "):
        VPLinear(bad)


@pytest.mark.parametrize("table", [["a", "b"], torch.tensor([0.9, 0.5]).bfloat16()])
def test_a_table_that_numpy_cannot_read_is_refused_in_our_words(table):
    with pytest.raises(InvalidProcessError, match="alphas_cumprod must be a vector of numbers"):
        from_alphas_cumprod(table)
