"""What can be wrong with a network or with the folder that it comes from."""

from __future__ import annotations

from ..errors import FokkerError


class NetworkError(FokkerError, ValueError):
    """A network, its folder or what is asked of it does not fit: labels, shapes, noise levels."""


class CheckpointError(NetworkError):
    """A file of weights that is refused; nothing in it was executed."""


def told(words: object, most: int = 200) -> str:
    r"""Words of a stranger for a sentence of ours: one line, cut, nothing that moves a cursor.

    Examples
    --------
    >>> told(ValueError("no\n\x1b[2Jsuch file"))
    'no \\x1b[2Jsuch file'
    """
    line = " ".join(str(words).split())[:most]
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
