"""A network whose module is another one: changed in its weights, or on another device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from ..solvers.errors import AnalysisError
from ..solvers.networks.asking import ModuleCall
from ..solvers.networks.diffusers_call import DiffusersCall
from ..solvers.networks.network import Network


def with_module(network: Network, change: Callable[[nn.Module], nn.Module]) -> Network:
    """A copy of a network, of ours or of diffusers, that asks ``change(module)``.

    The module itself must stay as it is; of a compiled network the copy is not compiled.

    Raises
    ------
    AnalysisError
        For an exact network, or one whose module cannot be replaced.
    """
    if network.module is None:
        msg = f"the network {network.name!r} has no weights to change"
        raise AnalysisError(msg)
    if not isinstance(network.call, (ModuleCall, DiffusersCall)):
        msg = f"{network.name!r} asks its module in a way of its own: no changed copy can be asked"
        raise AnalysisError(msg)
    module = change(network.module)
    return replace(network, call=replace(network.call, module=module), module=module)
