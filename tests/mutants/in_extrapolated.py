"""Mistakes in the extrapolation of densities on nested grids."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

HERE = "analysis/fokker_planck/extrapolated.py"
POWERS = (
    f"{UNIT}analysis/test_fp_extrapolated.py::test_every_grid_more_removes_a_power_of_the_width",
)
PLANE = (
    f"{UNIT}analysis/test_fp_extrapolated.py::test_a_turning_density_in_the_plane_gains_as_much",
)

MUTANTS = [
    Mutant(HERE, "REMOVED = (2, 4, 3)", "REMOVED = (2, 3, 4)", "a power that space lacks", POWERS),
    Mutant(
        HERE, "(two - one) / (2**power - 1)", "(two - one) / 2**power",
        "an extrapolation that stops short", POWERS,
    ),
    Mutant(
        HERE, "span, factor * steps,", "span, steps,", "as many steps on every grid", POWERS,
    ),
    Mutant(
        HERE, "(n, factor)]", "(factor, n)]", "cells that are far apart gathered", PLANE,
    ),
    Mutant(
        HERE, "np.abs(rows[0] - before).sum()", "np.abs(rows[0] - before).max()",
        "the largest change of a cell for that of all", POWERS,
    ),
]  # fmt: skip
