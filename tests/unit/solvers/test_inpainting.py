"""Conditional sampling of Score-SDE against exact conditioning: Gaussians and mixtures."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.analysis.distances import gaussian_w2
from fokker.analysis.impulses import FullNormal, affine_law
from fokker.analysis.paired import sample
from fokker.solvers.errors import InvalidPlanError, NonFiniteError, PredictionError, ShapeError
from fokker.solvers.grids import Grid, uniform_lam
from fokker.solvers.langevin.conditional import (
    Known,
    classifier_guided,
    grey,
    grey_basis,
    inpaint,
    measured,
)
from fokker.solvers.langevin.correctors import Langevin
from fokker.solvers.langevin.steps import LevelRule
from fokker.solvers.likelihood.density import log_density
from fokker.solvers.registry import get
from fokker.solvers.schedules import VPLinear
from fokker.toy_models import Gaussian, exact_model, problem, restricted
from fokker.toy_models.conditioned import conditioned


def array(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


PROCESS = VPLinear()
LAW = Gaussian(array([0.5, -0.3]), array([[1.0, 0.9], [0.9, 1.0]]))
POSTERIOR = conditioned(LAW, array([[1.0, 0.0]]), array([1.5]))
KNOWN = Known(torch.tensor([True, False]), array([1.5, 0.0]))


def grid_of(steps: int) -> Grid:
    return uniform_lam(PROCESS, -4.0, 3.0).grid(steps, to_zero=True)


def inpainted(steps: int, correct: int, known: Known = KNOWN, law=LAW, **options) -> FullNormal:
    """The exact law of replacement on Gaussian data, so many corrector steps a level."""
    grid = grid_of(steps)
    s, d = grid[0], law.dim
    model = exact_model(law, PROCESS, "noise")
    corrector = Langevin(LevelRule(0.3), correct) if correct else None

    def execute(x: Tensor, noise) -> Tensor:
        return inpaint(
            model, PROCESS, grid, x, known, noise=noise, corrector=corrector, **options
        ).x

    eye = torch.eye(d, dtype=torch.float64)
    start = FullNormal(s.alpha * law.mean, s.alpha**2 * law.cov + s.sigma**2 * eye)
    return affine_law(execute, start)


def distance(law: FullNormal, truth: Gaussian = POSTERIOR) -> float:
    return float(gaussian_w2(*law, truth.mean, truth.cov))


# -- classes


@pytest.mark.parametrize("t", [0.03, 0.4, 0.9])
def test_an_exact_classifier_makes_the_exact_conditional_model(t):
    p = problem("mixture")
    law: Any = p.law
    node = p.process.node(t)

    def logits(x: Tensor, time: float) -> Tensor:
        at = p.process.node(float(time))
        classes = law.responsibilities(x, at.alpha, at.sigma)
        logs = torch.stack([classes[:, :2].sum(1), classes[:, 2:].sum(1)], 1).log()
        return logs + x.square().sum(1, keepdim=True)  # logits are known up to a function of x

    x = p.law.sample(6, seed=1) * node.alpha + 0.3 * node.sigma
    got = classifier_guided(p.model("noise"), p.process, logits, 0)(x, t)
    truth = exact_model(restricted(law, [0, 1]), p.process, "noise")(x, t)
    torch.testing.assert_close(got, truth, rtol=1e-8, atol=1e-8)
    none = classifier_guided(p.model("noise"), p.process, logits, 0, weight=0.0)(x, t)
    torch.testing.assert_close(none, p.model("noise")(x, t))
    assert float((got - none).abs().max()) > 1e-3


def test_a_guided_model_has_the_jacobian_and_the_densities_of_the_conditional_law():
    """A classifier that is left out of the Jacobian gives another density in silence."""
    p = problem("mixture")
    law: Any = p.law

    def logits(x: Tensor, time: float) -> Tensor:
        at = p.process.node(float(time))
        return law.responsibilities(x, at.alpha, at.sigma).log()

    guided = classifier_guided(p.model("noise"), p.process, logits, 1)
    own = restricted(law, [1])
    grid, x = uniform_lam(p.process, -3.0, 1.0).grid(12), p.starts(3)
    found = log_density(guided, p.process, grid, x, prediction="noise")
    exact = log_density(
        exact_model(own, p.process, "noise"), p.process, grid, x, prediction="noise"
    )
    torch.testing.assert_close(found.log_density, exact.log_density, rtol=1e-8, atol=1e-8)
    plain = log_density(p.model("noise"), p.process, grid, x, prediction="noise")
    assert float((found.log_density - plain.log_density).abs().min()) > 0.1
    assert not guided(x, 0.5).requires_grad


def test_a_time_for_each_sample_gives_each_its_own_sigma():
    p = problem("mixture")

    def logits(x: Tensor, _) -> Tensor:
        return torch.stack([x[:, 0], 0 * x[:, 0]], 1)

    model = classifier_guided(lambda x, _: 0 * x, p.process, logits, 0)
    x, times = p.starts(2), torch.tensor([0.2, 0.8], dtype=torch.float64)
    whole = model(x, times)
    for i in (0, 1):
        torch.testing.assert_close(whole[i : i + 1], model(x[i : i + 1], float(times[i])))


# -- inpainting


def test_overwriting_is_not_conditioning_and_corrector_steps_bring_it_nearer():
    """Exact laws: the error of the unknown coordinate's law falls with M = 0, 1, 5, 20."""
    laws = [inpainted(30, m) for m in (0, 1, 5, 20)]
    errors = [distance(law) for law in laws]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.3 > 0.1 > errors[3]
    means = [abs(float(law.mean[1] - POSTERIOR.mean[1])) for law in laws]
    assert means == sorted(means, reverse=True)
    assert float(laws[0].mean[1]) < float(POSTERIOR.mean[1])  # pulled to the prior's mean
    assert float(laws[0].cov[1, 1]) > 1.5 * float(POSTERIOR.cov[1, 1])
    for law in laws:
        torch.testing.assert_close(law.mean[0], array(1.5))
        assert float(law.cov[0].abs().max()) < 1e-12


def test_more_levels_do_not_cure_the_bias_of_overwriting_without_corrector():
    errors = [distance(inpainted(steps, 0)) for steps in (40, 160)]
    assert errors[1] > 0.25
    assert errors[1] > 0.6 * errors[0]


def test_the_model_of_the_posterior_has_no_such_bias():
    model = exact_model(POSTERIOR, PROCESS, "data")

    def error(steps: int) -> float:
        grid = grid_of(steps)
        eye = torch.eye(2, dtype=torch.float64)
        s = grid[0]
        start = FullNormal(s.alpha * LAW.mean, s.alpha**2 * LAW.cov + s.sigma**2 * eye)
        law = affine_law(
            lambda x, noise: sample(get("ancestral"), model, PROCESS, grid, x, noise=noise), start
        )
        return distance(law)

    assert error(160) < 0.35 * error(40)
    assert error(160) < 0.02


def test_where_coordinates_are_independent_overwriting_is_exact_for_the_others():
    law = Gaussian(array([0.5, -0.3]), array([[1.0, 0.0], [0.0, 0.4]]))
    free = inpainted(20, 1, law=law)
    other = Known(torch.tensor([True, False]), array([-7.0, 0.0]))
    moved = inpainted(20, 1, known=other, law=law)
    torch.testing.assert_close(free.mean[1], moved.mean[1])
    torch.testing.assert_close(free.cov[1, 1], moved.cov[1, 1])


def test_a_level_too_late_leaves_noise_on_what_is_known():
    """The public code's order: at the end the known coordinate is ``alpha y + sigma z`` still."""
    law, node = inpainted(20, 1, lag=True), grid_of(20)[-2]
    assert float(law.cov[0, 0]) == pytest.approx(node.sigma**2)
    assert float(law.mean[0]) == pytest.approx(1.5 * node.alpha)
    assert distance(law) > distance(inpainted(20, 1))


# -- orthonormal changes of coordinates


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_the_grey_of_an_image_is_a_coordinate_of_its_own(channels):
    basis = grey_basis(channels, 5)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(5 * channels).double())
    image = torch.randn(2, channels, 5, generator=torch.Generator().manual_seed(0)).double()
    first = (image.flatten(1) @ basis).reshape(image.shape)[:, 0]
    torch.testing.assert_close(first, math.sqrt(channels) * image.mean(1))


def test_coordinates_in_a_basis_are_its_inner_products_and_give_the_state_back():
    turn = array([[0.6, -0.8], [0.8, 0.6]])  # not symmetric, unlike a reflection
    known, x = Known(KNOWN.mask, KNOWN.values, turn), array([[1.0, 2.0], [-0.3, 0.4]])
    torch.testing.assert_close(known.decoupled(x)[:, 0], x @ turn[:, 0])
    torch.testing.assert_close(known.coupled(known.decoupled(x)), x)


def test_colouring_keeps_the_grey_exactly_and_changes_colours():
    images = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(1)).double()
    model = lambda x, _: x  # noqa: E731 - noise prediction of N(0, I) on VP is sigma x
    x = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(2)).double()
    out = inpaint(model, PROCESS, grid_of(5), x, grey(images), noise=3).x
    torch.testing.assert_close(out.mean(1), images.mean(1))
    assert float((out - images).abs().max()) > 0.1


def test_a_linear_measurement_is_met_exactly_and_conditioned_on_as_a_coordinate_is():
    """In the basis of its singular vectors it is inpainting: the same law, turned."""
    a, y = array([[2.0, -1.0]]), array([0.7])
    known = measured(a, y)
    direct = inpainted(20, 2, known=known)
    torch.testing.assert_close(a @ direct.mean, y)
    assert float(a @ direct.cov @ a.mT) < 1e-12
    q = known.basis
    assert q is not None
    turned_law = Gaussian(q.mT @ LAW.mean, q.mT @ LAW.cov @ q)
    turned = inpainted(20, 2, known=Known(known.mask, known.values), law=turned_law)
    torch.testing.assert_close(q @ turned.mean, direct.mean)
    torch.testing.assert_close(q @ turned.cov @ q.mT, direct.cov)
    truth = conditioned(LAW, a, y)
    assert distance(inpainted(30, 10, known=known), truth) < distance(direct, truth)


# -- bad input


def test_masks_and_bases_that_do_not_fit_are_one_sentence():
    mask, values = torch.tensor([True, False]), array([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"boolean mask.*float32 of shape"):
        Known(mask.float(), values)
    with pytest.raises(ShapeError, match="boolean mask"):
        Known(torch.tensor([True]), values)
    with pytest.raises(ShapeError, match=r"must have shape \(2, 2\), got \(3, 3\)"):
        Known(mask, values, torch.eye(3))
    with pytest.raises(ShapeError, match="orthonormal"):
        Known(mask, values, 2 * torch.eye(2))
    model = exact_model(LAW, PROCESS, "noise")
    with pytest.raises(ShapeError, match=r"known values of shape \(2,\) do not fit"):
        inpaint(model, PROCESS, grid_of(3), torch.zeros(2, 3), Known(mask, values), noise=0)
    with pytest.raises(ShapeError, match=r"the mask has shape \(2,\)"):
        KNOWN.put(torch.zeros(1, 3), grid_of(2)[0], torch.zeros(1, 3))
    with pytest.raises(ShapeError, match="at least 2 channels"):
        grey_basis(1, 4)


def test_measurements_and_classes_that_do_not_exist_are_refused():
    with pytest.raises(ShapeError, match="full rank"):
        measured(array([[1.0, 0.0], [2.0, 0.0]]), array([1.0, 2.0]))
    with pytest.raises(ShapeError, match="k <= d"):
        measured(array([[1.0], [2.0]]), array([1.0, 2.0]))
    p, x = problem("mixture"), problem("mixture").starts(2)
    with pytest.raises(InvalidPlanError, match="weight"):
        classifier_guided(p.model("noise"), p.process, lambda x, _: x, 0, weight=math.nan)
    with pytest.raises(InvalidPlanError, match=r"classes 0 .. 1, not 2"):
        classifier_guided(p.model("noise"), p.process, lambda x, _: x, 2)(x, 0.5)
    with pytest.raises(NonFiniteError, match="gradient is not finite"):
        classifier_guided(p.model("noise"), p.process, lambda x, _: x * math.nan, 0)(x, 0.5)


def test_what_is_no_classifier_and_no_measurement_is_one_sentence():
    p, x = problem("mixture"), problem("mixture").starts(2)
    model = p.model("noise")
    for logits in (lambda x, _: x.sum(1), lambda x, _: x[:1]):
        with pytest.raises(ShapeError, match=r"logits must have shape \(2, classes\)"):
            classifier_guided(model, p.process, logits, 0)(x, 0.5)
    with pytest.raises(PredictionError, match="have no gradient"):
        classifier_guided(model, p.process, lambda x, _: x.detach(), 0)(x, 0.5)
    with pytest.raises(InvalidPlanError, match=r"a label must be a whole number, got 0\.5"):
        classifier_guided(model, p.process, lambda x, _: x, 0.5)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="1 <= k <= d"):
        measured(torch.zeros(0, 3), torch.zeros(0))
    with pytest.raises(ShapeError, match=r"torch.float64 and \(2,\), torch.float32"):
        measured(torch.eye(2, 3, dtype=torch.float64), torch.ones(2))
    with pytest.raises(NonFiniteError, match="a measurement must be finite"):
        measured(torch.full((1, 2), math.nan), torch.ones(1))
