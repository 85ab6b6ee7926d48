"""Which tensors of an imagined device have numbers that are known after all.

What the host sends it knows: the table of a schedule, the times of the steps, labels. What is
computed from such tensors alone is known as well. So where a sampler waits for a number of its
*schedule*, a run can go on and the wait be counted; a number of the *samples* stays unknown.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

MOST = 2**16
"""Numbers of a tensor that are kept at most: schedules are short, states are not."""


class KnownNumbers:
    """The numbers of tensors of one device, on the host, as long as those tensors live."""

    def __init__(self) -> None:
        self._numbers = WeakIdKeyDictionary()

    def of(self, tensor: Tensor) -> Tensor | None:
        """The numbers of a tensor, if they are known."""
        return self._numbers.get(tensor)

    def sent(self, there: Tensor, source: Tensor) -> None:
        """A copy has arrived."""
        if source.numel() <= MOST and not isinstance(source, FakeTensor):
            with unset_fake_temporarily():
                self._numbers[there] = source.detach().to(there.dtype, copy=True)

    def result(self, func: Any, operands: list[Tensor], args: tuple, given: dict[str, Any]) -> Any:
        """What an operation gives, on the host; None if an operand is not known.

        An operation in place changes the numbers with the tensor, or makes them unknown.
        """
        there = [v for v in operands if v.device.type != "cpu"]
        if not there or any(v not in self._numbers for v in there):
            for argument, value in zip(func._schema.arguments, args, strict=False):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    self._numbers.pop(value, None)
            return None
        host = {**given, "device": "cpu"} if given.get("device") is not None else given
        args, host = tree_map_only(Tensor, self._here, (args, host))
        with unset_fake_temporarily():
            return func(*args, **host)

    def keep(self, out: Any, numbers: Any) -> None:
        """The results of an operation have these numbers."""
        for tensor, value in zip(tensors_in(out), tensors_in(numbers), strict=True):
            if tensor.device.type != "cpu" and value.numel() <= MOST:
                self._numbers[tensor] = value

    def _here(self, tensor: Tensor) -> Tensor:
        return tensor if tensor.device.type == "cpu" else self._numbers[tensor]


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors of a nested structure, in order."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
