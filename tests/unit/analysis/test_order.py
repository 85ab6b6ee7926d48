"""The order that is read from errors: right on known sequences, silent where they do not tell."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fokker.analysis.order import HIGH_ORDER, observe, refine, tolerance
from fokker.analysis.path_order import fit_order
from fokker.solvers.errors import AnalysisError

FLOOR = 1e-14


def errors_of(p, *, first=8, count=6, next_term=0.0, floor=0.0):
    steps = [first * 2**k for k in range(count)]
    errors = [(1 / n) ** p * (1 + next_term * 10 / n) + floor for n in steps]
    return steps, errors


@given(st.integers(1, 5), st.floats(-0.5, 3.0))
def test_a_power_law_with_a_next_term_has_its_order_inside_the_interval(p, next_term):
    seen = observe(*errors_of(p, next_term=next_term), floor=FLOOR)
    assert seen.order is not None
    assert seen.low <= p <= seen.high
    assert seen.verdict(p) == "met"


@given(st.integers(1, 5), st.floats(-0.5, 3.0))
def test_a_claim_of_one_more_is_never_met(p, next_term):
    seen = observe(*errors_of(p, next_term=next_term, count=8), floor=1e-20)
    assert seen.verdict(p + 1) == "not met"


def test_points_under_the_rounding_floor_are_dropped_with_all_finer_ones():
    steps = [8, 16, 32, 64, 128, 256]
    seen = observe(steps, [1e-4, 1e-6, 1e-8, 1e-10, 3e-15, 2e-14], floor=FLOOR)
    assert seen.used == (0, 1, 2, 3)


def test_errors_all_under_the_floor_mean_an_exact_method():
    seen = observe([8, 16, 32], [1e-16, 2e-16, 1e-16], floor=FLOOR)
    assert seen.exact
    assert seen.verdict(7) == "met"


def test_slopes_that_fall_faster_and_faster_are_not_resolved():
    # a sampler of order 2 whose large higher-order part still dominates
    steps = [8 * 2**k for k in range(5)]
    errors = [4e3 / n**5 + 1e-3 / n**2 for n in steps]
    assert observe(steps, errors, floor=FLOOR).verdict(4) == "not resolved"


def test_refining_decides_what_coarse_grids_could_not():
    seen = refine(lambda n: 4e3 / n**5 + 1e-3 / n**2, claim=4, floor=FLOOR, most=12)
    assert seen.verdict(4) == "not met"


def test_a_sign_crossing_is_not_mistaken_for_order():
    steps = [8 * 2**k for k in range(6)]
    errors = [abs(1 / n - 60 / n**2) for n in steps]  # crosses zero between 32 and 64 steps
    assert observe(steps[:4], errors[:4], floor=FLOOR).verdict(2) == "not resolved"
    assert refine(lambda n: abs(1 / n - 60 / n**2), claim=2, floor=FLOOR).verdict(2) == "not met"


def test_high_claims_are_measured_at_half_octaves_down_to_rounding():
    asked = []

    def error(n):
        asked.append(n)
        return n**-8.0 + 1e-16

    seen = refine(error, claim=8, floor=1e-14, first=4)
    assert asked[:5] == [4, 6, 8, 12, 16]
    assert seen.verdict(8) == "met"
    assert tolerance(HIGH_ORDER) <= 0.5


def test_slopes_that_never_settle_are_judged_by_the_smallest_once_rounding_is_reached():
    steps = [4, 8, 16, 32, 64]
    errors = [1.0, 2**-5.0, 2**-11.5, 2**-16.6, 1e-15]
    seen = observe(steps, errors, floor=FLOOR)
    assert seen.verdict(5) == "met"
    assert seen.verdict(6) == "not resolved"


@pytest.mark.parametrize("errors", [[1.0, math.nan], [1.0, -1.0], [1.0, math.inf]])
def test_errors_that_are_no_errors_are_refused(errors):
    with pytest.raises(AnalysisError, match="finite and nonnegative"):
        observe([8, 16], errors, floor=FLOOR)


def test_step_counts_that_do_not_double_are_refused():
    with pytest.raises(AnalysisError, match="doubling"):
        observe([8, 12], [1.0, 0.5], floor=FLOOR)


def test_a_fit_covers_the_truth_within_its_error_bars():
    """400 noisy sequences; three sigma must cover at least 99 % of them (false alarm < 1e-6)."""
    rng = np.random.default_rng(0)
    steps = [8, 16, 32, 64]
    covered = 0
    for _ in range(400):
        truth = np.array([n**-2.0 for n in steps])
        bars = 0.02 * truth
        seen = fit_order(steps, list(truth + bars * rng.standard_normal(4)), list(bars))
        assert seen.low is not None
        assert seen.high is not None
        covered += seen.low <= 2 <= seen.high
    assert covered >= 396 - 4


def test_a_fit_through_noise_alone_is_not_resolved():
    steps = [8, 16, 32, 64]
    seen = fit_order(steps, [1e-3, 1e-3, 1e-3, 1e-3], [5e-4] * 4)
    assert seen.verdict(1) == "not resolved"


def test_a_fit_that_is_too_low_is_not_met():
    steps = [8, 16, 32, 64]
    errors = [1 / n for n in steps]
    assert fit_order(steps, errors, [1e-5] * 4).verdict(2) == "not met"
