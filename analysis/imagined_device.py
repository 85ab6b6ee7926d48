"""A device that is not there: its tensors have no numbers, and what is asked of it is told.

torch's fake tensors, in torch's one place for a device from outside. The name of a device that
torch does not serve (cuda, in a build without it) would not do: views and copies ask the device's
own library before anything else.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from ..solvers.errors import FokkerError
from .known_numbers import KnownNumbers, tensors_in


class DeviceWaitError(FokkerError, RuntimeError):
    """The host would wait for the device.

    Attributes
    ----------
    operation : str
        What torch was asked for.
    place : str
        ``file:line`` of the innermost caller outside of torch.
    """

    def __init__(self, operation: str, place: str) -> None:
        super().__init__(f"the host would wait for the device in {place}: {operation}")
        self.operation, self.place = operation, place


class _Module(backend_registration._DummyBackendModule):
    """What torch asks a device for, beside its kernels."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """The dtypes of ``torch.autocast``."""
        return [torch.bfloat16, torch.float16]


_AUTOCAST = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
"""Held, since what a library has registered goes with it."""


@functools.cache
def imagined() -> torch.device:
    """The device; made known to torch at the first call, for the life of the process."""
    backend_registration._setup_privateuseone_for_python_backend("imagined", _Module())
    _AUTOCAST.fallback(torch.library.fallthrough_kernel)
    return torch.device("imagined:0")


Kept = Callable[[int], None]
"""``kept(bytes)``: more memory of the device is held (or less, if negative)."""
Launched = Callable[[str, list[Tensor], list[Tensor]], None]
"""``launched(operation, read, written)``, with the tensors of the device."""
Arrived = Callable[[Tensor], None]
"""``arrived(source)``: a copy from the host that waits for nothing."""
Waited = Callable[[DeviceWaitError], None]
"""``waited(error)``: the host would wait, but could go on without a number of the device."""


@contextmanager
def imagining(
    launched: Launched,
    arrived: Arrived,
    waited: Waited,
    kept: Kept,
    prepares: Callable[[], bool],
) -> Iterator[torch.device]:
    """Within, tensors can be made on the imagined device, and what is asked of it is told.

    While ``prepares()`` is true the host may send what it likes, and nothing is told.

    Raises
    ------
    DeviceWaitError
        Where the host would wait for a number of the device that is not known.
    """
    device = imagined()
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) goes by the host
    try:
        mode = _Watch(device, launched, arrived, waited, kept, prepares)
        with FakeTensorMode(allow_non_fake_inputs=True), mode:
            yield device
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


_SEEN = "_held_on_the_imagined_device"
_CHECKS = frozenset({"aten::_linalg_check_errors"})
_UNKNOWN = frozenset({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape})
_SUBSCRIPTS = frozenset({"aten::index", "aten::index_put", "aten::index_put_"})
_NO_KERNEL = ("aten::empty", "aten::new_empty", "aten::_unsafe_view", "aten::detach", "prim::")
_COPIES = frozenset({"aten::_to_copy", "aten::copy_"})
_FILLS = frozenset({"aten::copy_", "aten::fill_", "aten::zero_"})


class _Watch(TorchDispatchMode):
    """Every operation, as it would arrive at the device."""

    def __init__(
        self,
        device: torch.device,
        launched: Launched,
        arrived: Arrived,
        waited: Waited,
        kept: Kept,
        prepares: Callable[[], bool],
    ) -> None:
        super().__init__()
        self.device, self.prepares = device, prepares
        self.launched, self.arrived, self.waited, self.kept = launched, arrived, waited, kept
        self.holders: Counter[int] = Counter()  # tensors by their memory
        self.known = KnownNumbers()
        self.pinned: dict[int, Tensor] = {}  # by their memory; held, so that none is used again

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """See one operation and go on."""
        del types
        given: dict[str, Any] = dict(kwargs or {})
        name = func._schema.name
        if name == "aten::_pin_memory":
            out = args[0].clone()
            self.pinned[_memory(out)] = out
            return out
        operands = tensors_in((args, given))
        fake = any(isinstance(v, FakeTensor) for v in operands)
        if not fake and not self._is_ours(given.get("device")):
            with unset_fake_temporarily():  # on the host there are numbers
                return func(*args, **given)
        copied = self._copied(operands, args, given) if name in _COPIES else None
        return self._computed(func, operands, args, given) if copied is None else copied

    def _computed(
        self, func: Any, operands: list[Tensor], args: tuple, given: dict[str, Any]
    ) -> Any:
        """What comes of an operation on the device."""
        name = func._schema.name
        there = [v for v in operands if v.device == self.device]
        numbers = self.known.result(func, operands, args, given)
        if there and _depends(name, func, operands):
            found = self._read(name, numbers)
            return self._there(found) if isinstance(found, Tensor) else found
        apart = bool(there) and any(map(self._is_apart, operands))
        if there and (apart or name in _CHECKS) and not self.prepares():
            self.waited(DeviceWaitError(name, _place()))
        if apart:
            args, given = tree_map_only(
                Tensor, lambda v: self._there(v) if self._is_apart(v) else v, (args, given)
            )
        out = func(*args, **given)
        results = [v for v in tensors_in(out) if v.device == self.device]
        for result in results:
            self._hold(result)
        if numbers is not None:
            self.known.keep(out, numbers)
        quiet = func.is_view or name.startswith(_NO_KERNEL) or self.prepares()
        if (there or results) and not quiet:
            filled = {id(given[a.name]) for a in func._schema.arguments if _fills(a, given)}
            filled |= {id(there[0])} if name in _FILLS else set()
            read = [v for v in there if id(v) not in filled]
            self.launched(name.removeprefix("aten::"), read, results)
        return out

    def _read(self, name: str, numbers: Any) -> Any:
        """What the host reads of the device, if it is known."""
        error = DeviceWaitError(name, _place())
        if numbers is None:
            raise error
        self.waited(error)
        return numbers

    def _copied(self, operands: list[Tensor], args: tuple, given: dict[str, Any]) -> Tensor | None:
        """What comes of a copy from one side to the other; None if it stays on its side."""
        source = operands[-1]
        onto = len(operands) > 1  # copy_
        target = operands[0].device if onto else given.get("device") or source.device
        patient = bool(args[2:] and args[2]) if onto else bool(given.get("non_blocking"))
        inwards = self._is_ours(target)
        if (source.device == self.device) == inwards:
            return None
        free = patient and _memory(source) in self.pinned
        if not inwards:
            found = self._read("a copy to the host", self.known.of(source))
            with unset_fake_temporarily():
                return (
                    operands[0].copy_(found) if onto else found.to(given.get("dtype"), copy=True)
                )
        if not self.prepares():
            if not free:
                what = "a copy from host memory that is not pinned"
                self.waited(DeviceWaitError(what, _place()))
            self.arrived(source)
        if onto:
            self.known.sent(operands[0], source.expand(operands[0].shape))
            return operands[0]
        return self._there(source, given.get("dtype"))

    def _there(self, source: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of the device in the place of one of the host."""
        like = source.shape, source.stride()
        made = torch.empty_strided(*like, dtype=dtype or source.dtype, device=self.device)
        self._hold(made)
        self.known.sent(made, source)
        return made

    def _hold(self, tensor: Tensor) -> None:
        """Follow a tensor until it dies; with the last one of a memory, the memory is free."""
        if getattr(tensor, _SEEN, False):
            return
        setattr(tensor, _SEEN, True)
        memory, size = _memory(tensor), tensor.untyped_storage().nbytes()
        self.holders[memory] += 1
        if self.holders[memory] == 1:
            self.kept(size)
        weakref.finalize(tensor, self._drop, memory, size)

    def _drop(self, memory: int, size: int) -> None:
        self.holders[memory] -= 1
        if not self.holders[memory]:
            del self.holders[memory]
            self.kept(-size)

    def _is_apart(self, operand: Tensor) -> bool:
        """Whether an operand is on the host, and no number that travels with the launch."""
        return operand.device != self.device and operand.ndim > 0

    def _is_ours(self, device: Any) -> bool:
        """Whether a device, with or without its number, is the imagined one."""
        return device is not None and torch.device(device).type == self.device.type


def _depends(name: str, func: Any, operands: list[Tensor]) -> bool:
    """Whether numbers decide what comes out: its shape, or a number on the host."""
    if name in _SUBSCRIPTS:  # so it is with a mask only
        return any(v.dtype == torch.bool for v in operands[1:])
    return bool(_UNKNOWN.intersection(func.tags))


def _fills(argument: Any, given: dict[str, Any]) -> bool:
    """Whether an argument of a schema is written and not read."""
    return argument.is_out and argument.name in given


def _memory(x: Tensor) -> int:
    return x.untyped_storage()._cdata


_TORCH = str(Path(torch.__file__).parent)


def _place() -> str:
    """Where outside of torch and of this module the call came from."""
    frame: Any = sys._getframe()
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_TORCH) and file != __file__:
            break
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
