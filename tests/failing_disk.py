"""A disk that fails at one call: every call that writes is counted, and any of them can be it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

CALLS = ("fsync", "replace", "rename", "link", "mkdir", "unlink", "rmdir")


class FailingDisk:
    """Counts the calls that write, and lets them fail.

    Parameters
    ----------
    monkeypatch : MonkeyPatch
        Puts things back.
    first : int
        The number of the first call that fails; -1 for none.
    error : int
        Its ``errno``.
    lasting : bool
        Whether all calls after it fail too, or it alone.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, first: int = -1, error: int = 0, *,
        lasting: bool = False,
    ) -> None:  # fmt: skip
        self.first, self.error, self.lasting = first, error, lasting
        self.done: list[str] = []
        self.failed: list[str] = []
        for name in CALLS:
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))
        opening, given = os.open, os.fdopen

        def opened(path: Any, flags: int, *args: Any, **more: Any) -> int:
            if flags & os.O_CREAT:
                self.step("open")
            return opening(path, flags, *args, **more)

        monkeypatch.setattr(os, "open", opened)

        def written(number: int, mode: str = "r", *args: Any, **more: Any) -> Any:
            file = given(number, mode, *args, **more)
            return _File(self, file) if "w" in mode else file

        monkeypatch.setattr(os, "fdopen", written)

    def step(self, name: str) -> None:
        """One call: it is counted, and fails if it is its turn."""
        turn = len(self.done)
        self.done.append(name)
        if turn == self.first or (self.lasting and 0 <= self.first < turn):
            self.failed.append(name)
            raise OSError(self.error, os.strerror(self.error))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            self.step(name)
            return None if name == "fsync" else call(*args, **more)  # slow, and seen by nobody

        return counted


class _File:
    """An open file; of a write that fails half is on the disk."""

    def __init__(self, disk: FailingDisk, file: Any) -> None:
        self.disk, self.file = disk, file

    def write(self, data: bytes) -> int:
        try:
            self.disk.step("write")
        except OSError:
            self.file.write(data[: len(data) // 2])
            raise
        return self.file.write(data)

    def flush(self) -> None:
        self.disk.step("flush")
        self.file.flush()

    def fileno(self) -> int:
        return self.file.fileno()

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.disk.step("close")
