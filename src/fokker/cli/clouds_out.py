"""What the commands on clouds share: a bar, and a folder that is written whole (no command)."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .version import versions

if TYPE_CHECKING:
    from ..solvers.transport.cloud_transport import CloudTransport
    from ..solvers.transport.clouds import Cloud
    from ..solvers.transport.sinkhorn_result import EntropicPlan

SCHEMA = 1
PATIENCE = 2.0  # seconds until a bar shows


def add_output(parser: argparse.ArgumentParser) -> None:
    """Declare how the result is handed over."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for arrays (.npz), a picture and a manifest, made if it is missing; without "
        "it nothing is written",
    )


def add_effort(parser: argparse.ArgumentParser) -> None:
    """Declare when Sinkhorn stops."""
    parser.add_argument(
        "--tolerance", type=float, metavar="E", help="L1 error of both marginals (default: 1e-6)"
    )
    parser.add_argument(
        "--max-iterations", type=int, metavar="N", help="sweeps of Sinkhorn (default: 10000)"
    )


def effort_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options of Sinkhorn that were given."""
    given = {"tolerance": args.tolerance, "max_iterations": args.max_iterations}
    return {name: value for name, value in given.items() if value is not None}


def cloud_rows(a: Cloud, b: Cloud) -> list[tuple[str, str]]:
    """What was read: the first two rows of a page."""
    both = (("A", a), ("B", b))
    return [(k, f"{len(v.points)} points, d = {v.dim}, {v.name}") for k, v in both]


class SweepBar:
    """A bar on stderr that shows after two seconds: ``bar(iterations, error, epsilon)``."""

    def __init__(self) -> None:
        from tqdm import tqdm

        pause = 0.1 if sys.stderr.isatty() else 15.0
        self._bar: Any = tqdm(
            unit="sweep", desc="Sinkhorn", file=sys.stderr, mininterval=pause, delay=PATIENCE
        )
        self._level, self._before = 0.0, 0

    def __call__(self, iterations: int, error: float, epsilon: float) -> None:
        """Show the sweeps so far and the error of the marginals."""
        if epsilon != self._level:
            self._level, self._before = epsilon, self._bar.n
        self._bar.set_postfix_str(f"marginal error {error:.1e}", refresh=False)
        self._bar.update(self._before + iterations - self._bar.n)

    def total(self) -> int:
        """Sweeps of all levels so far."""
        return self._bar.n

    def __enter__(self) -> SweepBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def marginal_words(found: CloudTransport | EntropicPlan) -> str:
    """The marginal error, and whether it is what was asked for."""
    error = f"{found.marginal_error:.2e}"
    if found.tolerance is None:
        return error
    return f"{error} (asked for {found.tolerance:g}: {'met' if found.converged else 'NOT met'})"


def missed(error: float, tolerance: float, iterations: int | None) -> int:
    """Say that a tolerance was missed and by how much; the status of the command."""
    print(
        f"fokker: not converged: after {iterations} iterations the marginals are missed by "
        f"{error:.3g}, {error / tolerance:.3g} times the tolerance {tolerance:g}",
        file=sys.stderr,
    )
    return 1


def arrays_as_bytes(arrays: Mapping[str, Any], record: dict[str, Any], formula: str) -> bytes:
    """The bytes of an .npz file with an 'about' in JSON: no pickles, and equal in equal runs."""
    import numpy as np

    result = {k: v for k, v in record["result"].items() if k != "seconds"}
    about = json.dumps({**record, "result": result, "formula": formula})
    room = io.BytesIO()
    kept: dict[str, Any] = {k: np.asarray(v) for k, v in arrays.items()}
    np.savez_compressed(room, **kept, about=np.asarray(about))
    return room.getvalue()


def write_all(folder: Path, files: Mapping[str, bytes], manifest: dict[str, Any], name: str):
    """Write all files or none; the manifest, the last one, lists the others with their hashes."""
    from ..solvers.files import write_all_atomic

    listed = [
        {"name": k, "bytes": len(v), "sha256": hashlib.sha256(v).hexdigest()}
        for k, v in files.items()
    ]
    text = json.dumps({**manifest, "files": listed}, indent=1) + "\n"
    return write_all_atomic(folder, {**files, name: text.encode()})


def heading(args: argparse.Namespace, command: str, **options: Any) -> dict[str, Any]:
    """The part of a manifest that says what was asked, of what and by which versions."""
    from .points import fingerprint

    given = {"a": args.a, "b": args.b, "weights_a": args.weights_a, "weights_b": args.weights_b}
    inputs = {k: {"path": v, "sha256": fingerprint(v)} for k, v in given.items() if v is not None}
    return {
        "schema": SCHEMA,
        "command": command,
        "versions": versions(),
        "inputs": inputs,
        "options": options,
    }
