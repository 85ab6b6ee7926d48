"""How close is equal: one table by dtype, used as ``assert_close(a, b, **tolerance(a.dtype))``.

The numbers bound the rounding of a few hundred operations of well scaled values: about 1e5 units
in the last place in float64, 1e2 in float32, where state and coefficients lose less in a run of
tens of steps. Equalities between tables of coefficients are held to `EXACT` instead.
"""

from __future__ import annotations

from typing import Any

import torch

EXACT = 1e-12  # equalities of algebra, between float64 numbers computed in two ways

_TABLE = {
    torch.float64: (1e-10, 1e-10),
    torch.float32: (1e-5, 1e-5),
    torch.bfloat16: (3e-2, 3e-2),  # four units in the last place of eight bits
    torch.float16: (4e-3, 4e-3),
}


def tolerance(dtype: torch.dtype) -> dict[str, Any]:
    """Relative and absolute tolerance, as keywords of `torch.testing.assert_close`."""
    rtol, atol = _TABLE[dtype]
    return {"rtol": rtol, "atol": atol}
