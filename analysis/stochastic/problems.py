"""The nonlinear law on which stochastic samplers are certified, in one coordinate.

Three modes of width 0.2 seen between ``lam = -1`` and ``1``: the denoiser bends so much over one
increment of the path that the term which keeps SRA1 from strong order 2 shows at 256 steps. On a
Gaussian that term vanishes.
"""

from __future__ import annotations

from functools import cache

import torch

from ...solvers.schedules import VPLinear
from ...toy_models.product import ProductMixture
from ..paired import FlowProblem

NONLINEAR = "three-modes"
STRETCH = (-1.0, 1.0)


@cache
def nonlinear(paths: int) -> FlowProblem:
    """The law on the linear variance-preserving process, with so many starts."""
    weights, means, widths = ([0.4, 0.25, 0.35], [-1.0, 0.1, 0.8], [0.2, 0.2, 0.2])
    columns = (torch.tensor([c], dtype=torch.float64) for c in (weights, means, widths))
    return FlowProblem(NONLINEAR, ProductMixture(*columns), VPLinear(), *STRETCH, batch=paths)
