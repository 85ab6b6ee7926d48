"""A recommendation as a record for JSON, and in words for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...solvers.networks.identity import network_digest
from ..record import plain
from .candidates import Candidate
from .race import Runner
from .result import Ranked, Recommendation
from .surrogate import SurrogateError, rank_correlation

SCHEMA = 1
SHOWN = 12


def record(found: Recommendation) -> dict[str, Any]:
    """All that was found, in JSON's own types."""
    asked = found.settings
    network = found.network
    return plain(
        {
            "schema": SCHEMA,
            "network": {
                "name": network.name,
                "process": repr(network.process),
                "prediction": network.prediction,
                "shape": list(network.shape),
                "classes": network.classes,
                "lam_range": list(network.lam_range),
                "SHA-256": network_digest(network),
                "about": dict(network.about),
            },
            "settings": {
                "nfe": asked.nfe,
                "starts": asked.starts,
                "seed": asked.seed,
                "spacings": list(asked.spacings),
                "stochastic": asked.stochastic,
                "to_zero": asked.to_zero,
                "guidance": asked.guidance,
                "dtype": str(asked.dtype).removeprefix("torch."),
                "device": asked.device,
                "confirm": asked.confirm,
                "by": asked.by,
                "level": asked.level,
            },
            "reference": {
                "steps": found.reference.steps,
                "error": found.reference.error,
                "order": found.reference.order,
            },
            "winner": found.winner.candidate.name,
            "group": list(found.group),
            "ranked": [_row(r) for r in found.ranked],
            "dropped": [
                {
                    **_who(r.candidate),
                    "starts": len(r.errors),
                    "error": _dropped(r, found),
                    "surrogate": _surrogate(s),
                    "failure": r.failure or None,
                }
                for r, s in found.dropped
            ],
            "laws": [
                {
                    **_who(r.candidate),
                    "mmd": None if r.mmd is None else r.mmd._asdict(),
                    "surrogate": _surrogate(r.surrogate),
                    "apart": r.apart,
                    "failure": r.failure or None,
                }
                for r in found.laws
            ],
            "surrogate": {"rank_correlation": correlation(found)},
            "mixture": {
                **found.mixture._asdict(),
                "rank_correlation": correlation(found, found.mixture.errors),
            },
            "left_out": found.left_out,
            "cost": found.cost,
            "torch": torch.__version__,
        }
    )


def _who(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "sampler": candidate.sampler.name,
        "spacing": candidate.spacing,
        "steps": len(candidate.grid),
        "nfe": candidate.plan.nfe,
        "same": list(candidate.same),
    }


def _surrogate(s: SurrogateError | None) -> dict[str, Any] | None:
    return None if s is None else dict(s._asdict())


def _row(r: Ranked) -> dict[str, Any]:
    return {
        **_who(r.candidate),
        "typical": list(r.errors.typical),
        "rms": list(r.errors.rms),
        "median": list(r.errors.median),
        "resolved": r.errors.resolved,
        "in_group": r.in_group,
        "surrogate": _surrogate(r.surrogate),
        "halves": None if r.halves is None else list(r.halves),
    }


def _dropped(r: Runner, found: Recommendation) -> float | None:
    size = r.size(found.settings.by, found.reference.error)
    return math.exp(size) if math.isfinite(size) else None


def correlation(found: Recommendation, other: Mapping[str, float] | None = None) -> float:
    """Rank correlation of network and surrogate over all candidates that ran, on their starts.

    The surrogate is the Gaussian, or ``other`` errors by the name of the candidate.
    """
    by = found.settings.by
    own = {r.candidate.name: r.errors.of(by).value for r in found.ranked}
    own |= {r.candidate.name: e for r, _ in found.dropped if (e := _dropped(r, found)) is not None}
    if other is None:
        rows = [(r.candidate, r.surrogate) for r in found.ranked]
        rows += [(r.candidate, s) for r, s in found.dropped]
        other = {c.name: s.paired for c, s in rows if s is not None and s.paired is not None}
    names = [name for name in own if name in other]
    return rank_correlation(np.array([own[k] for k in names]), np.array([other[k] for k in names]))


def text(data: dict[str, Any]) -> str:
    """A record in words."""
    s, n = data["settings"], data["network"]
    truth, cost = data["reference"], data["cost"]
    lines = [
        f"{n['name']}: {s['nfe']} evaluations, {s['starts']} starts (seed {s['seed']}), "
        f"{len(data['ranked']) + len(data['dropped'])} deterministic candidates",
        f"fine solution: {truth['steps']} steps, its own RMS error {truth['error']:.1e} "
        f"(observed order {truth['order']:.1f})",
        "",
    ]
    lines += _ranking(data)
    if data["laws"]:
        lines += ["", *_laws(data["laws"])]
    spent = cost["evaluations"]
    total = spent["reference"] + spent["race"] + spent["second starts"]
    lines += [
        "",
        _verdict(data),
        f"cost: {total} evaluations (fine solution {spent['reference']}, race {spent['race']} of "
        f"{spent['full race']} that all on all starts would be, other starts "
        f"{spent['second starts']}), {cost['seconds']:.1f} s, of these "
        f"{cost['processor_seconds']:.1f} s of the processor",
    ]
    return "\n".join(lines)


def _ranking(data: dict[str, Any]) -> list[str]:
    level, by = data["settings"]["level"], data["settings"]["by"]
    wide = max([len(r["name"]) for r in data["ranked"][:SHOWN]] + [20])
    head = f"{by} error [{level:.0%}]"
    rest = (
        "RMS       median    on the Gaussian" if by == "typical" else "typical   median    exact"
    )
    lines = [f"  {'sampler@spacing':<{wide}} steps nfe   {head:<32}{rest}"]
    for r in data["ranked"][:SHOWN]:
        value, low, high = r[by]
        exact = "-"
        if r["surrogate"] and r["surrogate"]["paired"] is not None:
            exact = f"{r['surrogate']['paired']:.3g}"
        star = "*" if r["in_group"] else " "
        note = "" if r["resolved"] else "  below the error of the fine solution"
        ends = f"[{low:.3g}, {high:.3g}]"
        second = r["rms" if by == "typical" else "typical"][0]
        lines.append(
            f"{star} {r['name']:<{wide}} {r['steps']:5d} {r['nfe']:3d}   {value:<9.3g}{ends:<23}"
            f"{second:<10.3g}{r['median'][0]:<10.3g}{exact}{note}"
        )
    rest_count = len(data["ranked"]) - SHOWN
    lines += [f"  and {rest_count} more"] if rest_count > 0 else []
    lines.append(
        f"* cannot be told apart from the best at {level:.0%}; rank correlation with the exact "
        f"Gaussian: {_number(data['surrogate']['rank_correlation'])}"
    )
    mixed = data["mixture"]
    if mixed["errors"]:
        best = min(mixed["errors"], key=mixed["errors"].__getitem__)
        lines.append(
            f"with an exact mixture of {mixed['components']} classes like the network's: "
            f"{_number(mixed['rank_correlation'])}; the best there: {best}"
        )
    return lines + _halves(data["ranked"])


def _halves(ranked: list[dict[str, Any]]) -> list[str]:
    """Whether two sets of starts tell the same."""
    if ranked[0]["halves"] is None:
        return []
    groups = [[r["name"] for r in ranked if r["halves"][k]] for k in (0, 1)]
    if groups[0] == groups[1]:
        return [f"both halves of the starts have this group: {', '.join(groups[0])}"]
    common = [name for name in groups[0] if name in groups[1]]
    return [
        f"the halves of the starts have {len(groups[0])} and {len(groups[1])} in their groups; "
        f"in common: {', '.join(common) or 'nobody'}"
    ]


def _laws(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "by the law of the ends: exact W2 on the Gaussian; MMD^2 to the fine solution from other "
        "starts (* not told apart from the least)"
    ]
    for r in rows[:SHOWN]:
        if r["mmd"] is None:
            lines.append(f"  {r['name']}: {r['failure']}")
            continue
        w2 = "-" if r["surrogate"] is None else f"{r['surrogate']['w2']:.3g}"
        mark = " " if r["apart"] else "*"
        lines.append(
            f"{mark} {r['name']:<32} W2 {w2:<9} MMD^2 {r['mmd']['square']:+.2e} "
            f"± {2 * r['mmd']['deviation']:.1e}"
        )
    return lines


def _verdict(data: dict[str, Any]) -> str:
    best = data["ranked"][0]
    same = f" (the same here: {', '.join(best['same'])})" if best["same"] else ""
    others = [name for name in data["group"] if name != best["name"]]
    if not others:
        return f"take {best['name']}{same}: all others are worse"
    return f"take {best['name']}{same}; not told apart from it: {', '.join(others)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
