"""Guidance: one formula for all predictions, an interval, one sentence, and the stress test."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch

from fokker.analysis.paired import rms
from fokker.solvers.errors import InvalidLawError, InvalidPlanError, NonFiniteError, ShapeError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.model import PREDICTIONS, convert
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.wrappers.conditional import guided
from fokker.toy_models import exact_model, problem, reference_flow
from fokker.toy_models.guided import Guided, restricted
from fokker.toy_models.mixture import GaussianMixture

P = problem("mixture")
CONDITION = (0, 3)
WHOLE = cast(GaussianMixture, P.law)
LAW = restricted(WHOLE, CONDITION)


def models(prediction: str):
    return exact_model(LAW, P.process, prediction), exact_model(P.law, P.process, prediction)


def test_a_restricted_mixture_is_the_law_given_its_components():
    """Bayes: p(x | component in the set) P(set) = sum of the components' densities."""
    rest = restricted(WHOLE, [1, 2, 4])
    x = P.starts(8)
    share = WHOLE.weights[list(CONDITION)].sum()
    for alpha, sigma in ((1.0, 0.0), (0.6, 0.8)):
        whole = LAW.log_density(x, alpha, sigma).exp() * share
        whole = whole + rest.log_density(x, alpha, sigma).exp() * (1 - share)
        torch.testing.assert_close(whole, P.law.log_density(x, alpha, sigma).exp())
    posterior = WHOLE.responsibilities(x, 0.6, 0.8)[:, list(CONDITION)]
    torch.testing.assert_close(
        LAW.responsibilities(x, 0.6, 0.8), posterior / posterior.sum(1, keepdim=True)
    )


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("weight", [-1.0, 0.0, 1.0, 7.5])
def test_guiding_any_prediction_is_guiding_the_data(prediction, weight):
    x, node = P.starts(6), P.process.node_at_lam(0.3)
    got = guided(*models(prediction), P.process, weight=weight)(x, node.t)
    data = convert(got, x, node, source=prediction, target="data")
    law = Guided(LAW, P.law, weight)
    torch.testing.assert_close(data, law.denoiser(x, node.alpha, node.sigma), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(  # Tweedie's formula holds for the mixed pair
        data, (x + node.sigma**2 * law.score(x, node.alpha, node.sigma)) / node.alpha
    )


def test_weight_one_is_the_conditional_model_and_zero_the_unconditional_one():
    x = P.starts(6)
    with_, without = models("noise")
    assert torch.equal(guided(with_, without, P.process, weight=0.0)(x, 0.5), without(x, 0.5))
    torch.testing.assert_close(
        guided(with_, without, P.process, weight=1.0)(x, 0.5), with_(x, 0.5)
    )
    assert (with_(x, 0.5) - without(x, 0.5)).abs().max() > 1e-3


def test_outside_of_its_interval_guidance_is_off_and_the_other_model_is_not_asked():
    x, asked = P.starts(4), []
    with_, without = models("data")

    def counted(x: torch.Tensor, t: float) -> torch.Tensor:
        asked.append(t)
        return without(x, t)

    model = guided(with_, counted, P.process, weight=3.0, interval=(-1.0, 1.0))
    always = guided(with_, without, P.process, weight=3.0)
    lams = (-2.0, -1.0, 0.0, 1.0, 1.5)
    times = [P.process.node_at_lam(lam).t for lam in lams]
    for lam, t in zip(lams, times, strict=True):
        assert torch.equal(model(x, t), (always if abs(lam) < 1.2 else with_)(x, t))
    assert asked == times[1:4]
    mixed = model(x, torch.tensor([times[0], times[2], times[4], times[2]]))  # each at its time
    for k, t in enumerate((times[0], times[2], times[4], times[2])):
        torch.testing.assert_close(mixed[k : k + 1], model(x[k : k + 1], t))


def test_a_weight_that_overflows_is_one_sentence():
    x = P.starts(3).to(torch.float32)
    with_, without = models("data")
    with pytest.raises(
        NonFiniteError, match=r"guidance weight 1e\+39 overflows torch.float32"
    ) as e:
        guided(with_, without, P.process, weight=1e39)(x, 0.5)
    assert e.value.sample_ids == (0, 1, 2)
    assert torch.isfinite(guided(with_, without, P.process, weight=1e39)(x.double(), 0.5)).all()
    with pytest.raises(InvalidPlanError, match="finite number, got inf"):
        guided(with_, without, P.process, weight=math.inf)
    with pytest.raises(InvalidPlanError, match=r"got 1.0 and 1.0"):
        guided(with_, without, P.process, weight=2.0, interval=(1.0, 1.0))
    for bad in ([], [0, 0], [5]):
        with pytest.raises(InvalidLawError, match=r"distinct components out of 0 .. 4"):
            restricted(WHOLE, bad)
    with pytest.raises(ShapeError, match="dimensions 2 and 3"):
        Guided(LAW, problem("product").law, 1.0)


def test_strong_guidance_breaks_single_step_noise_solvers_and_spares_data_solvers():
    """At equal evaluations the error of DPM-Solver-2 is 5 times DDIM's, that of 2S below it."""
    weight, x = 7.5, P.starts(128)
    ends = (P.start.alpha, P.start.sigma), (P.end.alpha, P.end.sigma)
    truth = reference_flow(Guided(LAW, P.law, weight), x, *ends).x
    grids = uniform_lam(P.process, P.lam_start, P.lam_end)

    def error(name: str, steps: int) -> float:
        entry = get(name)
        model = guided(*models(entry.prediction), P.process, weight=weight)
        return rms(run(entry(P.process, grids.grid(steps)), model, x).x - truth)

    for nfe in (8, 10):
        ddim = error("ddim", nfe)
        assert 0.1 < ddim < 0.2
        assert error("dpm_solver_2", nfe // 2) > 5 * ddim
        assert error("dpmpp_2s", nfe // 2) < ddim
