"""Rectified couplings: one step is exact on any schedule, straight or not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fokker.analysis.straightness import (
    Path,
    curvature,
    noise_variation,
    one_step_error,
    path_of,
)
from fokker.solvers.errors import AnalysisError, InvalidLawError
from fokker.solvers.grids import grid_from_lams, uniform_lam
from fokker.solvers.process import Node
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.resshift import ResShift
from fokker.solvers.schedules import VE, RectifiedFlow, SubVP, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem
from fokker.toy_models.product import ProductMixture
from fokker.toy_models.rectified import (
    FlowCoupling,
    LinearCoupling,
    PotentialCoupling,
    Rectified,
)

F64 = torch.float64
PROCESSES = {
    "vp": VPLinear(),
    "flow": RectifiedFlow(),
    "ve": VE(),
    "subvp": SubVP(),
    "res": ResShift(),
}
LAMS = (-2.5, 2.5)


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=F64)


A = tensor([[1.2, 0.3, 0.1], [0.3, 0.6, -0.2], [0.1, -0.2, 0.3]])
SHIFT = tensor([0.5, -1.0, 0.2])
TURN = tensor([[0.0, -0.8, 0.0], [0.8, 0.0, 0.0], [0.0, 0.0, 0.5]])
LINE = ProductMixture(tensor([[0.4, 0.6]]), tensor([[-1.0, 0.7]]), tensor([[0.2, 0.3]]))
PRODUCT = problem("product").law
COUPLINGS = {
    "positive matrix": LinearCoupling(A, SHIFT),
    "rotation": LinearCoupling(TURN, SHIFT),
    "potential": PotentialCoupling(
        tensor([[2.0, 0.5, 0.0], [-1.0, 1.5, 1.0], [0.3, 0.0, 3.0]]),
        tensor([0.2, -0.4, 0.0]),
        tensor([0.7, 0.3, 0.5]),
    ),
    "monotone line": PotentialCoupling(
        tensor([[5.0], [9.0]]), tensor([1.0, -2.0]), tensor([0.3, 0.1])
    ),
    "flow of a mixture": FlowCoupling(LINE),
    "flow of a product": FlowCoupling(PRODUCT),  # pyright: ignore
}
on_couplings = pytest.mark.parametrize("coupling", COUPLINGS.values(), ids=COUPLINGS)


def noise(d: int, n: int = 16) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(d), dtype=F64)


def between(coupling, eps: Tensor, node: Node) -> Tensor:
    return node.alpha * coupling.transport(eps) + node.sigma * eps


@on_couplings
@pytest.mark.parametrize("name", PROCESSES)
def test_one_step_is_exact_on_any_schedule(coupling, name):
    process = PROCESSES[name]
    law, eps = Rectified(coupling), noise(coupling.like.shape[-1])
    model = exact_model(law, process)
    for lams in (LAMS, (LAMS[0], math.inf), (0.3, 1.0)):
        grid = grid_from_lams(process, lams)
        x = between(coupling, eps, grid[0])
        out = run(get("ddim")(process, grid), model, x).x
        truth = between(coupling, eps, grid[1])
        torch.testing.assert_close(out, truth, rtol=1e-12, atol=1e-12)


@on_couplings
def test_the_predictions_are_the_pair_and_constant_along_its_path(coupling):
    process = PROCESSES["vp"]
    law, eps = Rectified(coupling), noise(coupling.like.shape[-1])
    for lam in (-3.0, 0.0, 2.0):
        node = process.node_at_lam(lam)
        x = between(coupling, eps, node)
        model = exact_model(law, process, "noise")
        torch.testing.assert_close(model(x, node.t), eps, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(
            exact_model(law, process)(x, node.t), coupling.transport(eps), rtol=1e-11, atol=1e-11
        )
        # one level for each row is the same
        times = torch.full((len(x),), node.t, dtype=F64)
        torch.testing.assert_close(model(x, times), eps, rtol=1e-11, atol=1e-11)


def test_before_reflow_one_step_is_wrong_and_after_it_is_exact():
    """The same noise and the same ends: only the pairing in between has changed."""
    plain = {
        "positive matrix": Gaussian(SHIFT, A @ A.mT),
        "flow of a mixture": LINE,
        "flow of a product": PRODUCT,
    }
    for key, law in plain.items():
        coupling = COUPLINGS[key]
        eps = noise(coupling.like.shape[-1])
        for process in (PROCESSES["vp"], PROCESSES["flow"]):
            grid = grid_from_lams(process, (-4.0, math.inf))
            x = between(coupling, eps, grid[0])
            truth = coupling.transport(eps)
            errors = [
                float(
                    (run(get("ddim")(process, grid), exact_model(m, process), x).x - truth).norm()
                )
                for m in (law, Rectified(coupling))
            ]
            assert errors[0] > 0.3
            assert errors[1] < 1e-11


def test_the_transport_of_a_flow_coupling_is_the_probability_flow_itself():
    """Of every process: here by many small steps of two of them."""
    eps = noise(1, 8)
    for process in (PROCESSES["vp"], PROCESSES["flow"]):
        grid = uniform_lam(process, -4.9, 5.0).grid(200)
        x = LINE.flow(eps, (0.0, 1.0), (grid[0].alpha, grid[0].sigma))
        out = run(get("unipc_3")(process, grid), exact_model(LINE, process), x).x
        truth = LINE.flow(x, (grid[0].alpha, grid[0].sigma), (grid[-1].alpha, grid[-1].sigma))
        torch.testing.assert_close(out, truth, rtol=1e-5, atol=1e-5)
        end = LINE.flow(truth, (grid[-1].alpha, grid[-1].sigma), (1.0, 0.0))
        torch.testing.assert_close(end, COUPLINGS["flow of a mixture"].transport(eps))


def test_crossing_paths_and_bad_parameters_are_refused():
    with pytest.raises(InvalidLawError, match=r"negative real eigenvalue, got -0\.5"):
        LinearCoupling(torch.diag(tensor([1.0, -0.5])), torch.zeros(2, dtype=F64))
    with pytest.raises(InvalidLawError, match="negative"):
        PotentialCoupling(tensor([[1.0]]), tensor([0.0]), tensor([-1.0]))
    law = Rectified(COUPLINGS["potential"]).to(dtype=torch.float32)
    assert law.denoiser(torch.zeros(1, 3), 0.5, 0.5).dtype == torch.float32


def test_what_crosses_cannot_be_exact_in_one_step():
    """The control: pairs of the matrix diag(1, -1/2) meet at alpha = 2 sigma, with two noises."""
    a = torch.diag(tensor([1.0, -0.5]))
    eps = noise(2, 2)
    both = 2.0 * eps @ a + eps
    assert float(both[:, 1].abs().max()) < 1e-12


# -- straight, of first order, exact in one step --------------------------------------------------


def rectified_path(coupling, process, nodes: int = 33) -> Path:
    grid = uniform_lam(process, *LAMS).grid(nodes - 1)
    eps = noise(coupling.like.shape[-1])
    return path_of(lambda node: between(coupling, eps, node), grid.nodes)


def test_after_reflow_paths_of_a_flow_are_straight_and_those_of_vp_are_not():
    coupling = COUPLINGS["potential"]
    law = Rectified(coupling)
    for name, straight in (("flow", True), ("vp", False)):
        process = PROCESSES[name]
        path = rectified_path(coupling, process)
        assert (float(curvature(path).max()) < 1e-12) == straight
        assert float(noise_variation(path, exact_model(law, process, "noise")).max()) < 1e-11
        assert float(one_step_error(path, exact_model(law, process)).max()) < 1e-12
    assert float(curvature(rectified_path(coupling, PROCESSES["vp"])).min()) > 1e-3


def test_on_an_isotropic_gaussian_every_path_is_straight_and_one_step_is_wrong():
    law = Gaussian(torch.zeros(3, dtype=F64), 0.25 * torch.eye(3, dtype=F64))
    for process in (PROCESSES["vp"], PROCESSES["flow"]):
        grid = uniform_lam(process, -2.5, 1.0).grid(32)  # before they turn round, on the flow
        start = (grid[0].alpha, grid[0].sigma)
        x = noise(3)
        path = path_of(lambda n, x=x, s=start: law.flow(x, s, (n.alpha, n.sigma)), grid.nodes)
        assert float(curvature(path).max()) < 1e-12
        assert float(noise_variation(path, exact_model(law, process, "noise")).min()) > 0.1
        assert float(one_step_error(path, exact_model(law, process)).min()) > 1e-2


def test_the_curvature_of_an_arc_is_the_known_one():
    """A quarter of a circle: pi/2 over sqrt(2); the variation of a line through 0 is known too."""
    angles = torch.linspace(0, math.pi / 2, 2001, dtype=F64)
    nodes = grid_from_lams(PROCESSES["vp"], torch.linspace(-3, 3, 2001).tolist()).nodes
    arc = torch.stack([angles.cos(), angles.sin()], dim=1)[:, None]
    assert float(curvature(Path(arc, nodes))) == pytest.approx(
        math.pi / 2 / math.sqrt(2) - 1, rel=1e-5
    )
    ramp = torch.linspace(0, 1, 2001, dtype=F64)[:, None, None]
    found = noise_variation(Path(ramp, nodes), lambda x, _t: x)
    assert float(found) == pytest.approx(math.sqrt(1 / 12) / math.sqrt(1 / 3), rel=2e-3)


def test_paths_that_say_nothing_are_refused():
    nodes = grid_from_lams(PROCESSES["vp"], (-1.0, 0.0, 1.0)).nodes
    with pytest.raises(AnalysisError, match="at least 3"):
        path_of(lambda _n: torch.zeros(1, 1), nodes[:2])
    with pytest.raises(AnalysisError, match="no chord"):
        curvature(Path(torch.zeros(3, 1, 1), nodes))
