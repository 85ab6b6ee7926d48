"""What can be wrong with a network or with the folder that it comes from."""

from __future__ import annotations

from ..errors import FokkerError


class NetworkError(FokkerError, ValueError):
    """A network, its folder or what is asked of it does not fit: labels, shapes, noise levels."""


class CheckpointError(NetworkError):
    """A file of weights that is refused; nothing in it was executed."""
