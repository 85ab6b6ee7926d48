"""The certificate: every registered sampler measured, in parallel, resumable, whole or not at all.

What one sampler's record holds is decided in :mod:`.measure`; this module only distributes the
work, keeps what is done in ``<out>/parts`` (keyed by a hash of the sources, the settings and the
claims, so that a stale part is never reused), and gathers the verdicts.

What it does *not* certify is said on the page.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import joblib

from ..solvers.errors import AnalysisError
from ..solvers.files import write_text_atomic
from ..solvers.registry import Sampler, get, is_registered
from ..toy_models.problems import problem
from .measure import PROBLEMS, Settings, measure
from .record import SCHEMA, with_verdict

Progress = Callable[[int, int, str], None]


def source_hash() -> str:
    """Hash of every source file of the packages: a part made by other code is not reused."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in ("solvers", "toy_models", "analysis"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _own_source(sampler: Sampler) -> bytes:
    """The whole file of a sampler that is not ours: a constant or a helper may have changed."""
    code = getattr(sampler.build, "__code__", None)
    path = Path(code.co_filename) if code else None
    if is_registered(sampler) or path is None or not path.is_file():
        return b""
    return path.read_bytes()


def _key(sampler: Sampler, settings: Settings, sources: str) -> str:
    claims = (
        sampler.name, sampler.order, sampler.order_cold, sampler.weak, sampler.weak_cold,
        sampler.strong, sampler.history, sampler.multiple, sorted(sampler.options.items()),
        _own_source(sampler), settings,
    )  # fmt: skip
    return hashlib.sha256(f"{sources}{claims!r}".encode()).hexdigest()


def _read_part(path: Path, key: str) -> dict[str, Any] | None:
    try:
        part = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return part["record"] if part.get("key") == key else None


def _measure_named(name: str, settings: Settings) -> dict[str, Any]:
    return measure(get(name), settings)


def _records(
    samplers: Sequence[Sampler], settings: Settings, jobs: int
) -> Iterator[dict[str, Any]]:
    """Records in the order in which they are finished; a user's own samplers run here."""
    shared = [s for s in samplers if is_registered(s)]
    own = [s for s in samplers if not is_registered(s)]
    if jobs > 1 and len(shared) > 1:
        pool = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        tasks = (joblib.delayed(_measure_named)(s.name, settings) for s in shared)
        yield from cast(Iterator[dict[str, Any]], pool(tasks))
    else:
        own = [*shared, *own]
    for s in own:
        yield measure(s, settings)


def hardware() -> dict[str, Any]:
    """The machine, as far as the standard library knows it."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return {"cpu": cpu, "cores": os.cpu_count(), "platform": platform.platform()}


def versions() -> dict[str, str]:
    """Versions of the libraries that the numbers come from."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("fokker", "numpy", "scipy", "torch")},
    }


def certify(
    samplers: Sequence[Sampler],
    *,
    problems: Sequence[str] | None = None,
    quick: bool = False,
    jobs: int = 2,
    out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure samplers and judge their claims.

    Parameters
    ----------
    samplers : sequence of Sampler
        Registered ones are shared among ``jobs`` processes; others are measured in this one.
    problems : sequence of str, optional
        Reference problems of the error tables; all by default. Orders are always measured on their
        own laws.
    quick : bool
        Fewer grids, budgets and processes; the same verdict rules.
    out : Path, optional
        Folder in which finished parts are kept, so that an interrupted run goes on.
    progress : callable, optional
        Called as ``progress(done, total, sampler_name)``.

    Returns
    -------
    dict
        The certificate, ready for JSON; ``unmet`` and ``not_resolved`` list the claims that fail.

    Raises
    ------
    AnalysisError
        For no samplers, an unknown problem, or ``jobs < 1``.
    """
    if not samplers or jobs < 1:
        msg = f"need at least one sampler and one job, got {len(samplers)} and {jobs}"
        raise AnalysisError(msg)
    names = tuple(problems) if problems else PROBLEMS
    described = [problem(name).describe() for name in names]
    settings, sources = Settings(names, quick), source_hash()
    parts = None if out is None else out / "parts"
    records: dict[str, dict[str, Any]] = {}
    keys = {s.name: _key(s, settings, sources) for s in samplers}
    if parts is not None:
        parts.mkdir(parents=True, exist_ok=True)
        found = {s.name: _read_part(parts / f"{s.name}.json", keys[s.name]) for s in samplers}
        records = {name: record for name, record in found.items() if record is not None}
    todo = [s for s in samplers if s.name not in records]
    for record in _records(todo, settings, jobs):
        name = record["name"]
        records[name] = record
        if parts is not None:
            text = json.dumps({"key": keys[name], "record": record})
            write_text_atomic(parts / f"{name}.json", text)
        if progress is not None:
            progress(len(records), len(samplers), name)
    ordered = [records[s.name] for s in samplers]
    return {
        "schema": SCHEMA, "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick, "seed": 0, "versions": versions(), "hardware": hardware(),
        "problems": described, "samplers": ordered,
        "unmet": with_verdict({"samplers": ordered}, "not met"),
        "not_resolved": with_verdict({"samplers": ordered}, "not resolved"),
        "failures": [
            {"sampler": r["name"], "failure": r["failure"]} for r in ordered if r["failure"]
        ],
    }  # fmt: skip
