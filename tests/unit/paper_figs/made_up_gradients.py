"""Made-up data of the figure of gradients: errors by order, and a share that rises."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import gradients as figure


def made_up() -> dict[str, Any]:
    """Powers of the budget; the adjoint in x(t) twice as far as that in y."""
    budgets = list(figure.BUDGETS)
    errors = {
        name: [(2.0 if name[0] == "x" else 1.0) * (10 / n) ** int(name[1]) for n in budgets]
        for name in figure.WAYS
    }
    errors |= {
        "reversal": [0.5 * (10 / n) ** 2 for n in budgets],
        "discrete": [1e-14] * len(budgets),
    }
    steered = [k / figure.TURNS for k in range(figure.TURNS + 1)]
    return {"budgets": budgets, "batch": 8, "errors": errors, "steered": steered}
