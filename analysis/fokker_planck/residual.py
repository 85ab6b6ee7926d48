r"""Residuals of the Fokker-Planck and of the continuity equation, at points.

For a log-density phi with score s and dynamics ``dx = b dt + G dW``, ``a = G G^T``::

    R = d_t phi + div b + b.s - 1/2 sum_ij d_i d_j a_ij - (div a).s - 1/2 tr(a ds/dx) - 1/2 s.a s

(``-d_t`` for dynamics that run backward). Without diffusion it is the residual of the continuity
equation. At the score level there is no phi: ``r = d_t s + grad(the rest)``, which loses the
constant, such as the ``f d`` that is often forgotten, and does not ask whether s is a gradient
(:func:`curl` does). A residual of zero says that the density belongs to these dynamics, never
that it is the density of the data.

Every residual is a sum that should cancel, so each comes with ``scale``, the sum of the absolute
values of its elementary terms: ``|R|/scale`` is about the rounding where the equation holds.

Sources: Lai et al. 2022, arXiv:2210.04296 (score level); Deveney et al. 2023, arXiv:2311.15996
(log-density level). Not to be confused with the denoising loss, which is small for densities of
the data and not for those of the dynamics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.func import vjp

from ...solvers.checks import check_finite, check_state
from ...solvers.errors import ShapeError
from .derivatives import (
    check_curved,
    check_derivative,
    diagonal,
    gradient,
    in_time,
    jacobian,
)
from .fields import Dynamics, Field, check_diffusion, diffusion_of

CHUNK = 4096
"""Rows differentiated at once."""


@dataclass(frozen=True)
class Residual:
    """Residuals at points and what they are measured against.

    Attributes
    ----------
    value : Tensor
        (B,) at the level of the log-density, (B, d) at that of the score.
    scale : Tensor
        Sum of the absolute values of the terms, of the same shape.
    """

    value: Tensor
    scale: Tensor

    @property
    def relative(self) -> Tensor:
        """``|value|/scale``; zero where all terms are zero."""
        return self.value.abs() / self.scale.clamp_min(torch.finfo(self.scale.dtype).tiny)

    @property
    def worst(self) -> float:
        """The largest of :attr:`relative`."""
        return float(self.relative.max())

    @property
    def square(self) -> Tensor:
        """``|value|^2`` of each row, (B,)."""
        return self.value.square().flatten(1).sum(1) if self.value.ndim > 1 else self.value**2


def log_residual(
    dynamics: Dynamics, log_density: Field, x: Tensor, t: float | Tensor, *, chunk: int = CHUNK
) -> Residual:
    """R at the points, (B,), for a log-density ``phi(x, t)`` of shape (B,).

    Parameters
    ----------
    dynamics : Dynamics
        Drift and diffusion.
    log_density : callable
        phi, up to a constant that does not depend on time; differentiated twice in x.
    x : Tensor
        Points (B, d), float32 or float64.
    t : float or Tensor
        One time, or one for each point.
    chunk : int
        Points differentiated at once.

    Raises
    ------
    NotDifferentiableError, DiffusionError, TimeRangeError, ShapeError, NonFiniteError
        As said by their sentences.

    Examples
    --------
    >>> from fokker.analysis.fokker_planck.fields import exact_log_density, forward_sde
    >>> from fokker.toy_models import problem
    >>> p = problem("mixture")
    >>> x = p.law.sample(4, seed=0)
    >>> R = log_residual(forward_sde(p.process), exact_log_density(p.law, p.process), x, 0.5)
    >>> R.worst < 1e-12
    True
    """
    score = gradient(log_density)

    def at(y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        rate = in_time(log_density, y, s)
        rest = torch.cat([part.flatten(1) for part in scalar_terms(dynamics, score, y, s)], 1)
        rate = -rate if dynamics.backward else rate
        return rate + rest.sum(1), rate.abs() + rest.abs().sum(1)

    def check(y: Tensor, s: Tensor) -> None:
        check_derivative(_column(log_density), y, s, "the log-density")
        if dynamics.diffusion is not None:
            check_derivative(score, y, s, "the gradient of the log-density")
            check_curved(score, y, s, "the gradient of the log-density")

    return _residual(dynamics, at, check, x, t, chunk)


def score_residual(
    dynamics: Dynamics, score: Field, x: Tensor, t: float | Tensor, *, chunk: int = CHUNK
) -> Residual:
    """``r = d_t s + grad(div b + b.s - ...)`` at the points, (B, d), for a score ``s(x, t)``.

    Parameters and errors as in :func:`log_residual`; s is differentiated twice in x.
    """

    def at(y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        rate = in_time(score, y, s)
        rate = -rate if dynamics.backward else rate

        def rest(z: Tensor) -> Tensor:
            parts = scalar_terms(dynamics, score, z, s)
            return torch.stack([part.flatten(1).sum(1) for part in parts])

        values, pull = vjp(rest, y)[:2]
        ones = [torch.zeros_like(values) for _ in values]
        for k, one in enumerate(ones):
            one[k] = 1
        pulled = torch.stack([pull(one)[0] for one in ones])
        return rate + pulled.sum(0), rate.abs() + pulled.abs().sum(0)

    def check(y: Tensor, s: Tensor) -> None:
        check_derivative(score, y, s, "the score")
        check_curved(score, y, s, "the score")

    return _residual(dynamics, at, check, x, t, chunk)


def source_residual(
    dynamics: Dynamics, score: Field, x: Tensor, t: float | Tensor, *, chunk: int = CHUNK
) -> Residual:
    """``div v + v.s`` with ``v = b - (div a + a s)/2``: what the density does, ``-d_t phi``, (B,).

    The residual without its time derivative: zero in a steady state, and the whole residual of
    the *difference* of two dynamics that share a density.
    """

    def at(y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        rest = torch.cat([part.flatten(1) for part in scalar_terms(dynamics, score, y, s)], 1)
        return rest.sum(1), rest.abs().sum(1)

    return _residual(
        dynamics, at, lambda y, s: check_derivative(score, y, s, "the score"), x, t, chunk
    )


def scalar_terms(dynamics: Dynamics, score: Field, x: Tensor, t: Tensor) -> list[Tensor]:
    """The elementary terms of R except ``d_t phi``, each (B, ...), derivable in x again."""
    s = score(x, t)
    parts = dynamics.parts or (dynamics.drift,)
    terms = [diagonal(part, x, t) for part in parts] + [part(x, t) * s for part in parts]
    if dynamics.diffusion is None:
        return terms
    a = diffusion_of(dynamics, x, t)
    if dynamics.state_dependent:
        first, second = _divergences(dynamics, x, t)
        terms += [-0.5 * second, -first * s]
    if a.ndim == 3:
        turned = a * jacobian(score, x, t).mT
        return [*terms, -0.5 * turned, -0.5 * s[:, :, None] * a * s[:, None, :]]
    a = a[:, None] if a.ndim == 1 else a
    return [*terms, -0.5 * a * diagonal(score, x, t), -0.5 * a * s * s]


def _divergences(dynamics: Dynamics, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """``sum_j d_j a_ij`` (B, d), and the terms ``d_i`` of it (B, d)."""

    def first(y: Tensor, s: Tensor) -> Tensor:
        def full(z: Tensor, r: Tensor) -> Tensor:
            a = diffusion_of(dynamics, z, r)
            if a.ndim == 1:
                a = a[:, None].expand_as(z)
            return torch.diag_embed(a) if a.ndim == 2 else a

        eye = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
        columns = [
            torch.func.jvp(lambda z: full(z, s), (y,), (e.expand_as(y),))[1][:, :, j]
            for j, e in enumerate(eye)
        ]
        return torch.stack(columns, 2).sum(2)

    return first(x, t), diagonal(first, x, t)


def curl(score: Field, x: Tensor, t: float | Tensor) -> Residual:
    """``J - J^T`` of a score, (B, d, d): zero where the score is a gradient.

    Scale: the Frobenius norm of J at the point. Weight it by the density: a curl where no mass is
    does nothing, and one with ``div(p r) = 0`` leaves every marginal as it is (Horvat & Pfister
    2024, arXiv:2402.03845).
    """
    times = _times(x, t)
    check_derivative(score, x, times, "the score")
    j = jacobian(score, x, times).detach()
    size = torch.linalg.matrix_norm(j)[:, None, None]
    return Residual(j - j.mT, size.expand_as(j))


def _column(potential: Field) -> Field:
    def column(x: Tensor, t: Tensor) -> Tensor:
        out = potential(x, t)
        if out.shape != (len(x),):
            msg = f"a log-density must have shape ({len(x)},), got {tuple(out.shape)}"
            raise ShapeError(msg)
        return out[:, None]

    return column


def _times(x: Tensor, t: float | Tensor) -> Tensor:
    """One time a row."""
    check_state(x, "x")
    if x.ndim != 2:
        msg = f"x must have shape (B, d), got {tuple(x.shape)}; flatten the samples"
        raise ShapeError(msg)
    times = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    if times.ndim > 1 or (times.ndim == 1 and len(times) != len(x)):
        msg = f"t must be one time or one for each of {len(x)} rows, got {tuple(times.shape)}"
        raise ShapeError(msg)
    return times.expand(len(x)).clone()


def _residual(
    dynamics: Dynamics,
    at: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    check: Callable[[Tensor, Tensor], None],
    x: Tensor,
    t: float | Tensor,
    chunk: int,
) -> Residual:
    """Check once, then differentiate chunk by chunk."""
    if chunk < 1:
        msg = f"chunk must be at least 1, got {chunk}"
        raise ShapeError(msg)
    times = _times(x, t)
    check_diffusion(dynamics, x, times)
    check(x, times)
    check_derivative(dynamics.drift, x, times, "the drift")
    if dynamics.diffusion is not None and dynamics.state_dependent:
        spread = partial(diffusion_of, dynamics)
        check_derivative(spread, x, times, "the diffusion")
    pairs = [at(y, s) for y, s in zip(x.split(chunk), times.split(chunk), strict=True)]
    value, scale = (torch.cat(parts).detach() for parts in zip(*pairs, strict=True))
    check_finite(value, "the residual", range(len(x)))
    return Residual(value, scale)
