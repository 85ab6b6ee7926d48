"""The law of an affine run, read by impulses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.analysis.gaussian_path import eigenbasis
from fokker.analysis.impulses import FullNormal, affine_law
from fokker.analysis.law import output_law
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import wavy_lam
from fokker.solvers.plan import Noise
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.toy_models import exact_model, problem


@pytest.mark.parametrize("name", ["sde_dpmpp_2m", "ancestral", "edm_churn"])
def test_on_a_plan_it_is_the_law_read_from_the_plan(name):
    p, entry = problem("gaussian"), get(name)
    grid = wavy_lam(p.process, -2.0, 2.0).grid(7)
    plan, model = entry(p.process, grid), exact_model(p.law, p.process, entry.prediction)
    s, eye = grid[0], torch.eye(4, dtype=torch.float64)
    start = FullNormal(s.alpha * p.law.mean, s.alpha**2 * p.law.cov + s.sigma**2 * eye)
    got = affine_law(lambda x, noise: run(plan, model, x, noise=noise).x, start)
    law: Any = p.law
    u = law.eigenvectors
    want = output_law(plan, eigenbasis(p.law))
    np.testing.assert_allclose((u.mT @ got.mean).numpy(), want.mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose((u.mT @ got.cov @ u).numpy(), np.diag(want.var), atol=1e-12)


def test_coordinates_may_mix_and_a_noise_used_twice_is_one_noise():
    m = torch.tensor([[1.0, 0.3], [-0.2, 0.5]], dtype=torch.float64)

    def execute(x: Tensor, noise) -> Tensor:
        z = noise.draw(Noise("lam", 0.0, 1.0), x)
        w = noise.draw(Noise("lam", 1.0, 2.0), x)
        return x @ m.mT + 2.0 * z + 3.0 * noise.draw(Noise("lam", 0.0, 1.0), x) + w.flip(1) + 1.0

    eye = torch.eye(2, dtype=torch.float64)
    got = affine_law(execute, FullNormal(torch.ones(2, dtype=torch.float64), 0.5 * eye))
    torch.testing.assert_close(got.mean, m.sum(1) + 1.0)
    torch.testing.assert_close(got.cov, 0.5 * m @ m.mT + 26.0 * eye)


def test_what_is_not_affine_is_refused():
    start = FullNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    with pytest.raises(AnalysisError, match="not affine"):
        affine_law(lambda x, _: x + x.square(), start)
    with pytest.raises(AnalysisError, match="not affine"):
        affine_law(lambda x, noise: x * noise.draw(Noise("lam", 0.0, 1.0), x), start)
    with pytest.raises(AnalysisError, match="must keep their shape"):
        affine_law(lambda x, noise: noise.draw(Noise("lam", 0.0, 1.0), x[:0]), start)
