"""Data of the stand's figure, without any scheduler."""

from __future__ import annotations


def made_up() -> dict:
    """A scheduler that has what it claims, one that lacks an order, and a stochastic one."""
    rows = [
        {"label": "DDIM", "claim": 1.0, "weak": False, "order": 1.0, "causes": []},
        {"label": "HeunDiscrete", "claim": 2.0, "weak": False, "order": 2.02, "causes": []},
        {
            "label": "UniPCMultistep (solver_order=2)", "claim": 3.0, "weak": False,
            "order": 2.05, "causes": ["last steps"],
        },
        {"label": "EulerAncestralDiscrete", "claim": 1.0, "weak": True, "order": 0.97,
         "causes": []},
    ]  # fmt: skip
    rows = [{**r, "errors": [1e-2, 1e-3, 1e-4]} for r in rows]
    return {"version": "0.0", "counts": [24, 48, 96], "rows": rows}
