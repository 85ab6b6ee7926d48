"""Made-up data of the figure on T-Stitch: exact powers, no model."""

from __future__ import annotations

from typing import Any


def made_up() -> dict[str, Any]:
    """Gaps that grow with the sixth power of the share."""
    fractions = [k / 20 for k in range(21)]
    names = {"ddim 1": 1.0, "ddim 2": 0.8, "dpmpp_2m 1": 0.9, "dpmpp_2m 2": 0.7}
    nus = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
    return {
        "steps": 40,
        "batch": 4,
        "law": "none",
        "fractions": fractions,
        "lams": [-5.0 + 9 * f for f in fractions],
        "gaps": {name: [size * f**6 for f in fractions] for name, size in names.items()},
        "theory": {str(k): {"nu": nus, "gap": [nu**2 / k for nu in nus]} for k in (1, 2)},
    }
