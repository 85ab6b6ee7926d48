"""The record of a certificate: one JSON object, and what must hold before it is read.

A certificate is a plain dictionary (schema 1), so that the page, the table of numbers, the
comparison of two certificates and other people's programs read the same thing. JSON has no word
for numbers that are not finite: infinities are written ``"inf"`` and ``"-inf"``, NaN is ``null``.

Counting: a *claim* is one number that one sampler declares (its ``order``, say). It is measured on
several problems and grids; its verdict is the worst of theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..solvers.errors import AnalysisError

SCHEMA = 1
CLAIMS = ("order", "order_cold", "weak", "weak_cold", "strong", "tolerance")
VERDICTS: tuple[str, ...] = ("met", "not resolved", "not met")  # from best to worst

_NUMBER = (int, float)
_TOP = {"schema": int, "problems": list, "samplers": list, "unmet": list, "not_resolved": list}
_TABLES: dict[str, dict[str, Any]] = {
    "orders": {"claim": str, "problem": str, "process": str, "grid": str, "verdict": str}
    | {"steps": list, "errors": list, "slopes": list},
    "errors": {"problem": str, "process": str, "grid": str, "measure": str, "nfe": _NUMBER},
    "split": {"problem": str, "process": str, "grid": str, "steps": _NUMBER},
    "to_zero": {"problem": str, "steps": _NUMBER},
}


def plain(value: Any) -> Any:
    """The same data in JSON's own types: tuples become lists, NumPy scalars Python's numbers."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else repr(value)
    if isinstance(value, int):
        return value
    return str(value)  # a path or a date


def finite(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if number and math.isfinite(value) else None


def to_json(certificate: Mapping[str, Any]) -> str:
    """The certificate as JSON text; the order of its keys is kept."""
    return json.dumps(plain(certificate), allow_nan=False, indent=1, ensure_ascii=False) + "\n"


def read(path: str | Path) -> dict[str, Any]:
    """Read a certificate from a file and check its form.

    Raises
    ------
    AnalysisError
        If there is no such file, it is not JSON, or not a certificate of this schema.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        msg = f"cannot read the certificate {str(path)!r}: {reason}"
        raise AnalysisError(msg) from error
    try:
        data = json.loads(text)
    except ValueError as error:
        msg = f"{str(path)!r} is not JSON: {error}; give a certificate.json of 'fokker certify'"
        raise AnalysisError(msg) from error
    return check(data, str(path))


def check(data: Any, name: str = "the certificate") -> dict[str, Any]:
    """The record itself, if it has the form that its readers rely on.

    Raises
    ------
    AnalysisError
        Naming the first place that is missing, has another type or another schema.
    """
    _require(data, dict, name)
    schema = data.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        msg = f"{name} has the schema {schema!r}; accepted: {SCHEMA}"
        raise AnalysisError(msg)
    _require_keys(data, _TOP, name)
    _require(data.get("methods", []), list, f"methods of {name}")
    for group in ("samplers", "methods"):
        for i, entry in enumerate(data.get(group, ())):
            _check_entry(entry, f"{group}[{i}] of {name}")
    return data


def _check_entry(entry: Any, place: str) -> None:
    _require(entry, dict, place)
    _require_keys(entry, {"name": str, "claims": dict, "verdicts": dict}, place)
    for table, keys in _TABLES.items():
        rows = entry.get(table, [])
        _require(rows, list, f"{table} of {place}")
        for j, row in enumerate(rows):
            _require(row, dict, f"{table}[{j}] of {place}")
            _require_keys(row, keys, f"{table}[{j}] of {place}")
    _check_verdicts(entry, place)


def _check_verdicts(entry: Mapping[str, Any], place: str) -> None:
    found = [*entry["verdicts"].values(), *(o["verdict"] for o in entry.get("orders", ()))]
    for word in found:
        if word not in VERDICTS:
            msg = f"{place} has the verdict {word!r}; accepted: {', '.join(VERDICTS)}"
            raise AnalysisError(msg)


def _require(value: Any, kind: Any, place: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(k.__name__ for k in kinds)
        msg = f"{place} must be {names}, got {type(value).__name__}"
        raise AnalysisError(msg)


def _require_keys(data: Mapping[str, Any], keys: Mapping[str, Any], place: str) -> None:
    for key, kind in keys.items():
        if key not in data:
            msg = f"{place} has no {key!r}"
            raise AnalysisError(msg)
        _require(data[key], kind, f"{key!r} of {place}")


def declared(entry: Mapping[str, Any]) -> dict[str, float]:
    """The claims that a sampler makes, by name."""
    claims = entry.get("claims") or {}
    return {c: claims[c] for c in CLAIMS if claims.get(c) is not None}


def verdict(entry: Mapping[str, Any], claim: str) -> str:
    """Verdict on one claim: the recorded one, or the worst of its measurements.

    A claim that was never measured is not resolved.
    """
    recorded = (entry.get("verdicts") or {}).get(claim)
    if recorded in VERDICTS:
        return recorded
    seen = [o["verdict"] for o in entry.get("orders", ()) if o["claim"] == claim]
    return max(seen, key=VERDICTS.index) if seen else "not resolved"


def decisive(entry: Mapping[str, Any], claim: str) -> Mapping[str, Any] | None:
    """The measurement that decides a claim: the worst verdict, then the lowest observed order."""
    seen = [o for o in entry.get("orders", ()) if o["claim"] == claim]

    def rank(o: Mapping[str, Any]) -> tuple[float, float]:
        order = finite(o.get("order"))
        return -VERDICTS.index(o["verdict"]), math.inf if order is None else order

    return min(seen, key=rank) if seen else None


def entries(certificate: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The samplers, then the methods for general equations, which a certificate may lack."""
    return [*certificate["samplers"], *certificate.get("methods", ())]


def all_claims(certificate: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str, str]]:
    """Every (sampler or method, claim, verdict) of a certificate."""
    for entry in entries(certificate):
        for claim in declared(entry):
            yield entry, claim, verdict(entry, claim)


def with_verdict(certificate: Mapping[str, Any], wanted: str) -> list[dict[str, Any]]:
    """The claims that got one verdict: the rows of ``unmet`` and ``not_resolved``.

    ``where`` names the measurement that decides.
    """
    rows = []
    for entry, claim, found in all_claims(certificate):
        if found != wanted:
            continue
        best = decisive(entry, claim)
        keys = ("problem", "process", "grid")
        swept = claim == "tolerance" and entry.get("tolerance")
        where = "tolerance sweep" if swept else "never measured"
        if best:
            where = ", ".join(best[k] for k in keys)
        rows.append(
            {"sampler": entry["name"], "claim": claim, "declared": declared(entry)[claim]}
            | {"observed": best.get("order") if best else None, "verdict": found, "where": where}
        )
    return rows


def tally(certificate: Mapping[str, Any]) -> dict[str, int]:
    """Number of claims by verdict, and of samplers that ``failed`` to run at all."""
    counts = {word: 0 for word in VERDICTS}
    for _, _, found in all_claims(certificate):
        counts[found] += 1
    counts["failed"] = sum(bool(entry.get("failure")) for entry in entries(certificate))
    return counts
