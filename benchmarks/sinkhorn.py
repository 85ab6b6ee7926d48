"""Entropic transport of two clouds: ours against OTT-JAX and POT, to a marginal error of 1e-6.

Each side is a process of one thread; they are asked in turns, and a time is processor time of the
whole process, the smallest seen. The problem: n points a side in the plane, epsilon 0.05 of the
mean cost, float64, cost matrices included, compilation not. A side that would take long is asked
for two small numbers of iterations, and its total is the time of one times the iterations that a
plain Sinkhorn takes (all plain ones take the same). OTT-JAX may live in another interpreter: set
``OTT_PYTHON``. Memory is the growth of the process's peak in its first solve.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from timing import table, write

SIDES = Path(__file__).parent / "sinkhorn_sides.py"
BARS = {2048: {"ott": 3.0, "pot": 15.0}, 8192: {"ott": 8.0, "pot": 25.0}}
COUNTS = {"ott": (10, 20), "pot": (2, 4)}
NAMES = {"ours": "ours", "ott": "OTT-JAX", "pot": "POT log, torch"}
ROUNDS = {2048: 3, 8192: 2}


class Side:
    """A process that solves on request; ``missing`` says why it cannot."""

    def __init__(self, name: str) -> None:
        python = os.environ.get("OTT_PYTHON", sys.executable) if name == "ott" else sys.executable
        one = {k: "1" for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        self.process = subprocess.Popen(
            [python, str(SIDES), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **one},
        )
        self.name, hello = name, self._read()
        self.version, self.missing = hello.get("version"), hello.get("missing")

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"missing": "its process ended"}

    def ask(self, n: int, iterations: int | None = None, relaxation: float | None = None) -> Any:
        """Solve once."""
        assert self.process.stdin is not None
        request = {"n": n, "iterations": iterations, "relaxation": relaxation}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(n: int) -> list[dict[str, Any]]:
    """All sides at one n, in turns."""
    sides = {name: Side(name) for name in NAMES}
    here = {name: side for name, side in sides.items() if side.missing is None}
    plain = here["ours"].ask(n, relaxation=1.0)
    memory, answers = {}, {name: [] for name in here}
    for turn in range(ROUNDS[n]):
        for name, side in here.items():
            full = name == "ours" or (name == "ott" and n <= 2048)
            got = side.ask(n) if full else _per_iteration(side, n, plain["iterations"])
            memory.setdefault(name, plain["extra_mb"] if name == "ours" else got["extra_mb"])
            answers[name].append(got | {"measured_whole": full, "turn": turn})
    for side in sides.values():
        side.close()
    rows = [
        {"n": n, "side": name, "version": here[name].version, **_best(answers[name])}
        | {"extra_mb": memory[name]}
        for name in here
    ]
    for row in rows:
        row["ratio"] = row["s"] / rows[0]["s"]
        row["bar"] = BARS[n].get(row["side"])
    rows[0]["plain"] = plain
    rows += [
        {"n": n, "side": name, "missing": side.missing}
        for name, side in sides.items()
        if side.missing is not None
    ]
    return rows


def _best(answers: list[dict[str, Any]]) -> dict[str, Any]:
    return min(answers, key=lambda a: a["s"])


def _per_iteration(side: Side, n: int, plain: int) -> dict[str, Any]:
    """A total from the time of some iterations; they look at the error after every ten."""
    counts = COUNTS[side.name]
    few, more = side.ask(n, counts[0]), side.ask(n, counts[1])
    each = (more["s"] - few["s"]) / (counts[1] - counts[0])
    iterations = 10 * math.ceil(plain / 10)
    return {
        "s": each * iterations, "iterations": iterations, "error": None,
        "extra_mb": max(few["extra_mb"], more["extra_mb"]),
    }  # fmt: skip


def main() -> list[dict[str, Any]]:
    """Measure, print the table, write the record."""
    rows = [row for n in BARS for row in measure(n)]
    cells = []
    for r in rows:
        if "missing" in r:
            cells.append([f"{r['n']} {NAMES[r['side']]}", f"missing: {r['missing']}", *[""] * 6])
            continue
        bar = (
            "-"
            if r["bar"] is None
            else f"{r['bar']:.0f}{'' if r['ratio'] >= r['bar'] else ' MISSED'}"
        )
        error = "-" if r["error"] is None else f"{r['error']:.1e}"
        cells.append([
            f"{r['n']} {NAMES[r['side']]}", f"{r['s']:.2f}", "whole" if r["measured_whole"] else
            "an iteration", str(r["iterations"]), error, f"{r['extra_mb']:.0f}",
            f"{r['ratio']:.1f}", bar,
        ])  # fmt: skip
    head = ["n, side", "cpu s", "measured", "iterations", "error", "memory MB", "slower", "bar"]
    print(table(head, cells))
    print(f"written to {write('sinkhorn', rows)}")
    return rows


if __name__ == "__main__":
    main()
