"""Divergence of a model, ``div f = sum_i df_i/dx_i``: exactly, or by random probes.

Hutchinson's estimator is ``v^T J v`` for a random v with ``E v v^T = I``. It is unbiased; with
``S = (J + J^T)/2`` its variance is

==================  ==================================
Gaussian v          ``2 |S|_F^2``
Rademacher v        ``2 (|S|_F^2 - sum_i J_ii^2)``
==================  ==================================

so signs are never worse, and exact where J is diagonal. Sources: Hutchinson 1990, Commun. Stat.
Simul. Comput. 19, 433-450; Avron & Toledo 2011, J. ACM 58, 8; used for likelihoods by Grathwohl et
al. 2019 (FFJORD, arXiv:1810.01367), who keep v fixed during a solve: only then is the right-hand
side a function, and the error control of an adaptive solver means anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import InvalidPlanError, PredictionError, ShapeError
from ..given import whole_number
from ..model import Model
from ..normals import normal_field

PROBES = ("rademacher", "gaussian")


class Divergence(Protocol):
    """Anything that asks a model and its divergence together."""

    def __call__(self, model: Model, x: Tensor, t: Any) -> tuple[Tensor, Tensor]:
        """``(model(x, t), div)`` of shapes (B, *D) and (B,)."""
        ...


@dataclass(frozen=True)
class ExactDivergence:
    """The trace of the full Jacobian: d vector-Jacobian products, ``chunk`` at a time.

    Parameters
    ----------
    chunk : int
        Products taken at once, by ``torch.vmap`` of the backward pass: memory grows with it. With
        1 no vmap is used, for models whose backward pass has none.

    Raises
    ------
    InvalidPlanError
        For a chunk below 1.
    PredictionError
        If the model's output does not depend on x through autograd.
    """

    chunk: int = 64

    def __post_init__(self) -> None:
        _at_least_one("chunk", self.chunk)

    def __call__(self, model: Model, x: Tensor, t: Any) -> tuple[Tensor, Tensor]:
        """Output and divergence."""
        out, x, pull = _asked(model, x, t)
        size, total = x[0].numel(), x.new_zeros(x.shape[0])
        for first in range(0, size, self.chunk):
            places = torch.arange(first, min(first + self.chunk, size), device=x.device)
            basis = torch.zeros(len(places), size, dtype=x.dtype, device=x.device)
            basis[torch.arange(len(places)), places] = 1.0
            rows = pull(basis[:, None].expand(-1, x.shape[0], -1))
            total = total + rows[torch.arange(len(places)), :, places].sum(0)
        return out, total

    def products(self, size: int) -> int:
        """Vector-Jacobian products of one evaluation."""
        return size


@dataclass(frozen=True)
class Hutchinson:
    """``v^T J v``, averaged over probes that belong to a sample and stay the same in a solve.

    Parameters
    ----------
    seed : int
        Seed; the probes are a function of (seed, sample id, probe) and of nothing else.
    probes : int
        How many, each one vector-Jacobian product an evaluation.
    law : str
        ``"rademacher"`` (signs) or ``"gaussian"``.
    sample_ids : sequence of int, optional
        Identity of each row of the batch; 0, 1, 2, ... by default.

    Raises
    ------
    InvalidPlanError
        For fewer probes than one, an unknown law, or a seed that is no whole number.
    ShapeError
        If the model is asked for a batch of another size than there are ids.
    PredictionError
        If the model's output does not depend on x through autograd.
    """

    seed: int
    probes: int = 1
    law: str = "rademacher"
    sample_ids: Sequence[int] | None = None
    _drawn: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        _at_least_one("probes", self.probes)
        whole_number(self.seed, "a seed")
        if self.law not in PROBES:
            msg = f"unknown law of probes {self.law!r}; accepted: {', '.join(PROBES)}"
            raise InvalidPlanError(msg)

    def vectors(self, batch: int, size: int) -> Tensor:
        """The probes, (probes, B, d), float64."""
        ids = range(batch) if self.sample_ids is None else self.sample_ids
        if len(ids) != batch:
            msg = f"{len(ids)} sample ids were given for the probes of a batch of {batch}"
            raise ShapeError(msg)
        if (batch, size) not in self._drawn:
            keys = [f"{int(self.seed)}|probe|{k}".encode() for k in range(self.probes)]
            drawn = torch.stack([torch.from_numpy(normal_field(k, ids, size)) for k in keys])
            signs = self.law == "rademacher"
            drawn = torch.where(drawn < 0, -1.0, 1.0) if signs else drawn
            self._drawn[batch, size] = drawn.to(torch.float64)
        return self._drawn[batch, size]

    def __call__(self, model: Model, x: Tensor, t: Any) -> tuple[Tensor, Tensor]:
        """Output and the estimate of its divergence."""
        out, x, pull = _asked(model, x, t)
        total = x.new_zeros(x.shape[0])
        for v in self.vectors(x.shape[0], x[0].numel()).to(x):
            total = total + (pull(v[None])[0] * v).sum(1)
        return out, total / self.probes

    def products(self, size: int) -> int:  # noqa: ARG002 - the same in any dimension
        """Vector-Jacobian products of one evaluation."""
        return self.probes


def probe_variance(jacobian: Tensor, law: str = "rademacher") -> Tensor:
    """Variance of one probe, see the module; ``jacobian`` is (..., d, d)."""
    if law not in PROBES:
        msg = f"unknown law of probes {law!r}; accepted: {', '.join(PROBES)}"
        raise InvalidPlanError(msg)
    even = 0.5 * (jacobian + jacobian.mT)
    if law == "rademacher":
        even = even - torch.diag_embed(even.diagonal(dim1=-2, dim2=-1))
    return 2.0 * even.square().sum((-2, -1))


def _at_least_one(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        msg = f"{name} must be a whole number >= 1, got {value!r}"
        raise InvalidPlanError(msg)


def _asked(model: Model, x: Tensor, t: Any) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Output, x, and ``pull(v)`` = ``v^T J`` for v of shape (n, B, d), flat in the coordinates."""
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        out = model(x, t)
    if not isinstance(out, Tensor) or out.shape != x.shape:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        msg = f"the model's output must have the shape {tuple(x.shape)} of x, got {got}"
        raise ShapeError(msg)

    def pull(v: Tensor) -> Tensor:
        v = v.reshape(v.shape[0], *x.shape)
        one = len(v) == 1
        (rows,) = torch.autograd.grad(
            out, x, v[0] if one else v, retain_graph=True, is_grads_batched=not one,
            allow_unused=True,
        )  # fmt: skip
        if rows is None:
            raise PredictionError(_NO_JACOBIAN)
        return (rows[None] if one else rows).flatten(2)

    if not out.requires_grad:
        raise PredictionError(_NO_JACOBIAN)
    return out.detach(), x.detach(), pull


_NO_JACOBIAN = (
    "the model's output does not depend on x through autograd (no_grad, detach or NumPy inside?), "
    "so it has no Jacobian; give divergence=<your own function> instead"
)
