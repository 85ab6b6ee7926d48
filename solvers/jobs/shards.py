"""Which part of a job is ours: batches ``i, i + n, i + 2n, ...`` of n processes.

The processes need not know each other: no message is sent, the folder is what they share.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .errors import JobError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """One of ``of`` processes, counted from 0.

    Raises
    ------
    JobError
        Unless ``0 <= index < of``.
    """

    index: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.of:
            msg = f"a shard is one of 0/{self.of} .. {self.of - 1}/{self.of}, got "
            msg += f"{self.index}/{self.of}"
            raise JobError(msg)

    def take(self, items: Sequence[Item]) -> list[Item]:
        """Our share of a list."""
        return list(items[self.index :: self.of])


def parse_shard(text: str) -> Shard:
    """The shard that ``i/n`` stands for.

    Raises
    ------
    JobError
        For another form, and for i outside of ``0 .. n - 1``.

    Examples
    --------
    >>> parse_shard("1/3")
    Shard(index=1, of=3)
    """
    found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    if not found:
        msg = f"a shard is written i/n with i from 0, such as 0/2; got {text!r}"
        raise JobError(msg)
    index, of = (int(word) for word in found.groups())
    if not of:
        msg = f"a job has at least one shard, got {text!r}"
        raise JobError(msg)
    return Shard(index, of)


def torchrun_shard(environment: Mapping[str, str] | None = None) -> Shard | None:
    """The shard of a process that torchrun started, by RANK and WORLD_SIZE; None for others.

    Raises
    ------
    JobError
        If these variables are no shard.
    """
    found = os.environ if environment is None else environment
    rank, world = found.get("RANK"), found.get("WORLD_SIZE")
    if rank is None or world is None:
        return None
    return parse_shard(f"{rank}/{world}")


def device_of(device: str, environment: Mapping[str, str] | None = None) -> str:
    """``cuda`` as the device of this process: under torchrun the one of its LOCAL_RANK."""
    found = os.environ if environment is None else environment
    rank = found.get("LOCAL_RANK")
    return f"cuda:{rank}" if device == "cuda" and rank and rank.isdigit() else device
