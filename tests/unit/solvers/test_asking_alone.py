"""Samplers that ask the model with their own hands guard it as the executor of plans does."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.asking import asked
from fokker.solvers.editing.noise_maps import independent_states, infedit, noise_maps
from fokker.solvers.errors import FokkerError, NonFiniteError, ShapeError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.heads import Heads, route
from fokker.solvers.model import BatchModel, as_prediction, for_rows
from fokker.solvers.plan import Eval
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.solvers.wrappers.conditional import guided
from fokker.solvers.wrappers.thresholding import dynamic_threshold, static_threshold, thresholded

VP = VPLinear()
GRID = uniform_lam(VP, -2.0, 1.0).grid(5)
ALONE = ("adams_adaptive", "dpmpp_12_adaptive", "dpm_solver_23_adaptive", "ddim_lml")
ALONE += ("dpmpp_2m_lml", "ddim_time_shift_target", "evodiff", "evodiff_theory", "sada")
"""Steppers that ask by themselves."""


def start(batch: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.linspace(-2, 2, 3 * batch, dtype=dtype).reshape(batch, 3)


def smooth(x: Tensor, t: Any) -> Tensor:
    times = torch.as_tensor(t, dtype=x.dtype).reshape(-1, 1)
    return torch.tanh(x) * (0.5 + times)


def sample(name: str, model: Callable[..., Any], x: Tensor, **options: Any) -> Tensor:
    entry = get(name)
    return entry.build(model, VP, GRID, x, noise=0, **{**entry.options, **options}).x


def changed_in_place(x: Tensor, t: Any) -> Tensor:
    out = smooth(x, t)
    x.mul_(0.5)
    return out


BAD = {
    "must be a torch tensor, got NoneType": lambda _x, _t: None,
    r"must have the shape \(3, 3\) of the state, got \(1, 3\)": lambda x, t: smooth(x, t)[:1],
    r"must have the shape \(3, 3\) of the state, got \(3, 1\)": lambda x, _t: x[:, :1],
    "must have a floating-point dtype, got torch.complex64": lambda x, t: smooth(x, t) + 0j,
    "must have a floating-point dtype, got torch.int64": lambda x, t: smooth(x, t).long(),
    "the model changed its input in place": changed_in_place,
}


@pytest.mark.parametrize("name", ALONE)
def test_an_answer_that_is_none_is_refused_in_one_sentence(name: str):
    for words, model in BAD.items():
        with pytest.raises(ShapeError, match=words):
            sample(name, model, start())


@pytest.mark.parametrize("name", ALONE)
def test_an_answer_too_large_for_the_state_is_not_finite(name: str):
    """Finite as float64, infinite as float32: the model is to blame, at the time of its answer."""
    with pytest.raises(NonFiniteError, match="the model's output is not finite") as error:
        sample(name, lambda x, _t: x.double() * 1e300, start())
    assert error.value.sample_ids == (0, 1, 2)
    assert error.value.t is not None


@pytest.mark.parametrize("name", ALONE)
def test_a_model_may_answer_in_one_tensor_again_and_again(name: str):
    kept: dict[tuple[int, ...], Tensor] = {}

    def same(x: Tensor, t: Any) -> Tensor:
        return kept.setdefault(tuple(x.shape), torch.empty_like(x)).copy_(smooth(x, t))

    assert torch.equal(sample(name, same, start()), sample(name, smooth, start()))
    assert sample(name, lambda x, _t: x.view_as(x), start()).isfinite().all()  # its input, too


@pytest.mark.parametrize("name", ["dpmpp_2m_lml", "evodiff_theory", "sada"])
def test_a_sample_that_overflows_is_not_given_back(name: str):
    """Every answer is finite, their differences are not."""
    asks = []

    def to_and_fro(x: Tensor, t: Any) -> Tensor:
        asks.append(t)
        return torch.full_like(x, 3e38 * (-1) ** len(asks))

    with pytest.raises(NonFiniteError, match="the sample is not finite in samples 0, 1, 2"):
        get(name).build(to_and_fro, VP, uniform_lam(VP, -4.0, 4.0).grid(4), start(), noise=0)


def test_the_error_names_time_step_and_samples_of_the_batch():
    def spoilt(x: Tensor, t: Any) -> Tensor:
        return torch.where(x > 1.0, math.nan, x)

    with pytest.raises(NonFiniteError, match=r"at t = 0.25 \(step 4\), samples \[9\]") as error:
        asked(spoilt, start(3), 0.25, step=4, ids=[5, 7, 9])
    assert (error.value.step, error.value.t, error.value.sample_ids) == (4, 0.25, (9,))
    times = torch.tensor([0.1, 0.2, 0.3])
    with pytest.raises(NonFiniteError, match=r"at t = 0\.3"):
        asked(spoilt, start(3), times)
    half = asked(lambda x, t: smooth(x, t).half(), start(), 0.5)
    assert half.dtype == torch.float32


# -- wrappers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [static_threshold, dynamic_threshold])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_clipping_does_not_hide_what_is_not_finite(rule: Callable[..., Tensor], value: float):
    def spoilt(x: Tensor, t: float) -> Tensor:
        out = smooth(x, t)
        out[1, 7] = value
        return out

    x = torch.linspace(-2, 2, 3 * 1000).reshape(3, 1000)  # so many that the quantile is finite
    clipped = thresholded(spoilt, VP, rule)(x, 0.5)
    assert clipped[0].isfinite().all()
    assert not bool(clipped[1, 7].isfinite())
    with pytest.raises(NonFiniteError, match="samples 1"):
        run(get("dpmpp_2m")(VP, GRID), thresholded(spoilt, VP, rule), x)


def labelled(weights: Tensor) -> BatchModel:
    """One number for each row of the batch: what the answer of a network with labels hangs on."""

    def bound(w: Tensor) -> Callable[[Tensor, Any], Tensor]:
        return lambda x, t: smooth(x, t) * w[:, None].to(x.dtype)

    return BatchModel(bound(weights), lambda places: bound(weights[torch.as_tensor(places)]))


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "thresholded": lambda m: thresholded(m, VP, partial(static_threshold, limit=4.0)),
    "guided": lambda m: guided(m, smooth, VP, weight=2.0),
    "converted": lambda m: as_prediction(m, VP, source="velocity", target="data"),
}


@pytest.mark.parametrize("wrapper", WRAPPED)
@pytest.mark.parametrize("name", ["adams_adaptive", "dpmpp_12_adaptive"])
def test_a_wrapped_model_still_knows_which_samples_it_is_asked_for(wrapper: str, name: str):
    """Samples arrive at different times; the last ones must not get the labels of the first."""
    x, w = 3 * start(4, torch.float64), torch.tensor([0.1, 0.9, 0.2, 0.7])
    together = sample(name, WRAPPED[wrapper](labelled(w)), x, tol=1e-2)
    alone = [
        sample(name, WRAPPED[wrapper](labelled(w[i : i + 1])), x[i : i + 1], tol=1e-2)
        for i in range(4)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)
    assert WRAPPED[wrapper](smooth) is not None  # a plain model needs no rows


def test_a_model_with_an_attribute_named_rows_that_is_no_function_is_a_plain_model():
    class Screen:
        rows = 28

        def __call__(self, x: Tensor, t: Any) -> Tensor:
            return smooth(x, t)

    screen = Screen()
    assert for_rows(screen, [0]) is screen
    assert torch.equal(sample("sada", screen, start()), sample("sada", smooth, start()))


def test_a_converted_model_is_asked_with_a_time_for_each_sample():
    x, t = start(3, torch.float64), torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    seen = as_prediction(smooth, VP, source="noise", target="data")
    rows = torch.cat([seen(x[i : i + 1], float(t[i])) for i in range(3)])
    torch.testing.assert_close(seen(x, t), rows, rtol=1e-14, atol=1e-14)
    with pytest.raises(ShapeError, match=r"t must be a scalar or of shape \(3,\), got \(2,\)"):
        seen(x, t[:2])


# -- editing --------------------------------------------------------------------------------------


def test_two_models_that_answer_in_one_tensor_edit_as_two_that_do_not():
    """The difference of one tensor with itself would be no edit at all."""
    x0, kept = start(3, torch.float64), torch.empty(3, 3, dtype=torch.float64)

    def source(x: Tensor, t: float) -> Tensor:
        return kept.copy_(smooth(x, t))

    def target(x: Tensor, t: float) -> Tensor:
        return kept.copy_(smooth(x, t) + 0.3)

    want = infedit(GRID, x0, smooth, lambda x, t: smooth(x, t) + 0.3, seed=1)
    assert torch.equal(infedit(GRID, x0, source, target, seed=1), want)
    assert (want - x0).abs().max() > 0.1
    for model in (lambda x, _t: x * math.nan, lambda x, _t: x[:1]):
        with pytest.raises(FokkerError, match="the model's output"):
            infedit(GRID, x0, smooth, model, seed=1)


def test_noise_maps_ask_the_head_that_the_plan_names_and_refuse_what_does_not_fit():
    states = independent_states(GRID, start(3, torch.float64), seed=0)
    plan = get("ancestral")(VP, GRID)
    heads = Heads({"": smooth, "small": lambda x, t: -smooth(x, t)})
    routed = route(plan, "small", until=-0.5)
    nodes = [op.node for op in plan.ops if isinstance(op, Eval) and op.node.lam < -0.5]

    def by_level(x: Tensor, t: float) -> Tensor:
        return smooth(x, t) * (-1.0 if t in {n.t for n in nodes} else 1.0)

    want = noise_maps(plan, by_level, states).stacked()
    assert torch.equal(noise_maps(routed, heads, states).stacked(), want)
    assert not torch.equal(noise_maps(plan, smooth, states).stacked(), want)
    with pytest.raises(NonFiniteError, match="the model's output is not finite"):
        noise_maps(plan, lambda x, _t: x * math.inf, states)
    with pytest.raises(NonFiniteError, match="state 2 is not finite in samples 0"):
        noise_maps(plan, smooth, [*states[:2], states[2] / 0, *states[3:]])
