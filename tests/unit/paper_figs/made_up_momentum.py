"""Made-up data of the momentum figure: circles for regions, straight lines for the rest."""

from __future__ import annotations

import numpy as np

from fokker.paper_figs import momentum


def made_up() -> dict:
    """Growth ``|1 + z/size|`` and lines in beta, no sampler."""
    real, imaginary = np.linspace(-1.15, 0.35, 31), np.linspace(-1.1, 1.1, 31)
    z = real[None, :] + 1j * imaginary[:, None]
    field = [np.abs(1 + z / b).tolist() for b in momentum.REGIONS]
    betas = list(momentum.BETAS)
    names = list(momentum.SHOWN)
    return {
        "problem": {"law": "none"},
        "betas": betas,
        "regions": list(momentum.REGIONS),
        "real": real.tolist(),
        "imaginary": imaginary.tolist(),
        "fields": {name: field for name in ("hb_4", "ghvb_4")},
        "limits": {name: [-1.0 / b for b in betas] for name in names},
        "outliers": {name: [0.2 * b for b in betas] for name in names},
        "errors": {name: [0.01 / b for b in betas] for name in names},
        "batch": 1,
        "steps": 10,
        "guidance": 10.0,
    }
