r"""Conditions without training: a classifier's gradient, and known coordinates put back.

Song et al. 2021, arXiv:2011.13456, sec. 5 and appendix I. The score of a conditional law is

    score(x | y) = score(x) + grad log p_t(y | x),

exact for a classifier of *noisy* states (:func:`classifier_guided`). For known coordinates
(inpainting) no classifier is needed in print: after each corrector and each predictor they are
overwritten by ``alpha y + sigma z``, fresh noise each time (:class:`Known`). Known linear
combinations are known coordinates in another orthonormal basis: of the colours for a grey image
(:func:`grey_basis`), of the singular vectors for any full-rank measurement (:func:`measured`).

Overwriting is not conditioning. The unknown coordinates see ``alpha y + sigma z``, a *noisy*
observation that is drawn anew at each level and forgotten, where conditioning needs y itself: on
correlated Gaussian data the mean of the unknown ones is pulled towards the prior's and their
variance is too large. Corrector steps let them come to terms with the newest draw, and the bias
falls with their number. The exact conditional model of a Gaussian or a mixture is the model of
its posterior, see ``toy_models/conditioned.py``.

``lag=True`` is the public code's order: after the step from s to t the known coordinates are put
back at the level of *s*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..batch import column
from ..checks import check_state
from ..errors import InvalidPlanError, NonFiniteError, PredictionError, ShapeError
from ..given import whole_number
from ..grids import Grid
from ..model import Model
from ..process import Node, Process
from ..stepper import StepperRun
from ..wrappers.wrapping import nodes_of
from .correctors import Corrector
from .predictor_corrector import predictor_corrector

ClassLogits = Callable[[Tensor, Any], Tensor]
"""``log p_t(class | x)`` up to a number that depends on x alone, (B, *D) and t -> (B, classes)."""


def classifier_guided(
    model: Model, process: Process, logits: ClassLogits, label: int, *, weight: float = 1.0
) -> Model:
    """The noise prediction with a class: ``eps - weight sigma grad log p_t(label | x)``.

    The gradient is taken by automatic differentiation through the logits, and where the state is
    being followed, once more: the Jacobian of the result (log-densities, gradients through a run)
    holds the classifier's second derivatives. At weight 1 and with the
    exact classifier of noisy states it is the exact conditional model; more weight is sharper than
    any diffused law. Not to be confused with classifier-free guidance
    (``wrappers/conditional.py``), which mixes two models and needs no gradient.

    Raises
    ------
    InvalidPlanError
        If the weight is not finite, or the label no number of a class.
    ShapeError, PredictionError
        When asked, if the logits are not (B, classes), or have no gradient.
    NonFiniteError
        When asked, if the gradient is not finite.
    """
    label = whole_number(label, "a label")
    if not abs(weight) < float("inf"):
        msg = f"the weight of a classifier must be a finite number, got {weight}"
        raise InvalidPlanError(msg)

    def conditional(x: Tensor, t: Any) -> Tensor:
        follows = x.requires_grad and torch.is_grad_enabled()
        with torch.enable_grad():
            leaf = x if follows else x.detach().requires_grad_()
            found = logits(leaf, t)
            _check_logits(found, len(x))
            if not 0 <= label < found.shape[1]:
                msg = f"the classifier knows classes 0 .. {found.shape[1] - 1}, not {label}"
                raise InvalidPlanError(msg)
            likely = found.log_softmax(1)[:, label].sum()
            (slope,) = torch.autograd.grad(likely, leaf, create_graph=follows)
        if not bool(torch.isfinite(slope).all()):
            msg = f"the classifier's gradient is not finite at t = {t}"
            raise NonFiniteError(msg)
        sigmas = torch.tensor([node.sigma for node in nodes_of(process, t, x)], dtype=x.dtype)
        size = column(sigmas.expand(len(x)), x)
        return model(x, t) - weight * size * slope

    return conditional


def _check_logits(found: Tensor, batch: int) -> None:
    if found.ndim != 2 or len(found) != batch:
        msg = f"a classifier's logits must have shape ({batch}, classes), got {tuple(found.shape)}"
        raise ShapeError(msg)
    if not found.requires_grad:
        msg = "the classifier's logits do not depend on x through autograd: they have no gradient"
        raise PredictionError(msg)


@dataclass(frozen=True)
class Known:
    """Known coordinates of the data, in the given basis or in an orthonormal one.

    Parameters
    ----------
    mask : Tensor
        Boolean, of the shape of a sample *D; True where known.
    values : Tensor
        The data, (B, *D) or *D; read where known, *in the basis*.
    basis : Tensor, optional
        Orthonormal, (d, d), d numbers a sample: coordinates are ``basis^T x``.

    Raises
    ------
    ShapeError
        If the mask is not boolean, shapes do not fit, or the basis is not orthonormal.
    """

    mask: Tensor
    values: Tensor
    basis: Tensor | None = None

    def __post_init__(self) -> None:
        shape, found = tuple(self.mask.shape), tuple(self.values.shape)
        if self.mask.dtype != torch.bool or (found != shape and found[1:] != shape):
            msg = (
                f"need a boolean mask of the shape of a sample of the values {found}, got "
                f"{self.mask.dtype} of shape {shape}"
            )
            raise ShapeError(msg)
        if self.basis is None:
            return
        d = self.mask.numel()
        if tuple(self.basis.shape) != (d, d):
            msg = f"the basis must have shape ({d}, {d}), got {tuple(self.basis.shape)}"
            raise ShapeError(msg)
        off = float((self.basis.mT @ self.basis - torch.eye(d).to(self.basis)).abs().max())
        if not off <= 1e3 * torch.finfo(self.basis.dtype).eps * d:
            msg = f"the basis must be orthonormal, got one with |Q'Q - 1| = {off:.1e}"
            raise ShapeError(msg)

    def decoupled(self, x: Tensor) -> Tensor:
        """The coordinates of states, (B, *D)."""
        if self.basis is None:
            return x
        return (x.flatten(1) @ self.basis.to(x)).reshape(x.shape)

    def coupled(self, coordinates: Tensor) -> Tensor:
        """The states of these coordinates, (B, *D)."""
        if self.basis is None:
            return coordinates
        flat = coordinates.flatten(1) @ self.basis.to(coordinates).mT
        return flat.reshape(coordinates.shape)

    def put(self, x: Tensor, node: Node, z: Tensor) -> Tensor:
        """The states with what is known overwritten by ``alpha y + sigma z``.

        Raises
        ------
        ShapeError
            If the states have another shape than the mask.
        """
        if x.shape[1:] != self.mask.shape:
            msg = (
                f"the mask has shape {tuple(self.mask.shape)} and a sample "
                f"{tuple(x.shape[1:])}; they must be one"
            )
            raise ShapeError(msg)
        values = self.values.to(x).expand_as(x)
        known = node.alpha * values + node.sigma * z
        mask = self.mask.to(x.device)
        return self.coupled(torch.where(mask, known, self.decoupled(x)))


def grey_basis(channels: int, pixels: int) -> Tensor:
    """Basis of (channels, pixels) images whose first channel is the grey, (d, d), float64.

    Orthonormal, by reflection: the first vector of each pixel is ``(1, ..., 1)/sqrt(channels)``;
    grey is thus ``sqrt(channels)`` times the mean of the colours.

    Raises
    ------
    ShapeError
        If there are fewer than two channels or no pixel.
    """
    if channels < 2 or pixels < 1:
        msg = f"need at least 2 channels and 1 pixel, got {channels} and {pixels}"
        raise ShapeError(msg)
    v = torch.full((channels,), channels**-0.5, dtype=torch.float64)
    v[0] -= 1.0
    eye = torch.eye(channels, dtype=torch.float64)
    turn = eye - 2 * torch.outer(v, v) / (v @ v)
    return torch.kron(turn, torch.eye(pixels, dtype=torch.float64))


def grey(images: Tensor) -> Known:
    """What a grey image tells: images (B, C, *pixels) whose mean over C is known; C >= 2."""
    shape = images.shape[1:]
    basis = grey_basis(shape[0], max(1, shape[1:].numel())).to(images)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[0] = True
    first = images.mean(1) * shape[0] ** 0.5
    values = torch.zeros_like(images)
    values[:, 0] = first
    return Known(mask, values, basis)


def measured(matrix: Tensor, y: Tensor) -> Known:
    """What ``A x = y`` tells of vectors x, as known coordinates along A's singular vectors.

    Parameters
    ----------
    matrix : Tensor
        A, (k, d), of full rank k <= d.
    y : Tensor
        Measurements without noise, (B, k) or (k,).

    Raises
    ------
    ShapeError
        If shapes or dtypes do not fit or A has not full rank.
    NonFiniteError
        If A or y is not finite.
    """
    fits = matrix.ndim == 2 and 0 < matrix.shape[0] <= matrix.shape[1]
    if not fits or y.shape[-1:] != matrix.shape[:1] or y.dtype != matrix.dtype:
        msg = (
            "need A of shape (k, d) with 1 <= k <= d and y of shape (B, k) or (k,) and its dtype, "
            f"got {tuple(matrix.shape)}, {matrix.dtype} and {tuple(y.shape)}, {y.dtype}"
        )
        raise ShapeError(msg)
    if not bool(torch.isfinite(matrix).all()) or not bool(torch.isfinite(y).all()):
        msg = "a measurement must be finite, A and y"
        raise NonFiniteError(msg)
    u, sizes, vh = torch.linalg.svd(matrix)
    k, d = matrix.shape
    if not float(sizes[-1]) > 1e3 * torch.finfo(matrix.dtype).eps * float(sizes[0]):
        msg = f"A must have full rank {k}, got singular values down to {float(sizes[-1]):.1e}"
        raise ShapeError(msg)
    mask = torch.arange(d) < k
    values = torch.zeros((*y.shape[:-1], d), dtype=matrix.dtype, device=matrix.device)
    values[..., :k] = y @ u / sizes
    return Known(mask, values, vh.mT)


def inpaint(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    known: Known,
    *,
    noise: Any,
    corrector: Corrector | None = None,
    predictor: str | None = "reverse_diffusion",
    lag: bool = False,
) -> StepperRun:
    """Sample with known coordinates put back after each corrector and each predictor.

    Parameters
    ----------
    model : callable
        Noise prediction of the *unconditional* law.
    x : Tensor
        Start at ``grid[0]``, (B, *D).
    known : Known
        What is known, and its values for each sample or for all.
    noise, corrector, predictor
        As for :func:`~.predictor_corrector.predictor_corrector`.
    lag : bool
        Put back at the level where the step began, as the public code does. At ``sigma = 0`` the
        known coordinates then keep the noise of the last level.

    Raises
    ------
    ShapeError
        If what is known does not fit the samples.
    """
    check_state(x, "x")
    shape = tuple(known.values.shape)
    if shape not in (tuple(x.shape), tuple(x.shape[1:]), (1, *x.shape[1:])):
        msg = f"known values of shape {shape} do not fit samples of shape {tuple(x.shape)}"
        raise ShapeError(msg)

    def after(state: Tensor, node: Node, before: Node, z: Tensor) -> Tensor:
        return known.put(state, before if lag else node, z)

    return predictor_corrector(
        model, process, grid, x,
        noise=noise, corrector=corrector, predictor=predictor, after=after,
    )  # fmt: skip
