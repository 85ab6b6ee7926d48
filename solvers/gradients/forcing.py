"""Generalised teacher forcing: gradients through a chaotic model that stay bounded, at any length.

The state is drawn towards the data *before* each step (Hess, Monfared, Brenner & Durstewitz 2023,
arXiv:2306.04406) ::

    z~_k = (1 - a) z_k + a zdata_k,        z_{k+1} = F(z~_k)

so every Jacobian in the chain rule has a factor, ``dz_T/dz_0 = prod_k (1 - a) J(z~_k)``.  a = 1 is
classic forcing (nothing is learned over more than one step), a = 0 is free running, whose products
grow like e^(lambda T) with the largest Lyapunov exponent of a chaotic model.  Two values of a:

* :func:`bounding_alpha`, ``1 - 1/max_k |J_k|``: no product of any length has a norm above 1;
* :func:`balancing_alpha`, ``1 - 1/|J_T ... J_1|^(1/T)``, in the limit ``1 - e^(-lambda)``: the
  products neither explode nor vanish in the mean, but are not bounded at each length.

Forcing in the loss alone, with the gradient taken through the free run, is another thing: it
changes the factor of no Jacobian.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import FokkerError, NonFiniteError, ShapeError


class ForcingError(FokkerError, ValueError):
    """A strength of forcing outside [0, 1]."""


def _check_jacobians(jacobians: Tensor, axes: int) -> None:
    """Refuse what is no stack of finite square matrices."""
    shape = tuple(jacobians.shape) if isinstance(jacobians, Tensor) else type(jacobians).__name__
    square = isinstance(shape, tuple) and len(shape) >= axes and shape[-1] == shape[-2]
    if not square or jacobians.numel() == 0 or not jacobians.is_floating_point():
        msg = f"Jacobians must be floats of the shape (T, ..., d, d), got {shape}"
        raise ShapeError(msg)
    if not bool(torch.isfinite(jacobians).all()):
        msg = "a Jacobian is not finite: no strength of forcing bounds it"
        raise NonFiniteError(msg)


def _check_alpha(alpha: float) -> None:
    if not 0.0 <= alpha <= 1.0:
        msg = f"the strength of forcing must lie in [0, 1], got {alpha}"
        raise ForcingError(msg)


def forced_orbit(
    step: Callable[[Tensor], Tensor], begin: Tensor, data: Tensor, alpha: float
) -> Tensor:
    """The states ``z_1 .. z_T`` of a model that is drawn towards data; with a graph.

    Parameters
    ----------
    step : callable
        The model ``F``, of shape (B, d) to (B, d).
    begin : Tensor
        ``z_0``, shape (B, d).
    data : Tensor
        ``zdata_0 .. zdata_{T-1}``, shape (T, B, d): state k+1 is to be compared with datum k+1.
    alpha : float
        a, from 0 to 1.

    Raises
    ------
    ForcingError
        If a lies outside [0, 1].
    ShapeError
        If the data are not one state like ``begin`` for each step.
    """
    _check_alpha(alpha)
    if data.dim() != begin.dim() + 1 or data.shape[1:] != begin.shape:
        msg = (
            f"the data must have the shape (T, {', '.join(map(str, begin.shape))}), "
            f"got {tuple(data.shape)}"
        )
        raise ShapeError(msg)
    z, states = begin, []
    for datum in data:
        z = step((1.0 - alpha) * z + alpha * datum)
        states.append(z)
    return torch.stack(states)


def log_growth(jacobians: Tensor, alpha: float = 0.0) -> Tensor:
    """Log of the spectral norm of ``(1-a) J_t ... (1-a) J_1`` for each length t.

    Parameters
    ----------
    jacobians : Tensor
        ``J_1 .. J_T``, shape (T, ..., d, d).
    alpha : float
        a; 1 gives minus infinity.

    Returns
    -------
    Tensor
        Shape (T, ...). The product is scaled as it grows: no length overflows.

    Raises
    ------
    ForcingError
        If a lies outside [0, 1].
    ShapeError
        If the Jacobians are not square.
    NonFiniteError
        If one is not finite.
    """
    _check_alpha(alpha)
    _check_jacobians(jacobians, 3)
    factor = math.log1p(-alpha) if alpha < 1.0 else -math.inf
    product = torch.eye(jacobians.shape[-1]).to(jacobians).expand(jacobians.shape[1:])
    total, out = jacobians.new_zeros(jacobians.shape[1:-2]), []
    for k, jacobian in enumerate(jacobians, start=1):
        product = jacobian @ product
        norm = torch.linalg.matrix_norm(product, ord=2)
        total = total + norm.log()
        product = product / norm.clamp_min(torch.finfo(norm.dtype).tiny)[..., None, None]
        out.append(total + k * factor)
    return torch.stack(out)


def bounding_alpha(jacobians: Tensor) -> float:
    """``max(0, 1 - 1/max_k sigma_max(J_k))``: the least a that bounds every product by 1.

    The maximum runs over all Jacobians given, shape (..., d, d); it bounds what it has seen.

    Raises
    ------
    ShapeError
        If these are no square matrices of floating-point numbers.
    NonFiniteError
        If one is not finite: no a bounds it.
    """
    _check_jacobians(jacobians, 2)
    largest = float(torch.linalg.matrix_norm(jacobians, ord=2).max())
    return max(0.0, 1.0 - 1.0 / largest) if largest > 0 else 0.0


def balancing_alpha(jacobians: Tensor) -> float:
    """``max(0, 1 - 1/g)``, g the T-th root of the norm of the whole product, in the mean.

    One Jacobian is not enough to choose it: it needs T of the order of 1/lambda.
    """
    growth = float(log_growth(jacobians)[-1].mean()) / len(jacobians)
    return max(0.0, -math.expm1(-growth))
