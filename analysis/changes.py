"""What changed between two certificates: sentences, each better, worse, or neither.

Worse is what a user of the sampler loses: a verdict falls, a claim is lowered or withdrawn, an
observed order drops, an error grows beyond a ratio, the stable interval shrinks, a step costs
more evaluations.
Errors at the rounding floor are not compared: they change from machine to machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .page.text import claim_text, sci
from .record import VERDICTS, check, declared, finite, verdict

Sort = Literal["worse", "better", "other"]
RATIO = 1.5
"""Errors that differ by less than this factor are the same."""

ORDER_DROP = 0.1
_FLOOR = 1e-12  # errors below are rounding on any machine
_SHRINK = 1.01


@dataclass(frozen=True)
class Change:
    """One change of one sampler."""

    sort: Sort
    sampler: str
    text: str


def changes(
    before: Mapping[str, Any], after: Mapping[str, Any], *, ratio: float = RATIO
) -> list[Change]:
    """All changes from one certificate to another: worse, then better, then the rest.

    Parameters
    ----------
    before, after : mapping
        Records of schema 1.
    ratio : float
        Factor by which errors must differ to be listed, over 1.

    Raises
    ------
    AnalysisError
        If a record has another form.
    """
    old = {e["name"]: e for e in check(before)["samplers"]}
    new = {e["name"]: e for e in check(after)["samplers"]}
    found = [Change("other", name, "is no longer there") for name in old if name not in new]
    found += [Change("other", name, "is new") for name in new if name not in old]
    for name in (n for n in old if n in new):
        pair = old[name], new[name]
        for part in (_failure, _claims, _orders, _cost, _stability):
            found += [Change(sort, name, text) for sort, text in part(*pair)]
        found += [Change(sort, name, text) for sort, text in _errors(*pair, ratio)]
    rank = ("worse", "better", "other")
    return sorted(found, key=lambda c: (rank.index(c.sort), c.sampler))


Entry = Mapping[str, Any]
Found = Iterator[tuple[Sort, str]]


def _failure(a: Entry, b: Entry) -> Found:
    if bool(a.get("failure")) != bool(b.get("failure")):
        if b.get("failure"):
            yield "worse", f"fails now: {b['failure']}"
        else:
            yield "better", "fails no longer"


def _claims(a: Entry, b: Entry) -> Found:
    old, new = declared(a), declared(b)
    for claim in {**old, **new}:
        if claim not in new:
            yield "worse", f"claims no longer {claim_text(claim, old[claim])}"
        elif claim not in old:
            yield "other", f"claims {claim_text(claim, new[claim])}: {verdict(b, claim)}"
        else:
            yield from _one_claim(claim, a, b)


def _one_claim(claim: str, a: Entry, b: Entry) -> Found:
    p, q = declared(a)[claim], declared(b)[claim]
    text = claim_text(claim, q)
    if p != q:
        yield "worse" if q < p else "better", f"claims {text}, before {p:g}"
    u, v = verdict(a, claim), verdict(b, claim)
    if u != v:
        worse = VERDICTS.index(v) > VERDICTS.index(u)
        yield "worse" if worse else "better", f"{text} is {v}, before {u}"


def _by_place(entry: Entry, table: str, *keys: str) -> dict[tuple, Mapping[str, Any]]:
    return {tuple(row.get(k) for k in keys): row for row in entry.get(table) or ()}


def _orders(a: Entry, b: Entry) -> Found:
    keys = ("claim", "problem", "process", "grid")
    old, new = _by_place(a, "orders", *keys), _by_place(b, "orders", *keys)
    for place in (p for p in old if p in new):
        p, q = finite(old[place].get("order")), finite(new[place].get("order"))
        if p is not None and q is not None and abs(p - q) > ORDER_DROP:
            where = ", ".join(map(str, place[1:]))
            name = claim_text(place[0], new[place].get("declared"))
            sort: Sort = "worse" if q < p else "better"
            yield sort, f"{name} on {where}: observed {q:.2f}, before {p:.2f}"


def _errors(a: Entry, b: Entry, ratio: float) -> Found:
    keys = ("problem", "process", "grid", "measure", "nfe")
    old, new = _by_place(a, "errors", *keys), _by_place(b, "errors", *keys)
    floors = ((e.get("floors") or {}).get("float64") for e in (a, b))
    floor = max(_FLOOR, *(10 * (finite(f) or 0.0) for f in floors))
    for place in (p for p in old if p in new):
        p, q = finite(old[place].get("value")), finite(new[place].get("value"))
        problem, process, grid, measure, nfe = place
        where = f"{measure} error on {problem}, {process}, {grid} at {nfe} NFE"
        if (p is None) != (q is None):
            sort: Sort = "worse" if q is None else "better"
            yield sort, f"{where}: {'diverges' if q is None else 'diverges no longer'}"
        elif p is not None and q is not None:
            change = max(q, floor) / max(p, floor)
            if not 1 / ratio <= change <= ratio:
                word = "worse" if change > 1 else "better"
                yield word, f"{where}: {sci(q)}, before {sci(p)} (times {change:.3g})"


def _cost(a: Entry, b: Entry) -> Found:
    p, q = finite(a.get("nfe_per_step")), finite(b.get("nfe_per_step"))
    if p is not None and q is not None and p != q:
        yield "worse" if q > p else "better", f"costs {q:g} evaluations a step, before {p:g}"


def _stability(a: Entry, b: Entry) -> Found:
    p, q = (_low(e.get("stability") or {}) for e in (a, b))
    if p is None or q is None or p == q:
        return
    shrinks, grows = abs(q) * _SHRINK < abs(p), abs(p) * _SHRINK < abs(q)
    if shrinks or grows:
        yield "worse" if shrinks else "better", f"is stable down to {q:.3g}, before {p:.3g}"


def _low(stability: Mapping[str, Any]) -> float | None:
    low = stability.get("low")
    return -math.inf if low == "-inf" else finite(low)
