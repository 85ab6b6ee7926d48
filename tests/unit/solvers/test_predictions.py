"""Predictions: every ordered pair, at every level, both ends included."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exact_processes import PROCESSES
from fokker.solvers.errors import PredictionError
from fokker.solvers.model import PREDICTIONS, as_prediction, conversion, convert
from fokker.solvers.process import DATA, Node, Process
from fokker.solvers.schedules import EDM, RectifiedFlow, VPCosine, VPLinear
from tolerances import EXACT

PAIRS = list(itertools.permutations(PREDICTIONS, 2))
on_pairs = pytest.mark.parametrize(("source", "target"), PAIRS)
on_processes = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES.keys())

CLEAN, PURE = DATA, VPCosine().node(1.0)  # sigma = 0; alpha = 0
UNDETERMINED_AT_ALPHA_0 = {("noise", "data"), ("score", "data")}
UNDETERMINED_AT_ALPHA_0 |= {
    (a, b) for a in ("noise", "score") for b in ("velocity", "flow", "edm")
}


def by_hand(name: str, node: Node, d: float, eps: float, s_data: float = 0.5) -> float:
    """Every prediction from the pair (D, eps), as the papers write it."""
    a, s = node.alpha, node.sigma
    match name:
        case "data":
            return d
        case "noise":
            return eps
        case "velocity":
            return a * eps - s * d
        case "flow":
            return eps - d
        case "score":
            return -eps / s
        case _:  # D = c_skip(rho) y + c_out(rho) F at the scaled state y = x/alpha
            rho = s / a
            skip = s_data**2 / (rho**2 + s_data**2)
            out = rho * s_data / math.sqrt(rho**2 + s_data**2)
            return (d - skip * (a * d + s * eps) / a) / out


def levels(process: Process) -> list[Node]:
    return [process.node(u * process.t_max) for u in (1e-4, 0.01, 0.2, 0.5, 0.9, 0.999)]


@on_processes
def test_there_and_back_is_the_identity(process: Process):
    for (source, target), node in itertools.product(PAIRS, levels(process)):
        a, b = conversion(source, target, node)
        back_a, back_b = conversion(target, source, node)
        assert b * back_b == pytest.approx(1.0, abs=EXACT)
        # source = back_a x + back_b (a x + b source): the x terms cancel
        assert abs(back_a + back_b * a) <= EXACT * max(1.0, abs(back_a))


@on_pairs
def test_conversions_agree_with_the_formulas_of_the_papers(source: str, target: str):
    for process in (VPLinear(), EDM(), RectifiedFlow()):
        for node in levels(process):
            d, eps = 0.7, -1.3
            x = node.alpha * d + node.sigma * eps
            given_ = by_hand(source, node, d, eps)
            got = convert(given_, x, node, source=source, target=target)
            a, b = conversion(source, target, node)
            size = max(abs(a * x), abs(b * given_), 1e-300)  # what was summed
            assert abs(got - by_hand(target, node, d, eps)) <= 1e-10 * size


@on_processes
def test_through_a_third_prediction_is_the_direct_way(process: Process):
    node = process.node(0.4 * process.t_max)
    for source, middle, target in itertools.permutations(PREDICTIONS, 3):
        a1, b1 = conversion(source, middle, node)
        a2, b2 = conversion(middle, target, node)
        a, b = conversion(source, target, node)
        assert b1 * b2 == pytest.approx(b, rel=EXACT)
        assert a2 + b2 * a1 == pytest.approx(a, rel=1e-10, abs=1e-10)


def test_edm_networks_are_unscaled_by_c_skip_and_c_out():
    node, s_data = EDM().node(3.0), 0.7
    a, b = conversion("edm", "data", node, s_data)
    assert a == pytest.approx(s_data**2 / (9 + s_data**2), rel=1e-15)
    assert b == pytest.approx(3 * s_data / math.sqrt(9 + s_data**2), rel=1e-15)


def test_vp_velocity_is_the_rotation_of_salimans_and_ho():
    node = VPLinear().node(0.37)
    assert conversion("velocity", "data", node) == pytest.approx((node.alpha, -node.sigma))
    assert conversion("velocity", "noise", node) == pytest.approx((node.sigma, node.alpha))


def test_flow_velocity_is_not_vp_velocity():
    node = RectifiedFlow().node(0.37)
    assert conversion("flow", "data", node) == pytest.approx((1.0, -0.37))
    assert conversion("flow", "noise", node) == pytest.approx((1.0, 0.63))
    assert conversion("velocity", "data", node) != pytest.approx((1.0, -0.37))


def test_the_score_gives_the_denoiser_by_tweedie():
    node = VPLinear().node(0.6)
    a, b = conversion("score", "data", node)
    assert (a, b) == pytest.approx((1 / node.alpha, node.sigma**2 / node.alpha))


@on_pairs
def test_at_sigma_0_what_exists_is_finite_and_the_rest_is_an_error(source: str, target: str):
    informed = source in ("noise", "velocity", "flow", "edm", "score")
    if source == "data" or target == "score":
        with pytest.raises(PredictionError, match=rf"{target}.*{source}.*sigma = 0"):
            conversion(source, target, CLEAN)
    else:
        a, b = conversion(source, target, CLEAN)
        assert informed
        assert math.isfinite(a)
        assert math.isfinite(b)
        if target == "data":
            assert (a, b) == pytest.approx((1.0, 0.0))


@on_pairs
def test_at_alpha_0_what_exists_is_finite_and_the_rest_is_an_error(source: str, target: str):
    if (source, target) in UNDETERMINED_AT_ALPHA_0:
        with pytest.raises(PredictionError, match=rf"{target}.*{source}.*alpha = 0"):
            conversion(source, target, PURE)
    else:
        a, b = conversion(source, target, PURE)
        assert math.isfinite(a)
        assert math.isfinite(b)
        if target == "noise":  # there x is sigma eps, and the score -eps/sigma always
            assert (a, b) == pytest.approx((0.0, -1.0) if source == "score" else (1.0, 0.0))


def test_at_the_ends_regular_predictions_go_there_and_back():
    for node, names in (
        (CLEAN, ("noise", "velocity", "flow", "edm")),
        (PURE, ("data", "velocity", "flow", "edm")),
    ):
        for source, target in itertools.permutations(names, 2):
            a, b = conversion(source, target, node)
            back_a, back_b = conversion(target, source, node)
            assert b * back_b == pytest.approx(1.0, abs=EXACT)
            assert abs(back_a + back_b * a) <= EXACT * max(1.0, abs(back_a))


@given(
    log_sigma=st.floats(-12.0, 5.0),
    log_alpha=st.floats(-12.0, 0.0),
    s_data=st.floats(0.05, 5.0),
    pair=st.sampled_from(PAIRS),
)
def test_there_and_back_at_any_level(
    log_sigma: float, log_alpha: float, s_data: float, pair: tuple[str, str]
):
    alpha, sigma = math.exp(log_alpha), math.exp(log_sigma)
    node = Node(0.5, log_alpha - log_sigma, alpha, sigma, log_alpha, log_sigma)
    a, b = conversion(*pair, node, s_data)
    back_a, back_b = conversion(pair[1], pair[0], node, s_data)
    assert b * back_b == pytest.approx(1.0, abs=EXACT)
    assert abs(back_a + back_b * a) <= EXACT * max(1.0, abs(back_a))


def test_a_prediction_of_itself_is_the_very_same_object():
    node, output = VPLinear().node(0.5), torch.randn(2, 3)
    for name in PREDICTIONS:
        assert convert(output, output, node, source=name, target=name) is output


def test_floats_arrays_and_tensors_are_converted_alike():
    node = VPLinear().node(0.5)
    x, out = np.array([0.3, -2.0]), np.array([1.1, 0.4])
    array = convert(out, x, node, source="noise", target="velocity")
    tensor = convert(
        torch.from_numpy(out), torch.from_numpy(x), node, source="noise", target="velocity"
    )
    floats = [
        convert(float(o), float(v), node, source="noise", target="velocity")
        for o, v in zip(out, x, strict=True)
    ]
    np.testing.assert_array_equal(array, tensor.numpy())
    np.testing.assert_array_equal(array, floats)


def test_a_model_seen_as_another_prediction_is_converted_at_its_own_time():
    process = VPLinear()

    def noise_model(x, t):
        return torch.tanh(x) + t

    x = torch.linspace(-2, 2, 5, dtype=torch.float64).reshape(5, 1)
    data_model = as_prediction(noise_model, process, source="noise", target="data")
    for t in (0.1, torch.tensor(0.8, dtype=torch.float64)):
        node = process.node(float(t))
        want = (x - node.sigma * noise_model(x, t)) / node.alpha
        torch.testing.assert_close(data_model(x, t), want, rtol=1e-12, atol=1e-12)
    assert as_prediction(noise_model, process, source="data") is noise_model


@pytest.mark.parametrize("bad", ["eps", "v", "", "Data"])
def test_an_unknown_prediction_is_named_with_the_accepted_ones(bad: str):
    node = VPLinear().node(0.5)
    for source, target in ((bad, "data"), ("data", bad), (bad, bad)):
        with pytest.raises(PredictionError, match=f"{bad!r}; accepted: data, noise"):
            conversion(source, target, node)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_bad_sigma_data_is_refused(bad: float):
    with pytest.raises(PredictionError, match=f"sigma_data .* got {bad}"):
        conversion("edm", "data", VPLinear().node(0.5), bad)
