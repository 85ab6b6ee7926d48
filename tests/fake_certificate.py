"""A made-up certificate of schema 1, small and without any computing, for the tests of readers."""

from __future__ import annotations

import math
from typing import Any

STEPS = (8, 16, 32, 64, 128)
BUDGETS = (5, 10, 20, 50, 100, 1000)


def order_row(claim: str, declared: float, seen: float | None, **fields: Any) -> dict[str, Any]:
    """One measured order; ``seen`` None is a measurement whose slopes do not settle."""
    slope = 1.0 if seen is None else seen
    verdict = "not resolved" if seen is None else "met" if seen > declared - 0.25 else "not met"
    row = {
        "claim": claim, "declared": declared, "problem": "gaussian", "process": "VPLinear",
        "grid": "uniform-lam", "warm": claim in ("order", "weak"), "steps": list(STEPS),
        "errors": [0.3 * n**-slope for n in STEPS], "bars": None,
        "slopes": [slope] * (len(STEPS) - 1), "order": seen,
        "low": None if seen is None else seen - 0.05,
        "high": None if seen is None else seen + 0.05,
        "exact": False, "verdict": verdict, "seconds": 0.5,
    }  # fmt: skip
    return row | fields


def error_rows(order: float, problem: str = "gaussian", measure: str = "W2") -> list[dict]:
    """Errors at the six budgets of evaluations."""
    place = {"problem": problem, "process": "VPLinear", "grid": "uniform-lam", "measure": measure}
    return [place | {"nfe": n, "steps": n, "value": n**-order} for n in BUDGETS]


def sampler(name: str, orders: list[dict], **fields: Any) -> dict[str, Any]:
    """One sampler whose claims and verdicts follow from its measured orders."""
    keys = ("order", "order_cold", "weak", "weak_cold", "strong", "published_order")
    claims: dict[str, Any] = dict.fromkeys(keys)
    claims |= {row["claim"]: row["declared"] for row in orders}
    rank = ("met", "not resolved", "not met")
    verdicts: dict[str, str] = {}
    for row in orders:
        worst = max(verdicts.get(row["claim"], "met"), row["verdict"], key=rank.index)
        verdicts[row["claim"]] = worst
    first = orders[0]["order"] if orders else None
    entry = {
        "name": name, "kind": "plan", "family": "DPM-Solver++", "prediction": "data",
        "source": "Lu et al. 2022, arXiv:2211.01095, Alg. 2", "note": "A note.",
        "nfe_per_step": 1.0, "claims": claims, "orders": orders, "verdicts": verdicts,
        "errors": error_rows(first or 1.0) + error_rows(first or 1.0, "digits", "paired"),
        "split": [
            {"problem": "gaussian", "process": "VPLinear", "grid": "uniform-lam", "steps": 20,
             "initialisation": 1e-4, "truncation": 2e-3, "discretisation": 3e-2, "total": 3.1e-2}
        ],
        "to_zero": [
            {"problem": "gaussian", "steps": 20, "value_without": 1e-3, "value_with": 2e-3}
        ],
        "stability": {"clock": "lam", "low": -2.0, "high": 0.0, "note": ""},
        "floors": {"float64": 3e-15, "float32": 2e-6}, "failure": None, "seconds": 1.5,
    }  # fmt: skip
    return entry | fields


def certificate(samplers: list[dict] | None = None, **fields: Any) -> dict[str, Any]:
    """A whole certificate; by default one sampler of each fate."""
    entries = default_samplers() if samplers is None else samplers
    data: dict[str, Any] = {
        "schema": 1, "created": "2030-01-02T03:04:05+00:00", "quick": False, "seed": 0,
        "versions": {"fokker": "0.1.0", "python": "3.11.2", "numpy": "2.0.0", "torch": "2.13.0"},
        "hardware": {"cpu": "a processor", "cores": 2, "platform": "Linux"},
        "problems": [
            {"name": "gaussian", "law": "Gaussian", "process": "VPLinear", "exact": "closed form",
             "description": "full covariance, d = 8"},
            {"name": "digits", "law": "GaussianMixture", "process": "VPLinear",
             "exact": "reference 1e-10", "description": "ten components, d = 64"},
        ],
        "samplers": entries,
    }  # fmt: skip
    for key, wanted in (("unmet", "not met"), ("not_resolved", "not resolved")):
        data[key] = [
            {"sampler": e["name"], "claim": c, "declared": e["claims"][c], "observed": None,
             "verdict": wanted, "where": ""}
            for e in entries for c, v in e["verdicts"].items() if v == wanted
        ]  # fmt: skip
    return data | fields


def default_samplers() -> list[dict[str, Any]]:
    """Met, exact, not met, not resolved, stochastic, diverged, failed."""
    diverged = error_rows(1.0)
    diverged[0]["value"] = math.inf
    wavy = {"grid": "wavy-lam"}
    exact = {"exact": True, "errors": [1e-16] * 5, "slopes": [], "order": None}
    return [
        sampler("good", [order_row("order", 2, 2.01), order_row("order_cold", 2, 1.97)]),
        sampler("exactly", [order_row("order", 3, 3.0, **exact, low=None, high=None)]),
        sampler("bad", [order_row("order", 3, 3.02), order_row("order", 3, 1.99, **wavy)]),
        sampler("unclear", [order_row("order", 2, None)], family="UniPC"),
        sampler(
            "random",
            [
                order_row("weak", 2, 2.0, bars=[1e-3] * 5),
                order_row("strong", 1, 1.01),
            ],
            errors=diverged,
            family="SDE-DPM-Solver++",
        ),
        sampler("broken", [], failure="the model's output is not finite in step 3", family="PNDM"),
    ]
