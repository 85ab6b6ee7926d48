"""The stand: the samplers of installed libraries, certified like our own.

For each sampler: what its library claims and where; the order that its formula has on exact levels
in float64; the order as shipped (its own tables, precision and time labels); the rounding floor;
what happens at 1, 2 and 3n +- 1 steps and with each option of its schedule; and the cause of every
shortfall, each a rerun with one thing changed. Of a class that is no solver, of a library that is
not installed, and of a version that was never seen, the record says so.

Models are exact, so a shortfall is the sampler's. Wording is of what was measured: a lower order
can be a choice (a last step of lower order damps), and says nothing about samples at few steps.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import joblib

from ...solvers.adapters import callable_box
from ...solvers.errors import AnalysisError, FokkerError
from ...solvers.registry import get, samplers
from ..certificate import hardware, versions
from ..order_rows import exact_sde_orders, ode_orders
from .causes import explained_by
from .claims import SEEN, Entry, known
from .rows import StandSettings, measure_entry
from .trials import BOXES

SCHEMA = 1
LIBRARIES = ("diffusers", "k-diffusion", "azula", "torchdiffeq", "torchsde")
ELSEWHERE: Mapping[str, str] = {
    "skrample": "its samplers own their schedules; give a function of it with --path FILE:NAME",
    "dpm-solver": "it is no package; give a function of it with --path FILE:NAME",
}
"""Libraries that are known, but have no adapter."""

Progress = Callable[[int, int, str], None]


def installed(library: str) -> str | None:
    """Version of an installed library, or None."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def library_record(library: str) -> dict[str, Any]:
    """Name, version, and a sentence where the version is not the one that the claims are of."""
    version = installed(library)
    if library in ELSEWHERE:
        note = ELSEWHERE[library]
    elif version is None:
        note = f"{library} is not installed; 'pip install {library}' brings it"
    elif version != SEEN[library]:
        note = (
            f"version {version} was never seen: the claims were read in {SEEN[library]}, what is "
            "measured is the installed one"
        )
    else:
        note = ""
    return {"name": library, "version": version, "seen": SEEN.get(library), "note": note}


def entries(library: str) -> list[Entry]:
    """All rows of a library: its samplers, and what is installed but not on the stand.

    Raises
    ------
    AnalysisError
        For an unknown library.
    """
    if library not in (*LIBRARIES, *ELSEWHERE):
        known_names = ", ".join((*LIBRARIES, *ELSEWHERE))
        msg = f"unknown library {library!r}; accepted: {known_names}"
        raise AnalysisError(msg)
    if installed(library) is None or library in ELSEWHERE:
        return []
    if library.startswith("torch"):
        found = [s for s in samplers("blackbox") if s.name.startswith(f"{library}_")]
        return [
            Entry(library, s.name, s.name, order=s.order, weak=s.weak, where=s.source)
            for s in found
        ]
    table, there = known(library), set(_names(library))
    rows = [e for e in table if e.name in there]
    fresh = sorted(there - {e.name for e in table})
    new = "a class that was never seen here: nothing is known of its claim"
    return rows + [Entry(library, n, n, why=new) for n in fresh]


def _names(library: str) -> list[str]:
    box = BOXES[library]
    found = box.schedulers() if library == "diffusers" else box.samplers()
    return [n.removesuffix("Scheduler") for n in found]


def of_path(path: str) -> Entry:
    """A function ``(model, x, sigmas)`` in a file, given as ``FILE:NAME``.

    Raises
    ------
    AnalysisError
        If there is no such file or function.
    """
    file, _, name = path.rpartition(":")
    if not file or not Path(file).is_file():
        msg = f"give a function as FILE:NAME with an existing file, got {path!r}"
        raise AnalysisError(msg)
    try:
        module = callable_box.load(file)
    except FokkerError as error:
        raise AnalysisError(str(error)) from error
    if not callable(getattr(module, name, None)):
        msg = f"{file} has no function {name!r}"
        raise AnalysisError(msg)
    return Entry("file", path, name, order=1, where="order 1, so that it solves the equation")


def _registered(entry: Entry, settings: StandSettings) -> dict[str, Any]:
    """A black box of our registry, measured by the rules of the certificate."""
    laws = not settings.quick
    sampler = get(entry.name)
    row: dict[str, Any] = {
        "library": entry.library, "name": entry.name, "label": entry.label, "why": "",
        "claim": entry.claim, "kind": "sde" if entry.weak is not None else "ode",
        "where": entry.where, "config": {}, "formula_config": {}, "edges": [], "options": [],
        "command": f"fokker certify {entry.name}", "shipped": None, "seconds": 0.0,
    }  # fmt: skip
    try:
        found = (
            exact_sde_orders(sampler, "wavy-lam") if sampler.stochastic
            else ode_orders(sampler, quick=not laws)
        )  # fmt: skip
    except FokkerError as error:
        row["exact"] = {"rows": [], "order": None, "verdict": "not measured", "causes": [],
                        "note": str(error)}  # fmt: skip
        return row
    rows = [r for r in found if r["claim"] in ("order_cold", "weak_cold", "order", "weak")]
    rows = [{**r, "law": r["problem"]} for r in rows]
    order = min((r["order"] for r in rows if r["order"] is not None), default=None)
    worst = ("not met", "not resolved", "met")
    verdict = min((r["verdict"] for r in rows), key=worst.index, default="not measured")
    row["exact"] = {"rows": rows, "order": order, "verdict": verdict, "causes": [], "note": ""}
    return row


def measure_one(entry: Entry, settings: StandSettings) -> dict[str, Any]:
    """The row of an entry, of whichever library; a mistake of ours is a sentence in it."""
    try:
        torch_library = entry.library.startswith("torch") and not entry.why
        return (_registered if torch_library else measure_entry)(entry, settings)
    except Exception as error:  # one row must not cost the others
        why = f"the measurement failed: {type(error).__name__}: {error}"
        return {
            "library": entry.library, "name": entry.name, "label": entry.label, "why": why,
            "claim": entry.claim, "kind": "none", "where": entry.where, "command": "",
            "seconds": 0.0, "failed": True,
        }  # fmt: skip


def choose(
    libraries: Sequence[str], names: Sequence[str] = (), paths: Sequence[str] = ()
) -> list[Entry]:
    """The entries of libraries, only those whose name or label is given if any is.

    Raises
    ------
    AnalysisError
        If a name is nobody's.
    """
    found = [e for library in libraries for e in entries(library)]
    for name in names:
        if not any(name in (e.name, e.label, f"{e.name}Scheduler") for e in found):
            here = ", ".join(sorted({e.name for e in found})) or "no library is installed"
            msg = f"no sampler {name!r} on the stand; accepted: {here}"
            raise AnalysisError(msg)
    if names:
        found = [e for e in found if {e.name, e.label, f"{e.name}Scheduler"} & set(names)]
    return found + [of_path(p) for p in paths]


def _rows(chosen: Sequence[Entry], settings: StandSettings, jobs: int) -> Iterator[dict[str, Any]]:
    if jobs > 1 and len(chosen) > 1:
        pool = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        tasks = (joblib.delayed(measure_one)(e, settings) for e in chosen)
        yield from cast(Iterator[dict[str, Any]], pool(tasks))
        return
    for e in chosen:
        yield measure_one(e, settings)


def stand(
    chosen: Sequence[Entry],
    libraries: Sequence[str],
    *,
    quick: bool = False,
    jobs: int = 2,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure entries and gather the record.

    Parameters
    ----------
    chosen : sequence of Entry
        From :func:`choose`.
    libraries : sequence of str
        Those that the record speaks of, installed or not.
    quick : bool
        One law and fewer step counts; the same rules.
    jobs : int
        Processes.
    progress : callable, optional
        Called as ``progress(done, total, label)``.

    Returns
    -------
    dict
        Ready for JSON (``record.to_json``).

    Raises
    ------
    AnalysisError
        For ``jobs < 1``.
    """
    if jobs < 1:
        msg = f"need at least one job, got {jobs}"
        raise AnalysisError(msg)
    settings = StandSettings(quick)
    place = {(e.library, e.label): i for i, e in enumerate(chosen)}
    rows: list[dict[str, Any]] = []
    for row in _rows(chosen, settings, jobs):
        rows.append(row)
        if progress is not None:
            progress(len(rows), len(chosen), row["label"])
    rows.sort(key=lambda r: place[r["library"], r["label"]])
    return {
        "stand": SCHEMA, "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick, "versions": versions(), "hardware": hardware(),
        "libraries": [library_record(name) for name in libraries], "rows": rows,
        "tally": tally(rows),
    }  # fmt: skip


def tally(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many claims are met on exact levels, and as shipped."""
    on = [r for r in rows if r["kind"] != "none"]
    out = {"samplers": len(on), "not on the stand": len(rows) - len(on)}
    for word in ("met", "not met", "not resolved", "not measured"):
        out[f"exact: {word}"] = sum(r["exact"]["verdict"] == word for r in on)
        out[f"shipped: {word}"] = sum(
            bool(r["shipped"]) and r["shipped"]["verdict"] == word for r in on
        )
    return out


def shortfalls(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float | None, str]]:
    """``(label, claim, order, causes)`` of what falls short on exact levels."""
    return [
        (
            r["label"],
            r["claim"],
            r["exact"]["order"],
            ", ".join(explained_by(r["exact"]["causes"])),
        )
        for r in rows
        if r["kind"] != "none" and r["exact"]["verdict"] == "not met"
    ]
