"""Wrong numbers that a second reading found in steppers, fits, gradients and edits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fokker.solvers.caching.features import FeatureCache, reuse_features
from fokker.solvers.caching.virtual import every, newton
from fokker.solvers.editing.inversion import ddim_inversion, ddim_invert_and_regenerate
from fokker.solvers.editing.noise_maps import edit_friendly, independent_states, noise_maps
from fokker.solvers.editing.realtime import contraction, real_time, renoise, steady_error
from fokker.solvers.errors import (
    FokkerError,
    InvalidGridError,
    InvalidLawError,
    InvalidPlanError,
    NonFiniteError,
    NotInvertibleError,
    ShapeError,
)
from fokker.solvers.fitted.dc_ratios import RatioSurface, fit_ratios
from fokker.solvers.fitted.gaussian_flow import gaussian_denoiser, plane_share, teleport_2m
from fokker.solvers.fitted.moments import GaussianStatistics
from fokker.solvers.fitted.statistics_v3 import (
    constant,
    estimate,
    gaussian_statistics,
    tabulated,
)
from fokker.solvers.gradients.adjoint import adjoint_sample
from fokker.solvers.gradients.checkpointing import checkpointed
from fokker.solvers.gradients.forcing import balancing_alpha, bounding_alpha, log_growth
from fokker.solvers.gradients.parameters import parameters_of
from fokker.solvers.gradients.reversible_gradient import reversible_sample
from fokker.solvers.grids import power_t, uniform_lam
from fokker.solvers.heads import Heads, route
from fokker.solvers.model import as_prediction
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow, VPLinear
from fokker.solvers.wrappers.dualfast import fit_mixing, split_error

VP = VPLinear()
F64 = torch.float64
GRID = uniform_lam(VP, -2.0, 1.0).grid(6)
FLOW = power_t(RectifiedFlow(), 1.0, 0.1).grid(4)


def start(batch: int = 3) -> Tensor:
    return torch.linspace(-2, 2, 3 * batch, dtype=F64).reshape(batch, 3)


def smooth(x: Tensor, t: Any) -> Tensor:
    return torch.tanh(x) * (0.5 + t)


class Scaled(nn.Module):
    """A nonlinear model with one weight."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=F64))

    def forward(self, x: Tensor, t: float) -> Tensor:
        return torch.tanh(self.weight * x) * (0.5 + t)


# -- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["o_belm", "reversible_heun", "two_stream"])
def test_the_reversible_gradient_of_a_routed_plan_is_that_of_its_two_models(name: str):
    """It used to ask the model of the head "" at every state of the way back."""
    plan = route(get(name)(VP, GRID, carry=True), "small", until=-0.5)
    heads = Heads({"": Scaled(1.0), "small": Scaled(0.3)})
    assert len(parameters_of(heads)) == 2
    found = []
    for sample in (
        lambda x: run(plan, heads, x, grad=True).x,
        lambda x: reversible_sample(plan, heads, x)["x"],
    ):
        x = start().requires_grad_()
        inputs = [x, *parameters_of(heads)]
        found.append(torch.autograd.grad(sample(x).square().sum(), inputs))
    for want, got in zip(*found, strict=True):
        assert want.abs().max() > 1e-3
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    with pytest.raises(InvalidPlanError, match="the plan asks the head 'small'"):
        reversible_sample(plan, Heads({"": smooth}), start())


def test_a_parameter_that_wants_no_gradient_is_refused_in_one_sentence():
    plan, model = get("o_belm")(VP, GRID, carry=True), Scaled(1.0)
    words = r"params\[1\] \(torch.float64 \(2,\)\) wants no gradient"
    params = [model.weight, torch.ones(2, dtype=F64)]
    with pytest.raises(InvalidPlanError, match=words):
        reversible_sample(plan, model, start(), params=params)
    with pytest.raises(InvalidPlanError, match=words):
        adjoint_sample(get("exp_ab2_noise"), model, VP, GRID, start(), params=params)


def test_a_constant_of_a_plan_is_given_in_parts_as_it_is_to_a_run():
    """Fitted statistics with an offset ask for a field of ones."""
    fitted = gaussian_statistics(np.array([1.0, -1.0, 0.5]), np.array([0.2, 1.0, 2.0]))
    plan = get("dpm_v3_2")(VP, GRID, statistics=fitted)
    assert "one" in plan.inputs
    want, got = run(plan, smooth, start()).x, checkpointed(plan, smooth, start(), parts=3)
    torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-13)


def test_a_model_with_a_memory_is_refused_by_gradients_that_ask_it_twice():
    """Features of the last key evaluation were taken for those of the first one."""
    grid = uniform_lam(VP, -3.0, 2.0).grid(9)
    cache = FeatureCache(lambda x, _t: torch.tanh(x), lambda f, x, t: f.cos() + t * x)
    for name in ("ddim", "dpmpp_2m"):
        plan = reuse_features(get(name)(VP, grid), every(2))
        x = start().requires_grad_()
        with pytest.raises(InvalidPlanError, match="answers otherwise the second time"):
            checkpointed(plan, cache.heads, x).sum().backward()
    plan = reuse_features(get("reversible_heun")(VP, grid, carry=True), every(2))
    x = start().requires_grad_()
    with pytest.raises(NotInvertibleError, match="the way back misses the input"):
        reversible_sample(plan, cache.heads, x)["x"].sum().backward()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_strength_of_forcing_bounds_what_is_not_finite(value: float):
    jacobians = torch.ones(4, 2, 2)
    jacobians[2, 0, 1] = value
    for measure in (bounding_alpha, balancing_alpha, log_growth):
        with pytest.raises(NonFiniteError, match="a Jacobian is not finite"):
            measure(jacobians)
        with pytest.raises(ShapeError, match="Jacobians must be floats of the shape"):
            measure(torch.ones(4, 2, 3))


# -- editing --------------------------------------------------------------------------------------


def test_ddim_inversion_reaches_pure_noise_on_the_rectified_flow():
    """``alpha_s rho_s`` is sigma_s there, not zero times infinity: the end is ``x = eps``."""
    process, x = RectifiedFlow(), start()
    end = run(ddim_inversion(process, FLOW), lambda v, _t: torch.sin(v), x, save_at=[0])
    near = run(ddim_inversion(process, FLOW.part(1, len(FLOW))), lambda v, _t: torch.sin(v), x).x
    s, t = FLOW[0], FLOW[1]
    assert s.alpha == 0.0
    want = (s.sigma - s.alpha * t.rho) * torch.sin(near)  # alpha_s/alpha_t = 0
    torch.testing.assert_close(end.x, want, rtol=1e-13, atol=1e-13)
    with pytest.raises(InvalidGridError, match="no way down from alpha = 0"):
        ddim_invert_and_regenerate(process, FLOW, x, smooth, smooth)


def test_runs_of_neighbouring_seeds_share_no_noise_in_any_cycle():
    """Cycle n of seed s used to draw what cycle n - 1 of seed s + 1 drew."""
    plan, drawn = get("ancestral")(VP, GRID), []

    class Listening(nn.Module):
        def forward(self, x: Tensor, _t: float) -> Tensor:
            drawn.append(x.clone())
            return torch.zeros_like(x)

    for seed in (0, 1):
        list(real_time(plan, GRID, [Listening()] * 2, start(), seed=seed, shift=torch.zeros_like))
    s, t = GRID[0], GRID[1]
    keep = (t.sigma / s.sigma) ** 2 * s.alpha / t.alpha  # with D = 0 a step is x' = keep x + b z
    first = range(0, len(drawn), len(drawn) // 4)
    noises = torch.stack([drawn[k + 1] - keep * drawn[k] for k in first]).flatten(1)
    gaps = (noises[:, None] - noises[None]).abs().amax(2)
    assert float((gaps + torch.eye(4)).min()) > 1e-3


# -- fits -----------------------------------------------------------------------------------------


def test_a_teleported_run_on_a_noise_plan_asks_the_same_model():
    """``base="ddim"`` is a plan on the noise prediction; the model stays a data prediction."""
    s = GaussianStatistics(torch.zeros(3), torch.eye(3), torch.tensor([1.0, 2.0, 0.5]))
    ends = [
        teleport_2m(smooth, VP, GRID, start(), statistics=s, lam=-1.0, base=base).x
        for base in ("ddim", "exp_ab1_data", "exp_ab1_noise")
    ]
    assert ends[0].isfinite().all()
    for other in ends[1:]:
        torch.testing.assert_close(ends[0], other, rtol=1e-12, atol=1e-12)
    with pytest.raises(InvalidPlanError, match="needs a plan and a lam, got the stepper sada"):
        teleport_2m(smooth, VP, GRID, start(), statistics=s, lam=-1.0, base="sada")


def test_a_trajectory_that_stands_still_lies_in_a_plane():
    moving = [start() * k for k in range(1, 4)]
    moving = [torch.cat([m[:2], start()[2:]]) for m in moving]
    assert torch.equal(plane_share(moving), torch.ones(3, dtype=F64))


def test_moments_of_float32_are_as_orthonormal_as_those_of_float64():
    root = torch.linspace(-1, 1, 36).reshape(6, 6).cos()
    s = GaussianStatistics.from_moments(torch.zeros(6), root @ root.mT)
    assert s.mean.dtype == s.basis.dtype == s.variances.dtype == F64
    gap = s.basis @ torch.diag(s.variances) @ s.basis.mT - (root @ root.mT).double()
    assert gap.abs().max() < 1e-5


# -- refusals -------------------------------------------------------------------------------------

NAN, ONES, EYE = math.nan, torch.ones(3, dtype=F64), torch.eye(3, dtype=F64)
SPREAD = torch.diag(torch.tensor([1.0, -5.0, 1.0]))
TILTED = torch.tensor([[1.0, 0.5], [0.0, 1.0]])
GAUSS = GaussianStatistics(ONES, EYE, ONES)
THIN = GaussianStatistics(ONES, EYE[:, :2], ONES[:2])
PAIR = GaussianStatistics(ONES[:2], EYE[:2, :2], ONES[:2])
DATA = GRID.with_zero()[-1]


def built(name: str, **options: Any) -> Any:
    entry = get(name)
    options = {**entry.options, **options}
    if entry.kind == "plan":
        return entry(VP, GRID, **options)
    return entry.build(smooth, VP, GRID, start(), noise=0, **options)


Case = tuple[type[FokkerError], str, Callable[[], Any]]
REFUSED: list[Case] = [
    (InvalidLawError, "no negative eigenvalue, got -5",
     lambda: GaussianStatistics.from_moments(torch.zeros(3), SPREAD)),
    (InvalidLawError, "must be symmetric",
     lambda: GaussianStatistics.from_moments(torch.zeros(2), TILTED)),
    (NonFiniteError, "data is not finite in samples 0",
     lambda: GaussianStatistics.from_samples(torch.full((2, 3), NAN))),
    (InvalidPlanError, "a finite mean", lambda: GaussianStatistics(NAN * ONES, EYE, ONES)),
    (InvalidPlanError, "variances from 0 to inf",
     lambda: GaussianStatistics(ONES, EYE, math.inf**ONES)),
    (InvalidPlanError, "finite variances",
     lambda: GaussianStatistics(ONES, EYE[:, :2], ONES[:2], NAN)),
    (ShapeError, r"need a mean \(d,\)", lambda: GaussianStatistics(ONES, ONES, ONES)),
    (ShapeError, r"need a mean \(d,\)", lambda: GaussianStatistics(ONES, EYE[:, :0], ONES[:0])),
    (ShapeError, "dimension 2 do not fit", lambda: gaussian_denoiser(start(), PAIR, GRID[0])),
    (InvalidPlanError, "no width in some direction",
     lambda: gaussian_denoiser(start(), THIN, DATA)),
    (ShapeError, "dimension 2 do not fit", lambda: built("gauss_ab2", statistics=PAIR)),
    (InvalidPlanError, "need GaussianStatistics, got str",
     lambda: built("gauss_ab2", statistics="no")),
    (InvalidPlanError, "and nan", lambda: built("teleport_2m", statistics=GAUSS, lam=NAN)),
    (InvalidPlanError, "at least 1 probe",
     lambda: estimate(smooth, VP, GRID, start(64), probes=0)),
    (InvalidPlanError, "a positive step", lambda: estimate(smooth, VP, GRID, start(64), step=NAN)),
    (InvalidPlanError, "a start at alpha > 0",
     lambda: estimate(smooth, RectifiedFlow(), FLOW, start(64))),
    (InvalidPlanError, "a least variance -1",
     lambda: gaussian_statistics(np.zeros(3), -np.ones(3))),
    (InvalidPlanError, "finite and of one shape",
     lambda: gaussian_statistics(np.zeros(2), np.ones(3))),
    (InvalidPlanError, "a table needs increasing lams",
     lambda: tabulated(np.zeros(3), *(np.zeros(3),) * 3)),
    (InvalidPlanError, "finite numbers for each",
     lambda: tabulated(np.arange(3.0), *(np.full(3, NAN),) * 3)),
    (InvalidPlanError, "l, s and b must be finite", lambda: constant(NAN, 0.0)),
    (InvalidPlanError, "need Statistics", lambda: built("dpm_v3_2", statistics="no")),
    (InvalidPlanError, "finite bounds low < high",
     lambda: fit_ratios(smooth, VP, GRID, start(256), bounds=(2.0, 0.0))),
    (InvalidPlanError, "40 steps has 40 ratios", lambda: RatioSurface.fit({(40, 1.0): [1.0]})),
    (InvalidPlanError, "a ratio must be a number", lambda: built("dc_solver_2", ratios=["a"] * 6)),
    (InvalidPlanError, "one number for each step, got 5", lambda: built("dc_solver_2", ratios=5)),
    (InvalidPlanError, "fitted with fine >= 1",
     lambda: fit_mixing(smooth, VP, GRID, start(), fine=0)),
    (InvalidPlanError, "from alpha > 0",
     lambda: fit_mixing(smooth, RectifiedFlow(), FLOW, start())),
    (ShapeError, "the fine sample must have the shape",
     lambda: split_error(start(), start()[:1], start())),
    (InvalidPlanError, "a number of calls must be a whole number, got nan",
     lambda: built("sada", most=NAN)),
    (InvalidPlanError, "whole number, got 2.5", lambda: built("sada", first=2.5)),
    (InvalidPlanError, "whole number, got 2.5", lambda: every(2.5)),  # pyright: ignore
    (InvalidPlanError, "whole number, got 1.5", lambda: newton(1.5)),  # pyright: ignore
    (InvalidPlanError, "cutoff of a time shift must be a number",
     lambda: built("ddim_time_shift_target", cutoff=NAN)),
    (InvalidPlanError, "tol must be a number, got None",
     lambda: built("adams_adaptive", tol=None)),
    (InvalidPlanError, "atol must lie in", lambda: built("dpm_solver_12_adaptive", atol=2.0)),
    (InvalidPlanError, "tol must be a number, got True",
     lambda: built("dpmpp_12_adaptive", tol=True)),
    (InvalidPlanError, "the mixing of DualFast must be a number, got None",
     lambda: built("dpmpp_2m_dualfast", mixing=None)),
    (InvalidPlanError, "a head is a name, got 3",
     lambda: route(get("ddim")(VP, GRID), 3)),  # pyright: ignore
    (ShapeError, "the noise put back must have the shape",
     lambda: renoise(start(), GRID[0], start()[:1])),
    (InvalidPlanError, "finite and at least 0, got -1", lambda: contraction(GRID[0], -1.0)),
    (InvalidPlanError, "a finite drift", lambda: steady_error(0.5, NAN)),
    (ShapeError, "x must be float32 or float64",
     lambda: next(real_time(get("ddim")(VP, GRID), GRID, [smooth], start().long()))),
    (NotInvertibleError, "noise maps are read off a plan",
     lambda: edit_friendly(VP, GRID, start(), smooth, smooth, seed=0, sampler="sada")),
    (InvalidPlanError, "plans of one state",
     lambda: noise_maps(get("dpmpp_2m")(VP, GRID, history=[VP.node_at_lam(-3.0)]), smooth,
                        independent_states(GRID, start(), 0))),
]  # fmt: skip


@pytest.mark.parametrize(("error", "words", "call"), REFUSED)
def test_what_has_no_answer_is_refused_in_one_sentence(
    error: type[FokkerError], words: str, call: Callable[[], Any]
):
    with pytest.raises(error, match=words) as found:
        call()
    assert "\n" not in str(found.value)


def test_the_numbers_that_are_accepted_do_not_depend_on_whose_they_are():
    want = built("dpmpp_2m_dualfast", mixing=0.25).x
    for mixing in (np.float32(0.25), torch.tensor(0.25), np.full(6, 0.25), [0.25] * 6):
        assert torch.equal(built("dpmpp_2m_dualfast", mixing=mixing).x, want)
    for name in ("adams_adaptive", "dpm_solver_23_adaptive"):
        model = as_prediction(smooth, VP, source="data", target=get(name).prediction)
        ends = [
            get(name).build(model, VP, GRID, start()[:1], tol=tol).x
            for tol in (0.125, torch.tensor(0.125), np.float32(0.125))
        ]
        assert torch.equal(ends[0], ends[1])
        assert torch.equal(ends[0], ends[2])
