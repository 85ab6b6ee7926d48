"""How a module is asked: what it is shown for a state x at a level of noise.

A trained module ``F(z, c, labels)`` sees x through two numbers of the level: ``z = scale x`` and
c, by which it knows the level:

==============  ===========================  ====================  ==============================
asked           scale                        c                     who
==============  ===========================  ====================  ==============================
``"time"``      1                            t                     score networks, own modules
``"lam"``       1                            log(alpha/sigma)      networks told the half log-SNR
``"straight"``  1/(alpha + sigma)            sigma/(alpha+sigma)   flows, seen as straight
``"edm"``       1/hypot(sigma, alpha s_d)    log(sigma/alpha)/4    Karras et al. 2022, 2206.00364
==============  ===========================  ====================  ==============================

c is a tensor (B,) that is never less than float32, also where the module computes in bfloat16:
a time rounded to 8 bits is another level. Rows at times of their own have a scale and a c each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..batch import column
from ..model import SIGMA_DATA
from ..process import Node, Process
from .errors import NetworkError, told
from .network import Network
from .rows import Time

_Shown = Callable[[Node, float], tuple[float, float]]

_ASKED: dict[str, _Shown] = {
    "time": lambda node, _: (1.0, node.t),
    "lam": lambda node, _: (1.0, node.lam),
    "straight": lambda node, _: (
        1.0 / (node.alpha + node.sigma),
        node.sigma / (node.alpha + node.sigma),
    ),
    "edm": lambda node, sigma_data: (
        1.0 / math.hypot(node.sigma, node.alpha * sigma_data),
        -0.25 * node.lam,
    ),
}
ASKED = tuple(_ASKED)
"""The ways in which a module can be asked."""
_LARGEST = 2**26


@dataclass(frozen=True, eq=False)
class ModuleCall:
    """``call(x, t, labels)`` of a module ``F(z, c, labels)``; see the table of this file.

    z and the labels are on the device of x, z in the dtype of the module's parameters; t is a
    float or one time for each row, (B,).

    Raises
    ------
    NetworkError
        For an unknown way of asking; when asked, at a level that has no finite c.

    Examples
    --------
    >>> from fokker.solvers.schedules import EDM
    >>> seen = ModuleCall(nn.Identity(), EDM(), "edm", sigma_data=0.5)
    >>> seen.shown(1.0)
    (0.8944271909999159, -0.0)
    """

    module: Callable[..., Any]
    process: Process
    asked: str = "time"
    sigma_data: float = SIGMA_DATA
    takes_rows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.asked not in ASKED:
            msg = f"unknown way of asking a module {self.asked!r}; accepted: {', '.join(ASKED)}"
            raise NetworkError(msg)

    def shown(self, t: float) -> tuple[float, float]:
        """``(scale, c)`` at time t, float64."""
        scale, c = _ASKED[self.asked](self.process.node(t), self.sigma_data)
        if not math.isfinite(c):
            msg = f"at t = {t:g} a module that is asked by {self.asked!r} would be told c = {c}"
            raise NetworkError(msg)
        return scale, c

    def __call__(self, x: Tensor, t: Time, labels: Tensor | None) -> Tensor:
        """What the module answers."""
        dtype = module_dtype(self.module, x)
        z, level = shown_rows(self.shown, x, t, level_dtype(dtype))
        return self.module(z.to(dtype), level, labels)


def shown_rows(
    shown: Callable[[float], tuple[float, float]],
    x: Tensor,
    t: Time,
    dtype: torch.dtype,
    change: Callable[[float], float] = float,
) -> tuple[Tensor, Tensor]:
    """``(scale x, c)`` with ``shown(t) = (scale, c)``, c (B,) in a dtype and after a change.

    t is a float, for all rows, or has a time for each, (B,).
    """
    if not isinstance(t, Tensor):
        scale, c = shown(t)
        level = torch.full((len(x),), change(c), device=x.device, dtype=dtype)
        return (x if scale == 1.0 else scale * x), level
    pairs = [shown(s) for s in t.tolist()]
    scales = torch.tensor([scale for scale, _ in pairs], dtype=torch.float64)
    level = torch.tensor([change(c) for _, c in pairs], dtype=dtype)
    return column(scales, x) * x, level.to(x.device)


def module_dtype(module: Any, x: Tensor) -> torch.dtype:
    """Dtype of the parameters; that of x for what has none."""
    if isinstance(module, nn.Module):
        for parameter in module.parameters():
            if parameter.is_floating_point():
                return parameter.dtype
    return x.dtype


def level_dtype(dtype: torch.dtype) -> torch.dtype:
    """Dtype in which a module that computes in ``dtype`` is told the level: float32 or better."""
    return torch.promote_types(dtype, torch.float32)


def module_network(
    name: str,
    module: nn.Module,
    process: Process,
    *,
    prediction: str,
    shape: tuple[int, ...],
    lam_range: tuple[float, float],
    asked: str = "time",
    classes: int = 0,
    null_class: bool = True,
    sigma_data: float = SIGMA_DATA,
    about: Mapping[str, Any] | None = None,
) -> Network:
    """A module ``F(z, c, labels)`` as a network; it is put into evaluation mode.

    Parameters
    ----------
    asked : str
        How it is asked, one of :data:`ASKED`.
    name, module, process, prediction, shape, lam_range, classes, null_class, sigma_data, about
        As in :class:`~.network.Network`.

    Raises
    ------
    NetworkError
        For what makes no network.

    Examples
    --------
    >>> from fokker.solvers.schedules import RectifiedFlow
    >>> class Shrink(nn.Module):
    ...     def forward(self, z, c, labels):
    ...         return z * (1 - c[:, None])
    >>> network = module_network(
    ...     "shrink", Shrink(), RectifiedFlow(), prediction="data", shape=(2,), lam_range=(-3, 3)
    ... )
    >>> network.model()(torch.ones(1, 2), 0.25)
    tensor([[0.7500, 0.7500]])
    """
    return Network(
        name=name,
        call=ModuleCall(module.eval(), process, asked, sigma_data),
        process=process,
        prediction=prediction,
        shape=shape,
        lam_range=lam_range,
        classes=classes,
        null_class=null_class,
        sigma_data=sigma_data,
        module=module,
        about=about or {},
    )


@torch.no_grad()
def check_answers(network: Network) -> None:
    """Ask once, in the middle of the range and for the last label, and look at the answer.

    Raises
    ------
    NetworkError
        If the network fails, or answers in another shape or with numbers that are not finite.
    """
    if math.prod(network.shape) > _LARGEST:
        msg = f"a sample of shape {network.shape} has more than {_LARGEST} numbers"
        raise NetworkError(msg)
    middle = network.process.node_at_lam(0.5 * sum(network.lam_range)).t
    x = torch.zeros(1, *network.shape)
    if network.module is not None:
        x = x.to(next((p.device for p in network.module.parameters()), x.device))
    last = network.classes - (not network.null_class)
    labels = torch.full((1,), last, device=x.device) if network.classes else None
    try:
        out = network.call(x, middle, labels)
    except (RuntimeError, IndexError, TypeError, ValueError, AttributeError) as reason:
        why = told(reason)
        msg = f"the network {network.name!r} fails on a sample of shape {network.shape}: {why}"
        raise NetworkError(msg) from reason
    if tuple(out.shape[1:]) != network.shape or not bool(torch.isfinite(out).all()):
        msg = (
            f"the network {network.name!r} must answer finite numbers of shape {network.shape}, "
            f"got shape {tuple(out.shape[1:])} or numbers that are not finite"
        )
        raise NetworkError(msg)
