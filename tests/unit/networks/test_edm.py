"""The form of Karras et al. against a perfect module: the F of a Gaussian in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fokker.solvers.networks.asking import ModuleCall
from fokker.solvers.networks.edm import OneHot, edm_network
from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.networks.network import Network
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow, VPLinear

SIGMA_DATA = 0.7
MEANS = torch.tensor([[1.0, -2.0], [0.5, 0.3], [0.0, 0.0]], dtype=torch.float64)
STD = 0.4
Y = [0, 1, 2, 0]
X = torch.linspace(-3, 3, 8, dtype=torch.float64).reshape(4, 2)


class Perfect(nn.Module):
    """F of ``N(mean[label], STD^2)``, from what the network is shown and nothing else.

    The data prediction is ``D = (STD^2 x + sigma^2 mean)/(STD^2 + sigma^2)``, and F is what the
    formula of the form has to be given: ``(D - c_skip x)/c_out``.
    """

    def forward(self, z: Tensor, c: Tensor, labels: Tensor) -> Tensor:
        sigma = (4 * c).exp()[:, None]
        total = sigma**2 + SIGMA_DATA**2
        x = z * total.sqrt()
        d = (STD**2 * x + sigma**2 * MEANS[labels]) / (STD**2 + sigma**2)
        return (d - SIGMA_DATA**2 / total * x) / (sigma * SIGMA_DATA / total.sqrt())


def perfect() -> Network:
    return edm_network(
        "perfect", Perfect(), shape=(2,), sigma_max=40.0, sigma_data=SIGMA_DATA, classes=2
    )


@pytest.mark.parametrize("sigma", [0.002, 0.1, 0.7, 3.0, 40.0])
def test_the_data_prediction_is_that_of_the_gaussian(sigma: float):
    out = perfect().model(Y, prediction="data")(X, sigma)
    wanted = (STD**2 * X + sigma**2 * MEANS[Y]) / (STD**2 + sigma**2)
    torch.testing.assert_close(out, wanted, rtol=1e-12, atol=1e-12)


def test_the_levels_are_those_of_the_training():
    grid = perfect().grid(5, to_zero=False)
    assert grid[0].sigma == pytest.approx(40.0, rel=1e-14)
    assert grid[-1].sigma == pytest.approx(0.002, rel=1e-14)


@pytest.mark.parametrize("process", [VPLinear(), RectifiedFlow()], ids=["vp", "flow"])
def test_the_same_module_serves_every_process(process: VPLinear | RectifiedFlow):
    """``x/alpha`` is a state of the exploding process at ``sigma/alpha``."""
    call = ModuleCall(Perfect(), process, "edm", SIGMA_DATA)
    network = Network(
        "other", call, process, "edm", (2,), (-3.0, 3.0), classes=2, sigma_data=SIGMA_DATA
    )
    for t in (0.1, 0.5, 0.9):
        a, s = float(process.alpha(t)), float(process.sigma(t))
        out = network.model(Y, prediction="data")(X, t)
        wanted = (STD**2 * a * X + s**2 * MEANS[Y]) / (a**2 * STD**2 + s**2)
        torch.testing.assert_close(out, wanted, rtol=1e-11, atol=1e-11)


def test_sampling_converges_to_the_exact_flow_of_the_gaussian():
    network = perfect()
    start = 40.0 * X
    scale = math.sqrt((0.002**2 + STD**2) / (40.0**2 + STD**2))
    exact = MEANS[Y] + scale * (start - MEANS[Y])
    errors = []
    for steps in (40, 80):
        grid = network.grid(steps, to_zero=False)
        plan = get("dpmpp_2m")(network.process, grid)
        out = run(plan, network.model(Y, prediction="data"), start).x
        errors.append(float((out - exact).abs().max()))
    assert errors[1] < 2e-3
    assert 3.0 < errors[0] / errors[1] < 5.0  # second order


def test_guidance_on_gaussians_shifts_the_mean_it_is_pulled_to():
    weight, sigma = 3.0, 0.5
    out = perfect().model(Y, prediction="data", guidance=weight)(X, sigma)
    pulled = MEANS[2] + weight * (MEANS[Y] - MEANS[2])
    wanted = (STD**2 * X + sigma**2 * pulled) / (STD**2 + sigma**2)
    torch.testing.assert_close(out, wanted, rtol=1e-11, atol=1e-11)


def test_one_hot_rows_are_zeros_for_no_class():
    seen: list[Tensor | None] = []

    def module(z: Tensor, _c: Tensor, rows: Tensor | None) -> Tensor:
        seen.append(rows)
        return z

    wrapped = OneHot(module, 2)
    wrapped(X.float(), torch.zeros(4), torch.tensor([0, 1, 2, 1]))
    wrapped(X, torch.zeros(4), None)
    rows, none = seen
    assert rows is not None
    assert rows.tolist() == [[1, 0], [0, 1], [0, 0], [0, 1]]
    assert none is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sigma_min": 0.0}, "need 0 < sigma_min < sigma_max, got 0.0 and 80.0"),
        ({"sigma_max": math.inf}, "got 0.002 and inf"),
        ({"sigma_data": -1.0}, "sigma_data must be a positive finite number, got -1"),
    ],
)
def test_levels_that_are_none_are_refused(changed: dict[str, Any], words: str):
    with pytest.raises(NetworkError, match=words):
        edm_network("a", Perfect(), shape=(2,), **changed)
