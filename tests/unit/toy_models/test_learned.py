"""A small network on pairs: what one reflow makes of its paths, against the exact reflow."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fokker.analysis.straightness import curvature, noise_variation, one_step_error, path_of
from fokker.solvers.errors import InvalidLawError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.process import Node, Process
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.toy_models.draws import normals
from fokker.toy_models.law import exact_model
from fokker.toy_models.learned import Direction, Learned, flowed, learn
from fokker.toy_models.product import ProductMixture
from fokker.toy_models.rectified import FlowCoupling, Rectified

F64 = torch.float64
FLOW, VP = RectifiedFlow(), VPLinear()


def plane() -> ProductMixture:
    """Two modes in each of two turned coordinates."""

    def rows(*values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=F64)

    return ProductMixture(
        rows([0.4, 0.6], [0.5, 0.5]), rows([-1.0, 0.8], [-0.9, 1.0]),
        rows([0.15, 0.2], [0.2, 0.15]), rows([0.8, -0.6], [0.6, 0.8]),
    )  # fmt: skip


def noise(n: int, label: str = "noise") -> Tensor:
    return torch.from_numpy(normals(n, 2, seed=0, label=label))


def shear(eps: Tensor) -> Tensor:
    """A linear map whose paths do not cross."""
    return eps @ torch.tensor([[0.5, 0.2], [0.0, 0.8]], dtype=eps.dtype) + 0.3


def untrained(seed: int = 0) -> Learned:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Learned(Direction(2, 8).to(F64).requires_grad_(False))


@pytest.mark.parametrize("process", [FLOW, VP, EDM()], ids=["flow", "vp", "edm"])
def test_all_predictions_of_a_network_are_of_one_answer_on_every_schedule(process):
    """On a path ``alpha x_0 + sigma eps`` where the network is right, each prediction is."""
    pair = untrained()
    node = process.node_at_lam(0.3)
    z = noise(8)
    u = node.sigma / (node.alpha + node.sigma)
    v = pair.direction(z, torch.full((8, 1), u, dtype=F64))
    data, eps = z - u * v, z + (1 - u) * v
    x = node.alpha * data + node.sigma * eps
    for prediction, want in (("data", data), ("noise", eps), ("score", -eps / node.sigma)):
        found = exact_model(pair, process, prediction)(x, node.t)
        torch.testing.assert_close(found, want, rtol=1e-12, atol=1e-12)
    assert (pair.dim, pair.dtype, pair.device.type) == (2, F64, "cpu")
    assert pair.to(dtype=torch.float32).dtype == torch.float32 != pair.dtype


def test_training_is_a_function_of_its_arguments_and_leaves_the_global_generator_alone():
    eps = noise(64)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    a, b, c = (learn(eps, shear(eps), steps=3, width=8, batch=16, seed=k) for k in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    first, second, third = (torch.cat([p.flatten() for p in m.direction.parameters()])
                            for m in (a, b, c))  # fmt: skip
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("data", [noise(3)[:, :1], noise(2)], ids=["columns", "rows"])
def test_pairs_that_are_none_are_refused(data):
    with pytest.raises(InvalidLawError, match=r"pairs must be two \(N, d\) tensors, got \(3, 2\)"):
        learn(noise(3), data)


def test_pairs_of_a_flow_are_its_ends():
    law, eps = plane(), noise(32)
    gap = flowed(law, FLOW, eps, steps=400) - FlowCoupling(law).transport(eps)
    assert gap.abs().max() < math.exp(-4.0)  # the data that the first level lacks


# -- one reflow -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nets() -> tuple[Learned, Learned]:
    """Trained on independent pairs; and on the pairs that its own flow makes."""
    eps, data = noise(4096), plane().sample(4096, seed=5)
    before = learn(eps, data).to(dtype=F64)
    return before, learn(eps, flowed(before, FLOW, eps)).to(dtype=F64)


def facts(model: Learned, process: Process) -> dict[str, float]:
    """Medians over 128 of the model's own paths; the error is to the exact flow of the law."""
    grid, eps = uniform_lam(process, -4.0, 4.0).grid(30), noise(128, "new")
    plan = get("dpmpp_2m")(process, grid)
    x = grid[0].alpha * FlowCoupling(plane()).transport(eps) + grid[0].sigma * eps
    saved = run(plan, exact_model(model, process), x, save_at=range(31)).saved

    def at(node: Node) -> Tensor:
        return saved[grid.nodes.index(node)]

    path = path_of(at, grid.nodes)
    return {
        "curvature": float(curvature(path).median()),
        "variation": float(noise_variation(path, exact_model(model, process, "noise")).median()),
        "own": float(one_step_error(path, exact_model(model, process)).median()),
    }


def from_noise(model: Learned | Rectified) -> float:
    """Root mean square of one step from pure noise to data against the exact flow."""
    eps = noise(512, "new")
    gap = model.denoiser(eps, 0.0, 1.0) - FlowCoupling(plane()).transport(eps)
    return float(gap.square().mean().sqrt())


@pytest.mark.slow
def test_one_reflow_of_a_network_brings_its_one_step_near_the_exact_reflow(nets):
    before, after = nets
    assert from_noise(Rectified(FlowCoupling(plane()))) < 1e-12  # what is approached
    assert from_noise(before) > 0.8
    assert from_noise(after) < from_noise(before) / 3
    again = learn(noise(4096), noise(4096, "other")).to(dtype=F64)  # pairs that are none: noise
    assert from_noise(again) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("process", [FLOW, VP], ids=["flow", "vp"])
def test_after_a_reflow_the_noise_hardly_varies_and_only_the_paths_of_a_flow_are_straight(
    process, nets
):
    before, after = (facts(model, process) for model in nets)
    assert before["variation"] > 0.4
    assert after["variation"] < before["variation"] / 5
    assert after["own"] < before["own"] / 5
    if process is FLOW:
        assert after["curvature"] < 0.02 < 0.3 < before["curvature"]
    else:  # ellipses are what first-order paths are here
        assert after["curvature"] > 0.3
