r"""Quantised networks: what their error of the score does to the sample.

A quantiser rounds to multiples of a step q: an error of variance ``q^2/12``, as long as the
numbers are spread over many steps. An error e of the model's output at every evaluation makes an
error of the sample, to first order ``delta = sum_k J_k e_k``, J_k what the rest of the run makes
of a small push at evaluation k. On DDIM with the noise prediction, one eigendirection of a
Gaussian of variance C::

    x' = a x + b (eps + e),   a = alpha'/alpha,   b = sigma' - a sigma
    V' = (a + b c)^2 V + b^2 Var(e),   c = sigma/(alpha^2 C + sigma^2)

if e is independent of x and from one evaluation to the next. :func:`noisy_outputs` makes that
prediction exact for any plan, and :func:`propagated` compares on any model

* ``measured``: the sample of the wrong model against that of the right one, same start and noise;
* ``linear``: the first order with the errors that the wrong model makes on the right path;
* ``independent``: the first order with white errors of the same size at every evaluation.

Quantised weights make errors that are small and smooth: there ``linear`` is right. Rounded outputs
make errors that are small and steep (a sawtooth of slope -1), which a path of their own meets
elsewhere: there ``independent`` is right, but where the output hardly changes between two
evaluations. Fine steps of an ODE repeat one rounding over and over; fresh noise, or dither, ends
it.

What goes wrong in practice: ranges taken at one level (they drift with the level) or on noised
data instead of the sampler's states; a quantised embedding of time, which is a wrong time; one
step for channels of different size.

Sources: Shang et al. 2022, arXiv:2211.15736; Huang et al. 2023, arXiv:2311.16503, and 2024,
arXiv:2407.19547; the white error of rounding: Bennett 1948, Bell Syst. Tech. J. 27, 446.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..solvers.errors import AnalysisError
from ..solvers.model import Model
from ..solvers.networks.network import Network
from ..solvers.noise import NoiseSource
from ..solvers.plan import Eval, Plan, Tape
from ..solvers.plan_algebra import rewrite
from ..solvers.run import run
from .other_module import with_module

Per = Literal["tensor", "channel"]


def step_of(span: float, bits: int) -> float:
    """``q = span/(2^(bits - 1) - 1)``: a step of the grid of b-bit integers on [-span, span].

    Raises
    ------
    AnalysisError
        For fewer than 2 bits or more than 64, or a span that is not positive.
    """
    if not isinstance(bits, int) or not 2 <= bits <= 64 or not 0.0 < span < math.inf:
        msg = f"need at least 2 bits, 64 at most, and a positive finite span, got {bits}, {span}"
        raise AnalysisError(msg)
    return span / (2 ** (bits - 1) - 1)


def quantised(values: Tensor, bits: int, *, per: Per = "tensor") -> Tensor:
    """The nearest multiples of ``q = max|values|/(2^(bits - 1) - 1)``, off by q/2 at most.

    Parameters
    ----------
    values : Tensor
        Weights; the first axis counts the output channels.
    bits : int
        b, from 2 up.
    per : {"tensor", "channel"}
        One q for all, or one for each output channel.

    Raises
    ------
    AnalysisError
        For fewer than 2 bits, another ``per``, or values that are none or not finite.
    """
    if per not in ("tensor", "channel"):
        msg = f"a step is for each 'tensor' or 'channel', got {per!r}"
        raise AnalysisError(msg)
    if not values.numel() or not bool(torch.isfinite(values).all()):
        msg = f"only finite values can be rounded to a grid, got shape {tuple(values.shape)}"
        raise AnalysisError(msg)
    flat = values.flatten(1) if per == "channel" else values.reshape(1, -1)
    step = step_of(1.0, bits) * flat.abs().amax(1, keepdim=True)
    step = torch.where(step > 0, step, torch.ones_like(step))
    return (step * (flat / step).round()).reshape(values.shape)


def with_weights(
    network: Network, change: Callable[[Tensor], Tensor], keep: Sequence[str] = ()
) -> Network:
    """A copy of a network whose weights (tensors of two axes and more) went through ``change``.

    Of our own networks and of those of diffusers; a compiled one gives a copy that is not.
    Offsets and normalisations, of one axis, stay, and so do parameters whose names begin with one
    of ``keep``.

    Raises
    ------
    AnalysisError
        For an exact network, or one whose module cannot be replaced.
    """

    def changed(module: nn.Module) -> nn.Module:
        module = copy.deepcopy(module)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if weight.ndim > 1 and not name.startswith(tuple(keep)):
                    weight.copy_(change(weight))
        return module

    return with_module(network, changed)


def quantised_network(
    network: Network, bits: int, *, per: Per = "channel", keep: Sequence[str] = ()
) -> Network:
    """The network with weights of ``bits`` bits; see :func:`quantised`, :func:`with_weights`."""
    return with_weights(network, lambda w: quantised(w, bits, per=per), keep)


def quantised_outputs(model: Model, bits: int, span: float, *, dither: int | None = None) -> Model:
    """The model with outputs rounded to ``bits`` bits on [-span, span], clipped beyond.

    With ``dither``, a seed, a uniform number of [-q/2, q/2] is added before the rounding and taken
    away after it: the error is then uniform and independent of the output, exactly (Schuchman
    1964, IEEE Trans. Commun. Technol. 12, 162), and new at every call.
    """
    step = step_of(span, bits)
    generator = None if dither is None else torch.Generator().manual_seed(dither)

    def rounded(x: Tensor, t: Any) -> Tensor:
        out = model(x, t).clamp(-span, span)
        if generator is None:
            return step * (out / step).round()
        push = torch.rand(out.shape, generator=generator, dtype=torch.float64) - 0.5
        push = step * push.to(out)
        return step * ((out + push) / step).round() - push

    return rounded


def noisy_outputs(plan: Plan, sizes: Sequence[float] | float) -> Plan:
    """The plan with a fresh normal error added to every output of the model.

    Its exact law on Gaussian data (:func:`~.law.output_law`) is that of errors which are
    independent of the state and of each other, whatever the sampler: for DDIM with the noise
    prediction the recursion of this file.

    Parameters
    ----------
    plan : Plan
        Any plan, asking for the prediction that is wrong.
    sizes : float or sequence of float
        Standard deviation of the error at each evaluation.

    Raises
    ------
    AnalysisError
        If there are not as many sizes as evaluations, or one is negative.
    """
    count = sum(isinstance(op, Eval) for op in plan.ops)
    given = [sizes] * count if isinstance(sizes, (int, float)) else list(sizes)
    if len(given) != count or not all(0.0 <= size < math.inf for size in given):
        msg = f"need {count} finite sizes of errors, none negative, got {given}"
        raise AnalysisError(msg)
    left = iter(enumerate(given))

    def ask(tape: Tape, x: int, op: Eval) -> int:
        k, size = next(left)
        out = tape.eval(x, op.node, op.prediction, op.head)
        place = 1000.0 + k  # beyond the lams of any grid: no cell of the plan is met
        return tape.lin((out, 1.0), (tape.noise("churn", place, place + 1.0), float(size)))

    return rewrite(plan, ask)


@dataclass(frozen=True)
class Propagation:
    """What errors of the outputs make of a batch of samples.

    Attributes
    ----------
    measured, linear, independent : Tensor
        Root mean square over coordinates of the error of each sample, (B,); see the file.
    levels : tuple of float
        Root mean square error of the output at each evaluation, at the states of the sampler.
    gains : tuple of float
        Part of each error along the output itself, ``<e, m>/<m, m>``: it rescales the model as
        guidance does, and no averaging removes it.
    """

    measured: Tensor
    linear: Tensor
    independent: Tensor
    levels: tuple[float, ...]
    gains: tuple[float, ...]

    def rms(self, kind: str = "measured") -> float:
        """Root mean square over samples of one of the three."""
        return float(getattr(self, kind).square().mean().sqrt())

    def median(self, kind: str = "measured") -> float:
        """Median over samples, which the few that change their mode do not move."""
        return float(getattr(self, kind).median())


def propagated(
    plan: Plan,
    model: Model,
    wrong: Model,
    x: Tensor,
    *,
    noise: NoiseSource | int | None = None,
    size: float = 1e-4,
    seed: int = 0,
) -> Propagation:
    """Measure and predict the error of the sample, for a model and a wrong one.

    Parameters
    ----------
    plan : Plan
        What is run, by all from one start with one noise.
    model, wrong : callable
        Of the prediction that the plan asks for, in float64: the first order is a difference
        quotient. Not with a dither, which differs at every call: use its ``independent``.
    x : Tensor
        Start, (B, *D), float64.
    noise : int or NoiseSource, optional
        Of a stochastic plan.
    size : float
        The share of the error that is taken for the first order.
    seed : int
        Of the white errors.

    Raises
    ------
    AnalysisError
        For a start that is not float64.
    """
    if x.dtype != torch.float64:
        msg = f"a difference quotient needs float64, got a start in {x.dtype}"
        raise AnalysisError(msg)
    levels: list[float] = []
    gains: list[float] = []

    def listening(state: Tensor, t: Any) -> Tensor:
        out = model(state, t)
        error = wrong(state, t) - out
        levels.append(float(error.square().mean().sqrt()))
        gains.append(float((error * out).sum() / out.square().sum().clamp_min(1e-300)))
        return out

    def nudged(state: Tensor, t: Any) -> Tensor:
        out = model(state, t)
        return out + size * (wrong(state, t) - out)

    generator = torch.Generator().manual_seed(seed)

    def white(state: Tensor, t: Any) -> Tensor:
        push = torch.randn(state.shape, generator=generator, dtype=torch.float64)
        return model(state, t) + size * next(sizes) * push.to(state)

    def error(of: Model, scale: float) -> Tensor:
        gap = (run(plan, of, x, noise=noise).x - base).flatten(1)
        return gap.square().mean(1).sqrt() / scale

    base = run(plan, listening, x, noise=noise).x
    sizes = iter(levels)
    return Propagation(
        error(wrong, 1.0), error(nudged, size), error(white, size), tuple(levels), tuple(gains)
    )
