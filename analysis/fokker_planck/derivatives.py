"""Derivatives of fields by automatic differentiation, and the proof that there are any.

Fields act on each row alone, so one derivative along a direction serves all rows: a Jacobian costs
d forward derivatives of the batch, a time derivative one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import jvp

from .errors import NotDifferentiableError
from .fields import Field

STEP = 1e-4
"""Step of the differences, in the size of x, that a derivative is compared to."""
AGREE = 0.05
"""They must agree as well as this: a constant that a derivative misses is off by 1."""


def along(field: Field, x: Tensor, t: Tensor, direction: Tensor) -> Tensor:
    """The derivative of ``field`` in x along ``direction``."""
    return jvp(lambda y: field(y, t), (x,), (direction,))[1]


def in_time(field: Field, x: Tensor, t: Tensor) -> Tensor:
    """The derivative of ``field`` in t."""
    return jvp(lambda s: field(x, s), (t,), (torch.ones_like(t),))[1]


def jacobian(field: Field, x: Tensor, t: Tensor) -> Tensor:
    """``J_ij = d_j field_i``, (B, d, d)."""
    columns = [along(field, x, t, unit(x, j)) for j in range(x.shape[1])]
    return torch.stack(columns, dim=2)


def diagonal(field: Field, x: Tensor, t: Tensor) -> Tensor:
    """``d_i field_i``, (B, d); its sum is the divergence."""
    columns = [along(field, x, t, unit(x, i))[:, i] for i in range(x.shape[1])]
    return torch.stack(columns, dim=1)


def gradient(potential: Field) -> Field:
    """The field ``grad phi`` of a scalar one, phi(x, t) of shape (B,)."""

    def grad(x: Tensor, t: Tensor) -> Tensor:
        return torch.func.grad(lambda y: potential(y, t).sum())(x)

    return grad


def unit(x: Tensor, i: int) -> Tensor:
    """The i-th unit vector at every row."""
    out = torch.zeros_like(x)
    out[:, i] = 1
    return out


def check_derivative(field: Field, x: Tensor, t: Tensor, name: str) -> None:
    """Refuse a field whose derivative contradicts its own differences.

    A field that leaves torch, detaches, rounds or draws noise has an automatic derivative of zero
    and no error. It is found by a central difference along one direction, in float64 where the
    field allows it; a field that is linear by pieces passes, one that is constant by pieces where
    it is a score fails.

    Raises
    ------
    NotDifferentiableError
        If it raises inside a derivative, or the two disagree.
    """
    few = slice(0, min(8, len(x)))
    y, s = x[few].detach(), t[few]
    size = float(y.abs().max()) or 1.0
    way = torch.cos(torch.arange(y.numel(), dtype=y.dtype, device=y.device)).reshape(y.shape)
    try:
        found = along(field, y, s, way)
    except RuntimeError as error:
        msg = f"{name} cannot be differentiated by torch ({str(error).splitlines()[0]}); write it "
        raise NotDifferentiableError(msg + ENOUGH) from error
    step = size * (STEP if y.dtype == torch.float64 else 100 * STEP)
    with torch.no_grad():
        ahead, behind = field(y + step * way, s), field(y - step * way, s)
    differences = (ahead - behind) / (2 * step)
    gap, most = float((found - differences).abs().max()), float(differences.abs().max())
    floor = 100 * torch.finfo(y.dtype).eps * float(ahead.abs().max()) / step
    if gap > AGREE * most + floor:
        have = float(found.abs().max())
        msg = f"{name} has the automatic derivative {have:.3g} where its differences give "
        raise NotDifferentiableError(msg + f"{most:.3g}; write it {ENOUGH}")


ENOUGH = "in torch operations without detach, no_grad or NumPy, or use the weak form"
"""What would do, at the end of a sentence."""


def check_curved(field: Field, x: Tensor, t: Tensor, name: str) -> None:
    """Refuse a score without a divergence: piecewise constant, as of a potential of ReLUs.

    Raises
    ------
    NotDifferentiableError
        If its derivative is zero at every one of the points.
    """
    if not bool(diagonal(field, x[:64], t[:64]).detach().any()):
        msg = f"{name} has derivative 0 at all {len(x[:64])} points: it is constant by pieces (a "
        msg += "potential of ReLUs?); smooth activations, such as softplus, would be enough"
        raise NotDifferentiableError(msg)
