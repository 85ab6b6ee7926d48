"""One start for all: the boundary condition of the probability-flow ODE as something to choose.

With a fixed deterministic sampler the output is a function ``h(x_T, y)`` of the start and of the
condition. A start that is good for one condition tends to be good for others, so it is chosen
once, by the mean loss over a few reference pairs, and used for every condition after that (Ma et
al. 2024, arXiv:2305.15357, for super-resolution). The sampler and the model stay as they are.

With the squared error as the loss the best start makes *means*, not samples: what is gained in
the error is lost in spread. And the references are learnt, too, the more so the fewer they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ShapeError


class BoundaryChoice(NamedTuple):
    """The chosen start, shape D, its index, and the mean losses of all candidates, (K,)."""

    start: Tensor
    index: int
    losses: Tensor


def squared_error(output: Tensor, truth: Tensor) -> Tensor:
    """Squared distance of each sample, summed over its numbers, (R,)."""
    return (output - truth).square().reshape(len(output), -1).sum(1)


def boundary_losses(
    sample: Callable[[Tensor], Tensor],
    candidates: Tensor,
    references: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = squared_error,
) -> Tensor:
    """Mean loss of each candidate over the references, (K,).

    Parameters
    ----------
    sample : callable
        ``sample(x)``, x of shape (R, *D), the deterministic sampler: its row r is conditioned as
        reference r is.
    candidates : Tensor
        Starts, shape (K, *D), at the noise level at which the sampler starts.
    references : Tensor
        The true data of the R conditions, shape (R, *D).
    loss : callable
        ``loss(output, truth) -> (R,)``; the squared error by default.

    Raises
    ------
    ShapeError
        If a candidate is not shaped like a reference, or there are none.

    Examples
    --------
    >>> losses = boundary_losses(lambda x: 0.5 * x, torch.tensor([[2.0], [0.0]]), torch.ones(3, 1))
    >>> losses
    tensor([0., 1.])
    """
    if candidates.shape[1:] != references.shape[1:] or not len(candidates) or not len(references):
        msg = (
            "candidates (K, *D) and references (R, *D) need one shape *D and at least one of "
            f"each, got {tuple(candidates.shape)} and {tuple(references.shape)}"
        )
        raise ShapeError(msg)
    return torch.stack(
        [loss(sample(c.expand_as(references)), references).mean() for c in candidates]
    )


def best_boundary(
    sample: Callable[[Tensor], Tensor],
    candidates: Tensor,
    references: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = squared_error,
) -> BoundaryChoice:
    """The candidate of least mean loss; arguments and errors as :func:`boundary_losses`."""
    losses = boundary_losses(sample, candidates, references, loss)
    index = int(losses.argmin())
    return BoundaryChoice(candidates[index], index, losses)
