r"""Pruned networks: the smallest weights are taken for zero.

*Magnitude pruning* (Han, Pool, Tran & Dally 2015, arXiv:1506.02626) removes single weights, here
the same share of every tensor; *channel pruning* removes whole rows, the least in the Euclidean
norm, which is what makes a network smaller and faster (Li et al. 2017, arXiv:1608.08710; for
diffusion models Fang, Ma & Wang 2023, arXiv:2305.10924). Nothing is trained again: what is left
is the error of the score that removal makes, and :func:`fokker.analysis.reach.reach` says what
that does to the sample and until which share the first order foretells it.

On a linear network (:func:`fokker.toy_models.linear_network.linear_network`) all of it is closed.
Rows of its encoder are the principal directions of the data, their norms the standard deviations.
Without a row the network is, exactly, the model without error of a law that has the variance 0
there. Let ``rho = sigma/alpha`` go from ``rho_0`` to ``rho_1``; in units of ``x/alpha`` the
variance in such a direction at the end of the eta-SDE is

    v = rho_1^2 + C (rho_1/rho_0)^(2 (1 + eta))        instead of        C + rho_1^2

if the start is exact (:func:`variance_without`): all that is left of the direction is what the
start knew of it. On the ODE a start ``sqrt(C + rho_0^2) z`` ends at ``sqrt(v) z`` there, and not
at ``sqrt(C + rho_1^2) z``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.networks.network import Network
from ..solvers.process import Array
from .quantised import with_weights

By = Literal["weight", "channel"]


def pruned(values: Tensor, share: float) -> Tensor:
    """The values without the ``share`` of them that is smallest in size: those are 0.

    Of values of one size those go first that come first; ``round(share n)`` of n go.

    Raises
    ------
    AnalysisError
        For a share outside of [0, 1], or values that are not finite.
    """
    return _without(values, values.abs().flatten(), share, values.numel())


def pruned_channels(values: Tensor, share: float) -> Tensor:
    """The values without the ``share`` of rows that is smallest in the Euclidean norm.

    Rows run along the first axis, the output channels. At least one stays: a network whose last
    layer has one channel is none without it.

    Raises
    ------
    AnalysisError
        As :func:`pruned`, and for values without axes or rows.
    """
    if values.ndim < 1 or not len(values):
        msg = f"channels are rows along the first axis, got shape {tuple(values.shape)}"
        raise AnalysisError(msg)
    norms = torch.linalg.vector_norm(values.reshape(len(values), -1).double(), dim=1)
    return _without(values, norms, share, len(values) - 1)


def _without(values: Tensor, sizes: Tensor, share: float, most: int) -> Tensor:
    if not 0.0 <= share <= 1.0:
        msg = f"the share of what is pruned must be in [0, 1], got {share}"
        raise AnalysisError(msg)
    if not bool(torch.isfinite(values).all()):
        msg = "weights that are not finite have no order by size"
        raise AnalysisError(msg)
    gone = sizes.argsort(stable=True)[: min(round(share * len(sizes)), most)]
    out = values.clone().reshape(len(sizes), -1)
    out[gone] = 0.0
    return out.reshape(values.shape)


def pruned_network(
    network: Network, share: float, *, by: By = "weight", keep: Sequence[str] = ()
) -> Network:
    """A copy of the network without the smallest weights, or channels, of every tensor.

    Parameters
    ----------
    network : Network
        Of a module; see :func:`~.quantised.with_weights` for what is a weight.
    share : float
        Of each tensor, in [0, 1].
    by : {"weight", "channel"}
        Single weights or whole rows. The offset of a removed channel stays.
    keep : sequence of str
        Parameters whose names begin so stay whole. Rows of an embedding of classes are classes and
        no channels: keep them.

    Raises
    ------
    AnalysisError
        For another ``by``, a share outside of [0, 1], or a network without weights.
    """
    ways: dict[str, Callable[[Tensor, float], Tensor]] = {
        "weight": pruned, "channel": pruned_channels,
    }  # fmt: skip
    if by not in ways:
        msg = f"a network is pruned by {' or '.join(ways)}, got {by!r}"
        raise AnalysisError(msg)
    return with_weights(network, lambda w: ways[by](w, share), keep)


def variance_without(var: ArrayLike, rho: tuple[float, float], eta: float = 0.0) -> Array:
    """``rho_1^2 + C (rho_1/rho_0)^(2 (1 + eta))``: a pruned direction at the end, see the file.

    Parameters
    ----------
    var : array_like
        C, variances of the data in the directions that were removed.
    rho : (float, float)
        ``sigma/alpha`` at the start and at the end, the first not less and positive.
    eta : float
        tau^2 of the SDE; 0 is the ODE.

    Raises
    ------
    AnalysisError
        For a negative variance or eta, or levels in the wrong order.
    """
    c = np.asarray(var, dtype=np.float64)
    if not (np.isfinite(c).all() and (c >= 0).all()) or not 0.0 <= eta < np.inf:
        msg = f"variances and eta must be finite and not negative, got {var} and {eta}"
        raise AnalysisError(msg)
    first, last = rho
    if not (np.isfinite(first) and 0.0 <= last <= first and first > 0.0):
        msg = f"rho falls from a positive start to the end, got {rho}"
        raise AnalysisError(msg)
    return last**2 + c * (last / first) ** (2 * (1 + eta))
