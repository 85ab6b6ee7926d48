"""One thread of torch for a measurement, and what the caller had after it.

Small batches are slower on many threads than on one, and several measurements run side by side;
but the setting is of the whole process, and whoever asked for a record goes on in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """A block (or, as a decorator, a function) in which torch uses one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
