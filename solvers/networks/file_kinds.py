"""What a file is that is no safetensors file, by its first bytes: for a sentence that helps."""

from __future__ import annotations

_KINDS = (
    (b"PK\x03\x04", "a zip archive, as torch.save writes it: a pickle is inside"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"version https://git-lfs", "the stand-in of a large file that git has not fetched"),
)


def kind_of(start: bytes) -> str | None:
    r"""In words; None for what is not known.

    Examples
    --------
    >>> kind_of(b"\x80\x04\x95")
    'a pickle'
    """
    for magic, kind in _KINDS:
        if start.startswith(magic):
            return kind
    if start[:1] == b"\x80" and start[1] in range(2, 6):
        return "a pickle"
    if start[257:262] == b"ustar":
        return "a tar archive"
    return None
