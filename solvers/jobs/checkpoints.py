"""Batches on their way: what is live after a step, so that a long run need not begin again.

What is kept is what :func:`fokker.solvers.plan_split.part` takes: the state and, for a multistep
method, some model outputs. A file counts only if it is of this job, this batch and this step, and
its numbers have the SHA-256 that it claims; else the batch begins at its start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ..networks.checkpoint import read_weights, write_weights
from ..networks.errors import CheckpointError
from ..networks.identity import numbers
from .folder import Folder


class Checkpoints:
    """The checkpoints of a job, one for each batch."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def path(self, ids: Sequence[int]) -> Path:
        """The file of a batch."""
        name = f"{self.folder.batch_name(ids)}.safetensors"
        return self.folder.path / "checkpoints" / name

    def save(self, ids: Sequence[int], step: int, vectors: Mapping[str, Tensor]) -> None:
        """Keep what is live after a step."""
        words = {"identity": self.folder.identity, "step": str(step), "sum": _digest(vectors)}
        write_weights(self.path(ids), vectors, words)

    def load(self, ids: Sequence[int], steps: int) -> tuple[int, dict[str, Tensor]]:
        """``(step, vectors)`` of the newest checkpoint; ``(0, {})`` if none counts."""
        try:
            found = read_weights(self.path(ids))
        except CheckpointError:
            return 0, {}
        words, step = found.metadata, found.metadata.get("step", "")
        ours = words.get("identity") == self.folder.identity
        good = ours and words.get("sum") == _digest(found.tensors)
        whole = step.isascii() and step.isdecimal() and len(step) < 10  # int() takes no thousands
        if not (good and "x" in found.tensors and whole and 0 < int(step) < steps):
            return 0, {}
        return int(step), found.tensors

    def drop(self, ids: Sequence[int]) -> None:
        """Forget a batch that is done."""
        self.path(ids).unlink(missing_ok=True)


def _digest(vectors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(vectors):
        found.update(f"{name}|{tuple(vectors[name].shape)}|{vectors[name].dtype}|".encode())
        found.update(numbers(vectors[name]))
    return found.hexdigest()
