"""A network through ``torch.compile``: the same numbers to rounding, fewer kernels.

What is compiled is the module alone. The level of noise reaches it as a tensor: a Python float
would be built into the code, and every step of a sampler compiled anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .asking import ModuleCall
from .diffusers_call import DiffusersCall
from .errors import NetworkError
from .network import Network

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
"""What ``torch.compile`` knows as its mode."""


class _Kept(nn.Module):
    """A compiled module whose answers stay: CUDA graphs write each over the one before."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module answers, in memory of its own."""
        torch.compiler.cudagraph_mark_step_begin()
        out = self.module(*args, **kwargs)
        return out.clone() if isinstance(out, Tensor) else tuple(part.clone() for part in out)


def compiled(
    network: Network,
    *,
    mode: str = "default",
    dynamic: bool | None = None,
    backend: str = "inductor",
) -> Network:
    """The same network with its module compiled; compiling happens at the first call.

    Parameters
    ----------
    network : Network
        One with a module.
    mode : str
        One of :data:`MODES`; those with CUDA graphs copy every answer once.
    dynamic : bool, optional
        Whether one program serves every size of batch; torch decides after the second if None.
    backend : str
        What ``torch.compile`` knows as its backend.

    Raises
    ------
    NetworkError
        For a network without a module, or an unknown mode.
    """
    if mode not in MODES:
        msg = f"unknown mode {mode!r} of torch.compile; accepted: {', '.join(MODES)}"
        raise NetworkError(msg)
    call: Any = network.call
    ours = isinstance(call, (ModuleCall, DiffusersCall))
    if network.module is None or not ours:
        msg = f"the network {network.name!r} has no module that could be compiled"
        raise NetworkError(msg)
    module: Any = torch.compile(call.module, mode=mode, dynamic=dynamic, backend=backend)
    if mode in ("reduce-overhead", "max-autotune"):
        module = _Kept(module)
    return replace(network, call=replace(call, module=module))
