"""The score equation of networks: exact ones leave nothing, wrong ones their closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fokker.analysis.fokker_planck import Dynamics, curl, score_residual
from fokker.analysis.fokker_planck.errors import (
    NotDifferentiableError,
    TimeRangeError,
    TooFewSamplesError,
)
from fokker.analysis.fokker_planck.network import NetworkResidual, network_residual
from fokker.analysis.fokker_planck.network_report import network_rows
from fokker.solvers.networks.architectures import architecture
from fokker.solvers.networks.asking import module_network
from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.networks.folder import load_network, save_network
from fokker.solvers.networks.network import Network
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models.law import exact_model
from fokker.toy_models.networks import exact_network, named_network
from fokker.toy_models.perturbed import FourierField, Perturbed
from fokker.toy_models.problems import problem

F64 = torch.float64
VP = VPLinear()


@architecture("exact-normal-for-tests", asked="straight")
class ExactNormal(nn.Module):
    """The direction ``eps - x_0`` of normal laws with one mean a class, as a network of weights.

    ``factor`` multiplies the score and ``turn`` adds ``A s``: known errors.
    """

    def __init__(self, size: int, classes: int = 0, factor: float = 1.0, turn: float = 0.0):
        super().__init__()
        self.config = {"size": size, "classes": classes, "factor": factor, "turn": turn}
        self.means = nn.Parameter(torch.zeros(classes + 1, size))
        self.var = nn.Parameter(torch.linspace(0.2, 1.4, size))

    def forward(self, z: Tensor, u: Tensor, labels: Tensor | None = None) -> Tensor:
        keep, noise = (1 - u)[:, None], u[:, None]
        mean = self.means[-1] if labels is None else self.means[labels]
        away = noise * (z - keep * mean) / (keep**2 * self.var + noise**2)
        turned = torch.stack([away[:, 1], -away[:, 0], *away[:, 2:].mT * 0], 1)
        e = self.config["factor"] * away + self.config["turn"] * turned
        return e - (z - noise * e) / keep


def normal_network(size: int = 3, classes: int = 0, **error: float) -> Network:
    module = ExactNormal(size, classes, **error)
    with torch.no_grad():
        module.means.copy_(torch.arange((classes + 1) * size).reshape(-1, size) * 0.1)
    return module_network(
        "normal", module.to(F64), VP, prediction="flow", shape=(size,), lam_range=(-4.0, 4.0),
        asked="straight", classes=classes,
    )  # fmt: skip


def wrong_mixture(size: float) -> tuple[Network, Any, Any]:
    p = problem("mixture")
    law = Perturbed(p.law, FourierField.random(p.law.dim, seed=3), size)
    model = exact_model(law, p.process, "noise")
    return (
        Network("wrong", lambda x, t, _: model(x, t), p.process, "noise", (p.law.dim,), (-4, 4)),
        law,
        p,
    )


@pytest.mark.parametrize("name", ["gaussian", "mixture", "product", "sharp"])
@pytest.mark.parametrize("probes", [0, 2])
def test_of_an_exact_law_residual_and_curl_vanish(name: str, probes: int):
    for row in network_rows(named_network(name), lams=[-2.0, 1.0], samples=32, probes=probes):
        assert abs(row["mean"]) < 2 * row["bar"] + row["rounding"]  # 6.6 standard deviations
        assert probes or abs(row["share"]) < 1e-9
        assert row["curl"] < 1e-10


def test_it_is_the_residual_of_the_score_in_the_clock_lam_and_the_variable_u():
    """Two computations of one number: differences and reverse mode, and forward mode."""
    network, law, p = wrong_mixture(0.05)
    lam, rho = 0.3, math.exp(-0.3)
    u = p.law.sample(6, seed=0) + rho * p.law.sample(6, seed=1)
    # u = x_0 + rho eps is x itself where alpha is 1, and rho^2 = e^{-2 lam}
    dynamics = Dynamics(
        lambda x, _: torch.zeros_like(x), lambda _, t: 2 * torch.exp(-2 * t), backward=True,
        state_dependent=False,
    )  # fmt: skip

    def score(x: Tensor, t: Tensor) -> Tensor:  # of u: alpha times that of x
        s = torch.exp(-t)
        alpha = (1 / (1 + s * s)).sqrt()
        return alpha[:, None] * law.score(alpha[:, None] * x, alpha, s * alpha)

    truth = rho * score_residual(dynamics, score, u, lam).value
    found = network_residual(network, u, lam, probes=0)
    expected = truth.square().mean(1)
    assert float(expected.min()) > 1e-8
    assert bool(((found.square - expected).abs() <= found.rounding + 1e-12).all())
    assert float((found.rounding / expected).max()) < 1e-2
    bent = curl(score, u, lam).value.square().sum((1, 2)) * rho**4
    torch.testing.assert_close(found.curl, bent, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("lam", [-4.0, -1.0, 0.7, 4.0])
def test_a_scaled_score_of_a_normal_law_leaves_its_closed_form(lam: float):
    """``r = -2 c (c - 1) rho^3 V^-2 (u - m)`` for c times the score, V = C + rho^2."""
    c, rho2 = 1.3, math.exp(-2 * lam)
    network = normal_network(factor=c)
    u = torch.linspace(-2, 2, 15, dtype=F64).reshape(5, 3)
    module: Any = network.module
    away = (u - module.means[0].detach()) / (module.var.detach() + rho2) ** 2
    truth = 2 * c * (c - 1) * rho2**1.5 * away
    found = network_residual(network, u, lam)
    torch.testing.assert_close(
        found.square, truth.square().mean(1), rtol=1e-5, atol=float(found.rounding.max())
    )
    assert float(found.rounding.max()) < 1e-2 * float(truth.square().mean())


def test_signs_are_unbiased_though_their_own_error_is_squared():
    """Mean over signs, 6 standard errors; one set of signs would be too large by far."""
    network, _, p = wrong_mixture(0.3)
    u = p.law.sample(4, seed=0)
    truth = float(network_residual(network, u, 0.5, probes=0).square.mean())
    many = u.repeat(256, 1)  # every row has signs of its own
    drawn = network_residual(network, many, 0.5, probes=1).square.reshape(256, 4).mean(1)
    error = float(drawn.std()) / math.sqrt(len(drawn))
    assert abs(float(drawn.mean()) - truth) < 6 * error
    assert error < 0.2 * truth


def test_a_stirring_of_a_normal_law_keeps_the_equation_of_its_density_and_has_a_curl():
    """It is a gauge: no marginal sees it, but no gradient has it. J - J^T = 2 A V^-1 here."""
    row = network_rows(normal_network(size=2, turn=0.5), lams=[0.0], samples=32)[0]
    assert row["curl"] > 0.5
    assert row["curl_bar"] < 1e-9
    assert network_rows(normal_network(size=2), lams=[0.0], samples=32)[0]["curl"] < 1e-12


def test_a_saved_network_is_asked_in_double_precision_and_by_class(tmp_path: Path):
    folder = save_network(tmp_path / "normal", normal_network(classes=2), dtype=torch.float32)
    network = load_network(folder)
    for label in (None, 0, 1):
        (row,) = network_rows(network, lams=[0.5], samples=32, label=label)
        assert abs(row["share"]) < 1e-9
        assert row["mean"] <= row["bar"] + row["rounding"]
    assert next(network.module.parameters()).dtype == torch.float32  # type: ignore[union-attr]
    wrong = save_network(tmp_path / "wrong", normal_network(classes=2, factor=1.5))
    (row,) = network_rows(load_network(wrong), lams=[0.5], samples=32, label=1)
    assert row["mean"] > row["bar"] + row["rounding"]


def test_another_process_has_the_same_residual():
    p = problem("mixture")
    other = exact_network("other", p.law, EDM(), (-2.0, 4.0))
    u = p.law.sample(4, seed=0)
    assert float(network_residual(other, u, 0.5).square.max()) < 1e-10


def test_the_digits_network_is_near_a_score_and_the_bars_say_how_near():
    (row,) = network_rows(named_network("digits"), lams=[0.0], samples=32, probes=1)
    assert row["bar"] < row["mean"] < 0.3
    assert row["rounding"] < 1e-3 * row["mean"]
    assert row["share"] < 0.05
    assert 0.02 < row["curl"] < 0.5
    assert row["curl_bar"] < 0.5 * row["curl"]


def _asked(call: Any) -> Network:
    return Network("bad", call, VP, "noise", (2,), (-3.0, 3.0))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x, t, _: x.detach() * t, NotDifferentiableError, "without detach"),
        (lambda x, *_: x + (3 * x).detach(), NotDifferentiableError, "differences give"),
    ],
)
def test_a_network_without_a_jacobian_is_refused(call: Any, error: type, words: str):
    with pytest.raises(error, match=words):
        network_residual(_asked(call), torch.ones(2, 2, dtype=F64), 0.0)


def test_bad_questions_are_refused_with_what_would_be_enough():
    network = normal_network()
    with pytest.raises(TimeRangeError, match=r"lam = 6 is outside \[-4, 4\].*lam = 4 .* would be"):
        network_rows(network, lams=[0.0, 6.0])
    with pytest.raises(TooFewSamplesError, match="32 would be enough"):
        network_rows(network, lams=[0.0], samples=8)
    with pytest.raises(TooFewSamplesError, match="probes must not be negative"):
        network_rows(network, lams=[0.0], probes=-1)
    with pytest.raises(NetworkError, match="no classes"):
        network_rows(network, lams=[0.0], label=1)
    alone = replace(normal_network(classes=2), null_class=False)
    with pytest.raises(NetworkError, match="without a class"):
        network_rows(alone, lams=[0.0])


def test_rows_do_not_depend_on_how_they_are_split(monkeypatch: pytest.MonkeyPatch):
    network, _, p = wrong_mixture(0.1)
    u = p.law.sample(6, seed=0)
    whole = network_residual(network, u, 0.0, probes=0)
    monkeypatch.setattr("fokker.analysis.fokker_planck.network.CHUNK", 4)
    split: NetworkResidual = network_residual(network, u, 0.0, probes=0)
    torch.testing.assert_close(split.square, whole.square, rtol=1e-9, atol=1e-13)
