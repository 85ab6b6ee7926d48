"""Made-up data of the figure of semi-discrete cells: sectors, and shares that fall like powers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import semi_discrete_cells as figure


def made_up() -> dict[str, Any]:
    """Eight sectors; counts that fall with the square of the evaluations; samples on the ring."""
    line = np.linspace(-figure.EXTENT, figure.EXTENT, figure.PIXELS)
    x, y = np.meshgrid(line, line)
    cell = np.round(np.arctan2(y, x) / (2 * np.pi / figure.MODES)).astype(int) % figure.MODES
    atoms = figure.centres().numpy()
    batch, rng = 2000, np.random.default_rng(0)
    whole = [int(9000 / n**2) for n in figure.NFES]
    counts = {name: {"whole": whole, "short": [c // 5 for c in whole]} for name in figure.SAMPLERS}
    places = atoms[rng.integers(0, figure.MODES, 200)] + 0.2 * rng.standard_normal((200, 2))
    keys = [f"{name} {path}" for name in figure.SAMPLERS for path in ("whole", "short")]
    return {
        "batch": batch,
        "training": 8,
        "nfes": list(figure.NFES),
        "fit": {"marginal_error": 1e-12, "iterations": 6},
        "counts": {"exact": 1, **counts},
        "nearest": {key: [0.03, 0.036, 0.83, 8] for key in ["exact", *keys]},
        "shown": {key: places.tolist() for key in keys},
        "cells": {
            "cell": cell.tolist(),
            "mode": list(range(figure.MODES)),
            "atoms": atoms.tolist(),
        },
    }
