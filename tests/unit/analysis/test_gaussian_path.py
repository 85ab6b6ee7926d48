"""Closed forms of diffusion on Gaussian data, against integrated equations and 50 digits."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from fokker.analysis.gaussian_path import (
    Normal,
    backward,
    eigenbasis,
    marginal,
    normal,
    prediction_of,
    prior,
    transition,
)
from fokker.solvers.errors import AnalysisError
from fokker.solvers.model import PREDICTIONS, convert
from fokker.solvers.process import DATA, Node
from fokker.solvers.schedules import EDM, VE, RectifiedFlow, VPCosine, VPLinear
from fokker.toy_models.gaussian import Gaussian

PROCESSES = [VPLinear(), VE(0.01, 50.0), RectifiedFlow(), VPCosine(), EDM(80.0)]
DATA_LAW = normal([0.7, -1.0, 0.0, 2.0], [0.0, 1e-4, 0.25, 9.0])


def moment_equations(process, s: Node, t: Node, eta: float, data: Normal):
    """Gain and variance of the eta-SDE, by integrating the equations for them in lam."""

    def rates(lam, y):
        node = process.node_at_lam(float(lam))
        dlog_alpha = float(process.f(node.t) / process.dlam_dt(node.t))
        a = dlog_alpha - (1 + eta) * node.sigma**2 / marginal(data, node).var
        gain, var = np.split(y, 2)
        return np.concatenate([a * gain, 2 * a * var + 2 * eta * node.sigma**2])

    k = data.var.size
    start = np.concatenate([np.ones(k), np.zeros(k)])
    run = solve_ivp(rates, (s.lam, t.lam), start, method="DOP853", rtol=1e-12, atol=1e-14)
    return np.split(run.y[:, -1], 2)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0, 2.0])
def test_the_transition_solves_the_moment_equations_of_the_sde(process, eta):
    s, t = process.node_at_lam(-1.3), process.node_at_lam(1.1)
    gain, var = moment_equations(process, s, t, eta, DATA_LAW)
    step = transition(DATA_LAW, s, t, eta)
    np.testing.assert_allclose(step.gain, gain, rtol=1e-9)
    np.testing.assert_allclose(step.var, var, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.25, 1.0, 3.0])
def test_every_eta_keeps_the_marginals_and_steps_compose(eta):
    p = VPLinear()
    s, m, t = (p.node_at_lam(v) for v in (-3.0, 0.2, 2.5))
    for a, b in [(s, m), (m, t), (s, t)]:
        law, truth = (
            transition(DATA_LAW, a, b, eta).law(marginal(DATA_LAW, a)),
            marginal(DATA_LAW, b),
        )
        np.testing.assert_allclose(law.mean, truth.mean, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(law.var, truth.var, rtol=1e-13)
    start = normal([0.3], np.full(4, 2.0))
    whole = transition(DATA_LAW, s, t, eta).law(start)
    halves = transition(DATA_LAW, m, t, eta).law(transition(DATA_LAW, s, m, eta).law(start))
    np.testing.assert_allclose(np.array(whole), np.array(halves), rtol=1e-12, atol=1e-14)


def test_the_ode_is_the_flow_map_of_the_gaussian_law():
    generator = np.random.default_rng(3)
    basis, _ = np.linalg.qr(generator.standard_normal((4, 4)))
    law = Gaussian.from_eigen(
        torch.from_numpy(generator.standard_normal(4)),
        torch.from_numpy(basis),
        torch.tensor([0.02, 0.3, 1.0, 4.0], dtype=torch.float64),
    )
    p, x = VPLinear(), torch.from_numpy(generator.standard_normal((5, 4)))
    s, t = p.node_at_lam(-2.0), p.node_at_lam(1.5)
    step = transition(eigenbasis(law), s, t)
    moved = (step.gain * (x.numpy() @ basis) + step.shift) @ basis.T
    np.testing.assert_allclose(moved, law.flow(x, s[2:4], t[2:4]).numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("h", [1e-9, 1e-4, 0.3])
def test_the_noise_of_a_short_step_has_no_cancellation(h):
    p, c2, eta = EDM(80.0), 0.3, 0.7
    s, t = p.node_at_lam(0.5), p.node_at_lam(0.5 + h)
    with mpmath.workdps(50):
        lam_s, lam_t = mpmath.mpf(s.lam), mpmath.mpf(t.lam)
        q_s, q_t = (mpmath.mpf(c2) + mpmath.exp(-2 * v) for v in (lam_s, lam_t))
        truth = q_t * (1 - (q_t / q_s) ** mpmath.mpf(eta))
        found = transition(normal([0.0], [c2]), s, t, eta).var[0]
        assert abs(mpmath.mpf(found) / truth - 1) < 1e-13


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_both_ends_of_the_path_are_finite(eta):
    p = RectifiedFlow()
    noise, middle = p.node(1.0), p.node_at_lam(0.0)
    assert noise.alpha == 0.0
    first = transition(DATA_LAW, noise, middle, eta)
    last = transition(DATA_LAW, middle, DATA, eta)
    whole = transition(DATA_LAW, noise, DATA, eta)
    for step in (first, last, whole):
        assert all(np.isfinite(v).all() for v in step)
    reached = last.law(marginal(DATA_LAW, middle))
    np.testing.assert_allclose(reached.var, DATA_LAW.var, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(reached.mean, DATA_LAW.mean, rtol=1e-13)
    if eta:
        np.testing.assert_array_equal(first.gain, np.zeros(4))  # nothing is left of pure noise


@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_the_past_given_the_present_has_the_same_joint_law(eta):
    p = VPLinear()
    s, t = p.node_at_lam(-1.0), p.node_at_lam(-0.4)
    forth, back = transition(DATA_LAW, s, t, eta), backward(DATA_LAW, s, t, eta)
    before, after = marginal(DATA_LAW, s), marginal(DATA_LAW, t)
    np.testing.assert_allclose(forth.gain * before.var, back.gain * after.var, rtol=1e-12)
    np.testing.assert_allclose(np.array(back.law(after)), np.array(before), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_prediction_of_the_exact_model_is_the_conversion_of_its_data_prediction(prediction):
    x = np.array([0.3, -1.0, 2.0, 0.1])
    for process in PROCESSES:
        for lam in (-2.0, 0.0, 1.5):
            node = process.node_at_lam(lam)
            data = prediction_of(DATA_LAW, node, "data")
            found = prediction_of(DATA_LAW, node, prediction)
            truth = convert(data.gain * x + data.shift, x, node, source="data", target=prediction)
            np.testing.assert_allclose(found.gain * x + found.shift, truth, rtol=1e-10, atol=1e-12)


def test_the_noise_prediction_keeps_its_digits_at_high_signal_to_noise():
    node = EDM(80.0).node_at_lam(14.0)
    found = prediction_of(normal([0.7], [0.3]), node, "noise")
    sigma = mpmath.mpf(node.sigma)
    gain = sigma / (mpmath.mpf("0.3") + sigma**2)
    assert abs(found.gain[0] / float(gain) - 1) < 1e-14
    assert abs(found.shift[0] / float(-gain * mpmath.mpf("0.7")) - 1) < 1e-14


def test_bad_laws_and_backward_steps_are_refused():
    with pytest.raises(AnalysisError, match=r"coordinate 1 has mean 0\.0, variance -1\.0"):
        normal([0.0, 0.0], [1.0, -1.0])
    with pytest.raises(AnalysisError, match="coordinate 0 has mean nan"):
        normal([math.nan], [1.0])
    with pytest.raises(AnalysisError, match="do not fit together"):
        normal([0.0, 0.0], [1.0, 1.0, 1.0])
    with pytest.raises(AnalysisError, match="at least one entry"):
        normal([], [])
    p = VPLinear()
    with pytest.raises(AnalysisError, match="goes up in lam"):
        transition(DATA_LAW, p.node_at_lam(1.0), p.node_at_lam(0.0))
    with pytest.raises(AnalysisError, match="asked at sigma = 0"):
        prediction_of(DATA_LAW, DATA, "noise")


def test_the_prior_is_an_isotropic_normal_law():
    law = prior(DATA_LAW, 80.0)
    np.testing.assert_array_equal(law.mean, np.zeros(4))
    np.testing.assert_array_equal(law.var, np.full(4, 6400.0))
