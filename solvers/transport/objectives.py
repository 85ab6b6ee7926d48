r"""What a network of an interpolant is trained on: quadratic objectives, sample by sample.

With ``x_u = alpha x_0 + beta x_1 + gamma z`` and any field f of (x, u), each has one minimiser::

    velocity   |f|^2/2 - (alpha' x_0 + beta' x_1 + gamma' z) . f       f = b = E[x_u' | x_u]
    denoiser   |f|^2/2 - z . f                                         f = E[z | x_u] = -gamma s
    score      |f|^2/2 + z . f/gamma                                   f = s

They differ from half the squared distance to the minimiser by a number that f does not enter;
unlike the usual ``|f - target|^2/2`` that number, of infinite mean where ``gamma'^2`` is not
integrable, is left out.

*The ends.* ``gamma' z`` and ``z/gamma`` grow as gamma goes to 0, and so does the noise of the
gradient: for ``gamma^2 ~ u`` its variance is of order 1/u. The pair of ``+z`` and ``-z`` cancels
what f has in common at both states: the mean of the two objectives has a gradient of bounded
variance for a smooth f. The denoiser needs none of this, but ``s = -f/gamma`` divides its error.

Albergo, Boffi & Vanden-Eijnden 2023, arXiv:2303.08797, sec. 2.4 and 6 (antithetic pairs).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..errors import InvalidProcessError, ShapeError
from .interpolant import Interpolant

Field = Callable[[Tensor, Tensor], Tensor]
"""``f(x, u)``: x of shape (B, d), u of shape (B, 1); the shape of x."""

Target = Literal["velocity", "denoiser", "score"]
TARGETS = ("velocity", "denoiser", "score")


class Draws(NamedTuple):
    """One sample a row: ends and noise (B, d), and times strictly inside (0, 1), (B,)."""

    first: Tensor
    last: Tensor
    z: Tensor
    u: Tensor


class _Columns(NamedTuple):
    alpha: Tensor
    beta: Tensor
    gamma: Tensor
    d_alpha: Tensor
    d_beta: Tensor
    d_gamma: Tensor


def objective(
    field: Field,
    interpolant: Interpolant,
    draws: Draws,
    target: Target = "velocity",
    *,
    antithetic: bool = False,
) -> Tensor:
    """The objective of every row, (B,); its mean over many draws is what is minimised.

    Parameters
    ----------
    field : callable
        ``f(x, u)``, asked at ``x_u``, with ``antithetic`` also at the state of ``-z``.
    interpolant : Interpolant
        The coefficients.
    draws : Draws
        The samples.
    target : {"velocity", "denoiser", "score"}
        Which field is wanted.
    antithetic : bool
        Whether to take the mean over ``+z`` and ``-z``.

    Raises
    ------
    ShapeError
        If ends and noise differ in shape, or there is not one u a row.
    InvalidProcessError
        For an unknown target, a time outside (0, 1), or a score where there is no noise.
    """
    if target not in TARGETS:
        msg = f"unknown target {target!r}; accepted: {', '.join(TARGETS)}"
        raise InvalidProcessError(msg)
    first, last, z, u = draws
    if not (first.shape == last.shape == z.shape and first.dim() == 2 and u.shape == z.shape[:1]):
        shapes = [tuple(value.shape) for value in draws]
        msg = f"ends and noise must be (B, d) and times (B,), got {shapes}"
        raise ShapeError(msg)
    c = _columns(interpolant, u, z, target)
    signs = (1.0, -1.0) if antithetic else (1.0,)
    total = torch.zeros_like(u)
    for sign in signs:
        noise = sign * z
        f = field(c.alpha * first + c.beta * last + c.gamma * noise, u[:, None])
        if target == "velocity":
            pull = c.d_alpha * first + c.d_beta * last + c.d_gamma * noise
        else:
            pull = noise if target == "denoiser" else -noise / c.gamma
        total = total + (0.5 * f * f - pull * f).sum(1)
    return total / len(signs)


def _columns(interpolant: Interpolant, u: Tensor, like: Tensor, target: str) -> _Columns:
    """Coefficients of every row, (B, 1) each."""
    rows, times = [], u.detach().cpu().tolist()
    for time in times:
        if not 0.0 < time < 1.0:
            msg = f"times of training must be strictly inside (0, 1), got {time}"
            raise InvalidProcessError(msg)
        c = interpolant.at(time)
        gamma = math.sqrt(c.gamma2)
        if gamma == 0.0 and target == "score":
            msg = f"{interpolant.name} has no noise at u = {time:g}, so it defines no score"
            raise InvalidProcessError(msg)
        rate = c.gamma_d_gamma / gamma if gamma else 0.0
        rows.append((c.alpha, c.beta, gamma, c.d_alpha, c.d_beta, rate))
    return _Columns(*like.new_tensor(rows)[:, None].unbind(-1))
