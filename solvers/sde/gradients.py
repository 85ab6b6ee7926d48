"""Gradients of a solve at constant memory: by exact reconstruction, or by the adjoint equation.

* :func:`solve_reversible`: reversible Heun is run backwards from its end; each step is made once
  more with a graph.  The gradient is that of the numbers computed: what backpropagation through
  all steps gives, which stores all of them.  Rounding grows on the way back as what the drift
  damps on the way forward; where half of the digits of the start are lost it is an error.
* :func:`solve_adjoint`: state, ``a = dL/dx`` and ``p = dL/dparams`` are solved backwards on the
  same path (Li, Wong, Chen & Duvenaud 2020, arXiv:2001.01328), in Stratonovich's calculus ::

      dx = f dt + g o dW,   da = -(a . df/dx) dt - (a . dg/dx) o dW,   dp = -(a . df/dp) dt - ...

  with stochastic Heun both ways.  It is the gradient of the exact solution up to the error of
  either solve, not that of the numbers computed.  Long contracting runs do not find back to their
  start: the gradient by the start is then an error; that by params leans on the last times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import NonFiniteError, NotInvertibleError
from ..noise import NoiseSource
from .basic import heun
from .inputs import checked_times, finite, prepared
from .method import Cell, Method
from .problem import SDE
from .reversible_heun import advance, reversible_heun
from .solve import drawn, solve


class _Job(NamedTuple):
    sde: SDE
    times: list[float]
    source: NoiseSource


def solve_reversible(
    sde: SDE,
    times: Sequence[float],
    x: Tensor,
    *,
    noise: NoiseSource | int,
    params: Sequence[Tensor] = (),
) -> Tensor:
    """The state at the end by reversible Heun, with a graph to x and ``params``.

    Parameters
    ----------
    sde : SDE
        Its drift and diffusion read ``params`` and must answer the same twice.
    times, x, noise
        As of :func:`.solve.solve`; the noise must be the same when drawn again.
    params : sequence of Tensor
        What to differentiate by, besides x.

    Raises
    ------
    NonFiniteError
        As of :func:`.solve.solve`, or if a gradient is not finite.
    NotInvertibleError
        In the backward pass, if it does not come back to the start.
    """
    return _begin(_Reversible, reversible_heun, sde, times, x, noise, params)


def solve_adjoint(
    sde: SDE,
    times: Sequence[float],
    x: Tensor,
    *,
    noise: NoiseSource | int,
    params: Sequence[Tensor] = (),
) -> Tensor:
    """The state at the end by stochastic Heun; its gradient by the adjoint equation.

    Parameters, shapes and errors are those of :func:`solve_reversible`; that the way back misses
    the start, by a quarter of its size, is an error only where the gradient by x is asked.
    """
    return _begin(_Adjoint, heun, sde, times, x, noise, params)


def _begin(
    function: type[torch.autograd.Function],
    method: Method,
    sde: SDE,
    times: Sequence[float],
    x: Tensor,
    noise: NoiseSource | int,
    params: Sequence[Tensor],
) -> Tensor:
    method.check(sde)
    job = _Job(sde, checked_times(times), prepared(x, noise))
    return function.apply(job, x, *params)


def _vjp(outs: Sequence[Tensor], inputs: Sequence[Tensor], bars: Sequence[Tensor]) -> list[Tensor]:
    """Gradients, zero where an output does not read an input."""
    used = [(o, b) for o, b in zip(outs, bars, strict=True) if o.requires_grad]
    if not used:
        return [torch.zeros_like(i) for i in inputs]
    heads, tails = zip(*used, strict=True)
    found = torch.autograd.grad(heads, inputs, tails, allow_unused=True)
    return [torch.zeros_like(i) if g is None else g for g, i in zip(found, inputs, strict=True)]


def _check_start(found: Sequence[Tensor], ends: tuple[Tensor, Tensor], allowed: float) -> None:
    """See that the way back from the second end has come to the first, but for a part of both."""
    size = max(float(end.square().mean().sqrt()) for end in ends)
    # the worst sample's: its gradient is wrong, whatever the others'
    gap = max(float((y - ends[0]).flatten(1).square().mean(1).amax().sqrt()) for y in found)
    if not gap <= allowed * size:
        msg = (
            f"the way back misses the start by {gap:.2g} where states are of size {size:.2g}; "
            "take float64, a shorter time or shorter steps, or backpropagate through "
            "solve(grad=True)"
        )
        raise NotInvertibleError(msg)


def _leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [t.detach().requires_grad_() for t in tensors]


def _returned(grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    if not all(finite(g) for g in grads):
        msg = "a gradient through the solve is not finite; look for steps that are too large"
        raise NonFiniteError(msg)
    return (None, *grads)


class _Reversible(torch.autograd.Function):
    """Reversible Heun as one operation of autograd, whose backward pass rebuilds its states."""

    @staticmethod
    def forward(ctx: Any, job: _Job, x: Tensor, *params: Tensor) -> Tensor:
        out = solve(job.sde, reversible_heun, job.times, x, noise=job.source)
        ctx.job, ctx.count = job, len(out.state)
        ctx.save_for_backward(x, *params, *out.state)
        return out.x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *bars_of_out: Tensor) -> tuple[Tensor | None, ...]:
        job, saved = ctx.job, ctx.saved_tensors
        x, params, state = saved[0], saved[1 : -ctx.count], tuple(saved[-ctx.count :])
        bars = [bars_of_out[0], *(torch.zeros_like(s) for s in state[1:])]
        totals = [torch.zeros_like(p) for p in params]
        for a, b in reversed(list(pairwise(job.times))):
            cell = drawn(job.sde, reversible_heun, job.source, a, b, x)
            with torch.no_grad():
                state = advance(job.sde, state, a, -cell.h, -cell.w)
            with torch.enable_grad():
                leaves = _leaves(state)
                outs = reversible_heun.step(job.sde, cell, tuple(leaves))
            found = _vjp(outs, [*leaves, *params], bars)
            bars = found[: ctx.count]
            totals = [t + g for t, g in zip(totals, found[ctx.count :], strict=True)]
        _check_start(state[:2], (x, saved[-ctx.count]), torch.finfo(x.dtype).eps ** 0.5)
        with torch.enable_grad():
            (begin,) = _leaves([x])
            outs = reversible_heun.start(job.sde, job.times[0], begin)
        found = _vjp(outs, [begin, *params], bars)
        grads = [found[0], *(t + g for t, g in zip(totals, found[1:], strict=True))]
        return _returned(grads)


class _Adjoint(torch.autograd.Function):
    """Stochastic Heun as one operation of autograd, whose backward pass is an equation."""

    @staticmethod
    def forward(ctx: Any, job: _Job, x: Tensor, *params: Tensor) -> Tensor:
        out = solve(job.sde, heun, job.times, x, noise=job.source).x
        ctx.job = job
        ctx.save_for_backward(x, out, *params)
        return out.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *bars_of_out: Tensor) -> tuple[Tensor | None, ...]:
        job, (begin, x, *params) = ctx.job, ctx.saved_tensors
        state = [x, bars_of_out[0], *(torch.zeros_like(p) for p in params)]
        for a, b in reversed(list(pairwise(job.times))):
            cell = drawn(job.sde, heun, job.source, a, b, x)
            first = _slope(job.sde, b, cell, state[0], state[1], params)
            there = [s - d for s, d in zip(state, first, strict=True)]
            second = _slope(job.sde, a, cell, there[0], there[1], params)
            state = [s - 0.5 * (d + e) for s, d, e in zip(state, first, second, strict=True)]
        if ctx.needs_input_grad[1]:
            _check_start(state[:1], (begin, x), 0.25)
        return _returned(state[1:])


def _slope(
    sde: SDE, t: float, cell: Cell, x: Tensor, bar: Tensor, params: Sequence[Tensor]
) -> list[Tensor]:
    """``f h + g W`` at (t, x) and minus its gradients against ``bar``: the step of (x, a, p)."""
    with torch.enable_grad():
        (leaf,) = _leaves([x])
        push = cell.h * sde.f(t, leaf) + sde.kick(sde.g(t, leaf), cell.w)
    found = _vjp([push], [leaf, *params], [bar])
    return [push.detach(), *(-g for g in found)]
