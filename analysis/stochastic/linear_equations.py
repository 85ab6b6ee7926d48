"""Methods on linear equations, where weak and strong errors are numbers: no Monte Carlo.

A step of a method on a linear equation is affine in all that it carries, ``s' = M s + c`` with M
and c polynomials of the step's normals. So ``E s`` and ``E s s^T`` obey a linear recursion whose
matrix is Gauss-Hermite quadrature of polynomials, which has no error; the truth is the exponential
of the generator of the second moments. With additive noise M has no randomness, and the strong
error is a sum of squares by Ito's isometry: of the start's gain, and on each cell of the gap
between the kernel of the method and ``e^{-(1 - s)}``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from scipy.linalg import expm
from torch import Tensor

from ...solvers.process import Array
from ...solvers.sde.method import Cell, Method
from ...solvers.sde.problem import SDE
from .backward import normal_rule
from .equations import for_method

_X, _W = np.polynomial.legendre.leggauss(8)
NODES = {1: 9, 2: 7, 4: 6}

DRIFT = np.array([[-0.6, 0.5], [-0.4, -0.3]])
FIELDS = {
    "scalar": [np.array([[0.5, -0.3], [0.2, 0.4]])],
    "diagonal": [np.array([[0.6, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 0.4]])],
    "general": [np.array([[0.5, -0.2], [0.3, 0.1]]), np.array([[0.0, 0.4], [-0.1, 0.3]])],
}
"""Matrices B_k of ``dX = A X dt + sum_k B_k X dW_k``; those of general noise do not commute."""

KICK = np.array([0.7, 0.4])
"""Additive noise of the two coordinates."""

START = np.array([0.8, -0.5])


def linear(kind: str) -> SDE:
    """The linear equation in two coordinates with a kind of noise, in Ito's calculus."""
    drift = torch.from_numpy(DRIFT.T.copy())

    def f(_: float, x: Tensor) -> Tensor:
        return x @ drift

    if kind == "additive":
        return SDE(f, lambda *_: torch.from_numpy(KICK), "additive")
    fields = [torch.from_numpy(b.T.copy()) for b in FIELDS[kind]]
    if kind == "general":
        return SDE(f, lambda _, x: torch.stack([x @ b for b in fields], -1), "general", noises=2)
    total = sum(fields)
    one = "scalar" if kind == "scalar" else "diagonal"
    return SDE(f, lambda _, x: x @ total, one, signed=True)


def second_moments(kind: str) -> Array:
    """``E (1, X)(1, X)^T`` at time 1, exactly."""
    matrices = [np.zeros((3, 3)) for _ in range(3)]
    matrices[0][1:, 1:] = DRIFT
    if kind == "additive":
        matrices[1][1, 0], matrices[2][2, 0] = KICK
    else:
        for m, b in zip(matrices[1:], FIELDS[kind], strict=False):
            m[1:, 1:] = b
    one = np.eye(3)
    generator = np.kron(matrices[0], one) + np.kron(one, matrices[0])
    generator += sum(np.kron(b, b) for b in matrices[1:])
    start = np.concatenate([[1.0], START])
    return np.asarray(expm(generator) @ np.kron(start, start), float).reshape(3, 3)


def carried(method: Method, sde: SDE, x: Tensor) -> list[Tensor]:
    """The state at a start, each part with a row for each sample."""
    parts = [torch.as_tensor(s, dtype=x.dtype) for s in method.start(sde, 0.0, x)]
    return [s if s.dim() > 1 and len(s) == len(x) else s.expand(x.shape) for s in parts]


def stepped(
    method: Method, sde: SDE, t: float, h: float, flat: Tensor, like: Sequence[Tensor],
    xi: Tensor, zeta: Tensor,
) -> Array:  # fmt: skip
    """A step on states written as rows of numbers."""
    shapes = [tuple(s.shape[1:]) for s in like]
    parts = flat.split([math.prod(s) for s in shapes], 1)
    state = tuple(p.reshape(-1, *s) for p, s in zip(parts, shapes, strict=True))
    out = method.step(sde, Cell(t, h, xi, zeta), state)
    rows = [
        torch.as_tensor(o, dtype=flat.dtype).expand(len(flat), *s).reshape(len(flat), -1)
        for o, s in zip(out, shapes, strict=True)
    ]
    return torch.cat(rows, 1).numpy()


def weak_linear_error(method: Method, kind: str, steps: int) -> float:
    """Error of the first and second moments at time 1, exact; root of the sum of squares."""
    sde = for_method(linear(kind), method)
    x = torch.from_numpy(START)[None]
    like = carried(method, sde, x)
    start = np.concatenate([[1.0], *(p.numpy().reshape(-1) for p in like)])
    size, width = len(start), sde.noise_like(x).shape[1]
    count = width * (2 if method.needs_area else 1)
    nodes, weights = normal_rule(count, NODES[count])
    units = torch.cat([torch.zeros(1, size - 1), torch.eye(size - 1)]).double()
    flat = units.repeat_interleave(len(nodes), 0)
    noise = torch.from_numpy(nodes).repeat(len(units), 1)
    zeta = noise[:, width:] if method.needs_area else noise
    out = stepped(method, sde, 0.0, 1 / steps, flat, like, noise[:, :width], zeta)
    out = out.reshape(size, len(nodes), size - 1)
    table = np.zeros((len(nodes), size, size))  # s' = table s, s = (1, state)
    table[:, 0, 0] = 1.0
    table[:, 1:, 0] = out[0]
    table[:, 1:, 1:] = np.moveaxis(out[1:] - out[0], 0, -1)
    pairs = np.einsum("q,qij,qkl->ikjl", weights, table, table).reshape(size**2, size**2)
    found = np.linalg.matrix_power(pairs, steps) @ np.kron(start, start)
    moments = found.reshape(size, size)[:3, :3]
    return float(np.linalg.norm(moments - second_moments(kind)))


def ou_strong_error(method: Method, grid: Sequence[float]) -> float:
    """Exact strong error at the end of a grid on ``dX = -X dt + dW`` from ``N(0, 1)``."""
    sde = SDE(lambda _, x: -x, lambda *_: 1.0, "additive")
    x = torch.zeros(1, 1, dtype=torch.float64)
    like = carried(method, sde, x)
    now = torch.cat(like, 1)
    back = (torch.cat(carried(method, sde, x + 1), 1) - now).numpy()[0]
    size = len(back)
    kernels, maps, end = [], [], grid[-1]
    for a, b in pairwise(grid):
        units = torch.cat([torch.zeros(1, size), torch.eye(size), torch.zeros(2, size)]).double()
        noise = torch.zeros(size + 3, 2, dtype=torch.float64)
        noise[size + 1, 0] = noise[size + 2, 1] = 1.0
        out = stepped(method, sde, a, b - a, now + units, like, noise[:, :1], noise[:, 1:])
        maps.append(out[1 : size + 1] - out[0])  # row i: what a unit of part i becomes
        kernels.append(out[size + 1 :] - out[0])
        now = torch.from_numpy(out[:1])
    owed, total = np.eye(size)[0], 0.0
    for k in range(len(maps) - 1, -1, -1):
        a, h = grid[k], grid[k + 1] - grid[k]
        w, tilt = kernels[k] @ owed
        u = 0.5 * (1 + _X)
        gap = (w + tilt * math.sqrt(12) * (0.5 - u)) / math.sqrt(h) - np.exp(a + h * u - end)
        total += h * float(0.5 * _W @ gap**2)
        owed = maps[k] @ owed
    gain = float(back @ owed) - math.exp(grid[0] - end)
    return math.sqrt(total + gain**2)
