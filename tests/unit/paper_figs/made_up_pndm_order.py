"""Made-up data of the PNDM figure: a fourth-order curve that turns into a second-order one."""

from __future__ import annotations

from fokker.paper_figs import pndm_order


def made_up() -> dict:
    """Exact powers, no sampler."""
    steps = list(pndm_order.STEPS)
    errors = {name: [0.5 * n**-1.0 for n in steps] for name in pndm_order.SHOWN}
    errors["pndm"] = [40.0 * n**-4.0 + 1e-3 * n**-2.0 for n in steps]
    return {"problem": {"law": "none"}, "batch": 1, "steps": steps, "errors": errors}
