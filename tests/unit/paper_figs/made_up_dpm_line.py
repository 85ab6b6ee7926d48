"""Made-up data of the figure of the DPM-Solver line: exact powers, no sampler."""

from __future__ import annotations

from fokker.paper_figs import dpm_line


def made_up() -> dict:
    """Errors ``n^-p`` of four starts, a method a power."""
    nfes = [float(n) for n in dpm_line.NFES]
    curves = {
        name: {
            "nfe": nfes,
            "steps": nfes,
            "errors": [[(1 + 0.1 * j) * n ** -(1.0 + 0.3 * k) for j in range(4)] for n in nfes],
        }
        for k, name in enumerate(dpm_line.TITLES)
    }
    return {"problem": {"law": "none"}, "batch": 4, "nfes": list(dpm_line.NFES), "curves": curves}
