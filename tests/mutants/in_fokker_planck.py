"""Mistakes in the room of moving densities: residuals, weak forms, grids, spectra, penalties."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

RESIDUAL = f"{UNIT}analysis/test_fp_residual.py"
WEAK = f"{UNIT}analysis/test_fp_weak.py"
GRID = f"{UNIT}analysis/test_fp_grid.py"
PENALTY = f"{UNIT}analysis/test_fp_regulariser.py"
HERE = "analysis/fokker_planck/"
LINEAR = (f"{RESIDUAL}::test_a_wrong_score_leaves_the_closed_form_at_the_score_level",)
MATRIX = (f"{RESIDUAL}::test_a_diffusion_that_depends_on_the_state_brings_its_derivatives",)
EXACT = (f"{RESIDUAL}::test_the_residual_of_an_exact_law_vanishes_in_the_log_density",)

MUTANTS = [
    Mutant(
        f"{HERE}fields.py",
        "pull = _pull(process, score, 0.5 * (1 + eta))",
        "pull = _pull(process, score, 0.5 * (1 + eta**2))",
        "eta taken for tau in the reverse drift",
        EXACT,
    ),
    Mutant(
        f"{HERE}fields.py",
        "sigma + (f * sigma + 0.5 * g2 / sigma) * dt",
        "sigma + (f * sigma + g2 / sigma) * dt",
        "a missing half in the rate of sigma",
        EXACT,
    ),
    Mutant(
        f"{HERE}fields.py",
        "noise = (of_data * x - alpha * model(x, t))",
        "noise = (of_data * x + alpha * model(x, t))",
        "a flipped sign in the noise of a prediction",
        (f"{RESIDUAL}::test_every_prediction_of_a_network_is_the_same_score",),
    ),
    Mutant(
        f"{HERE}residual.py",
        "        rate = -rate if dynamics.backward else rate\n        return rate + rest.sum(1)",
        "        return rate + rest.sum(1)",
        "time that does not turn for backward dynamics",
        EXACT,
    ),
    Mutant(
        f"{HERE}residual.py",
        "terms += [-0.5 * second, -first * s]",
        "terms += [-0.5 * second, -0.5 * first * s]",
        "half of the drift of a varying diffusion",
        MATRIX,
    ),
    Mutant(
        f"{HERE}residual.py",
        "terms += [-0.5 * second, -first * s]",
        "terms += [-first * s]",
        "second derivatives of the diffusion lost",
        MATRIX,
    ),
    Mutant(
        f"{HERE}residual.py",
        "return [*terms, -0.5 * turned, -0.5 * s[:, :, None] * a * s[:, None, :]]",
        "return [*terms, -0.5 * turned]",
        "the square of the score lost for a matrix diffusion",
        (f"{RESIDUAL}::test_a_rotating_flow_with_a_matrix_diffusion_keeps_its_normal_law",),
    ),
    Mutant(
        f"{HERE}residual.py",
        "-0.5 * a * diagonal(score, x, t), -0.5 * a * s * s]",
        "-0.5 * a * diagonal(score, x, t)]",
        "the square of the score lost",
        LINEAR,
    ),
    Mutant(
        f"{HERE}derivatives.py",
        "    if gap > AGREE * most + floor:\n",
        "    if False:\n",
        "a derivative that nobody checks",
        (f"{RESIDUAL}::test_a_score_without_a_jacobian_is_refused_with_what_would_be_enough",),
    ),
    Mutant(
        f"{HERE}collocation.py",
        "z * float(v.std()) / math.sqrt(n)",
        "z * float(v.std()) / n",
        "an interval without its root",
        (f"{RESIDUAL}::test_a_mean_square_residual_has_an_interval_that_holds_the_truth",),
    ),
    Mutant(
        f"{HERE}collocation.py",
        "xs.append(node.alpha * data + node.sigma * noise)",
        "xs.append(data + node.sigma * noise)",
        "points of another density",
        (f"{RESIDUAL}::test_points_are_weighted_by_the_density_at_each_time",),
    ),
    Mutant(
        f"{HERE}weak.py",
        "-0.5 * tests.curvature(",
        "-tests.curvature(",
        "a missing half of the diffusion",
        (f"{WEAK}::test_the_weak_form_of_an_exact_law_vanishes_in_quadrature",),
    ),
    Mutant(
        f"{HERE}weak.py",
        "rate = f * node.sigma + 0.5 * g2 / node.sigma",
        "rate = 0.5 * g2 / node.sigma",
        "noise that the drift does not shrink",
        (f"{WEAK}::test_the_velocity_of_samples_is_their_derivative_in_time",),
    ),
    Mutant(
        f"{HERE}weak.py",
        "return torch.cat([torch.zeros_like(x), 2 * full[:, i, j]], 1)",
        "return torch.cat([torch.zeros_like(x), full[:, i, j]], 1)",
        "half of a second derivative",
        (f"{WEAK}::test_waves_and_moments_are_what_their_derivatives_say",),
    ),
    Mutant(
        f"{HERE}weak.py",
        "quantile(1 - (1 - certainty) / rows.shape[1])",
        "quantile(certainty) / rows.shape[1]",
        "one interval shared out among all test functions",
        (f"{WEAK}::test_samples_of_the_law_see_a_wrong_score_and_clear_the_right_one",),
    ),
    Mutant(
        f"{HERE}gap.py",
        "pull = -f(t) - 0.5 * (1 + eta) * g2(t) * precision(t)",
        "pull = f(t) - 0.5 * (1 + eta) * g2(t) * precision(t)",
        "f where -f is meant after reversing time",
        (f"{WEAK}::test_a_scaled_score_gives_two_laws",),
    ),
    Mutant(
        f"{HERE}gap.py",
        "b, span = eta + delta * (1 + eta)",
        "b, span = eta + delta * (1 - eta)",
        "a flipped sign in the closed form of a scaled score",
        (f"{WEAK}::test_the_scaled_score_in_closed_form_is_its_equation_integrated",),
    ),
    Mutant(
        f"{HERE}gap.py",
        "return rate + g2 * precision**2 + 2 * f * precision",
        "return rate + g2 * precision**2 + f * precision",
        "half of the drift in Riccati's equation",
        (f"{RESIDUAL}::test_a_linear_score_leaves_a_riccati_residual",),
    ),
    Mutant(
        f"{HERE}grid.py",
        "        jump = u[two] - u[one]\n",
        "        jump = 2 * (u[two] - u[one])\n",
        "a potential twice as steep",
        (f"{GRID}::test_the_steady_density_is_kept_exactly",),
    ),
    Mutant(
        f"{HERE}grid.py",
        "right.append(at_cells[one] * bernoulli(-z))",
        "right.append(rate_of(diffusion, faces, k) / (2 * h * h) * bernoulli(-z))",
        "Itô's drift taken for that of another calculus",
        (f"{GRID}::test_itos_drift_of_a_varying_diffusion_has_its_steady_density",),
    ),
    Mutant(
        f"{HERE}grid.py",
        "z = 2 * h * b / rate_of(diffusion, faces, k)",
        "z = h * b / rate_of(diffusion, faces, k)",
        "G^2 taken for D",
        (f"{GRID}::test_a_rotating_flow_in_the_plane_has_its_moments",),
    ),
    Mutant(
        f"{HERE}evolve.py",
        "D = 1 - math.sqrt(0.5)",
        "D = 0.25",
        "another gamma in the matrix than in BDF2",
        (f"{GRID}::test_the_barrier_of_trbdf2_is_sharp_on_a_chain_without_return",),
    ),
    Mutant(
        f"{HERE}evolve.py",
        "BACK = 1 / (2 * D * (2 - 2 * D))",
        "BACK = 1 / (2 * D)",
        "a wrong weight in BDF2",
        (f"{GRID}::test_each_method_has_its_order_in_time",),
    ),
    Mutant(
        f"{HERE}evolve.py",
        "        m = m * factor\n",
        "",
        "rounding of the mass that adds up",
        (f"{GRID}::test_mass_stays_to_thirteen_digits_at_every_stiffness",),
    ),
    Mutant(
        f"{HERE}spectrum.py",
        "best = (16 * second - first) / 15",
        "best = (4 * second - first) / 3",
        "an extrapolation of the wrong order",
        (f"{GRID}::test_extrapolated_gaps_are_of_order_six",),
    ),
    Mutant(
        f"{HERE}spectrum.py",
        "(v1**2 / (4 * noise) - v2 / 2)",
        "(v1**2 / (4 * noise) - v2)",
        "a curvature twice in Schrödinger's form",
        (f"{GRID}::test_gaps_of_double_wells_two_ways_and_from_the_literature",),
    ),
    Mutant(
        f"{HERE}hermite.py",
        "v / self.variance - 1",
        "v / self.variance",
        "a variance in place of its excess",
        (f"{GRID}::test_hermite_functions_converge_exponentially",),
    ),
    Mutant(
        f"{HERE}regulariser.py",
        "    return rate + c.f * pulled - ",
        "    return rate - c.f * pulled - ",
        "a flipped drift in the penalty",
        (PENALTY,),
    ),
]
