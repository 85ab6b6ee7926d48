"""Information is half the integral of the denoising error: three computations of one number."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from fokker.analysis.information import (
    direct_information,
    information,
    information_curve,
    mmse,
    pointwise_information,
)
from fokker.solvers.errors import AnalysisError
from fokker.toy_models.empirical import Empirical
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.guided import restricted
from fokker.toy_models.mixture import GaussianMixture

F64 = torch.float64


def normal(var: float) -> Gaussian:
    return Gaussian(torch.zeros(1, dtype=F64), torch.tensor([[var]], dtype=F64))


def mixture() -> GaussianMixture:
    values = ([0.3, 0.7], [[-1.0], [1.2]], [[0.2], [0.5]])
    return GaussianMixture(*(torch.tensor(v, dtype=F64) for v in values))


@pytest.mark.parametrize("snr", [0.01, 1.0, 50.0])
def test_of_a_normal_law_everything_is_closed(snr: float):
    c = 0.7
    reach = (-9 * math.sqrt(c), 9 * math.sqrt(c))
    assert mmse(normal(c), snr, reach) == pytest.approx(c / (1 + snr * c), rel=1e-12)
    truth = 0.5 * math.log1p(snr * c)
    assert information(normal(c), snr, reach) == pytest.approx(truth, rel=1e-11)
    assert direct_information(normal(c), snr, reach) == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("atoms", [[-1.0, 1.0], [0.0, 1.0, 2.5, 4.0]])
def test_equal_atoms_hold_the_logarithm_of_their_number(atoms: list[float]):
    law = Empirical(torch.tensor(atoms, dtype=F64)[:, None])
    ends = min(atoms), max(atoms)
    assert information(law, 250.0, ends) == pytest.approx(math.log(len(atoms)), rel=1e-10)
    low = information(law, 0.5, ends)  # cut off early, it is less
    assert low == pytest.approx(direct_information(law, 0.5, ends), rel=1e-10)
    assert low < 0.5 * math.log(len(atoms)) * 1.2


def test_two_points_have_the_error_of_the_hyperbolic_tangent():
    """``1 - E tanh(snr + sqrt(snr) eps)``, and variance 1 without information."""
    law, snr = Empirical(torch.tensor([[-1.0], [1.0]], dtype=F64)), 0.8
    eps = torch.linspace(-9, 9, 2001, dtype=F64)
    w = torch.softmax(-0.5 * eps**2, 0)
    truth = 1 - float((w * torch.tanh(snr + math.sqrt(snr) * eps)).sum())
    assert mmse(law, snr, (-1.0, 1.0)) == pytest.approx(truth, rel=1e-12)
    assert mmse(law, 0.0, (-1.0, 1.0)) == pytest.approx(1.0)
    assert mmse(law, 1e-9, (-1.0, 1.0)) == pytest.approx(1.0)


def test_a_sweep_is_its_single_integrals():
    snrs, ends = [0.4, 0.7, 1.3], (-8.0, 8.0)
    found = information_curve(mixture(), snrs, ends)
    truth = [direct_information(mixture(), r, ends) for r in snrs]
    assert found == pytest.approx(truth, rel=1e-10)


def test_of_a_mixture_the_two_ways_agree():
    reach = (-8.0, 8.0)
    for snr in (0.3, 20.0):
        found = information(mixture(), snr, reach)
        assert found == pytest.approx(direct_information(mixture(), snr, reach), rel=1e-10)


@pytest.mark.parametrize("part", [0, 1])
def test_a_difference_of_denoisers_is_a_ratio_of_densities(part: int):
    law = mixture()
    told = restricted(law, [part])
    x = torch.tensor([[-1.4], [-0.2], [0.3], [1.5]], dtype=F64)
    truth = told.log_density(x) - law.log_density(x)
    found = pointwise_information(law, told, x)
    torch.testing.assert_close(found, truth, atol=2e-7, rtol=0)
    cut = pointwise_information(law, told, x, high=1.0)  # the tail of high snr is missed
    assert (cut - truth).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mmse(Empirical(torch.zeros(2, 2, dtype=F64)), 1.0, (0, 1)), "dimension 1"),
        (lambda: mmse(normal(1.0), -1.0, (-9, 9)), "finite snr"),
        (lambda: information_curve(normal(1.0), [1.0, 3.0], (-9, 9)), "must increase"),
        (lambda: direct_information(normal(1.0), 1.0, (9, -9)), "interval"),
        (lambda: information(normal(1.0), math.inf, (-9, 9)), "finite and not negative"),
        (lambda: pointwise_information(
            normal(1.0), normal(1.0), torch.zeros(1, 1), low=1.0, high=0.0
        ), "low < high"),
    ],
)  # fmt: skip
def test_bad_questions_are_refused_in_one_sentence(call: Any, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()
