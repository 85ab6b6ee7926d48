"""The exact law of a one-step stochastic plan on a one-dimensional nonlinear law, by quadrature.

No sampling: ``u_n(x) = E u_{n+1}(step(x, noises))`` is computed backwards on a fine net of states,
the noises by Gauss-Hermite, so ``E phi(X_N)`` is known to about 1e-10 from any start law.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.interpolate import make_interp_spline

from fokker.solvers.grids import Grid
from fokker.solvers.model import conversion
from fokker.solvers.plan import Noise, Plan, interpret
from fokker.solvers.process import Array, Node

NET = np.linspace(-7.0, 7.0, 701)


class Line(NamedTuple):
    """A mixture of normals on a line, with its denoiser."""

    weights: tuple[float, ...] = (0.35, 0.45, 0.2)
    means: tuple[float, ...] = (-0.9, 0.4, 1.1)
    stds: tuple[float, ...] = (0.35, 0.3, 0.5)

    def data_prediction(self, x: Array, node: Node) -> Array:
        """``E[x_0 | x_t = x]``."""
        total, mean = np.zeros_like(x), np.zeros_like(x)
        for w, m, c in zip(*self, strict=True):
            v = (node.alpha * c) ** 2 + node.sigma**2
            p = w / np.sqrt(v) * np.exp(-((x - node.alpha * m) ** 2) / (2 * v))
            total += p
            mean += p * (m + node.alpha * c * c * (x - node.alpha * m) / v)
        return mean / np.maximum(total, 1e-300)

    def expect(self, values: Callable[[Array], Array], node: Node) -> float:
        """``E values(x_t)`` under the exact marginal."""
        z, w = np.polynomial.hermite_e.hermegauss(60)
        total = 0.0
        for p, m, c in zip(*self, strict=True):
            x = node.alpha * m + np.sqrt((node.alpha * c) ** 2 + node.sigma**2) * z
            total += p * float(w @ values(x)) / np.sqrt(2 * np.pi)
        return total


def one_step(plan: Plan, law: Line, values: Callable[[Array], Array], points: int) -> Array:
    """``E values(output)`` for every start on the net."""
    noises = [i for i, op in enumerate(plan.ops) if isinstance(op, Noise)]
    z, w = np.polynomial.hermite_e.hermegauss(points)
    w = w / np.sqrt(2 * np.pi)
    total = np.zeros_like(NET)
    for index in itertools.product(range(points), repeat=len(noises)):
        weight = float(np.prod([w[k] for k in index]))
        if weight < 1e-14:
            continue

        def evaluate(_row: int, op, x: Array) -> Array:
            a, b = conversion("data", op.prediction, op.node)
            return a * x + b * law.data_prediction(x, op.node)

        out = interpret(
            plan,
            inputs={"x": NET},
            evaluate=evaluate,
            draw=lambda row, _op: np.full_like(NET, z[index[noises.index(row)]]),
        )["x"]
        total += weight * values(out)
    return total


def expectation(
    build: Callable[[Grid], Plan], grid: Grid, law: Line, phi: Callable[[Array], Array], points: int
) -> Callable[[Array], Array]:
    """``x -> E phi(X_N | X_0 = x)`` of a sampler that remembers nothing but its state."""
    values = phi
    for i in range(len(grid) - 1, -1, -1):
        net = one_step(build(grid.part(i, i + 1)), law, values, points)
        spline = make_interp_spline(NET, net, k=7)

        def values(x: Array, spline=spline) -> Array:
            return spline(np.clip(x, NET[0], NET[-1]))

    return values
