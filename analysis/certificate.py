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
from .measure import PROBLEMS, Settings, measure, measure_method
from .record import SCHEMA, with_verdict
from .stochastic.rows import named_methods

Progress = Callable[[int, int, str], None]

Claim = tuple[str, str]
"""A method for general equations by name, and the kind of noise."""


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


def _measure_claim(claim: Claim, settings: Settings) -> dict[str, Any]:
    return measure_method(named_methods()[claim[0]], claim[1], settings)


def _records(
    samplers: Sequence[Sampler], methods: Sequence[Claim], settings: Settings, jobs: int
) -> Iterator[dict[str, Any]]:
    """Records in the order in which they are finished; a user's own samplers run here."""
    shared = [s for s in samplers if is_registered(s)]
    own = [s for s in samplers if not is_registered(s)]
    if jobs > 1 and len(shared) + len(methods) > 1:
        pool = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        tasks = [joblib.delayed(_measure_named)(s.name, settings) for s in shared]
        tasks += [joblib.delayed(_measure_claim)(m, settings) for m in methods]
        yield from cast(Iterator[dict[str, Any]], pool(tasks))
    else:
        own = [*shared, *own]
        for m in methods:
            yield _measure_claim(m, settings)
    for s in own:
        yield measure(s, settings)


def _slug(name: str) -> str:
    """A file name for a part."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


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
    methods: Sequence[Claim] = (),
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
    methods : sequence of (str, str)
        Methods for general equations, by name, each with a kind of noise.
    problems : sequence of str, optional
        Reference problems of the error tables; all by default. Orders are always measured on their
        own laws.
    quick : bool
        Fewer grids, budgets and processes; the same verdict rules.
    out : Path, optional
        Folder in which finished parts are kept, so that an interrupted run goes on.
    progress : callable, optional
        Called as ``progress(done, total, name)``.

    Returns
    -------
    dict
        The certificate, ready for JSON; ``unmet`` and ``not_resolved`` list the claims that fail.

    Raises
    ------
    AnalysisError
        For no samplers, an unknown problem, or ``jobs < 1``.
    """
    if not (samplers or methods) or jobs < 1:
        msg = f"need at least one sampler and one job, got {len(samplers)} and {jobs}"
        raise AnalysisError(msg)
    names = tuple(problems) if problems else PROBLEMS
    described = [problem(name).describe() for name in names]
    settings, sources = Settings(names, quick), source_hash()
    parts = None if out is None else out / "parts"
    records: dict[str, dict[str, Any]] = {}
    keys = {s.name: _key(s, settings, sources) for s in samplers}
    keys |= {f"{m} ({kind})": f"{sources}{settings!r}" for m, kind in methods}
    if parts is not None:
        parts.mkdir(parents=True, exist_ok=True)
        found = {name: _read_part(parts / f"{_slug(name)}.json", keys[name]) for name in keys}
        records = {name: record for name, record in found.items() if record is not None}
    todo = [s for s in samplers if s.name not in records]
    rest = [m for m in methods if f"{m[0]} ({m[1]})" not in records]
    for record in _records(todo, rest, settings, jobs):
        name = record["name"]
        records[name] = record
        if parts is not None:
            text = json.dumps({"key": keys[name], "record": record})
            write_text_atomic(parts / f"{_slug(name)}.json", text)
        if progress is not None:
            progress(len(records), len(keys), name)
    ordered = [records[s.name] for s in samplers]
    solvers = [records[f"{m} ({kind})"] for m, kind in methods]
    both = {"samplers": ordered, "methods": solvers}
    return {
        "schema": SCHEMA, "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick, "seed": 0, "versions": versions(), "hardware": hardware(),
        "problems": described, **both,
        "unmet": with_verdict(both, "not met"),
        "not_resolved": with_verdict(both, "not resolved"),
        "failures": [
            {"sampler": r["name"], "failure": r["failure"]}
            for r in (*ordered, *solvers)
            if r["failure"]
        ],
    }  # fmt: skip
