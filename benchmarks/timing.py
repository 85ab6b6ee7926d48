"""How benches measure on a machine that is not theirs alone, and how they write what they found.

A time is processor time of the measuring thread, and the smallest of many, taken in turns with
what it is compared to: other people's work, on the processor, in the caches and on the memory bus,
only ever adds. The median of the ratios of neighbours in time is given beside the ratio of the
minima; where the two disagree the machine was busy.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fokker import __version__
from fokker.solvers.files import writable_folder, write_text_atomic

RESULTS = Path(__file__).parent / "results"
SCHEMA = 1


@dataclass(frozen=True)
class Pair:
    """Seconds of one call of each side: the smallest seen; and the median ratio of neighbours."""

    base: float
    target: float
    typical_ratio: float


def seconds(call: Callable[[], object], count: int = 1) -> float:
    """Processor seconds of one of ``count`` calls in a row."""
    begin = time.thread_time()
    for _ in range(count):
        call()
    return (time.thread_time() - begin) / count


def in_turns(
    base: Callable[[], object],
    target: Callable[[], object],
    *,
    base_count: int,
    rounds: int,
) -> Pair:
    """Time both in turns, after one unmeasured round."""
    seconds(base, base_count)
    seconds(target)
    bases, targets = [], []
    for _ in range(rounds):
        bases.append(seconds(base, base_count))
        targets.append(seconds(target))
    typical = statistics.median(b / a for a, b in zip(bases, targets, strict=True))
    return Pair(min(bases), min(targets), typical)


def machine() -> dict[str, Any]:
    """Hardware and versions, for the record."""
    return {
        "processor": _processor(),
        "system": platform.platform(),
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": np.__version__,
        "fokker": __version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write(name: str, rows: list[dict[str, Any]]) -> Path:
    """``results/<name>.json``, whole or not at all."""
    record = {"schema": SCHEMA, "bench": name, "machine": machine(), "rows": rows}
    folder = writable_folder(RESULTS)
    return write_text_atomic(folder / f"{name}.json", json.dumps(record, indent=1) + "\n")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Columns wide enough for what is in them; the first to the left, the others to the right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [
            c.ljust(w) if k == 0 else c.rjust(w)
            for k, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
