"""What a law is, and how it becomes a model that a sampler can call.

A law is a probability distribution of data x_0 for which everything about
``x_t = alpha x_0 + sigma eps``, ``eps ~ N(0, I)``, is computed, not learned. Laws know nothing of
processes or time: they take ``(alpha, sigma)``.

========================  =====================================================================
``log_density``           ``log p_t(x)``, natural logarithm, (B,)
``score``                 ``grad log p_t(x)``, (B, d)
``denoiser``              ``D = E[x_0 | x_t = x] = (x + sigma^2 score)/alpha``, (B, d)
``denoiser_jvp``          ``(dD/dx) v = (alpha/sigma^2) Cov[x_0 | x_t = x] v``, (B, d)
``hessian``               second derivatives of ``log p_t``, (B, d, d); O(B d^2) memory
``flow``                  exact probability-flow ODE from one level of noise to another
========================  =====================================================================

Throughout, x is (B, d) of the law's dtype and device; ``alpha`` and ``sigma`` are floats or (B,)
tensors; all formulas are differentiable in x.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from ..solvers.errors import ShapeError
from ..solvers.model import Model, conversion
from ..solvers.process import Node, Process
from .checks import Coefficient, Level


class Denoiser(Protocol):
    """The part of a law that a sampler sees."""

    @property
    def dim(self) -> int:
        """Dimension d of the data."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the law, float64 or float32."""
        ...

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        ...

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``grad log p_t(x)``, (B, d)."""
        ...

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``E[x_0 | x_t = x]``, (B, d)."""
        ...

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same law elsewhere."""
        ...


class Law(Denoiser, Protocol):
    """An exact law; every class of this room is one."""

    name: ClassVar[str]
    """Short name."""
    exactness: ClassVar[Mapping[str, str]]
    """How exact each quantity is, in a few words each."""

    @property
    def mean(self) -> Tensor:
        """Mean of the data, (d,)."""
        ...

    @property
    def cov(self) -> Tensor:
        """Covariance of the data, (d, d)."""
        ...

    def sample(self, n: int, *, seed: int, first: int = 0) -> Tensor:
        """Samples ``first .. first + n - 1``, (n, d), each a function of (seed, index) only."""
        ...

    def log_density(self, x: Tensor, alpha: Coefficient = 1.0, sigma: Coefficient = 0.0) -> Tensor:
        """``log p_t(x)``, (B,)."""
        ...

    def denoiser_jvp(self, x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Derivative of the denoiser along v, (B, d)."""
        ...

    def hessian(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Second derivatives of ``log p_t``, (B, d, d)."""
        ...

    def flow(self, x: Tensor, start: Level, end: Level) -> Tensor:
        """Carry x from level ``start`` to level ``end`` along the probability-flow ODE.

        Raises NoExactFlowError where there is no closed form; see ``reference_flow``.
        """
        ...


def exact_model(law: Denoiser, process: Process, prediction: str = "data") -> Model:
    """A law seen through a process: the perfect network, ``model(x, t)``.

    ``x`` is (B, *D) with ``prod(D) = d`` on the law's device; it is cast to the law's dtype and
    the answer is cast back, so a float32 run of a float64 law shows the rounding of the sampler
    alone (``law.to(dtype=torch.float32)`` shows the model's too). ``t`` is a float, a scalar
    tensor or one time for each row, (B,).

    At high noise the denoiser, at low noise the score is evaluated, and then converted: each
    prediction is accurate at both ends of the process. Any prediction of
    :data:`fokker.solvers.model.PREDICTIONS` can be asked for.

    Raises
    ------
    PredictionError
        For an unknown prediction, or one that does not exist at that time.
    ShapeError
        If x does not flatten to (B, d), or t is neither scalar nor (B,).
    """
    conversion(prediction, prediction, process.node(process.t_max))  # refuse unknown names now
    node = functools.lru_cache(maxsize=4096)(process.node)  # a grid is visited many times

    def model(x: Tensor, t: Any) -> Tensor:
        if x.ndim < 2 or x[0:1].numel() not in (0, law.dim):
            msg = (
                f"x must have shape (B, *D) with {law.dim} numbers a sample, got {tuple(x.shape)}"
            )
            raise ShapeError(msg)
        flat = x.reshape(x.shape[0], law.dim).to(law.dtype)
        times = t.detach().cpu().numpy() if isinstance(t, Tensor) else np.asarray(t)
        if times.ndim == 0:
            out = _at_node(law, flat, node(float(times)), prediction)
        elif times.shape == (x.shape[0],):
            nodes = [node(float(s)) for s in times]
            out = _at_nodes(law, flat, nodes, prediction)
        else:
            msg = f"t must be a scalar or of shape ({x.shape[0]},), got {times.shape}"
            raise ShapeError(msg)
        return out.reshape(x.shape).to(x.dtype)

    return model


def _source(prediction: str, node: Node) -> str:
    """The prediction from which the asked one is had without cancellation at this node."""
    if prediction in ("data", "score"):
        return prediction
    return "noise" if node.alpha >= node.sigma else "data"


def _evaluate(
    law: Denoiser, x: Tensor, alpha: Coefficient, sigma: Coefficient, kind: str
) -> Tensor:
    if kind == "data":
        return law.denoiser(x, alpha, sigma)
    score = law.score(x, alpha, sigma)
    if kind == "score":
        return score
    return -score * (sigma[:, None] if isinstance(sigma, Tensor) else sigma)


def _at_node(law: Denoiser, x: Tensor, node: Node, prediction: str) -> Tensor:
    source = _source(prediction, node)
    out = _evaluate(law, x, node.alpha, node.sigma, source)
    a, b = conversion(source, prediction, node)
    return out if (a, b) == (0.0, 1.0) else a * x + b * out


def _at_nodes(law: Denoiser, x: Tensor, nodes: list[Node], prediction: str) -> Tensor:
    """One node for each row; rows are grouped by the prediction that is evaluated for them."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=x.dtype, device=x.device)

    sources = [_source(prediction, n) for n in nodes]
    out = torch.empty_like(x)
    for source in sorted(set(sources)):
        rows = [i for i, s in enumerate(sources) if s == source]
        chosen = [nodes[i] for i in rows]
        part = x[rows]
        value = _evaluate(
            law, part, column([n.alpha for n in chosen]), column([n.sigma for n in chosen]), source
        )
        pairs = [conversion(source, prediction, n) for n in chosen]
        a, b = column([p[0] for p in pairs])[:, None], column([p[1] for p in pairs])[:, None]
        index = torch.tensor(rows, device=x.device)
        out = out.index_copy(0, index, a * part + b * value)
    return out
