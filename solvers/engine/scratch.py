"""Buffers of one run, kept for the next: to touch new memory costs twenty passes over it.

Only the host needs this (a device has an allocator that keeps what it had), only buffers nobody
else holds are kept, only of the last layout, and at most `LIMIT` bytes. What is in them is never
read.
"""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 1 << 28
"""Largest number of bytes kept between runs."""

_kept: dict[tuple, list[Tensor]] = {}


def take(like: Tensor) -> Tensor:
    """A tensor of the layout of ``like``, with anything in it."""
    kept = _kept.get(_key(like)) if type(like) is Tensor else None
    if kept and not torch.is_inference_mode_enabled():
        try:
            return kept.pop()
        except IndexError:  # another thread was faster
            pass
    return torch.empty_like(like)


def give(buffers: list[Tensor], like: Tensor) -> None:
    """Keep what a run no longer needs, in place of what was kept before."""
    usual = type(like) is Tensor and like.device.type == "cpu"
    if not usual or any(b.is_inference() for b in buffers):
        return
    key = _key(like)
    kept = _kept.get(key, [])
    room = LIMIT // max(1, like.nbytes)
    _kept.clear()
    _kept[key] = [*kept, *buffers][:room]


def _key(like: Tensor) -> tuple:
    return (like.shape, like.stride(), like.dtype, like.device)
