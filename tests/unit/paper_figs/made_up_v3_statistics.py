"""Made-up data of the figure of DPM-Solver-v3: sigmoids, and errors that are exact powers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import v3_statistics as figure


def made_up() -> dict[str, Any]:
    """Two coordinates of one width each; samplers of orders 1, 2, 3."""
    lam = np.linspace(-4.0, 3.0, 15)
    alpha = 1 / np.sqrt(1 + np.exp(-2 * lam))
    table = {"lam": lam.tolist(), "alpha": alpha.tolist()}
    for key, middle in (("l", 1 / (1 + np.exp(2 * lam - 1))), ("s", -np.tanh(lam))):
        table |= {key: middle.tolist(), f"{key}_low": (middle - 0.1).tolist()}
        table |= {f"{key}_high": (middle + 0.1).tolist()}
    nfes = list(figure.NFES)
    scale = np.exp(0.1 * np.random.default_rng(0).standard_normal(8))
    curves = {
        name: {"nfe": nfes, "steps": nfes, "errors": [(scale / n**p).tolist() for n in nfes]}
        for name, p in zip(figure.SAMPLERS, (1, 2, 3, 1, 2, 3, 2, 3), strict=True)
    }
    return {
        "nfes": nfes,
        "batch": 8,
        "fitted_on": 64,
        "laws": {name: table for name in figure.LAWS},
        "curves": {"mixture": curves, "digits-mixture": curves},
    }
