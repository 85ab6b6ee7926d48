"""Data of the figures of likelihoods, of a wrong start and of one path, made small and checked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fokker.analysis.gaussian_path import eigenbasis, marginal, prior, transition
from fokker.paper_figs import likelihood, prior_mismatch, strong_fan
from fokker.solvers.grids import uniform_lam
from fokker.solvers.likelihood.density import log_density
from fokker.solvers.likelihood.divergence import Hutchinson
from fokker.toy_models.problems import problem


@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("law", ["rademacher", "gaussian"])
def test_a_solve_with_a_probe_is_the_quadratic_form_of_the_path(prediction: str, law: str):
    """``estimate - exact = +-(v^T M v - tr M)``, with the closed form of M, on fine steps."""
    p = problem("gaussian")
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(100)
    x, ask = p.law.sample(6, seed=0), Hutchinson(1, law=law)
    model = p.model(prediction)
    exact, found = (
        log_density(
            model, p.process, grid, x, prediction=prediction, divergence=divergence
        ).log_density
        for divergence in (None, ask)
    )
    m, v = likelihood.path_matrix(p, prediction), ask.vectors(6, 4)[0]
    form = torch.einsum("bi,ij,bj->b", v, m, v) - m.trace()
    sign = -1.0 if prediction == "data" else 1.0
    torch.testing.assert_close(found - exact, sign * form, rtol=1e-5, atol=1e-5)


def test_the_mean_of_a_wrong_start_is_forgotten_as_the_formula_says():
    p = problem("digits-gaussian")
    law, s, t = eigenbasis(p.law), p.process.node_at_lam(-2.0), p.process.node_at_lam(1.0)
    wide = [np.sqrt(marginal(law, node).var) for node in (s, t)]
    for eta in (0.0, 0.25, 1.0):
        have = transition(law, s, t, eta).law(prior(law, 1.0))
        off = (have.mean - marginal(law, t).mean) / wide[1]
        before = -marginal(law, s).mean / wide[0]
        kept = (wide[1] / t.alpha / (wide[0] / s.alpha)) ** eta
        np.testing.assert_allclose(off, kept * before, rtol=1e-9, atol=1e-15)


def test_the_data_of_a_wrong_start_fall_with_eta_and_with_the_noise():
    found = prior_mismatch.data(levels=(-4.0, -2.0), steps=(4, 16), points=5)
    json.dumps(found, allow_nan=False)
    last = np.array(found["last"])
    assert (np.diff(last, axis=0) < 0).all()  # more noise forgets more
    assert (np.diff(last, axis=1) > 0).all()  # an earlier start is less wrong
    assert found["way"][0] == pytest.approx([found["way"][0][0]] * 5, rel=1e-12)
    assert set(found["budget"]) == {"0", "0.25", "1", "4"}


def test_the_fan_closes_on_its_own_path_and_on_no_other():
    found = strong_fan.data(steps=(8, 32), fan=(4,), finest=128, batch=16)
    json.dumps(found, allow_nan=False)
    for name, row in found["nonlinear"].items():
        assert row[1] < 0.6 * row[0], name
    assert found["apart"][1] > 0.5 * found["apart"][0]
    coarse, fine = (found["paths"][n] for n in ("4", "128"))
    assert coarse[0] == fine[0]
    assert [lam for lam, _ in coarse] == [lam for lam, _ in fine[::32]]
