"""Everything that the stand says about one sampler of a library, as a plain dictionary."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ...solvers.adapters.foreign_error import ForeignError
from ...solvers.errors import FokkerError, NonFiniteError
from ...toy_models.problems import problem
from ..order import observe
from ..order_rows import GAUSSIAN_FLOOR, order_problem
from ..paired import rounding_floor
from ..threads import one_thread
from .causes import (
    SHORT,
    causes_as_shipped,
    causes_on_exact_levels,
    measured,
    options_of,
)
from .claims import Entry
from .trials import Trial, outcome, slope

SHIPPED = Trial(levels="own", exact=False, as_labelled=True)
"""As a user runs it: its own levels, its own precision, its own time labels."""

EDGES = {"1 step": 1, "2 steps": 2, "3n - 1 steps": 5, "3n + 1 steps": 7, "10 steps": 10}

SCHEDULES: tuple[tuple[str, Any], ...] = (
    ("use_karras_sigmas", True),
    ("use_exponential_sigmas", True),
    ("use_beta_sigmas", True),
    ("use_lu_lambdas", True),
    ("use_flow_sigmas", True),
    ("rescale_betas_zero_snr", True),
    ("timestep_spacing", "linspace"),
    ("timestep_spacing", "leading"),
    ("timestep_spacing", "trailing"),
    ("final_sigmas_type", "zero"),
    ("final_sigmas_type", "sigma_min"),
    ("sigma_schedule", "exponential"),
    ("beta_schedule", "scaled_linear"),
    ("beta_schedule", "squaredcos_cap_v2"),
    ("lower_order_final", False),
    ("euler_at_final", True),
    ("solver_type", "heun"),
    ("interpolation_type", "log_linear"),
    ("stochastic_sampling", True),
    ("shift", 3.0),
)
"""Options of schedules that are tried where a scheduler has them."""


@dataclass(frozen=True)
class StandSettings:
    """How much is measured: all of it, or the quick part."""

    quick: bool = False

    @property
    def counts(self) -> tuple[int, ...]:
        """Step counts on exact levels; divisible by 2 and 3, so that no rest is left over."""
        return (12, 24, 48, 96) if self.quick else (12, 24, 48, 96, 192)

    @property
    def shipped(self) -> tuple[int, ...]:
        """Step counts as shipped."""
        return (12, 24, 48) if self.quick else (12, 24, 48, 96)

    @property
    def laws(self) -> tuple[str, ...]:
        """Laws on which a deterministic sampler is measured."""
        return ("product",) if self.quick else ("gaussian", "product")


def _exact_rows(entry: Entry, settings: StandSettings, claim: float) -> list[dict[str, Any]]:
    rows = []
    laws = ("gaussian",) if entry.weak is not None else settings.laws
    for law in laws:
        errors = measured(entry, Trial(), settings.counts, law)
        floor = GAUSSIAN_FLOOR if entry.weak is not None else rounding_floor(order_problem(law))
        seen = observe(settings.counts, errors, floor=floor)
        order = seen.order if seen.order is not None else slope(settings.counts, errors, 48)
        rows.append({
            "law": law, **{k: v for k, v in asdict(seen).items() if k != "used"},
            "order": order, "verdict": _verdict(seen, claim),
        })  # fmt: skip
    return rows


def _verdict(seen: Any, claim: float) -> str:
    """The verdict of the observation; where the slopes do not settle, of all of them at once."""
    found = seen.verdict(claim)
    if found != "not resolved" or not seen.slopes:
        return found
    if max(seen.slopes[-2:]) < claim - SHORT:
        return "not met"
    return "met" if min(seen.slopes[-2:]) >= claim - SHORT else "not resolved"


def _worst(verdicts: list[str]) -> str:
    return min(verdicts, key=("not met", "not resolved", "met").index)


def _try(action: Any) -> tuple[Any, str]:
    """The result, or None and the sentence of the error."""
    try:
        return action(), ""
    except FokkerError as error:
        return None, str(error)


def _exact(entry: Entry, settings: StandSettings) -> dict[str, Any]:
    claim = float(entry.claim or 0.0)
    rows, note = _try(lambda: _exact_rows(entry, settings, claim))
    if rows is None:
        return {"rows": [], "order": None, "verdict": "not measured", "note": note, "causes": []}
    order = min((r["order"] for r in rows if r["order"] is not None), default=None)
    verdict = _worst([r["verdict"] for r in rows])
    causes = []
    if verdict != "met":
        counts = settings.counts[1:4]
        causes = causes_on_exact_levels(entry, counts, rows[-1]["law"], claim)
    return {"rows": rows, "order": order, "verdict": verdict, "note": "", "causes": causes}


def _shipped(
    entry: Entry, settings: StandSettings, on_exact_levels: dict[str, Any]
) -> dict[str, Any]:
    claim, law, counts = float(entry.claim or 0.0), "product", settings.shipped
    trial = SHIPPED if entry.weak is None else Trial(levels="own", as_labelled=True)
    errors, note = _try(lambda: measured(entry, trial, counts, law))
    found = slope(counts, errors, counts[1]) if errors else None
    met = found is not None and found >= claim - SHORT
    verdict = "not measured" if found is None else "met" if met else "not met"
    causes = []
    if verdict != "met":
        causes = causes_as_shipped(entry, trial, counts[1:], law, claim, on_exact_levels)
    return {
        "law": law if entry.weak is None else "gaussian", "steps": list(counts),
        "errors": errors or [], "order": found, "verdict": verdict, "note": note,
        "causes": causes, "floor": _rounding(entry),
    }  # fmt: skip


def _rounding(entry: Entry) -> float | None:
    """RMS distance between the samples as shipped and in float64, same levels, 48 steps."""
    if entry.weak is not None:
        return None
    law = problem("product").law
    both, _ = _try(
        lambda: [
            outcome(entry, Trial(levels="own", exact=e, as_labelled=True), law, 48)[2]
            for e in (True, False)
        ]
    )
    return float((both[0] - both[1]).square().mean().sqrt()) if both else None


def _at(entry: Entry, steps: int, config: dict[str, Any]) -> str:
    """``finite``, ``not finite``, what was raised, or why it was not measured."""
    law = problem("product").law
    trial = Trial(levels="own", exact=False, as_labelled=True, config=config)
    try:
        outcome(entry, trial, law, steps)
    except NonFiniteError:
        return "not finite"
    except FokkerError as error:
        raised = isinstance(error, ForeignError) and " raised " in str(error)
        return str(error) if raised else f"not measured: {error}"
    return "finite"


def _edges(entry: Entry) -> list[dict[str, Any]]:
    return [{"edge": name, "steps": n, "outcome": _at(entry, n, {})} for name, n in EDGES.items()]


def _options(entry: Entry, settings: StandSettings) -> list[dict[str, Any]]:
    accepted, rows = options_of(entry), []
    counts = (10,) if settings.quick else (1, 2, 5, 10)
    for name, value in SCHEDULES:
        if name in accepted and name not in entry.config:
            for n in counts:
                found = _at(entry, n, {name: value})
                rows.append({"option": f"{name}={value}", "steps": n, "outcome": found})
    return rows


def command(entry: Entry, *, quick: bool = False) -> str:
    """One command that measures this row again."""
    if entry.library == "file":
        return f"fokker stand --path {entry.name}"
    tail = " --quick" if quick else ""
    return f"fokker stand --library {entry.library} --sampler '{entry.label}'{tail}"


@contextlib.contextmanager
def _silent(library: str) -> Iterator[None]:
    """Without what a library has to say about options that are tried on purpose."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@one_thread()
def measure_entry(entry: Entry, settings: StandSettings) -> dict[str, Any]:
    """The record of one sampler; what goes wrong is part of it.

    Returns
    -------
    dict
        ``claim``, ``exact`` (on exact levels in float64), ``shipped``, ``edges``, ``options``,
        ``command``; of what is not on the stand only ``why``.
    """
    begin = time.perf_counter()
    row: dict[str, Any] = {
        "library": entry.library, "name": entry.name, "label": entry.label, "why": entry.why,
        "claim": entry.claim, "kind": "sde" if entry.weak is not None else "ode",
        "where": entry.where, "config": {k: str(v) for k, v in entry.config.items()},
        "formula_config": {k: str(v) for k, v in entry.formula.items()},
        "command": command(entry, quick=settings.quick),
    }  # fmt: skip
    if entry.why:
        return {**row, "kind": "none", "seconds": 0.0}
    with warnings.catch_warnings(), _silent(entry.library):
        warnings.simplefilter("ignore")
        row["exact"] = _exact(entry, settings)
        row["shipped"] = _shipped(entry, settings, row["exact"])
        row["edges"] = _edges(entry)
        row["options"] = _options(entry, settings)
    row["seconds"] = round(time.perf_counter() - begin, 2)
    return row


def finite_number(value: Any) -> bool:
    """Whether a value is a number that is finite."""
    return isinstance(value, (int, float)) and math.isfinite(value)
