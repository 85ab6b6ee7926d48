"""What can be wrong with a sampler of another library, short of not being linear."""

from __future__ import annotations

from ..errors import FokkerError

KINDS = (
    "no plan",
    "not supported",
    "not installed",
    "unknown name",
    "raised",
    "not finite",
    "changes its input",
    "keeps state",
)
"""The kinds of :class:`ForeignError`."""


class ForeignError(FokkerError, RuntimeError):
    """A foreign sampler cannot be used; ``kind`` is one of :data:`KINDS`, the rest a sentence."""

    def __init__(self, message: str, *, kind: str = "raised") -> None:
        super().__init__(message)
        self.kind = kind
