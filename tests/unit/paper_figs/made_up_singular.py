"""Made-up data of the figure of singular laws: two valleys, and a sweep with a least error."""

from __future__ import annotations

import math
from typing import Any

from fokker.paper_figs import singular as figure


def made_up() -> dict[str, Any]:
    """``log a + 1/a`` and the same in b, with and without noise."""
    a = [0.2 * 1.2**k for k in range(18)]
    b = [1e-6 * 2.2**k for k in range(18)]

    def value(x: float, y: float, s: float) -> float:
        n = s * s
        return 1.84 + 0.5 * (math.log(x) + (1 + n) / x + math.log(y) + n / y)

    surfaces = {f"{s:g}": [[value(x, y, s) for x in a] for y in b] for s in (0.0, figure.NOISE)}
    line = [0.002 / s + s for s in figure.SIZES]
    return {
        "a": a, "b": b, "surfaces": surfaces, "sizes": list(figure.SIZES),
        "learned": {f"{step:g}": line for step in figure.STEPS},
        "bias": [1.05 * s for s in figure.SIZES],
    }  # fmt: skip
