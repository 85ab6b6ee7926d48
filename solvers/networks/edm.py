"""Networks in the form of Karras et al. 2022 (EDM), arXiv:2206.00364, and of those after it.

A raw module ``F(z, c, labels)`` sees a scaled state and a quarter of the log of sigma, and gives
the data prediction of ``x = x_0 + sigma eps`` as (eq. 7 and table 1 of the paper)::

    D = c_skip x + c_out F(c_in x, c_noise),   c_noise = log(sigma)/4,
    c_skip = s_d^2/(sigma^2 + s_d^2),  c_out = sigma s_d/sqrt(sigma^2 + s_d^2),
    c_in = 1/sqrt(sigma^2 + s_d^2),    s_d the standard deviation of the data

On any other process ``x/alpha`` is such a state with ``sigma/alpha`` for sigma, so the same
module serves all of them. c_skip and c_out are the conversion from the prediction ``"edm"`` in
:mod:`fokker.solvers.model`; c_in and c_noise are the asking ``"edm"`` in :mod:`.asking`.

The networks that the authors published are pickles, which are not read here (see
:mod:`.checkpoint`). Who trusts such a file loads it with the authors' code, on a machine where it
may do no harm, and writes its raw module's numbers down::

    write_weights("edm.safetensors", ema.model.state_dict())

The raw module is ``ema.model``, not ``ema``, which holds the formula above; it takes classes as
one-hot rows, see :class:`OneHot`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from ..model import SIGMA_DATA
from ..schedules import EDM
from .asking import module_network
from .errors import NetworkError
from .network import Network


def edm_network(
    name: str,
    module: nn.Module,
    *,
    shape: tuple[int, ...],
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    sigma_data: float = SIGMA_DATA,
    classes: int = 0,
    null_class: bool = True,
    about: Mapping[str, Any] | None = None,
) -> Network:
    """The network of a raw module ``F(z, c, labels)`` on the process ``alpha = 1, sigma = t``.

    Parameters
    ----------
    module : nn.Module
        F, with z (B, *shape), c (B,), labels (B,) integers or None.
    sigma_min, sigma_max : float
        The levels that it was trained on.
    sigma_data : float
        s_d of the formula.
    name, shape, classes, null_class, about
        As in :class:`~.network.Network`.

    Raises
    ------
    NetworkError
        For levels or a sigma_data that are none.

    Examples
    --------
    With F = 0 the data prediction is that of ``N(0, s_d^2)``: x/5 where sigma is twice s_d.

    >>> import torch
    >>> class Zero(nn.Module):
    ...     def forward(self, z, c, labels):
    ...         return 0 * z
    >>> network = edm_network("zero", Zero(), shape=(1,), sigma_data=0.5)
    >>> network.model(prediction="data")(torch.ones(1, 1), 1.0)
    tensor([[0.2000]])
    """
    if not 0 < sigma_min < sigma_max < math.inf:
        msg = f"need 0 < sigma_min < sigma_max, got {sigma_min} and {sigma_max}"
        raise NetworkError(msg)
    if not 0 < sigma_data < math.inf:
        msg = f"sigma_data must be a positive finite number, got {sigma_data}"
        raise NetworkError(msg)
    return module_network(
        name,
        module,
        EDM(sigma_max),
        prediction="edm",
        shape=shape,
        lam_range=(-math.log(sigma_max), -math.log(sigma_min)),
        asked="edm",
        classes=classes,
        null_class=null_class,
        sigma_data=sigma_data,
        about=about,
    )


class OneHot(nn.Module):
    """A module that takes classes as one-hot rows (B, classes), seen as one that takes integers.

    The label ``classes`` is a row of zeros: how the published networks are told of no class.
    """

    def __init__(self, module: Callable[..., Tensor], classes: int) -> None:
        super().__init__()
        self.module, self.classes = module, classes

    def forward(self, z: Tensor, c: Tensor, labels: Tensor | None) -> Tensor:
        """F(z, c, rows)."""
        if labels is None:
            return self.module(z, c, None)
        return self.module(z, c, functional.one_hot(labels, self.classes + 1)[:, :-1].to(z.dtype))
