"""Made-up data of the figure of information: curves of one shape, areas that saturate."""

from __future__ import annotations

import math
from typing import Any

from fokker.paper_figs import information as figure


def made_up() -> dict[str, Any]:
    """Errors ``1/(1 + a snr)``, areas that are their integrals."""
    curves = {}
    for name, a in (("normal", 1.0), ("4 points", 1.5), ("2 points", 3.0)):
        area = [0.5 * math.log1p(a * math.exp(v)) / a for v in figure.LOGS]
        rate = [1 / (1 + a * math.exp(v)) for v in figure.LOGS]
        curves[name] = {"mmse": rate, "area": area, "direct": area}
    ratios = {
        str(k): {"denoisers": [k - x for x in figure.POINTS],
                 "densities": [k - x for x in figure.POINTS]}
        for k in range(2)
    }  # fmt: skip
    return {
        "logs": list(figure.LOGS), "curves": curves, "points": list(figure.POINTS),
        "ratios": ratios,
    }  # fmt: skip
