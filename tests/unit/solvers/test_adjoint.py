"""The adjoint ODE gives the gradient of the flow, at the order of the sampler that solves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from fokker.solvers.errors import InvalidGridError, InvalidPlanError, NonFiniteError
from fokker.solvers.gradients.adjoint import adjoint_sample
from fokker.solvers.gradients.reversible_gradient import reversible_sample
from fokker.solvers.grids import Grid, grid_from_sigmas, uniform_lam, wavy_lam
from fokker.solvers.registry import get, samplers
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.mixture import GaussianMixture
from fokker.toy_models.problems import problem

GAUSSIAN, MIXTURE = problem("gaussian"), problem("mixture")
LAW = cast(Gaussian, GAUSSIAN.law)
VP = VPLinear()


def grid(steps: int, span: tuple[float, float] = (-2.0, 2.0)) -> Grid:
    return wavy_lam(VP, *span).grid(steps)


def flow_gradient(weights: Tensor, nodes: Grid) -> Tensor:
    """Of ``sum weights x_end`` on the Gaussian: the Jacobian ``U diag(sqrt(v_end/v)) U^T``."""
    law = LAW
    v, v_end = (n.alpha**2 * law.eigenvalues + n.sigma**2 for n in (nodes[0], nodes[-1]))
    return (weights @ law.eigenvectors * (v_end / v).sqrt()) @ law.eigenvectors.T


def relative(found: Tensor | None, truth: Tensor) -> float:
    assert found is not None
    return float((found - truth).norm() / truth.norm())


def slopes(errors: list[float]) -> list[float]:
    return [math.log2(a / b) for a, b in pairwise(errors)]


@pytest.mark.parametrize(
    ("backward", "order"),
    [
        ("ddim", 1),
        ("rho_midpoint", 2),
        ("edm_heun", 2),
        ("dpmpp_2s", 2),
        ("deis_rhoab2", 2),
        ("rho_kutta3", 3),
        ("rho_rk4", 4),
    ],
)
@pytest.mark.parametrize("frame", ["y", "x"])
def test_on_a_gaussian_the_gradient_has_the_order_of_the_solver(backward, order, frame):
    x = GAUSSIAN.starts(8)
    weights = torch.linspace(-1, 1, 32, dtype=torch.float64).reshape(8, 4)
    errors = []
    for steps in (40, 80, 160):
        v = x.clone().requires_grad_()
        sample = adjoint_sample(
            get("dpmpp_2m"), GAUSSIAN.model("data"), VP, grid(steps), v,
            backward=backward, frame=frame,
        )  # fmt: skip
        (sample * weights).sum().backward()
        errors.append(relative(v.grad, flow_gradient(weights, grid(steps))))
    found = slopes(errors)
    assert abs(found[-1] - order) < 0.3, (errors, found)
    assert errors[-1] < 0.1


def test_the_sample_itself_is_that_of_the_sampler():
    x = MIXTURE.starts(4)
    for name in ("unipc_2", "deis_rhoab3"):
        model = MIXTURE.model(get(name).prediction)
        plain = run(get(name)(VP, grid(12)), model, x).x
        assert torch.equal(adjoint_sample(get(name), model, VP, grid(12), x), plain)


def test_on_a_mixture_fifty_steps_give_three_digits_of_the_gradient():
    """Against backpropagation through a fine run: the gradient of the flow to 1e-7."""
    x = MIXTURE.starts(8)

    def gradient(sample: Callable[[Tensor], Tensor]) -> Tensor:
        v = x.clone().requires_grad_()
        sample(v).square().sum().backward()
        assert v.grad is not None
        return v.grad

    fine, model = get("rho_rk4")(VP, grid(400, (-4.0, 3.0))), MIXTURE.model("noise")
    truth = gradient(lambda v: run(fine, model, v, grad=True).x)
    nodes = grid(50, (-4.0, 3.0))
    found = gradient(lambda v: adjoint_sample(get("rho_rk4"), model, VP, nodes, v))
    assert relative(found, truth) < 1e-3
    rough = gradient(
        lambda v: adjoint_sample(get("rho_rk4"), model, VP, nodes, v, backward="ddim")
    )
    assert relative(rough, truth) > 1e-2  # the way there is the same: it is the way back


class Net(nn.Module):
    """A small network with weights of its own; one of them is not used."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        sizes = ((8, 3), (8,), (3, 8), (2,))
        self.weights = nn.ParameterList(
            [torch.randn(s, generator=generator, dtype=torch.float64) / 3 for s in sizes]
        )

    def forward(self, x: Tensor, t: float) -> Tensor:
        a, b, c, _ = self.weights
        return 0.3 * x + torch.tanh((1 + t) * (x @ a.T + b)) @ c.T


@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("frame", ["y", "x"])
def test_gradients_of_parameters_converge_to_those_of_backpropagation(prediction, frame):
    """Of a fine run; with 20, 40 and 80 steps of fourth order there and back."""
    net, x = Net(), torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(4, 3)
    name = {"data": "exp_rk4_data", "noise": "rho_rk4"}[prediction]

    def gradients(sample: Callable[[Tensor], Tensor]) -> list[Tensor]:
        net.zero_grad()
        v = x.clone().requires_grad_()
        sample(v).square().sum().backward()
        return [g for g in (v.grad, *(p.grad for p in net.parameters())) if g is not None]

    truth = gradients(lambda v: run(get(name)(VP, grid(320)), net, v, grad=True).x)
    errors = []
    for steps in (20, 40, 80):
        found = gradients(
            lambda v, n=steps: adjoint_sample(get(name), net, VP, grid(n), v, frame=frame)
        )
        assert len(found) == 5
        assert not found[4].any()  # the unused one: zero, not nothing
        errors.append(max(relative(a, b) for a, b in zip(found, truth, strict=False)))
    assert min(slopes(errors)) > 3.2
    assert errors[-1] < 1e-4


def test_the_way_back_may_have_other_levels():
    x = GAUSSIAN.starts(4)
    there, back = grid(10), grid(160)
    weights = torch.ones(4, 4, dtype=torch.float64)
    v = x.clone().requires_grad_()
    model = GAUSSIAN.model("data")
    sample = adjoint_sample(
        get("ddim"), model, VP, there, v, back_grid=back, backward="rho_midpoint"
    )
    sample.sum().backward()
    assert relative(v.grad, flow_gradient(weights, there)) < 1e-3


def test_levels_even_in_rho_are_kept_by_the_mirror():
    """``q = rho_0 + rho_N - rho``: on ``dy/drho = k y`` Heun's factor is ``1 + z + z^2/2``."""
    process, k = EDM(), 0.7
    nodes = grid_from_sigmas(process, [2.0, 1.5, 1.0])
    v = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    sample = adjoint_sample(
        get("deis_rhoab1"), lambda x, _t: k * x, process, nodes, v, backward="edm_heun"
    )
    sample.sum().backward()
    z = -k * 0.5
    assert v.grad is not None
    assert float(v.grad) == pytest.approx((1 + z + z**2 / 2) ** 2, rel=1e-12)


# -- memory and refusals --------------------------------------------------------------------------


def test_what_autograd_keeps_does_not_grow_with_the_steps():
    counts = []
    for steps in (10, 80):
        kept: list[Tensor] = []

        def pack(tensor: Tensor, kept: list[Tensor] = kept) -> Tensor:
            kept.append(tensor)
            return tensor

        x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            adjoint_sample(get("ddim"), Net(), VP, grid(steps), x)
        counts.append(len(kept))
    assert counts == [1 + 4, 1 + 4]  # the sample and the parameters


def test_what_is_no_ode_is_refused_in_one_sentence():
    x, model = GAUSSIAN.starts(2), GAUSSIAN.model("data")
    stepper = samplers("stepper")[0].name
    for name, back in (("ancestral", "rho_rk4"), ("ddim", "ancestral"), ("ddim", stepper)):
        with pytest.raises(InvalidPlanError, match=r"needs plans without noise; .* is not one"):
            adjoint_sample(get(name), model, VP, grid(4), x, backward=back)
    with pytest.raises(InvalidPlanError, match="must be 'y' or 'x', got 'z'"):
        adjoint_sample(get("ddim"), model, VP, grid(4), x, frame="z")
    with pytest.raises(InvalidGridError, match="no end at sigma = 0"):
        adjoint_sample(get("ddim"), model, VP, grid(4).with_zero(), x)
    with pytest.raises(InvalidGridError, match="must have the same ends"):
        adjoint_sample(get("ddim"), model, VP, grid(4), x, back_grid=grid(4, (-2.0, 1.0)))


def test_an_adjoint_that_is_not_finite_is_an_error_not_a_gradient():
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    out = adjoint_sample(get("deis_rhoab1"), lambda v, _t: v.abs().sqrt(), VP, grid(8), x)
    assert torch.isfinite(out).all()
    with pytest.raises(NonFiniteError, match="solved by rho_rk4 in 8 steps, is not finite"):
        out.sum().backward()


# -- what it is for -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["reversal", "adjoint"])
def test_a_start_is_steered_to_a_class_by_its_gradient(way):
    """Loss ``-log p(class | x_end)``, variable x_T, through 16 steps of sampling."""
    model, end, law = MIXTURE.model("noise"), MIXTURE.end, cast(GaussianMixture, MIXTURE.law)
    nodes = uniform_lam(VP, -4.0, 3.0).grid(16)
    plan, start = get("bdia")(VP, nodes, carry=True), MIXTURE.starts(16)
    wanted = Gaussian(law.means[1], law.covs[1])

    def loss(x: Tensor) -> Tensor:
        """Up to the constant log weight; not from responsibilities, whose logarithm is cut off."""
        return law.log_density(x, *end[2:4]) - wanted.log_density(x, *end[2:4])

    def share(x: Tensor) -> float:
        chosen = law.responsibilities(run(plan, model, x).x, *end[2:4]).argmax(1)
        return float((chosen == 1).double().mean())

    assert share(start) < 0.35
    x = start.clone().requires_grad_()
    steps = torch.optim.Adam([x], lr=0.15)
    for _ in range(22):
        steps.zero_grad()
        if way == "reversal":
            sample = reversible_sample(plan, model, x)["x"]
        else:
            sample = adjoint_sample(get("bdia"), model, VP, nodes, x, backward="rho_kutta3")
        loss(sample).sum().backward()
        steps.step()
    assert share(x.detach()) > 0.85
