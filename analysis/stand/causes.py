"""Why a sampler has less order than it claims: the same run again, with one thing changed.

A cause is not an opinion. Each is a rerun that differs from the measured one in one thing, with
the order that it then has; it *explains* the shortfall if the claim is met then.

On exact levels: the start (begun where the data prediction is flat, so that a start of lower order
costs nothing) and the last steps (the error taken at three quarters of the steps). What neither
restores, alone or together, is the formula's own. As shipped: clipping, the precision of tables
and states, the model asked at rounded times, the last step to sigma 0, options, the levels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...solvers.adapters.diffusers_box import _diffusers, _find
from ...solvers.errors import FokkerError
from .claims import Entry
from .trials import FLAT, Trial, error, slope, weak_error

SHORT = 0.25
"""A slope that misses the claim by more than this falls short, as everywhere in this project."""

GAIN = 0.15
"""A change explains nothing if the slope is not at least this much better than without it."""

Cause = tuple[str, str, Callable[[Trial], Trial]]


def measured(entry: Entry, trial: Trial, counts: Sequence[int], law: str) -> list[float]:
    """Errors of a trial at step counts: weak ones on the Gaussian for a stochastic sampler."""
    if entry.weak is not None:
        return [weak_error(entry, trial, n) for n in counts]
    return [error(entry, trial, law, n) for n in counts]


def options_of(entry: Entry) -> tuple[str, ...]:
    """Names of the constructor's options of a scheduler of diffusers."""
    if entry.library != "diffusers":
        return ()
    kind = _find(_diffusers(), f"{entry.name}Scheduler")
    return tuple(inspect.signature(kind.__init__).parameters) if kind is not None else ()


_START: Cause = (
    "start",
    f"begun at lam = {FLAT:g}, where the data prediction is flat",
    lambda t: replace(t, begin=FLAT),
)
_LAST: Cause = (
    "last steps",
    "the error taken at three quarters of the steps",
    lambda t: replace(t, share=0.75),
)
_LOWER: Cause = (
    "lower order at the end",
    "lower_order_final=False",
    lambda t: replace(t, config={**t.config, "lower_order_final": False}),
)
_BOTH: Cause = (
    "start and last steps",
    "both of these",
    lambda t: replace(t, begin=FLAT, share=0.75),
)


def _of_shipping(entry: Entry) -> list[Cause]:
    clip = {"clip_sample": False}
    causes: list[Cause] = []
    if "clip_sample" in options_of(entry):
        causes.append(
            ("clipping", "clip_sample=False", lambda t: replace(t, config={**t.config, **clip}))
        )
    if entry.weak is None:  # the exact weak error is taken in float64 already
        causes.append(("float32", "float64 throughout", lambda t: replace(t, exact=True)))
    causes += [
        (
            "rounded times",
            "the model asked at the level that the formula assumes",
            lambda t: replace(t, as_labelled=False),
        ),
        (
            "last step to sigma 0",
            "the error taken at the last level above sigma 0",
            lambda t: replace(t, finite=True),
        ),
        (
            "levels of the table",
            "equal steps in the time of the analytic process, from 1 to 0.001",
            lambda t: replace(t, levels="smooth", exact=True, as_labelled=False),
        ),
    ]  # fmt: skip
    if entry.formula:
        words = ", ".join(f"{k}={v}" for k, v in entry.formula.items())
        formula: Cause = (
            "options", words, lambda t: replace(t, config={**t.config, **entry.formula})
        )  # fmt: skip
        causes.append(formula)
    off = dict(clip) if causes[0][0] == "clipping" else {}
    off |= entry.formula
    causes.append((
        "all but the levels",
        "float64, exact times, nothing clipped, no step to sigma 0",
        lambda t: replace(t, exact=True, as_labelled=False, finite=True,
                          config={**t.config, **off}),
    ))  # fmt: skip
    return causes


def _row(
    entry: Entry, cause: Cause, trial: Trial, counts: Sequence[int], law: str, claim: float
) -> dict[str, Any]:
    name, changed, change = cause
    row: dict[str, Any] = {"cause": name, "changed": changed, "steps": list(counts), "note": ""}
    try:
        changed_trial = change(trial)
        longer = changed_trial.levels == "exact" and changed_trial.begin == FLAT
        counts = [2 * n for n in counts] if longer else counts  # the stretch is twice as long
        row["steps"] = list(counts)
        errors = measured(entry, changed_trial, counts, law)
    except FokkerError as failure:
        return {**row, "errors": [], "order": None, "explains": False, "note": str(failure)}
    found = slope(counts, errors, first=counts[0])
    try:
        before = slope(counts, measured(entry, trial, counts, law), counts[0])
    except FokkerError:  # what could not be measured without the change
        before = None
    return {**row, "errors": errors, "order": found, "explains": explains(found, before, claim)}


def explains(found: float | None, before: float | None, claim: float) -> bool:
    """Whether a change that led from the order ``before`` to ``found`` explains a shortfall.

    It must lead to the claim, and be a gain: a run that has as much without it explains nothing.
    None stands for an order that could not be measured.
    """
    if found is None or found < claim - SHORT:
        return False
    return before is None or found >= before + GAIN


def causes_on_exact_levels(
    entry: Entry, counts: Sequence[int], law: str, claim: float
) -> list[dict[str, Any]]:
    """Reruns on exact levels; the last row names the formula if nothing else explains."""
    tried = [_START, _LAST]
    if "lower_order_final" in options_of(entry):
        tried.append(_LOWER)
    rows = [_row(entry, cause, Trial(), counts, law, claim) for cause in tried]
    if not any(row["explains"] for row in rows):
        rows.append(_row(entry, _BOTH, Trial(), counts, law, claim))
    if not any(row["explains"] for row in rows):
        best = max((r["order"] for r in rows if r["order"] is not None), default=None)
        rows.append({
            "cause": "formula", "changed": "nothing else: start and last steps do not explain it",
            "steps": list(counts), "errors": [], "order": best, "explains": True, "note": "",
        })  # fmt: skip
    return rows


def causes_as_shipped(
    entry: Entry,
    trial: Trial,
    counts: Sequence[int],
    law: str,
    claim: float,
    on_exact_levels: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Reruns of a sampler as shipped, one thing changed in each.

    If none explains the shortfall, the runs on exact levels do: what costs the order there costs
    it here, too, and where nothing does, the spacing and reach of the shipped levels are what is
    left.
    """
    rows = [_row(entry, c, trial, counts, law, claim) for c in _of_shipping(entry)]
    if on_exact_levels is None or any(row["explains"] for row in rows):
        return rows
    own = explained_by(on_exact_levels["causes"])
    name = f"as on exact levels: {', '.join(own)}" if own else "spacing and reach of the levels"
    words = "smooth steps in lam from -1.5 to 1.5, float64, no step to sigma 0"
    last: dict[str, Any] = {
        "cause": name, "changed": "nothing: it falls short there, too" if own else words,
        "steps": list(counts), "errors": [], "order": on_exact_levels["order"],
        "explains": bool(own) or on_exact_levels["verdict"] == "met", "note": "",
    }  # fmt: skip
    return [*rows, last]


def explained_by(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The causes that explain a shortfall; single ones before joint ones."""
    return [row["cause"] for row in rows if row["explains"]]
