r"""The residual as a penalty in training, derivable in the parameters of the network.

Denoising score matching on a potential ``phi(x, t)`` makes ``grad phi`` the score of the data; the
penalty ``E w(t) R^2`` over points of the data makes phi obey the Fokker-Planck equation of the
forward process, so that the ODE and the SDE of the network share their laws::

    R = d_t phi + f d + f x.grad phi - g^2/2 (lap phi + |grad phi|^2)

It does not make the law right: a wrong density that obeys the equation has penalty zero, and a
heavy penalty is paid by the fit to the data. R grows like ``g^2/sigma^4`` towards the data; the
weight ``w = (sigma^2/g^2)^2`` takes the two out of it up to the last ``sigma^-2``.

Source: Deveney et al. 2023, arXiv:2311.15996 (the idea; the weight is ours, theirs collocates
uniformly on a box).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...solvers.process import Process
from .derivatives import ENOUGH
from .errors import NotDifferentiableError
from .fields import Field, clock


def penalty(log_density: Field, process: Process, x: Tensor, t: Tensor) -> Tensor:
    """Mean of ``(sigma^2 R/g^2)^2`` over the rows, a scalar derivable in the parameters.

    Parameters
    ----------
    log_density : callable
        phi(x, t), (B,), of a network with smooth activations.
    process : Process
        The forward process.
    x, t : Tensor
        Points (B, d) of the noised data and their times (B,): weighting by p_t is the point.
    """
    residual = forward_residual(log_density, process, x, t)
    c = clock(process, t)
    return (c.sigma.square() / c.g2 * residual).square().mean()


def forward_residual(log_density: Field, process: Process, x: Tensor, t: Tensor) -> Tensor:
    """R of the forward process at each row, (B,), derivable in the parameters.

    The same as :func:`log_residual` with :func:`forward_sde`, by reverse derivatives alone: 1 + d
    of them instead of nested forward ones, which is what a training step can afford.

    Raises
    ------
    NotDifferentiableError
        If the potential is cut off from x, or has no second derivative at any of the points.
    """
    y, s = x.detach().requires_grad_(), t.detach().requires_grad_()
    phi = log_density(y, s)
    score = _slope(phi, y)
    rate = torch.autograd.grad(phi.sum(), s, create_graph=True, materialize_grads=True)[0]
    bend = torch.zeros_like(phi)
    for i in range(x.shape[1]):
        bend = bend + _slope(score[:, i], y)[:, i]
    if bool(score.detach().any()) and not bool(bend.detach().any()):
        msg = f"the potential has second derivative 0 at all {len(x)} points (made of ReLUs?); "
        raise NotDifferentiableError(msg + "smooth activations, such as softplus, would be enough")
    c = clock(process, t)
    pulled = (y * score).sum(1) + x.shape[1]
    return rate + c.f * pulled - 0.5 * c.g2 * (bend + score.square().sum(1))


def denoising_loss(
    log_density: Field, process: Process, data: Tensor, eps: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    """Denoising loss ``E |sigma grad phi + eps|^2/d``, and the ``x = alpha data + sigma eps``."""
    c = clock(process, t)
    x = c.alpha[:, None] * data + c.sigma[:, None] * eps
    y = x.detach().requires_grad_()
    score = _slope(log_density(y, t), y)
    return (c.sigma[:, None] * score + eps).square().mean(), x


def _slope(values: Tensor, x: Tensor) -> Tensor:
    """Derivatives of (B,) in the rows of x, derivable again; zero where x is not in them."""
    if not values.requires_grad:
        msg = "the potential does not depend on x through autograd; write it "
        raise NotDifferentiableError(msg + ENOUGH)
    slope = torch.autograd.grad(values.sum(), x, create_graph=True, materialize_grads=True)
    return slope[0]
