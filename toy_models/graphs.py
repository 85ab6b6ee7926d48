"""A Gaussian law of graphs whose nodes and edges know of each other, with its exact joint score.

Features of nodes are independent, ``x_i ~ N(m, v I)``; the edge of two nodes hears both ::

    a_ij = b + c w.(x_i + x_j) + s e_ij,      e_ij ~ N(0, 1),   i < j

so that the law does not depend on the order of the nodes, and the law of a part of the graph is
the law of a smaller graph: padding changes nothing.  The joint score couples X and A both ways,
and is linear: every plan has an exact law here (``analysis/coupled_law.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from ..solvers.process import Array, Process
from ..solvers.sde.graphs import parts


@dataclass(frozen=True)
class GaussianGraphs:
    """The law; see the module.

    Parameters
    ----------
    weights : sequence of float
        w, (F,): what of the features an edge hears.
    mean, spread : float
        m of every feature and the root of v.
    base, coupling, noise : float
        b, c and s; s positive.

    Raises
    ------
    InvalidLawError
        If a spread is not positive or a number is not finite.
    """

    weights: tuple[float, ...] = (1.0,)
    mean: float = 0.3
    spread: float = 0.7
    base: float = -0.2
    coupling: float = 0.8
    noise: float = 0.4

    def __post_init__(self) -> None:
        numbers = (*self.weights, self.mean, self.spread, self.base, self.coupling, self.noise)
        if not (np.isfinite(numbers).all() and self.weights and self.spread > 0 < self.noise):
            msg = (
                "a law of graphs needs finite numbers, features and spreads above 0, "
                f"got {numbers}"
            )
            raise InvalidLawError(msg)

    @property
    def features(self) -> int:
        """F."""
        return len(self.weights)

    def lift(self, size: int) -> Array:
        """Each free coordinate as a graph, (d, n, F + n): features first, then pairs i < j."""
        f, (rows, columns) = self.features, np.triu_indices(size, 1)
        out = np.zeros((size * f + len(rows), size, f + size))
        for k in range(size * f):
            out[k, k // f, k % f] = 1.0
        for k, (i, j) in enumerate(zip(rows, columns, strict=True), start=size * f):
            out[k, i, f + j] = out[k, j, f + i] = 1.0
        return out

    def moments(self, size: int) -> tuple[Array, Array]:
        """Mean (d,) and covariance (d, d) of the free coordinates of a graph of n nodes."""
        f, (rows, columns) = self.features, np.triu_indices(size, 1)
        hears = np.zeros((len(rows), size, f))
        for k, ends in enumerate(zip(rows, columns, strict=True)):
            hears[k, list(ends)] = self.coupling * np.asarray(self.weights)
        hears = hears.reshape(len(rows), -1)
        of_x = self.spread**2 * np.eye(size * f)
        cross = hears @ of_x
        of_a = cross @ hears.T + self.noise**2 * np.eye(len(rows))
        mean = np.full(size * f, self.mean)
        return np.concatenate([mean, self.base + hears @ mean]), np.block(
            [[of_x, cross.T], [cross, of_a]]
        )

    def marginal(self, nodes: Process, edges: Process, t: float, size: int) -> tuple[Array, Array]:
        """Mean and covariance at time t, where X and A have processes of their own."""
        mean, cov = self.moments(size)
        counts = [size * self.features, len(mean) - size * self.features]
        ends = nodes.node(t), edges.node(t)
        alpha = np.repeat([e.alpha for e in ends], counts)
        sigma = np.repeat([e.sigma for e in ends], counts)
        return alpha * mean, alpha[:, None] * cov * alpha + np.diag(sigma**2)

    def affine_score(
        self, nodes: Process, edges: Process, t: float, size: int
    ) -> tuple[Array, Array]:
        """``score = G c + b`` in the free coordinates: G (d, d) and b (d,)."""
        mean, cov = self.marginal(nodes, edges, t, size)
        gain: Array = -np.asarray(np.linalg.inv(cov), dtype=np.float64)
        return gain, -gain @ mean


class GraphScore:
    """The exact joint score as a model, ``model(x, t)``, for graphs of unequal sizes.

    Parameters
    ----------
    law : GaussianGraphs
        The law of the data.
    nodes, edges : Process
        Processes of X and A.
    present : Tensor, optional
        Which nodes each graph has, bool (B, n); all by default. What is missing has score 0.
    """

    def __init__(
        self, law: GaussianGraphs, nodes: Process, edges: Process, present: Tensor | None = None
    ) -> None:
        self.law, self.nodes, self.edges, self.present = law, nodes, edges, present

    def __call__(self, x: Tensor, t: float) -> Tensor:
        """The score, of the shape of x."""
        parts(x)
        everywhere = torch.ones(x.shape[:2], dtype=torch.bool)
        present = everywhere if self.present is None else self.present
        out = torch.zeros_like(x)
        for pattern in present.unique(dim=0):
            rows = (present == pattern).all(1)
            out[rows] = self._of(x[rows], t, pattern.nonzero().flatten().tolist())
        return out

    def _of(self, x: Tensor, t: float, kept: Sequence[int]) -> Tensor:
        f, size = self.law.features, len(kept)
        columns = [*range(f), *(f + i for i in kept)]
        gain, shift = (
            torch.from_numpy(a).to(x)
            for a in self.law.affine_score(self.nodes, self.edges, t, size)
        )
        lift = torch.from_numpy(self.law.lift(size)).to(x).flatten(1)
        small = x[:, kept][:, :, columns].flatten(1)
        score = ((small @ (lift / lift.sum(1, keepdim=True)).T) @ gain.T + shift) @ lift
        out = torch.zeros_like(x)
        block = out[:, kept]
        block[:, :, columns] = score.reshape(-1, size, f + size)
        out[:, kept] = block
        return out
