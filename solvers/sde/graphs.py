"""Graphs as states: nodes and edges in one tensor, their noise, and two processes in one plan.

A graph of n nodes with F features a node is a row ``[X_i, A_i]`` a node: shape (n, F + n), a batch
(B, n, F + n).  A is symmetric with zero diagonal.  Every sampler is a sum of such tensors and of
model outputs, so the shape is kept if noise and model keep it:

* the noise of an edge is one number, written at (i, j) and (j, i); the diagonal has none;
* nodes that a sample does not have (smaller graphs are padded) have no noise: what is zero stays;
* noise is keyed by the *identities* of a node, or of the two of an edge.  Graphs whose ids are
  permuted get permuted noise, bit for bit, and a small graph gets the same noise padded or not.

So ``run(plan, model, x, noise=GraphNoise(...))`` runs any plan on graphs.  Nodes and edges may
have processes of their own (Jo, Lee & Hwang 2022, arXiv:2202.02514): the joint score is what the
model gives, and coefficients are arrays over the last axis, see :func:`graph_plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..engine.upload import upload
from ..errors import InvalidPlanError, ShapeError
from ..given import whole_number
from ..grids import Grid
from ..noise import CellNoise
from ..normals import normal_field
from ..ops import Noise
from ..plan import Plan, Tape, Weight
from ..process import Node, Process
from ..samplers.onestep import one_step
from ..samplers.splitting import Of, check_correction, split_step


def join(nodes: Tensor, edges: Tensor) -> Tensor:
    """``[X, A]``, shape (B, n, F + n), of X (B, n, F) and A (B, n, n).

    Raises
    ------
    ShapeError
        If the shapes do not fit, A is not symmetric, or its diagonal is not zero.
    """
    if nodes.dim() != 3 or edges.shape != (*nodes.shape[:2], nodes.shape[1]):
        msg = (
            "graphs need nodes (B, n, F) and edges (B, n, n), "
            f"got {tuple(nodes.shape)} and {tuple(edges.shape)}"
        )
        raise ShapeError(msg)
    if not torch.equal(edges, edges.mT) or bool(edges.diagonal(dim1=1, dim2=2).any()):
        gap = float((edges - edges.mT).abs().max())
        size = float(edges.diagonal(dim1=1, dim2=2).abs().max())
        msg = (
            "edges must be symmetric with a zero diagonal; "
            f"here A - A^T reaches {gap:.3g} and the diagonal {size:.3g}"
        )
        raise ShapeError(msg)
    return torch.cat([nodes, edges], 2)


def parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes (B, n, F) and edges (B, n, n) of a state.

    Raises
    ------
    ShapeError
        If the last axis is shorter than the number of nodes.
    """
    if x.dim() != 3 or x.shape[2] < x.shape[1]:
        msg = f"a batch of graphs has the shape (B, n, F + n), got {tuple(x.shape)}"
        raise ShapeError(msg)
    features = x.shape[2] - x.shape[1]
    return x[..., :features], x[..., features:]


def graph_mask(present: Tensor, features: int) -> Tensor:
    """Where a state of graphs may differ from zero, as 0 and 1, (B, n, F + n).

    Parameters
    ----------
    present : Tensor
        Which nodes each graph has, bool (B, n).
    features : int
        F, the features of a node.
    """
    n = present.shape[1]
    pairs = present[:, :, None] & present[:, None, :] & ~torch.eye(n, dtype=torch.bool)
    rows = present[:, :, None].expand(-1, -1, features)
    return torch.cat([rows, pairs], 2).to(torch.float64)


def permuted(x: Tensor, order: Sequence[int]) -> Tensor:
    """The graphs with their nodes in another order: node k of the new one is ``order[k]``."""
    nodes, edges = parts(x)
    index = torch.as_tensor(list(order))
    return join(nodes[:, index], edges[:, index][:, :, index])


class GraphNoise:
    """Noise for batches of graphs, a pure function of (seed, sample, cell, ids of the nodes).

    Parameters
    ----------
    seed : int
        Seed of the run.
    node_ids : sequence of int
        An identity for each node, distinct and not negative.
    present : Tensor, optional
        Which nodes each graph has, bool (B, n); all by default.
    sample_ids : sequence of int, optional
        Identity of each graph of the batch; 0, 1, 2, ... by default.

    Raises
    ------
    InvalidPlanError
        If an id is no whole number.
    ShapeError
        If ids are repeated or negative, or noise is asked for graphs of another size or number.
    """

    def __init__(
        self,
        seed: int,
        node_ids: Sequence[int],
        present: Tensor | None = None,
        sample_ids: Sequence[int] | None = None,
    ) -> None:
        self.node_ids = [whole_number(i, "a node id") for i in node_ids]
        if len(set(self.node_ids)) != len(self.node_ids) or min(self.node_ids, default=0) < 0:
            msg = f"nodes need distinct ids that are not negative, got {self.node_ids[:8]}"
            raise ShapeError(msg)
        self._cells = CellNoise(seed, sample_ids)
        self.sample_ids, self.present = self._cells.sample_ids, present

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Standard normal field: independent features, one number for each pair of nodes."""
        n = len(self.node_ids)
        samples = self._cells.ids(like)
        if like.dim() != 3 or like.shape[1] != n or like.shape[2] < n:
            msg = f"noise of graphs with {n} nodes was asked for a state {tuple(like.shape)}"
            raise ShapeError(msg)
        features, key = like.shape[2] - n, self._cells.key(cell)
        out = np.zeros((len(samples), n, features + n), dtype=np.float32)
        if features:
            field = _fields(b"node|" + key, samples, self.node_ids, features)
            out[..., :features] = field
        rows, columns = np.triu_indices(n, 1)
        ids = self.node_ids
        pairs = [_pair(ids[i], ids[j]) for i, j in zip(rows, columns, strict=True)]
        if pairs:
            field = _fields(b"edge|" + key, samples, pairs, 1)[..., 0]
            out[:, rows, features + columns] = field
            out[:, columns, features + rows] = field
        if self.present is not None:
            out *= graph_mask(self._mask(like), features).numpy().astype(np.float32)
        return upload(torch.from_numpy(out), like.device, like.dtype)

    def _mask(self, like: Tensor) -> Tensor:
        mask = self.present
        if mask is None or mask.dtype != torch.bool or mask.shape != like.shape[:2]:
            shape = None if mask is None else (mask.dtype, tuple(mask.shape))
            msg = f"present must be bool of shape {tuple(like.shape[:2])}, got {shape}"
            raise ShapeError(msg)
        return mask.cpu()


def _fields(
    key: bytes, samples: Sequence[int], members: Sequence[int], count: int
) -> NDArray[np.float32]:
    """Numbers of each member of each sample, (B, members, count).

    Both numbers become one id: 20 bits of the member and 12 of the sample are its low word, so
    that 4096 graphs are drawn at once.
    """
    ids = [
        (s & 0xFFF) << 20 | (m & 0xFFFFF) | ((s >> 12) + (m >> 20 << 64)) << 32
        for s in samples
        for m in members
    ]
    return normal_field(key, ids, count).reshape(len(samples), len(members), count)


def _pair(i: int, j: int) -> int:
    """One number for an unordered pair: the pairs below (0, 1), (0, 2), (1, 2), (0, 3), ..."""
    low, high = min(i, j), max(i, j)
    return high * (high - 1) // 2 + low


def of_blocks(nodes: Process, edges: Process, features: int, size: int) -> Of:
    """Weights over the last axis: a coefficient of one process for X, of the other for A."""

    def of(coefficient: Callable[[Process], float]) -> Weight:
        values = np.repeat([coefficient(nodes), coefficient(edges)], [features, size])
        return values

    return of


def graph_plan(
    nodes: Process,
    edges: Process,
    times: Grid,
    *,
    features: int,
    size: int,
    published: bool = False,
    correction: float = 0.0,
) -> Plan:
    """S4 for a graph whose nodes and edges have processes of their own, on common times.

    Parameters
    ----------
    nodes, edges : Process
        Forward processes of X and of A.
    times : Grid
        A grid of the nodes' process; its times are the common ones, and end above 0.
    features, size : int
        F and n.
    published, correction
        As of :func:`~fokker.solvers.samplers.splitting.split_step`.

    Returns
    -------
    Plan
        Asks the model for the *joint* score at the node's times: ``model(x, t)`` of shape
        (B, n, F + n), the gradients by X and by each free entry of A, mirrored.

    Raises
    ------
    InvalidPlanError
        If a time lies outside the edges' process, or the grid ends at sigma = 0.
    """
    check_correction(correction)
    if times[0].t > edges.t_max or times[-1].sigma == 0.0:
        msg = (
            f"a graph's times must lie in (0, {edges.t_max}] and end above sigma = 0, "
            f"got {times[0].t} to {times[-1].t}"
        )
        raise InvalidPlanError(msg)
    of = of_blocks(nodes, edges, features, size)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        between = s, nodes.node(0.5 * (s.t + t.t)), t
        return split_step(
            tape, of, between, x, clock="t", published=published, correction=correction
        )

    return one_step(times, step)
