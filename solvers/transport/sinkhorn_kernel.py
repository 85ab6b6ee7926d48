r"""The matrix of Sinkhorn's iteration, with the potentials absorbed, read once an iteration.

The matrix is the plan of the potentials at the last absorption::

    M_ij = a_i b_j exp((f_i + g_j - c_ij)/epsilon),      plan = diag(u) M diag(v)

Its entries are at most 1 and its rows sum to a, so that nothing overflows while u and v are within
``LIMITS``, and every column sums to at least ``b_j min a`` after one update of g in logarithms. A
sweep takes blocks of rows: ``s = M v``, ``u = u (a/(s u))^omega``, ``t += M^T u`` while the block
is in the cache, then ``v = v (b/(t v))^omega``: the matrix travels once for both products.
Potentials and scalings are float64, whatever the matrix is stored in.

Schmitzer 2019, arXiv:1610.06519 (absorption); Peyre & Cuturi 2019, arXiv:1803.00567, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .cost import Cost, blocks_of

LIMITS = {torch.float64: 50.0, torch.float32: 15.0}  # of |log u|, |log v|
FLOORS = {torch.float64: -600.0, torch.float32: -70.0}  # of log M: below is 0, never subnormal


@dataclass
class Sweep:
    """One iteration: scalings, and the L1 error of both marginals of diag(u) M diag(v)."""

    u: Tensor
    v: Tensor
    next_v: Tensor
    error: Tensor


class Kernel:
    """The absorbed matrix, stored or recomputed block by block.

    Parameters
    ----------
    cost : Cost
        Of n and m points.
    a, b : Tensor
        Weights (n,), (m,), float64.
    dtype : torch.dtype
        What M is stored and multiplied in.
    stored : bool
        Keep M (n m numbers), or compute its blocks in every sweep (a block at a time).
    """

    def __init__(self, cost: Cost, a: Tensor, b: Tensor, dtype: torch.dtype, stored: bool) -> None:
        self.cost, self.a, self.b, self.dtype = cost, a, b, dtype
        self.limit, self.floor = LIMITS[dtype], FLOORS[dtype]
        self.slices = list(blocks_of(cost))
        n, m = cost.shape
        self.matrix = torch.empty((n, m), dtype=dtype, device=cost.device) if stored else None
        self.epsilon = 1.0
        self.f, self.g = torch.zeros_like(a), torch.zeros_like(b)

    def absorb(self, f: Tensor, g: Tensor, epsilon: float) -> None:
        """Take over potentials: f is first updated from g, so that rows sum to a.

        If then a column nearly vanishes, g is updated in logarithms, and f again.
        """
        self.epsilon = epsilon
        low = self._fill(f, g)
        if low < -self.limit:
            g = self.softmin(self.f, epsilon)
            self._fill(f, g)

    def absorb_equal(self, f: Tensor, epsilon: float) -> None:
        """Take over equal potentials of a law with itself, as they are: M stays symmetric."""
        self.epsilon, self.f, self.g = epsilon, f, f
        if self.matrix is not None:
            p, q = self._shifted(f, f)
            for rows in self.slices:
                e = self.cost.exponents(rows, 1.0 / epsilon, p, q)
                self.matrix[rows] = self._exp(e)

    def times(self, v: Tensor) -> Tensor:
        """``M v``."""
        w = v.to(self.dtype)
        return torch.cat([(block @ w).to(v.dtype) for _, block in self.blocks()])

    def _fill(self, f: Tensor, g: Tensor) -> float:
        p, q = self._shifted(f, g)
        columns = torch.zeros_like(self.b)
        f = f.clone()
        for rows in self.slices:
            e = self.cost.exponents(rows, 1.0 / self.epsilon, p, q)
            top = e.amax(1, keepdim=True)
            e = self._exp(e.sub_(top))
            total = e.sum(1, keepdim=True)
            f[rows] += self.epsilon * (self.a[rows, None].log() - top - total.log())[:, 0]
            e.mul_(self.a[rows, None] / total)
            columns += e.sum(0)
            if self.matrix is not None:
                self.matrix[rows] = e
        self.f, self.g = f, g
        return float((columns / self.b).log().min())

    def softmin(self, f: Tensor, epsilon: float) -> Tensor:
        """``g_j = -epsilon log sum_i a_i exp((f_i - c_ij)/epsilon)``."""
        g, turned, p = torch.zeros_like(self.g), self.cost.turned, f / epsilon + self.a.log()
        for rows in blocks_of(turned):
            e = turned.exponents(rows, 1.0 / epsilon, torch.zeros_like(g), p)
            g[rows] = -epsilon * e.logsumexp(1)
        return g

    def _shifted(self, f: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        return f / self.epsilon + self.a.log(), g / self.epsilon + self.b.log()

    def _exp(self, e: Tensor) -> Tensor:
        return torch.threshold_(e, self.floor, -torch.inf).exp_()

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Slices of rows and the rows of M."""
        p, q = self._shifted(self.f, self.g)
        for rows in self.slices:
            if self.matrix is not None:
                yield rows, self.matrix[rows]
            else:
                e = self.cost.exponents(rows, 1.0 / self.epsilon, p, q)
                yield rows, self._exp(e).to(self.dtype)

    def sweep(self, u: Tensor, v: Tensor, omega: float) -> Sweep:
        """Update u, then v; the error is that of (new u, old v)."""
        w, t = v.to(self.dtype), torch.zeros_like(v)
        new, missed = torch.empty_like(u), torch.zeros((), dtype=u.dtype, device=u.device)
        for rows, block in self.blocks():
            s = (block @ w).to(u.dtype)
            a = self.a[rows]
            if omega == 1.0:
                part = a / s
            else:
                part = u[rows] * (a / (s * u[rows])) ** omega
                missed += (part * s - a).abs().sum()
            new[rows] = part
            t += part.to(self.dtype) @ block
        held = v * t
        error = missed + (held - self.b).abs().sum()
        ratio = self.b / held
        return Sweep(new, v, v * (ratio if omega == 1.0 else ratio**omega), error)

    def potentials(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """``f + epsilon log u``, ``g + epsilon log v``."""
        return self.f + self.epsilon * u.log(), self.g + self.epsilon * v.log()
