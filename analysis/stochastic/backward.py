"""Expectations of a Markov chain by quadrature, backwards in steps: no sampling.

A sampler that draws k normals a step is a Markov chain of its few live vectors, and

    u_n(state) = E f(X_N | state at step n),     u_n(z) = E_xi u_{n+1}(step_n(z, xi)),

where the expectation over the step's noises is Gauss-Hermite quadrature. The newest state lies on
a uniform grid with local interpolation of ten points: what is wrong at the rim stays there. Every
further live vector (the last model output of a two-step method, say) enters the next step with a
factor O(h), so a few Chebyshev nodes do for it.

Resolution is numbers, not luck: the same expectation with fewer nodes gives the error bar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ...solvers.errors import AnalysisError
from ...solvers.process import Array

_POINTS = 10  # of the local interpolation
_CHUNK = 4096


@dataclass(frozen=True)
class Slot:
    """A live vector between two steps: the interval on which it is represented.

    ``nodes`` is the number of Chebyshev nodes of a vector that is not the state.
    """

    low: float
    high: float
    nodes: int = 0


@dataclass(frozen=True)
class Step:
    """One step of a chain.

    ``apply(ins, noises)`` takes arrays that broadcast against each other and gives the live
    vectors after the step, in the order of ``outs``; the first slot is the newest state.
    """

    ins: tuple[Slot, ...]
    outs: tuple[Slot, ...]
    noises: int
    apply: Callable[[Sequence[Array], Sequence[Array]], Sequence[Array]]


@dataclass(frozen=True)
class Resolution:
    """Numbers of nodes: of the state; fewer of each further vector; of each noise, by count."""

    state: int = 320
    fewer: int = 0
    noise: tuple[int, ...] = (1, 16, 8, 6, 5)

    @property
    def most_noises(self) -> int:
        """The largest number of noises a step may draw."""
        return len(self.noise) - 1

    def coarser(self) -> Resolution:
        """Fewer nodes of everything, for the error bar."""
        fewer = tuple(max(1, n - 2 + (n < 7)) for n in self.noise)
        return Resolution(round(0.75 * self.state), self.fewer + 1, fewer)


def grids(slots: Sequence[Slot], size: Resolution) -> list[Array]:
    """The nodes of each slot: uniform for the first, Chebyshev's for the others."""
    first, *rest = slots
    out = [np.linspace(first.low, first.high, size.state)]
    for slot in rest:
        n = max(3, slot.nodes - size.fewer)
        turned = -np.cos(np.pi * np.arange(n) / (n - 1))
        out.append(0.5 * (slot.low + slot.high) + 0.5 * (slot.high - slot.low) * turned)
    return out


@cache
def normal_rule(count: int, nodes: int) -> tuple[Array, Array]:
    """Nodes (nodes^count, count) and weights of the standard normal law in ``count`` variables."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    mesh = np.meshgrid(*[x] * count, indexing="ij")
    weights = np.ones(1)
    for _ in range(count):
        weights = np.multiply.outer(weights, w / w.sum()).reshape(-1)
    return np.stack([m.ravel() for m in mesh], 1) if count else np.zeros((1, 0)), weights


def local_weights(at: Array, slot: Slot, nodes: int) -> tuple[NDArray[np.int64], Array]:
    """First node and weights (..., 10) of interpolation on a uniform grid; clamped to the slot."""
    place = (np.clip(at, slot.low, slot.high) - slot.low) / (slot.high - slot.low) * (nodes - 1)
    first = np.clip(np.floor(place).astype(int) - _POINTS // 2 + 1, 0, nodes - _POINTS)
    j = np.arange(_POINTS)
    signs = np.array([(-1) ** k * math.comb(_POINTS - 1, k) for k in j], float)
    return first, _barycentric((place - first)[..., None] - j, signs)


def memory_weights(at: Array, slot: Slot, nodes: Array) -> Array:
    """Weights (..., nodes) of interpolation on Chebyshev nodes; clamped to the slot."""
    signs: Array = np.where(np.arange(len(nodes)) % 2, -1.0, 1.0)
    signs[[0, -1]] /= 2
    return _barycentric(np.clip(at, slot.low, slot.high)[..., None] - nodes, signs)


def _barycentric(gaps: Array, signs: Array) -> Array:
    weights = signs / np.where(np.abs(gaps) < 1e-13, 1e-13, gaps)
    return weights / weights.sum(-1, keepdims=True)


def interpolate(u: Array, slots: Sequence[Slot], size: Resolution, at: Sequence[Array]) -> Array:
    """Functions given on the nodes of slots, at points: (functions, nodes...) to (..., functions).

    ``at`` has an array for each slot; they broadcast against each other.
    """
    states, functions, *memories = u.shape[1], u.shape[0], *u.shape[2:]
    table = np.moveaxis(u, 0, -1).reshape(states, -1)
    shape = np.broadcast_shapes(*(a.shape for a in at))
    spread = [np.broadcast_to(a, shape).reshape(-1) for a in at]
    nodes = grids(slots, size)[1:]
    out = np.empty((spread[0].size, functions))
    for i in range(0, len(out), _CHUNK):
        part = slice(i, i + _CHUNK)
        first, weights = local_weights(spread[0][part], slots[0], states)
        columns, rows = first[:, None] + np.arange(_POINTS), len(first)
        ends = np.arange(0, _POINTS * rows + 1, _POINTS)
        local = csr_array((weights.ravel(), columns.ravel(), ends), shape=(rows, states))
        seen = local @ table
        seen = seen.reshape(-1, *memories, functions)
        for slot, n, values in zip(slots[1:], nodes, spread[1:], strict=True):
            seen = np.einsum("pm...,pm->p...", seen, memory_weights(values[part], slot, n))
        out[part] = seen
    return out.reshape(*shape, functions)


def expectations(
    steps: Sequence[Step], functions: Callable[[Array], Sequence[Array]], size: Resolution
) -> Array:
    """``E f(X_N)`` for each state of the first slot: (nodes, functions).

    The first step must begin with the state alone; functions are of the last state.
    """
    if not steps or len(steps[0].ins) != 1:
        msg = "a chain must have a step, and begin with one live vector"
        raise AnalysisError(msg)
    u = np.zeros(0)
    for step in reversed(steps):
        if step.noises > size.most_noises:
            msg = f"a step draws {step.noises} noises; quadrature covers {size.most_noises}"
            raise AnalysisError(msg)
        dims = len(step.ins)
        nodes, weights = normal_rule(step.noises, size.noise[step.noises])
        ins = [
            g.reshape([-1 if i == axis else 1 for i in range(dims + 1)])
            for axis, g in enumerate(grids(step.ins, size))
        ]
        noises = [nodes[:, k].reshape((1,) * dims + (-1,)) for k in range(step.noises)]
        outs = [np.asarray(o, float) for o in step.apply(ins, noises)]
        if u.size:
            values = interpolate(u, step.outs, size, outs)
        else:
            values = np.stack(list(functions(outs[0])), -1)
        if values.shape[dims] > 1:
            values = np.einsum("...qf,q->...f", values, weights)
        else:
            values = values[..., 0, :]
        full = tuple(g.size for g in ins)
        u = np.moveaxis(np.broadcast_to(values, (*full, values.shape[-1])), -1, 0)
    return u.T
