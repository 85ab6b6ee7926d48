"""The exact law of a black box on Gaussian data: its response, read by impulses.

On a Gaussian the model is affine, so a solver that takes the steps it is told is an affine
function of its start and its noises, and one run on a batch of unit impulses reads all of its
coefficients (:func:`fokker.solvers.adapters.affine.affine_map`). From there on it is treated like
a plan.
"""

from __future__ import annotations

import numpy as np

from ..solvers.adapters.affine import AffineMap, affine_map
from ..solvers.grids import Grid
from ..solvers.process import Process
from ..solvers.registry import Sampler
from .gaussian_path import Normal
from .law import Response


def response_of(found: AffineMap) -> Response:
    """The coefficients of a black box as a response, for the functions that take one."""
    none = np.zeros((0, *found.start.shape))
    return Response(found.start, found.offset, found.noise, found.cells, none)


def box_response(sampler: Sampler, process: Process, grid: Grid, data: Normal) -> Response:
    """What the output of a registered black box is made of, on Gaussian data.

    Raises
    ------
    AnalysisError
        If the box is not affine on a Gaussian: adaptive solvers are not.
    """
    return response_of(affine_map(sampler, process, grid, data.mean, data.var))
