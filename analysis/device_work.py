"""What a run would ask of a device, counted on a machine that has none: kernels, bytes, waits.

torch's fake tensors have a shape, a dtype and a device, but no numbers. A run on them makes every
call it would make on the device, in the same order; a call that needs a *number* on the host (a
comparison, ``item``, a boolean index) cannot go on. That is the very call for which the host would
have waited until the device had done all it was given before. So that a sampler never waits is
shown, not hoped for, and what it launches and moves is a count, not a timing.

What cannot be seen here is how long anything takes, what a library's kernel does inside (a
convolution is one kernel that moves its operands once), code generated for the device
(``torch.compile``), and what ``torch.autocast`` would cast.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..solvers.networks.network import Network
from .imagined_device import DeviceWaitError as DeviceWaitError
from .imagined_device import imagined, imagining


@dataclass
class DeviceWork:
    """What was asked of the device.

    Attributes
    ----------
    kernels : Counter of str
        Launches by operation; ``kernels.total()`` is their number. Views and allocations launch
        nothing.
    read, written : int
        Bytes of the operands and of the results of these launches, each tensor once a launch: the
        least that must move.
    uploads, uploaded : int
        Copies from the host, none of which waits, and their bytes.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    read: int = 0
    written: int = 0
    uploads: int = 0
    uploaded: int = 0
    _prepares: bool = field(default=False, repr=False)

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Within, the host may send what it likes and nothing is counted; reading back waits."""
        before, self._prepares = self._prepares, True
        try:
            yield
        finally:
            self._prepares = before

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor on the device."""
        return torch.empty(shape, dtype=dtype, device=imagined())

    def moved_module(self, module: nn.Module) -> nn.Module:
        """A copy of a module on the device; its parameters and buffers hold no numbers."""
        memo: dict[int, Any] = {}
        for parameter in module.parameters():
            there = torch.empty_like(parameter, device=imagined())
            memo[id(parameter)] = nn.Parameter(there, requires_grad=parameter.requires_grad)
        for buffer in module.buffers():
            memo[id(buffer)] = torch.empty_like(buffer, device=imagined())
        return copy.deepcopy(module, memo)

    def moved_network(self, network: Network) -> Network:
        """A copy of a network with a module, ours or of diffusers, on the device."""
        call: Any = network.call
        there = self.moved_module(call.module)
        return replace(network, call=replace(call, module=there), module=there)

    def _launched(self, operation: str, read: list[Tensor], written: list[Tensor]) -> None:
        self.kernels[operation] += 1
        self.read += sum(map(_bytes, read))
        self.written += sum(map(_bytes, written))

    def _arrived(self, source: Tensor) -> None:
        self.uploads += 1
        self.uploaded += _bytes(source)


@contextmanager
def device_work() -> Iterator[DeviceWork]:
    """Count what is done to tensors of the imagined device while the context lasts.

    Raises
    ------
    DeviceWaitError
        Where the host would wait: for a number, for a shape or a mask that depends on the
        device's numbers, for a copy to the host, or for a copy from host memory that is not
        pinned. A host tensor without dimensions may stand beside tensors of the device: its number
        travels with the launch.

    Examples
    --------
    >>> with device_work() as work:
    ...     x = work.empty(4, 3)
    ...     y = 2 * x + 1
    >>> work.kernels.total(), work.moved
    (2, 192)
    >>> with device_work() as work:
    ...     if work.empty(4).sum() > 0:
    ...         pass
    Traceback (most recent call last):
        ...
    fokker.analysis.imagined_device.DeviceWaitError: the host would wait for the device in ...
    """
    work = DeviceWork()
    with imagining(work._launched, work._arrived, lambda: work._prepares):
        yield work


def _bytes(x: Tensor) -> int:
    """What is in memory: of an expanded tensor, what was expanded."""
    return min(x.numel() * x.element_size(), x.untyped_storage().nbytes())
