"""Mistakes in densities on nested grids, and refusals of fields without derivatives forgotten."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

HERE = "analysis/fokker_planck/extrapolated.py"
POWERS = (
    f"{UNIT}analysis/test_fp_extrapolated.py::test_every_grid_more_removes_a_power_of_the_width",
)
PLANE = (
    f"{UNIT}analysis/test_fp_extrapolated.py::test_a_turning_density_in_the_plane_gains_as_much",
)

CONTOUR = "analysis/fokker_planck/contour.py"
ROUND = f"{UNIT}analysis/test_fp_contour.py::"
EXPONENTIAL = (f"{ROUND}test_it_is_the_exponential_of_the_generator",)

MUTANTS = [
    Mutant(
        HERE, "(2, 4, 3), (2, 4, 6)", "(2, 4, 3), (2, 4, 3)", "an odd power without steps",
        (f"{ROUND}test_without_steps_every_grid_more_removes_an_even_power",),
    ),
    Mutant(
        CONTOUR, "- 0.5017 * s /", "+ 0.5017 * s /", "a wrong derivative of the contour",
        EXPONENTIAL,
    ),
    Mutant(
        CONTOUR, "sides[1, :, :-1] = -below, -above", "sides[1, :, :-1] = -above, -below",
        "the transposed generator", EXPONENTIAL,
    ),
    Mutant(
        CONTOUR, "return out * (float(m.sum()) / float(out.sum()))", "return out",
        "a sum that is not kept", (f"{ROUND}test_the_sum_is_kept",),
    ),
    Mutant(
        HERE, "for time, masses in ((0.0, start), (span, end)):",
        "for time, masses in ((0.0, start),):", "walls not looked at in the end",
        (f"{ROUND}test_mass_that_has_come_to_a_wall_is_refused",),
    ),
    Mutant(HERE, "EVEN = (2, 4, 3), ", "EVEN = (2, 3, 4), ", "a power that space lacks", POWERS),
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
    Mutant(
        "analysis/fokker_planck/residual.py",
        'check_derivative(spread, x, times, "the diffusion")',
        "assert spread",
        "a diffusion cut off from x taken for a constant one",
        (
            f"{UNIT}analysis/test_fp_residual.py::"
            "test_a_drift_or_diffusion_that_cannot_be_differentiated_is_refused",
        ),
    ),
    Mutant(
        "analysis/fokker_planck/regulariser.py",
        "if bool(score.detach().any()) and not",
        "if not bool(score.detach().any()) and not",
        "a potential of ReLUs let through",
        (
            f"{UNIT}analysis/test_fp_regulariser.py::test_a_potential_that_cannot_be_"
            "differentiated_is_refused_and_one_without_time_is_not",
        ),
    ),
]  # fmt: skip
