"""Made-up data of the figure of reversible samplers: growth by formula."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import reversible as figure


def made_up() -> dict[str, Any]:
    """Errors ``1e-16 g0^-steps`` as predicted; exact reversible samplers; DDIM of first order."""
    steps = list(figure.STEPS)
    bdia = {f"{g0:g}": [3e-16 * g0**-n for n in steps] for g0 in figure.WEIGHTS}
    return {
        "steps": steps,
        "bdia": bdia,
        "predicted": {g0: [2.0 * e for e in errors] for g0, errors in bdia.items()},
        "others": {
            **{name: [1e-14] * len(steps) for name in figure.OTHERS},
            figure.CONTROL: [3.0 / n for n in steps],
        },
        "drift": {
            **{
                f"bdia {f}": [10.0 ** (k % 3 - 3)] * len(steps)
                for k, f in enumerate(figure.FRAMES)
            },
            **{name: [2e-3] * len(steps) for name in (*figure.OTHERS, figure.BASELINE)},
        },
    }
