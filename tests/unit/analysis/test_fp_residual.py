"""Residuals: zero on exact laws, a closed form on wrong ones, a sentence on bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from scipy.linalg import solve_continuous_lyapunov
from torch import Tensor

from fokker.analysis.fokker_planck import (
    DiffusionError,
    Dynamics,
    Field,
    NotDifferentiableError,
    Residual,
    TimeRangeError,
    TooFewSamplesError,
    collocate,
    curl,
    exact_log_density,
    exact_score,
    flow_ode,
    forward_sde,
    log_residual,
    mean,
    points,
    reverse_sde,
    riccati,
    rounding,
    score_of,
    score_residual,
    source_residual,
    within,
)
from fokker.solvers.errors import AnalysisError, PredictionError, ShapeError
from fokker.solvers.process import Process
from fokker.solvers.schedules import EDM, VE, RectifiedFlow, SubVP, VPLinear
from fokker.toy_models import problem
from fokker.toy_models.law import Law

VANISHES = 1e-12


def setting(name: str, process: Process, lam: float, n: int = 16) -> tuple[Law, Tensor, float]:
    """A law, points drawn from it at that level, and the time."""
    law, t = problem(name).law, process.node_at_lam(lam).t
    x, _ = points(law, process, [t], n, seed=3)
    return law, x, t


def dynamics_of(process: Process, score: Field) -> dict[str, Dynamics]:
    return {
        "forward": forward_sde(process),
        "ode": flow_ode(process, score),
        "eta 0": reverse_sde(process, score, 0.0),
        "eta 0.4": reverse_sde(process, score, 0.4),
        "eta 1": reverse_sde(process, score, 1.0),
        "eta 3": reverse_sde(process, score, 3.0),
    }


@pytest.mark.parametrize("name", ["gaussian", "mixture", "product"])
@pytest.mark.parametrize("process", [VPLinear(), VE(0.01, 10.0), RectifiedFlow(), SubVP(), EDM()])
def test_the_residual_of_an_exact_law_vanishes_in_the_log_density(name: str, process: Process):
    law, x, t = setting(name, process, -1.0)
    score, phi = exact_score(law, process), exact_log_density(law, process)
    for kind, dynamics in dynamics_of(process, score).items():
        assert log_residual(dynamics, phi, x, t).worst < VANISHES, kind


@pytest.mark.parametrize("name", ["gaussian", "mixture"])
@pytest.mark.parametrize("lam", [-3.0, 2.0])
def test_the_residual_of_an_exact_law_vanishes_in_the_score(name: str, lam: float):
    process = VPLinear()
    law, x, t = setting(name, process, lam)
    score = exact_score(law, process)
    for kind, dynamics in dynamics_of(process, score).items():
        assert score_residual(dynamics, score, x, t).worst < VANISHES, kind


def test_points_of_different_times_and_chunks_change_nothing():
    process = VPLinear()
    law = problem("mixture").law
    phi = exact_log_density(law, process)
    x, t = points(law, process, [0.2, 0.5, 0.9], 6, seed=0)
    wrong = reverse_sde(process, lambda y, s: 1.1 * exact_score(law, process)(y, s), 1.0)
    whole = log_residual(wrong, phi, x, t)
    assert log_residual(forward_sde(process), phi, x, t).worst < VANISHES
    parts = log_residual(wrong, phi, x, t, chunk=5)
    torch.testing.assert_close(parts.value, whole.value, rtol=1e-13, atol=1e-13)
    alone = log_residual(wrong, phi, x[7:8], float(t[7]))
    torch.testing.assert_close(alone.value, whole.value[7:8], rtol=1e-12, atol=1e-13)


# wrong fields, closed forms

A = torch.tensor([[0.3, -0.7], [0.2, 0.5]], dtype=torch.float64)
C = torch.tensor([0.4, -0.1], dtype=torch.float64)
SPIN = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("matrix", "shift"), [(A, C), (0 * A, C), (SPIN, 0 * C)], ids=["linear", "constant", "curl"]
)
def test_a_wrong_score_in_the_dynamics_leaves_its_divergence(
    eta: float, matrix: Tensor, shift: Tensor
):
    """``(1+eta) g^2/2 (div e + e.s)``: the density sees an error e only through this."""
    process = VPLinear()
    law, x, t = setting("mixture", process, -1.0)
    score = exact_score(law, process)
    wrong = reverse_sde(process, lambda y, s: score(y, s) + y @ matrix.mT + shift, eta)
    found = log_residual(wrong, exact_log_density(law, process), x, t)
    e, s = x @ matrix.mT + shift, score(x, torch.full((len(x),), t, dtype=x.dtype))
    truth = 0.5 * (1 + eta) * float(process.g2(t)) * (matrix.trace() + (e * s).sum(1))
    assert float((found.value - truth).abs().max()) < 1e-10 * float(found.scale.max())
    assert float(truth.abs().max()) > 0.1


@pytest.mark.parametrize(
    ("matrix", "shift"), [(A, C), (0 * A, C), (SPIN, 0 * C)], ids=["linear", "constant", "curl"]
)
def test_a_wrong_score_leaves_the_closed_form_at_the_score_level(matrix: Tensor, shift: Tensor):
    """``s + h(t) (A x + c)`` with ``h = 1 + t^2`` against the forward equation."""
    process = VPLinear()
    law, x, t = setting("mixture", process, -1.0)
    score = exact_score(law, process)

    def wrong(y: Tensor, r: Tensor) -> Tensor:
        return score(y, r) + (1 + r**2)[:, None] * (y @ matrix.mT + shift)

    found = score_residual(forward_sde(process), wrong, x, t)
    node, f, g2 = process.node(t), float(process.f(t)), float(process.g2(t))
    h, rate, e = 1 + t * t, 2 * t, x @ matrix.mT + shift
    s, hess = law.score(x, node.alpha, node.sigma), law.hessian(x, node.alpha, node.sigma)
    drift = f * (e + x @ matrix)  # grad of x.(A x + c)
    cross = torch.einsum("bij,bj->bi", hess, e) + s @ matrix
    truth = rate * e - 0.5 * g2 * (2 * h * cross + 2 * h * h * e @ matrix) + h * drift
    assert float((found.value - truth).abs().max()) < 1e-10 * float(found.scale.max())
    assert float(truth.abs().max()) > 0.1


def test_a_linear_score_leaves_a_riccati_residual():
    process, t = VPLinear(), 0.4

    def score(x: Tensor, s: Tensor) -> Tensor:
        return -(1.5 + s**2)[:, None] * x

    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    found = score_residual(forward_sde(process), score, x, t)
    expected = -riccati(1.5 + t * t, 2 * t, float(process.f(t)), float(process.g2(t))) * x
    torch.testing.assert_close(found.value, expected, rtol=1e-12, atol=1e-12)


def test_a_gauge_term_is_invisible_to_the_density_and_seen_by_the_curl():
    """On N(m, S) ``A S^{-1}(x - m)`` with A antisymmetric leaves every marginal as it is."""
    process = VPLinear()
    law, x, t = setting("gaussian", process, 1.0)
    score, phi = exact_score(law, process), exact_log_density(law, process)
    anti = torch.triu(torch.ones(4, 4, dtype=torch.float64), 1)
    anti = anti - anti.mT
    gauged: Field = lambda y, s: score(y, s) + 3 * score(y, s) @ anti.mT  # noqa: E731
    assert log_residual(reverse_sde(process, gauged, 1.0), phi, x, t).worst < VANISHES
    tilted: Field = lambda y, s: score(y, s) + 3 * score(y, s) @ anti.abs().mT  # noqa: E731
    assert log_residual(reverse_sde(process, tilted, 1.0), phi, x, t).worst > 0.01
    assert curl(score, x, t).worst < 1e-13
    assert curl(gauged, x, t).worst > 0.5


def test_a_forgotten_constant_is_seen_in_the_log_density_and_not_in_the_score():
    """Without normalisation phi misses ``f d``, which the gradient does not see."""
    process, t = VPLinear(), 0.5
    law, x, _ = setting("gaussian", process, 0.0)
    phi, score = exact_log_density(law, process), exact_score(law, process)
    slow: Field = lambda y, s: phi(y, s) + 0.7 * s  # noqa: E731
    left = log_residual(forward_sde(process), slow, x, t).value
    torch.testing.assert_close(left, torch.full_like(left, 0.7), rtol=1e-10, atol=0)
    assert score_residual(forward_sde(process), score, x, t).worst < VANISHES


# any drift and diffusion


def test_a_rotating_flow_with_a_matrix_diffusion_keeps_its_normal_law():
    drift = torch.tensor([[-1.0, 2.0], [-2.0, -1.0]], dtype=torch.float64)
    noise = torch.tensor([[1.0, 0.3], [0.3, 0.25]], dtype=torch.float64)
    cov = solve_continuous_lyapunov(drift.numpy(), -noise.numpy())
    precision = torch.from_numpy(np.linalg.inv(cov))
    x = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(4, 2)
    score: Field = lambda y, _: -y @ precision  # noqa: E731
    flow = Dynamics(lambda y, _: y @ drift.mT, lambda y, _: noise.expand(len(y), 2, 2))
    assert source_residual(flow, score, x, 0.0).worst < 1e-14
    phi: Field = lambda y, _: -0.5 * (y * (y @ precision)).sum(1)  # noqa: E731
    assert log_residual(flow, phi, x, 0.0).worst < 1e-14
    other = Dynamics(lambda y, _: y @ drift, lambda y, _: noise.expand(len(y), 2, 2))
    assert source_residual(other, score, x, 0.0).worst > 0.1


def test_a_diffusion_that_depends_on_the_state_brings_its_derivatives():
    """``b = (div a + a s)/2`` has no current in p, here with a full matrix ``a(x)``."""
    x = torch.linspace(-1, 1.3, 10, dtype=torch.float64).reshape(5, 2)

    def spread(y: Tensor, _: Tensor) -> Tensor:
        one, two = y[:, 0], y[:, 1]
        rows = [torch.stack([1 + two**2, one * two], 1), torch.stack([one * two, 1 + one**2], 1)]
        return torch.stack(rows, 1)

    score: Field = lambda y, _: -(y**3) - y  # noqa: E731
    phi: Field = lambda y, _: -(y**4 / 4 + y**2 / 2).sum(1)  # noqa: E731

    def still(y: Tensor, t: Tensor) -> Tensor:  # the divergence of this matrix is x itself
        return 0.5 * (y + torch.einsum("bij,bj->bi", spread(y, t), score(y, t)))

    assert log_residual(Dynamics(still, spread), phi, x, 0.0).worst < 1e-14
    frozen = Dynamics(still, spread, state_dependent=False)
    assert log_residual(frozen, phi, x, 0.0).worst > 0.01


def test_a_diffusion_of_each_coordinate_agrees_with_its_matrix():
    x = torch.linspace(-1, 1.3, 10, dtype=torch.float64).reshape(5, 2)
    rates: Field = lambda y, _: 1 + torch.stack([y[:, 1] ** 2, y[:, 0] ** 2], 1)  # noqa: E731
    drift: Field = lambda y, _: y.sin()  # noqa: E731
    phi: Field = lambda y, t: -(y**4).sum(1) * (1 + t)  # noqa: E731
    one = log_residual(Dynamics(drift, rates), phi, x, 0.3)
    matrix = Dynamics(drift, lambda y, t: torch.diag_embed(rates(y, t)))
    torch.testing.assert_close(one.value, log_residual(matrix, phi, x, 0.3).value)
    alike = Dynamics(drift, lambda y, _: 1 + y.square().sum(1))
    spread = Dynamics(drift, lambda y, _: (1 + y.square().sum(1))[:, None].expand_as(y))
    pair = [log_residual(d, phi, x, 0.3).value for d in (alike, spread)]
    torch.testing.assert_close(*pair)


# networks


@pytest.mark.parametrize("kind", ["noise", "data", "velocity", "flow", "score"])
def test_every_prediction_of_a_network_is_the_same_score(kind: str):
    """Exact predictions, written with derivable coefficients, give the exact residual: none."""
    process = VPLinear()
    law, x, t = setting("mixture", process, 0.0)
    exact = exact_score(law, process)

    def network(y: Tensor, s: Tensor) -> Tensor:
        from fokker.analysis.fokker_planck.fields import clock

        c = clock(process, s)
        alpha, sigma = c.alpha[:, None], c.sigma[:, None]
        noise = -sigma * exact(y, s)
        data = (y - sigma * noise) / alpha
        made = {
            "noise": noise, "data": data, "velocity": alpha * noise - sigma * data,
            "flow": noise - data, "score": exact(y, s),
        }  # fmt: skip
        return made[kind]

    score = score_of(network, process, kind)
    assert score_residual(forward_sde(process), score, x, t).worst < VANISHES


def test_the_rounding_bar_covers_what_float32_leaves_and_not_much_more():
    process = VPLinear()
    law, x, t = setting("mixture", process, 1.0, n=64)
    single = exact_score(law.to(dtype=torch.float32), process)
    residual = partial(score_residual, forward_sde(process), single)
    y, s = x.float(), torch.full((len(x),), t)
    found = residual(y, s)  # the truth is zero
    bar = rounding(residual, y, s, repeats=6)
    covered = (found.value.abs() <= bar).float().mean()
    assert float(covered) > 0.95
    assert float(bar.median()) < 100 * float(found.value.abs().median())
    estimate = collocate(lambda a, b: score_residual(forward_sde(process), single, a, b), (y, s))
    with_bar = collocate(residual, (y, s), repeats=6)
    assert estimate.rounding == 0
    assert not with_bar.resolved


def test_a_mean_square_residual_has_an_interval_that_holds_the_truth():
    """Known integrand: R = x on N(0, 1). Certainty 1 - 1e-6; a control with half the truth."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20000, 1, dtype=torch.float64, generator=generator)
    t = torch.zeros(len(x), dtype=x.dtype)
    found = collocate(lambda y, _: Residual(y, y.abs()), (x, t), certainty=1 - 1e-6)
    assert abs(found.value - 1) < found.bar < 0.1
    assert abs(found.value - 0.5) > found.bar
    assert "±" in str(found)


def test_points_are_weighted_by_the_density_at_each_time():
    law, process = problem("gaussian").law, VPLinear()
    x, t = points(law, process, [0.3, 0.8], 3000, seed=1)
    for k, time in enumerate((0.3, 0.8)):
        node, rows = process.node(time), x[3000 * k : 3000 * (k + 1)]
        assert set(t[3000 * k : 3000 * (k + 1)].tolist()) == {time}
        cov = node.alpha**2 * law.cov + node.sigma**2 * torch.eye(4, dtype=torch.float64)
        assert float((rows.mT.cov() - cov).abs().max()) < 6 * float(cov.max()) / math.sqrt(3000)


# bad input

HERE = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]


def _numpy(y: Tensor, _: Tensor) -> Tensor:
    return -torch.from_numpy(np.tanh(y.detach().numpy()))


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (lambda y, _: -y.detach(), "automatic derivative 0"),
        (_numpy, "without detach"),
        (lambda y, _: -(y * 1e3).round() / 1e3 * y, "differences give"),
        (lambda y, _: -torch.sign(y), "constant by pieces"),
    ],
    ids=["detached", "numpy", "rounded", "piecewise"],
)
def test_a_score_without_a_jacobian_is_refused_with_what_would_be_enough(score: Field, words: str):
    with pytest.raises(NotDifferentiableError, match=words):
        score_residual(forward_sde(VPLinear()), score, HERE, 0.5)


@pytest.mark.parametrize("part", ["drift", "diffusion"])
def test_a_drift_or_diffusion_that_cannot_be_differentiated_is_refused(part: str):
    """Cut off from x its divergence would be zero, without an error, and the residual wrong."""
    fields: dict[str, Field] = {
        "drift": lambda y, _: -y, "diffusion": lambda y, _: 1 + y[:, 0] ** 2
    }  # fmt: skip
    score: Field = lambda y, _: -y  # noqa: E731
    whole = score_residual(Dynamics(fields["drift"], fields["diffusion"]), score, HERE, 0.5)
    assert bool(whole.value.isfinite().all())
    kept = fields[part]
    fields[part] = lambda y, s: kept(y, s).detach()
    with pytest.raises(NotDifferentiableError, match=f"the {part} has .* write it in torch"):
        score_residual(Dynamics(fields["drift"], fields["diffusion"]), score, HERE, 0.5)


def test_a_potential_of_relus_has_no_laplacian():
    phi: Field = lambda y, _: -torch.relu(y).sum(1) - torch.relu(-y).sum(1)  # noqa: E731
    with pytest.raises(NotDifferentiableError, match="softplus"):
        log_residual(forward_sde(VPLinear()), phi, HERE, 0.5)


def test_a_negative_or_crooked_diffusion_is_refused():
    score: Field = lambda y, _: -y  # noqa: E731
    with pytest.raises(DiffusionError, match="negative, got -1"):
        score_residual(Dynamics(score, lambda y, _: -y[:, 0] * 0 - 1), score, HERE, 0.5)
    with pytest.raises(DiffusionError, match="eta must not be negative, got -1"):
        reverse_sde(VPLinear(), score, -1.0)
    x = HERE.reshape(32, 2)
    for matrix, words in ((-torch.eye(2), "negative"), (torch.ones(2, 2).triu(), "symmetric")):
        rows: Field = lambda y, _, m=matrix: m.to(y).expand(len(y), 2, 2)  # noqa: E731
        with pytest.raises(DiffusionError, match=words):
            score_residual(Dynamics(score, rows), score, x, 0.5)
    with pytest.raises(ShapeError, match="a diffusion is"):
        score_residual(Dynamics(score, lambda y, _: y[:3]), score, x, 0.5)


def test_a_time_outside_the_network_is_refused():
    process = VPLinear()
    score = within(lambda y, _: -y, 1e-3, 1.0)
    with pytest.raises(TimeRangeError, match=r"time 0.0001 is outside \[0.001, 1\]"):
        score_residual(forward_sde(process), score, HERE, 1e-4)
    with pytest.raises(TimeRangeError, match="sigma = 0"):
        score_residual(forward_sde(process), exact_score(problem("line").law, process), HERE, 0.0)


def test_too_few_samples_are_told_how_many_would_do():
    values = torch.arange(100, dtype=torch.float64)
    with pytest.raises(TooFewSamplesError, match="about") as caught:
        mean(values, certainty=0.999, within=0.01)
    enough = torch.arange(100, dtype=torch.float64).repeat(caught.value.needed // 100 + 1)
    assert mean(enough, certainty=0.999, within=0.0101).value == pytest.approx(49.5)
    with pytest.raises(TooFewSamplesError, match="32 would be enough"):
        mean(values[:8])
    with pytest.raises(AnalysisError, match="between 0 and 1"):
        mean(values, certainty=1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: score_residual(forward_sde(VPLinear()), s, HERE[:, 0], 0.5), "B, "),
        (lambda s: score_residual(forward_sde(VPLinear()), s, HERE[:, :, None], 0.5), "flatten"),
        (
            lambda s: score_residual(forward_sde(VPLinear()), s, HERE, torch.ones(3)),
            "one for each of 64 rows",
        ),
        (lambda s: score_residual(forward_sde(VPLinear()), s, HERE, 0.5, chunk=0), "chunk"),
        (lambda s: log_residual(forward_sde(VPLinear()), s, HERE, 0.5), "log-density must have"),
    ],
)
def test_shapes_are_refused_in_one_sentence(call: Callable[[Field], object], words: str):
    with pytest.raises(ShapeError, match=words):
        call(lambda y, _: -y)


def test_an_unknown_prediction_names_the_accepted_ones():
    with pytest.raises(PredictionError, match="score, data, noise, velocity, flow"):
        score_of(lambda y, _: y, VPLinear(), "v")
