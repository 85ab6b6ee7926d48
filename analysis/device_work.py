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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..solvers.engine.executor import Executor
from ..solvers.model import Model
from ..solvers.networks.network import Network
from ..solvers.plan import Eval, Plan
from .imagined_device import DeviceWaitError as DeviceWaitError
from .imagined_device import imagined, imagining
from .other_module import with_module


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
        Copies from the host and their bytes.
    held, peak : int
        Bytes of the tensors that are alive, now and at most since :meth:`mark`; what autograd
        keeps for itself and what a kernel needs within are not seen.
    waits : Counter of str
        Where the host would wait, ``file:line``; empty unless waiting is allowed.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    read: int = 0
    written: int = 0
    uploads: int = 0
    uploaded: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    held: int = 0
    peak: int = 0
    _prepares: bool = field(default=False, repr=False)
    _into: DeviceWork | None = field(default=None, repr=False)

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
        return with_module(network, self.moved_module)

    @contextmanager
    def apart(self) -> Iterator[DeviceWork]:
        """Within, what is asked is counted in what is given, not here."""
        before, self._into = self._into, DeviceWork()
        try:
            yield self._into
        finally:
            self._into = before

    def _launched(self, operation: str, read: list[Tensor], written: list[Tensor]) -> None:
        into = self._into or self
        into.kernels[operation] += 1
        into.read += sum(map(_bytes, read))
        into.written += sum(map(_bytes, written))

    def mark(self) -> None:
        """From here on the peak is a new one."""
        self.peak = self.held

    def _kept(self, size: int) -> None:
        self.held += size
        self.peak = max(self.peak, self.held)

    def _arrived(self, source: Tensor) -> None:
        into = self._into or self
        into.uploads += 1
        into.uploaded += _bytes(source)


@contextmanager
def device_work(*, may_wait: bool = False) -> Iterator[DeviceWork]:
    """Count what is done to tensors of the imagined device while the context lasts.

    Parameters
    ----------
    may_wait : bool
        Count the waits where the run can go on: it cannot for a number that depends on the
        samples, but what the host has sent, and what follows from that alone, is known.

    Raises
    ------
    DeviceWaitError
        Where the host would wait: for a number, for a shape or a mask that depends on the
        device's numbers, for a copy to the host, a copy from host memory that is not pinned, or
        the checks of ``torch.linalg``. A host tensor without dimensions may stand beside tensors
        of the device: its number travels with the launch.

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

    def waited(error: DeviceWaitError) -> None:
        if not may_wait:
            raise error
        (work._into or work).waits[error.place] += 1

    with imagining(work._launched, work._arrived, waited, work._kept, lambda: work._prepares):
        yield work


@dataclass(frozen=True)
class RunWork:
    """What a run of a plan asks of a device: in each call of the model, and beside them."""

    calls: tuple[DeviceWork, ...]
    sampler: DeviceWork


def run_work(
    plan: Plan, model: Callable[[DeviceWork], Model], shape: tuple[int, ...], *, noise: int = 0
) -> RunWork:
    """The work of one run, between the look at its start and the look at its samples.

    Parameters
    ----------
    plan : Plan
        What is run.
    model : callable
        Makes the model, with its module on the device (:meth:`DeviceWork.moved_network`).
        It is asked once at each of its levels before anything is counted.
    shape : tuple of int
        Shape of the states, (B, *D), float32.
    noise : int
        Seed; the numbers are drawn on the host and sent.

    Raises
    ------
    DeviceWaitError
        If sampler or model wait for the device.

    Examples
    --------
    A row of k terms launches k kernels, and a look at a new state one more.

    >>> from fokker.solvers.grids import uniform_lam
    >>> from fokker.solvers.registry import get
    >>> from fokker.toy_models.problems import problem
    >>> p = problem("product")
    >>> plan = get("dpmpp_2m")(p.process, uniform_lam(p.process, -3, 3).grid(4))
    >>> work = run_work(plan, lambda _: lambda x, t: x * t, (16, 3, 32, 32))
    >>> [call.kernels.total() for call in work.calls], work.sampler.kernels.total()
    ([1, 1, 1, 1], 15)
    """
    calls: list[DeviceWork] = []
    with device_work() as work, torch.no_grad():
        with work.preparing():
            asked = model(work)
            x = work.empty(*shape)
            inputs = {name: torch.empty_like(x) for name in plan.inputs} | {"x": x}
            for t in {op.node.t for op in plan.ops if isinstance(op, Eval)}:
                asked(x, t)

        def counted(x: Tensor, t: float) -> Tensor:
            with work.apart() as call:
                calls.append(call)
                return asked(x, t)

        work.mark()
        Executor(
            plan, counted, x, noise=noise, callback=None, save_at=set(), compiled=False, grad=False
        )(inputs)
    return RunWork(tuple(calls), work)


def _bytes(x: Tensor) -> int:
    """What is in memory: of an expanded tensor, what was expanded."""
    return min(x.numel() * x.element_size(), x.untyped_storage().nbytes())
