"""Laws as models of a process, real data, image-sized laws, and the reference problems."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import fokker.toy_models as room
from fokker.solvers.model import PREDICTIONS, convert
from fokker.solvers.process import Process
from fokker.solvers.schedules import (
    EDM,
    VE,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPCosine,
    VPLinear,
)
from fokker.toy_models import (
    PROBLEMS,
    Empirical,
    digits_empirical,
    digits_gaussian,
    digits_labels,
    digits_mixture,
    digits_points,
    exact_model,
    image_mixture,
    problem,
    smooth_fields,
)
from fokker.toy_models.digits import DEQUANTISATION
from toy_laws import DIM, LAWS, case, normal, probes, tensor

PROCESSES = (VPLinear(), VE(), SubVP(), EDM(), RectifiedFlow(), Trigonometric())


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_prediction_is_the_converted_denoiser(process: Process, prediction):
    law = case("mixture").law
    model = exact_model(law, process, prediction)
    for lam in (-2.0, 0.0, 2.0):
        node = process.node_at_lam(lam)
        x = probes(law, node.alpha, node.sigma)
        data = law.denoiser(x, node.alpha, node.sigma)
        expected = convert(data, x, node, source="data", target=prediction)
        torch.testing.assert_close(model(x, node.t), expected, rtol=1e-9, atol=1e-9)


def expected_prediction(prediction, data, noise, node):
    """The definitions, from a data and a noise prediction that are both exact."""
    alpha, sigma, s_d = node.alpha, node.sigma, 0.5
    return {
        "data": data,
        "noise": noise,
        "velocity": alpha * noise - sigma * data,
        "flow": noise - data,
        "score": -noise / sigma,
        "edm": (sigma * data / s_d - alpha * s_d * noise) / np.hypot(sigma, alpha * s_d),
    }[prediction]


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("process", "t"), [(EDM(), 1e-8), (VPCosine(), 1 - 1e-7)], ids=str)
def test_every_prediction_is_accurate_at_both_ends_of_the_noise(process, t, prediction):
    law, oracle, _ = case("gaussian")
    node = process.node(t)
    x = probes(law, node.alpha, node.sigma, 1)
    exact = oracle.at(x[0].tolist(), node.alpha, node.sigma)
    noise = -node.sigma * exact.score
    got = exact_model(law, process, prediction)(x, t)[0].numpy()
    truth = expected_prediction(prediction, exact.denoiser, noise, node)
    assert np.linalg.norm(got - truth) < 1e-12 * np.linalg.norm(truth)


def test_a_prediction_made_from_the_wrong_one_would_fail_at_the_ends():
    law, oracle, _ = case("gaussian")
    node = EDM().node(1e-8)
    x = probes(law, node.alpha, node.sigma, 1)
    data = law.denoiser(x, node.alpha, node.sigma)
    noise = convert(data, x, node, source="data", target="noise")[0].numpy()
    truth = -node.sigma * oracle.at(x[0].tolist(), node.alpha, node.sigma).score
    assert np.linalg.norm(noise - truth) > 1e-12 * np.linalg.norm(truth)


def test_a_model_takes_images_scalar_tensors_and_one_time_for_each_row():
    law, process = case("diagonal mixture").law, VPLinear()
    x, t = normal(5, 1, DIM, 1, seed=61), tensor([0.1, 0.5, 0.9, 0.5, 0.02])
    for prediction in PREDICTIONS:
        model = exact_model(law, process, prediction)
        rows = torch.cat([model(x[i : i + 1], float(t[i])) for i in range(5)])
        assert rows.shape == x.shape
        torch.testing.assert_close(model(x, t), rows, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(model(x, t[0]), model(x, float(t[0])))
        torch.testing.assert_close(model(x, np.float64(0.1)), model(x, 0.1))


def test_a_float32_state_is_answered_in_float32_with_the_accuracy_of_the_law():
    law, process = case("mixture").law, VPLinear()
    model, x = exact_model(law, process), normal(4, DIM, seed=62).float()
    out = model(x, 0.3)
    assert out.dtype == torch.float32
    assert torch.equal(out, model(x.double(), 0.3).float())


def test_gradients_flow_through_a_model():
    law, process = case("product").law, VPLinear()
    model, x = exact_model(law, process, "velocity"), normal(2, DIM, seed=63).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: model(r, 0.4), x)
    assert torch.autograd.gradcheck(lambda r: model(r, tensor([0.4, 0.01])), x)


@pytest.mark.parametrize("name", LAWS)
def test_laws_work_under_vmap_and_forward_derivatives(name):
    law = case(name).law
    x, v = probes(law, 0.6, 0.8), normal(4, DIM, seed=64)
    pushed = torch.func.jvp(lambda r: law.denoiser(r, 0.6, 0.8), (x,), (v,))[1]
    torch.testing.assert_close(pushed, law.denoiser_jvp(x, v, 0.6, 0.8), rtol=1e-9, atol=1e-9)
    if name != "empirical":
        one = torch.vmap(lambda r: law.score(r[None], 0.6, 0.8)[0])(x)
        torch.testing.assert_close(one, law.score(x, 0.6, 0.8))


@pytest.mark.parametrize("chunk", [1, 2, 4, 5, None])
def test_attention_does_not_depend_on_the_chunks(chunk):
    whole = case("empirical").law
    law = Empirical(whole.points, whole.weights, chunk)
    x, v = probes(whole, 1.0, 0.5), normal(4, DIM, seed=65)
    for quantity in ("log_density", "score", "denoiser", "hessian"):
        expected = getattr(whole, quantity)(x, 1.0, 0.5)
        torch.testing.assert_close(
            getattr(law, quantity)(x, 1.0, 0.5), expected, rtol=1e-13, atol=1e-13
        )
    torch.testing.assert_close(
        law.denoiser_jvp(x, v, 1.0, 0.5), whole.denoiser_jvp(x, v, 1.0, 0.5)
    )


def test_attention_is_the_softmax_of_distances():
    points = normal(40, 5, seed=66)
    x = normal(3, 5, seed=67)
    gaps = torch.cdist(x, 0.6 * points, compute_mode="donot_use_mm_for_euclid_dist")
    expected = (-0.5 * gaps.square() / 0.8**2).softmax(1) @ points
    torch.testing.assert_close(Empirical(points).denoiser(x, 0.6, 0.8), expected)


def test_the_digits_keep_their_moments_and_are_regular():
    points = digits_points()
    gaussian, mixture = digits_gaussian(), digits_mixture()
    assert points.shape == (1797, 64)
    assert float(points.abs().max()) < 1
    assert float(gaussian.eigenvalues.min()) > 0.999 * DEQUANTISATION
    assert float(mixture.eigenvalues.min()) > 0.999 * DEQUANTISATION
    torch.testing.assert_close(mixture.mean, gaussian.mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(mixture.cov, gaussian.cov, rtol=0, atol=1e-12)
    # the noise that was drawn agrees with its expectation: 6 errors of a variance of 1797 uniforms
    constant = (gaussian.cov.diagonal() < 1.001 * DEQUANTISATION).nonzero().flatten().tolist()
    assert constant == [0, 32, 39]
    var = points[:, constant].var(0)
    assert float((var / DEQUANTISATION - 1).abs().max()) < 6 * np.sqrt(0.8 / 1797)


def test_the_digits_mixture_is_a_classifier_of_its_data():
    g = digits_mixture().responsibilities(digits_points(), 1.0, 0.0)
    right = (g.argmax(1) == digits_labels()).double().mean()
    assert float(right) > 0.97  # measured 0.99; one Gaussian a class is a good model of digits


def test_the_ideal_denoiser_of_the_digits_remembers_them():
    law = digits_empirical()
    x = law.points[:20] + 0.05 * normal(20, 64, seed=68)
    torch.testing.assert_close(law.denoiser(x, 1.0, 0.05), law.points[:20], rtol=0, atol=1e-6)


def test_image_sized_laws_make_no_matrix_of_their_size():
    law = image_mixture()
    assert law.dim == 3072
    held = sum(v.numel() for v in vars(law).values() if isinstance(v, torch.Tensor))
    assert held < 0.1 * 3072**2
    x = 0.6 * law.sample(2, seed=1) + 0.8 * normal(2, 3072, seed=69)
    tweedie = (x + 0.64 * law.score(x, 0.6, 0.8)) / 0.6
    torch.testing.assert_close(law.denoiser(x, 0.6, 0.8), tweedie, rtol=1e-10, atol=1e-10)


def test_smooth_fields_have_a_falling_spectrum_and_unit_size():
    fields = smooth_fields(200, size=16, channels=1, seed=0, label="x")
    size = np.mean(fields**2)
    assert size == pytest.approx(1.0, abs=0.1)
    assert np.mean(np.diff(fields, axis=-1) ** 2) < 0.7 * size  # white noise has 2


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_reference_problem_has_a_truth_that_its_process_does_not_change(name, cold):
    p = problem(name).cold() if cold else problem(name)
    x = p.starts(2, seed=1)
    truth = p.endpoint(x)
    assert truth.shape == (2, p.law.dim)
    flow = p.on(RectifiedFlow())
    other = flow.endpoint(x / p.start.alpha * flow.start.alpha)
    torch.testing.assert_close(other / flow.end.alpha, truth / p.end.alpha, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_built_once_and_its_cold_start_lies_inside(name):
    p = problem(name)
    assert p is problem(name)
    assert p.lam_start < p.cold_start < p.lam_end
    assert p.cold().lam_start == p.cold_start


@pytest.mark.parametrize("name", PROBLEMS)
def test_starts_are_the_same_data_and_noise_on_every_process(name):
    p, q = problem(name), problem(name).on(VE())
    x, y = p.starts(2, seed=3), q.starts(2, seed=3)
    torch.testing.assert_close(x / p.start.alpha, y / q.start.alpha)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_denoiser_of_a_problem_is_what_its_law_says(name):
    p = problem(name)
    x = p.starts(3, seed=4)
    expected = p.law.denoiser(x, p.start.alpha, p.start.sigma)
    torch.testing.assert_close(p.model()(x, p.start.t), expected, rtol=1e-10, atol=1e-10)


def test_every_law_says_how_exact_it_is():
    laws = [case(n).law for n in LAWS] + [problem(n).law for n in PROBLEMS]
    for law in laws:
        assert law.name
        assert set(law.exactness) == {
            "sample",
            "log_density",
            "score",
            "denoiser",
            "hessian",
            "flow",
        }
        assert law.dtype == torch.float64
        assert law.to(dtype=torch.float32).mean.dtype == torch.float32
        assert law.to(dtype=torch.float32).to(dtype=torch.float64).dim == law.dim


@pytest.mark.parametrize("name", LAWS)
def test_a_law_survives_the_way_to_another_process_and_an_empty_batch(name):
    law = case(name).law
    copy = pickle.loads(pickle.dumps(law))
    x = probes(law, 0.6, 0.8)
    assert torch.equal(copy.denoiser(x, 0.6, 0.8), law.denoiser(x, 0.6, 0.8))
    for quantity in ("score", "denoiser"):
        assert getattr(law, quantity)(x[:0], 0.6, 0.8).shape == (0, DIM)


def test_what_the_room_offers_is_what_it_lists():
    assert sorted(room.__all__) == sorted(set(room.__all__))
    assert all(hasattr(room, name) for name in room.__all__)


def test_the_room_needs_scikit_learn_only_when_digits_are_asked_for():
    for file in Path(room.__file__).parent.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "\nimport sklearn" not in text
        assert "\nfrom sklearn" not in text
