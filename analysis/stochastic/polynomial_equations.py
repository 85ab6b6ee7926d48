r"""Weak errors of methods on nonlinear equations whose moments close: no paths, no tables.

Three coordinates of weights 1, 2, 3; drift and noise of a coordinate are polynomials of no more
than its own weight: ``x_1``; ``x_2, x_1^2``; ``x_3, x_1 x_2, x_1^3``. A stage of a method keeps
that, and so does the generator. So the expectations of all monomials of weight 3 or less obey a
linear recursion over steps, whatever a method carries from step to step, and its matrix is that
of a polynomial: fitted at points, with Gauss-Hermite quadrature over the step's normals, both
without error. The truth is the exponential of the generator, fitted in the same way.

Seen are bent vertices with two children and with three, one on another and beside another. With
noise that depends on the state these are all conditions of weak order 2; drift bent by a fourth
power, as in order 3 with additive noise, is not seen.

Source: the moment equations of polynomial processes, Cuchiero, Keller-Ressel & Teichmann 2012
(arXiv:0812.4740), applied to one step of a method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np
import torch
from scipy.linalg import expm
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.process import Array
from ...solvers.sde.method import Method
from ...solvers.sde.problem import SDE
from .backward import normal_rule
from .equations import for_method
from .linear_equations import NODES, carried, stepped

CLOSED = ("scalar", "general")
"""Kinds of noise that are covered: one or two normals for all three coordinates."""

MOST_WEIGHT = 3
START = np.array([0.6, -0.3, 0.2])

_FIT = 1e-9  # relative residual of what is no polynomial


def polynomial(kind: str) -> SDE:
    """The equation in three coordinates with a kind of noise, in Ito's calculus."""

    def drift(_: float, x: Tensor) -> Tensor:
        a, b, c = x.unbind(1)
        return torch.stack([
            0.2 - 0.6 * a,
            0.5 * a * a - 0.4 * b + 0.1 * a,
            0.4 * a * b - 0.3 * a**3 - 0.3 * c,
        ], 1)  # fmt: skip

    def first(x: Tensor) -> Tensor:
        a, b, c = x.unbind(1)
        return torch.stack([
            0.4 + 0.3 * a,
            0.3 * b - 0.4 * a * a,
            0.2 * c + 0.3 * a * b + 0.2 * a**3,
        ], 1)  # fmt: skip

    def second(x: Tensor) -> Tensor:
        a, b, _ = x.unbind(1)
        return torch.stack([0.3 - 0.2 * a, 0.5 * a + 0.2 * a * a, 0.4 * b], 1)

    if kind == "scalar":
        return SDE(drift, lambda _, x: first(x), "scalar", signed=True)
    return SDE(drift, lambda _, x: torch.stack([first(x), second(x)], -1), "general", noises=2)


def exponents(weights: Sequence[int], most: int = MOST_WEIGHT) -> Array:
    """All monomials in variables of these weights, of no more than that weight: (count, n)."""
    found = [[0] * len(weights)]
    for place, weight in enumerate(weights):
        grown = []
        for old in found:
            left = most - int(np.dot(old, weights))
            for power in range(left // weight + 1):
                new = list(old)
                new[place] = power
                grown.append(new)
        found = grown
    return np.array(found)


def monomials(points: Array, powers: Array) -> Array:
    """Values at points (n, variables) of the monomials: (n, count)."""
    out = np.ones((len(points), len(powers)))
    for place in range(points.shape[1]):
        for power in range(1, int(powers[:, place].max()) + 1):
            out[:, powers[:, place] == power] *= points[:, place, None] ** power
    return out


def _fitted(points: Array, powers: Array, values: Array) -> Array:
    """Coefficients of polynomials from their values, (count, functions)."""
    basis = monomials(points, powers)
    found = np.asarray(np.linalg.lstsq(basis, values, rcond=None)[0], float)
    gap = float(np.abs(basis @ found - values).max())
    if not gap < _FIT * (1 + float(np.abs(values).max())):
        msg = f"a step is no polynomial of the expected weight: the fit leaves {gap:.1e}"
        raise AnalysisError(msg)
    return found


def _points(powers: Array) -> Array:
    shape = 2 * len(powers) + 8, powers.shape[1]
    return np.random.default_rng(3).uniform(-1.2, 1.2, shape)


@cache
def moments(kind: str) -> Array:
    """``E`` of all monomials of three coordinates at time 1, exactly, by the generator."""
    powers, sde = exponents((1, 2, 3)), polynomial(kind)
    points = _points(powers)
    x = torch.from_numpy(points)
    drift = sde.f(0.0, x).numpy()
    noise = sde.g(0.0, x).numpy().reshape(*points.shape, -1)
    square = np.einsum("nik,njk->nij", noise, noise)
    values = np.zeros((len(points), len(powers)))
    for i in range(3):
        values += drift[:, i, None] * _derivative(points, powers, (i,))
    for i, j in product(range(3), repeat=2):
        values += 0.5 * square[:, i, j, None] * _derivative(points, powers, (i, j))
    generator = _fitted(points, powers, values)
    return monomials(START[None], powers)[0] @ np.asarray(expm(generator), float)


def _derivative(points: Array, powers: Array, places: Sequence[int]) -> Array:
    """Derivatives of the monomials in some variables, one after another."""
    powers, factor = powers.copy(), np.ones(len(powers))
    for place in places:
        factor = factor * powers[:, place]
        powers[:, place] = np.maximum(powers[:, place] - 1, 0)
    return factor * monomials(points, powers)


def weak_polynomial_error(method: Method, kind: str, steps: int) -> float:
    """Error of all moments of weight 3 or less at time 1, exact; root of the sum of squares.

    Raises
    ------
    AnalysisError
        If a step of the method is no polynomial of that weight.
    """
    sde = for_method(polynomial(kind), method)
    like = carried(method, sde, torch.from_numpy(START)[None])
    weights = [1 + i for p in like for i in range(3) for _ in range(math.prod(p.shape[2:]))]
    powers = exponents(weights)
    points = _points(powers)
    width = sde.noise_like(like[0]).shape[1]
    count = width * (2 if method.needs_area else 1)
    nodes, chances = normal_rule(count, NODES[count])
    flat = torch.from_numpy(points).repeat_interleave(len(nodes), 0)
    noise = torch.from_numpy(nodes).repeat(len(points), 1)
    zeta = noise[:, width:] if method.needs_area else noise
    out = stepped(method, sde, 0.0, 1 / steps, flat, like, noise[:, :width], zeta)
    seen = monomials(out, powers).reshape(len(points), len(nodes), -1)
    table = _fitted(points, powers, np.einsum("pqm,q->pm", seen, chances))
    start = np.concatenate([p.numpy().reshape(-1) for p in like])
    found = monomials(start[None], powers)[0] @ np.linalg.matrix_power(table, steps)
    ours = powers[:, 3:].sum(1) == 0  # exponents come in one order, those of the state alone too
    return float(np.linalg.norm(found[ours] - moments(kind)))
