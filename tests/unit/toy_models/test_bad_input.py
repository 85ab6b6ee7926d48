"""Bad input: one sentence with the offending value, never a NaN that travels."""

from __future__ import annotations

import pytest
import torch

from fokker.solvers.errors import (
    InvalidLawError,
    NoExactFlowError,
    NonFiniteError,
    PredictionError,
    ShapeError,
)
from fokker.solvers.schedules import VPLinear
from fokker.toy_models import (
    Empirical,
    FourierField,
    Gaussian,
    GaussianMixture,
    LowRankMixture,
    MisfitGaussian,
    Perturbed,
    ProductMixture,
    exact_model,
    image_mixture,
    problem,
    reference_flow,
)
from toy_laws import DIM, LAWS, case, normal, probes, tensor

EYE = torch.eye(2, dtype=torch.float64)
HALVES = tensor([0.5, 0.5])
TWO = tensor([[0.0, 0.0], [1.0, 1.0]])
ONES = torch.ones(2, 2, dtype=torch.float64)
INDEFINITE = tensor([[1.0, 2.0], [2.0, 1.0]])

NO_LAWS = {
    "scalar mean": (lambda: Gaussian(tensor(0.0), EYE), r"mean .* got \(\)"),
    "cov of another size": (
        lambda: Gaussian(tensor([0.0] * 3), EYE),
        r"cov .*\(3, 3\), got \(2, 2\)",
    ),
    "indefinite cov": (
        lambda: Gaussian(tensor([0.0, 0.0]), INDEFINITE),
        r"negative .* -1\.0|-0\.99",
    ),
    "skew cov": (
        lambda: Gaussian(tensor([0.0, 0.0]), tensor([[1.0, 0.5], [0.4, 1.0]])),
        r"symmetric.* 0\.1|0\.09",
    ),
    "NaN mean": (
        lambda: Gaussian(tensor([0.0, float("nan")]), EYE),
        "mean must be finite, got nan",
    ),
    "skew basis": (
        lambda: Gaussian.from_eigen(tensor([0.0, 0.0]), ONES, tensor([1.0, 1.0])),
        r"orthogonal.* 2\.0|1\.0",
    ),
    "negative variance": (
        lambda: Gaussian.from_eigen(tensor([0.0, 0.0]), EYE, tensor([1.0, -2.0])),
        r"got -2\.0",
    ),
    "weights sum": (lambda: GaussianMixture(tensor([0.5, 0.6]), TWO, ONES), r"sum to 1, got 1\.1"),
    "negative weight": (
        lambda: GaussianMixture(tensor([1.5, -0.5]), TWO, ONES),
        r"positive, got -0\.5",
    ),
    "too many weights": (
        lambda: GaussianMixture(tensor([0.5, 0.25, 0.25]), TWO, ONES),
        r"weights .*\(2\), got \(3,\)",
    ),
    "singular component": (
        lambda: GaussianMixture(HALVES, TWO, torch.stack([EYE, 0 * EYE])),
        r"definite, got an eigenvalue 0\.0",
    ),
    "negative noise": (
        lambda: LowRankMixture(HALVES, TWO, ONES[..., None], -0.1),
        r"noise .* got -0\.1",
    ),
    "rank above d": (
        lambda: LowRankMixture(HALVES, TWO, torch.ones(2, 2, 3), 0.1),
        "at most d = 2, got 3",
    ),
    "product row sums": (lambda: ProductMixture(0.4 * ONES, TWO, ONES), r"sums \[0\.8, 0\.8\]"),
    "zero std": (
        lambda: ProductMixture(0.5 * ONES, TWO, 0 * ONES),
        r"stds must be positive, got 0\.0",
    ),
    "skew rotation": (
        lambda: ProductMixture(0.5 * ONES, TWO, ONES, ONES),
        "rotation must be orthogonal",
    ),
    "no points": (lambda: Empirical(torch.zeros(0, 2)), r"points .* got \(0, 2\)"),
    "zero chunk": (lambda: Empirical(TWO, chunk=0), "chunk must be positive, got 0"),
    "empirical weights": (lambda: Empirical(TWO, tensor([0.5, 0.4])), r"sum to 1, got 0\.9"),
    "no features": (lambda: FourierField.random(2, features=0), "features=0"),
    "no channels": (lambda: image_mixture(channels=0), "got 32, 0, 16, 8"),
    "unknown problem": (lambda: problem("gausian"), "'gausian'; accepted: gaussian, mixture"),
    "two dimensions": (
        lambda: MisfitGaussian(Gaussian(HALVES, EYE), case("gaussian").law),
        "2 and 3",
    ),
}


@pytest.mark.parametrize("name", NO_LAWS)
def test_parameters_that_define_no_law_are_refused_with_the_offending_value(name):
    build, sentence = NO_LAWS[name]
    with pytest.raises(InvalidLawError, match=sentence) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_a_field_of_another_dimension_is_refused():
    with pytest.raises(ShapeError, match="dimension 2, the law 3"):
        Perturbed(case("gaussian").law, FourierField.random(2), 0.1)


QUANTITIES = ("log_density", "score", "denoiser", "hessian")


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", LAWS)
def test_states_of_another_shape_or_dtype_are_refused(name, quantity):
    ask = getattr(case(name).law, quantity)
    with pytest.raises(ShapeError, match=r"\(B, 3\), got \(2, 4\)"):
        ask(normal(2, 4, seed=1), 1.0, 1.0)
    with pytest.raises(ShapeError, match=r"\(B, 3\), got \(3,\)"):
        ask(normal(3, seed=1), 1.0, 1.0)
    with pytest.raises(ShapeError, match="got list"):
        ask([[0.0, 0.0, 0.0]], 1.0, 1.0)
    with pytest.raises(ShapeError, match=r"float32 on cpu .*float64 on cpu.* law\.to"):
        ask(normal(2, 3, seed=1).float(), 1.0, 1.0)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", LAWS)
def test_levels_that_are_none_are_refused(name, quantity):
    law = case(name).law
    ask, x = getattr(law, quantity), probes(law, 1.0, 1.0)
    with pytest.raises(InvalidLawError, match=r"sigma .* got -0\.1"):
        ask(x, 1.0, -0.1)
    with pytest.raises(InvalidLawError, match=r"alpha .* got nan"):
        ask(x, float("nan"), 1.0)
    with pytest.raises(InvalidLawError, match=r"sigma .* got -1\.0"):
        ask(x, 1.0, tensor([1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(ShapeError, match="sigma has 2 rows"):
        ask(x, 1.0, tensor([1.0, 1.0]))
    with pytest.raises(ShapeError, match="float or a floating tensor"):
        ask(x, torch.ones(4, 1, dtype=torch.float64), 1.0)
    with pytest.raises(ShapeError, match="got str"):
        ask(x, "1", 1.0)
    with pytest.raises(InvalidLawError, match=r"sigma must be positive, got 0\.0"):
        ask(x, 0.0, 0.0)


@pytest.mark.parametrize("name", [n for n in LAWS if not case(n).density])
def test_a_law_without_a_density_needs_noise(name):
    law = case(name).law
    with pytest.raises(InvalidLawError, match=r"sigma must be positive, got 0\.0"):
        law.denoiser(probes(law, 1.0, 1.0), 1.0, 0.0)
    with pytest.raises(InvalidLawError, match=r"sigma must be positive, got 0\.0"):
        law.score(probes(law, 1.0, 1.0), 1.0, tensor([1.0, 1.0, 0.0, 1.0]))


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", LAWS)
def test_a_nan_in_the_state_stops_at_once_and_names_the_sample(name, quantity):
    law = case(name).law
    x = probes(law, 1.0, 1.0)
    x[2, 1] = float("nan")
    with pytest.raises(NonFiniteError, match="samples 2") as caught:
        getattr(law, quantity)(x, 1.0, 1.0)
    assert caught.value.sample_ids == (2,)


def test_large_finite_states_are_not_mistaken_for_infinite_ones():
    law = case("gaussian").law
    x = torch.full((4, DIM), 1e308, dtype=torch.float64)
    assert bool(law.score(x, 1.0, 1.0).isfinite().all())


def test_directions_are_checked_like_states():
    for name in LAWS:
        law = case(name).law
        with pytest.raises(ShapeError, match="v must be a tensor"):
            law.denoiser_jvp(probes(law, 1.0, 1.0), normal(4, 2, seed=1), 1.0, 1.0)


def test_a_law_has_no_low_precision_form():
    with pytest.raises(ShapeError, match=r"float64 or float32, got torch\.bfloat16"):
        case("mixture").law.to(dtype=torch.bfloat16)


@pytest.mark.parametrize("name", ["gaussian", "product"])
def test_flows_between_no_levels_are_refused(name):
    law = case(name).law
    x = probes(law, 1.0, 1.0)
    with pytest.raises(InvalidLawError, match=r"end .* got \(1.0, -1.0\)"):
        law.flow(x, (1.0, 1.0), (1.0, -1.0))
    with pytest.raises(InvalidLawError, match=r"start must be a pair"):
        law.flow(x, (1.0, 1.0, 1.0), (1.0, 0.5))


def test_a_flow_cannot_start_on_the_support_of_a_singular_law():
    law = case("singular gaussian").law
    with pytest.raises(InvalidLawError, match=r"sigma must be positive, got 0\.0"):
        law.flow(probes(law, 1.0, 0.0), (1.0, 0.0), (0.6, 0.8))
    with pytest.raises(NoExactFlowError, match="sigma > 0"):
        case("empirical").law.flow(probes(law, 1.0, 1.0), (1.0, 1.0), (1.0, 0.0))


def test_the_reference_refuses_what_the_law_refuses():
    law = case("empirical").law
    with pytest.raises(InvalidLawError, match="sigma must be positive"):
        reference_flow(law, probes(law, 0.6, 0.8), (0.6, 0.8), (1.0, 0.0))


def test_a_model_refuses_states_times_and_predictions_it_cannot_answer():
    law, process = case("gaussian").law, VPLinear()
    model = exact_model(law, process)
    with pytest.raises(ShapeError, match=r"3 numbers a sample, got \(2, 2, 2\)"):
        model(normal(2, 2, 2, seed=1), 0.5)
    with pytest.raises(ShapeError, match=r"of shape \(2,\), got \(3,\)"):
        model(normal(2, 3, seed=1), torch.tensor([0.1, 0.2, 0.3]))
    with pytest.raises(PredictionError, match="'x0'"):
        exact_model(law, process, "x0")
