"""Anything that samples, seen as a registered sampler, so that the analysis can measure it.

================  =====================================================================
given             what it is
================  =====================================================================
a name            a registered sampler
a ``Sampler``     itself
``(process, grid, ...)``   a builder of plans: two required arguments
``(model, x, grid)``       a plain function; ``grid`` is a :class:`~fokker.solvers.grids.Grid`
``(model, x, sigmas)``     a plain function in the convention of k-diffusion
================  =====================================================================

A plain function is recognised by its third argument. With ``grid`` its model is
``model(x, t)``, t a time of the process, x in the scale of the process. With ``sigmas`` (or
``sigma``) it is ``model(x, sigma)`` with ``sigma = sigma_t/alpha_t`` a scalar tensor and
``x = x_t/alpha_t``, and the third argument is the float64 tensor of decreasing levels. In both
cases the model gives the data prediction unless another one is asked for, and the function
returns the state at the last level, without changing what it was given. The level that the model
is asked at may be a float as well.

Normal numbers that a plain function draws from torch (``randn``, ``randn_like``, ``normal``) are
answered from a stream for each sample of the batch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..solvers.adapters.blackbox import BlackBoxRun, as_source
from ..solvers.adapters.intercept import Intercept
from ..solvers.errors import AnalysisError
from ..solvers.grids import Grid, grid_from_lams
from ..solvers.model import Model, as_prediction
from ..solvers.noise import NoiseSource
from ..solvers.plan import Eval, Noise, Plan
from ..solvers.process import Process
from ..solvers.registry import Sampler, get
from ..solvers.schedules import VPLinear

GRID_FAMILIES = ("uniform-lam", "wavy-lam")

T = TypeVar("T")


def as_sampler(sampler: Any, *, prediction: str = "data") -> Sampler:
    """See the module.

    Parameters
    ----------
    sampler : str, Sampler or callable
        What to measure.
    prediction : str
        What the model of a plain function gives; see :mod:`fokker.solvers.model`.

    Raises
    ------
    UnknownSamplerError, AnalysisError
        For a name that nobody has, and for anything that is none of the five.
    """
    if isinstance(sampler, str):
        return get(sampler)
    if isinstance(sampler, Sampler):
        return sampler
    if not callable(sampler):
        msg = f"a sampler must be a name, a Sampler or a function, got {type(sampler).__name__}"
        raise AnalysisError(msg)
    required = [
        p.name
        for p in inspect.signature(sampler).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    name = getattr(sampler, "__name__", type(sampler).__name__)
    if len(required) == 2:
        return _of_builder(sampler, name)
    if len(required) == 3:
        return _of_function(sampler, name, required[2].startswith("sigma"), prediction)
    msg = (
        f"{name} must take (process, grid), (model, x, grid) or (model, x, sigmas); "
        f"its required arguments are ({', '.join(required)})"
    )
    raise AnalysisError(msg)


def _of_builder(build: Callable[..., Any], name: str) -> Sampler:
    """A builder of plans; what it asks for is read from a small plan."""
    process = VPLinear()
    plan = build(process, grid_from_lams(process, [-1.0, -0.5, 0.0, 0.5, 1.0]))
    if not isinstance(plan, Plan):
        msg = f"{name}(process, grid) must return a Plan, got {type(plan).__name__}"
        raise AnalysisError(msg)
    asked = [op.prediction for op in plan.ops if isinstance(op, Eval)] or ["data"]
    draws = any(isinstance(op, Noise) for op in plan.ops)
    return Sampler(
        name=name, build=build, nfe=lambda _steps: 0, prediction=asked[0], source="a builder",
        weak=1 if draws else None,
    )  # fmt: skip


class _Draws:
    """Normal numbers for a plain function: the k-th draw is a cell of its own."""

    def __init__(self, noise: NoiseSource | int | None) -> None:
        self.noise, self.count = noise, 0

    def __call__(self, like: Tensor) -> Tensor:
        self.count += 1
        cell = Noise("churn", float(self.count - 1), float(self.count))
        return as_source(self.noise).draw(cell, like)


def _of_function(
    function: Callable[..., Any], name: str, by_sigmas: bool, prediction: str
) -> Sampler:
    def build(
        model: Model,
        process: Process,
        grid: Grid,
        x: Tensor,
        *,
        noise: NoiseSource | int | None = None,
    ) -> BlackBoxRun:
        ask = as_prediction(model, process, source="noise", target=prediction)
        counted = _Counted(ask)
        with torch.no_grad(), Intercept(_Draws(noise), float64=False):
            if by_sigmas:
                out = _run_by_sigmas(function, counted, process, grid, x)
            else:
                out = function(counted, x.clone(), grid)
        if not isinstance(out, Tensor) or out.shape != x.shape:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            msg = f"{name} must return a tensor of shape {tuple(x.shape)}, got {got}"
            raise AnalysisError(msg)
        return BlackBoxRun(out, counted.asked, counted.asked)

    return Sampler(
        name=name, build=build, nfe=lambda _steps: 0, prediction="noise", kind="blackbox",
        source="a function",
    )  # fmt: skip


class _Counted:
    """A model that counts its calls."""

    def __init__(self, model: Model) -> None:
        self.model, self.asked = model, 0

    def __call__(self, x: Tensor, t: Any) -> Tensor:
        self.asked += 1
        return self.model(x, t)


def _run_by_sigmas(
    function: Callable[..., Any], model: Model, process: Process, grid: Grid, x: Tensor
) -> Any:
    """k-diffusion's convention: the state over alpha, the level sigma/alpha."""
    if grid[0].alpha == 0.0:
        msg = "a function of sigmas cannot start at alpha = 0: its first sigma is infinite"
        raise AnalysisError(msg)
    known = {round(node.rho, 12): node for node in grid.nodes}

    def ask(y: Tensor, sigma: Any) -> Tensor:
        value = _one_level(sigma)
        node = known.get(round(value, 12)) or process.node_at_lam(-math.log(value))
        return model(node.alpha * y, node.t)

    sigmas = torch.tensor([node.rho for node in grid.nodes], dtype=torch.float64)
    out = function(ask, x / grid[0].alpha, sigmas)
    return out * grid[-1].alpha if isinstance(out, Tensor) else out


def _one_level(sigma: Any) -> float:
    """The level that a model is asked at: a number, or a tensor that holds one number."""
    found = torch.as_tensor(sigma, dtype=torch.float64).flatten()  # a float keeps its digits
    if not len(found) or not bool((found == found[0]).all()):
        msg = f"the model was asked at several levels at once, sigma = {found.tolist()[:4]}"
        raise AnalysisError(msg)
    value = float(found[0])
    if not 0 < value < math.inf:
        msg = (
            f"the model was asked at sigma = {value}; it answers for positive, finite levels: at "
            "sigma = 0 the state is the data already"
        )
        raise AnalysisError(msg)
    return value


def checked_places(
    claim: float, laws: Sequence[str], grids: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The laws and the families of grids on which a claim is to be measured.

    Raises
    ------
    AnalysisError
        For a claim that is no positive number, no law or no grid (nothing would be measured), and
        an unknown family of grids.
    """
    if isinstance(claim, bool) or not isinstance(claim, Real) or not 0 < float(claim) < math.inf:
        msg = f"an order to be measured is a positive number, got {claim!r}"
        raise AnalysisError(msg)
    places = tuple((v,) if isinstance(v, str) else tuple(v) for v in (laws, grids))
    unknown = [g for g in places[1] if g not in GRID_FAMILIES]
    if unknown or not all(places):
        msg = (
            f"give at least one law and one of the grids {', '.join(GRID_FAMILIES)}, got the laws "
            f"{list(places[0])} and the grids {list(places[1])}"
        )
        raise AnalysisError(msg)
    return places[0], places[1]


def likely(order: float | None, claim: float) -> str:
    """What an order below the claim is often due to: the end of a sentence, or nothing."""
    if order is None:
        return ""
    if order < 0.2:
        return (
            "; the error does not fall: does the function return the state at its last level, "
            "and all its noise come from torch?"
        )
    if claim - 1.3 < order and claim > 1.5:
        return (
            "; one order, or half of one, is what a single step of lower order costs, such as a "
            "cold start or a last step of its own"
        )
    return ""


def quoted(sentence: str, action: Callable[[], T]) -> T:
    """What an action gives, or an AssertionError: the sentence, and what was raised.

    Raises
    ------
    AssertionError
        Whatever the action raises.
    """
    try:
        return action()
    except Exception as error:  # anybody's code
        text = " ".join(str(error).split())
        msg = f"{sentence}: {type(error).__name__}: {text}"
        raise AssertionError(msg) from error
