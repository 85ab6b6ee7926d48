"""Mistakes in samplers with momentum, in the relatives of PNDM, and in regions of stability."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

MOMENTUM = f"{UNIT}solvers/test_momentum.py"
PSEUDO = f"{UNIT}solvers/test_pseudo.py"
REGION = f"{UNIT}analysis/test_stability_region.py"

MUTANTS = [
    Mutant(
        "solvers/samplers/momentum.py", "ADAMS_SERIES = (1.0, 1 / 2, 5 / 12, 3 / 8, 251 / 720)",
        "ADAMS_SERIES = (1.0, 1 / 2, 5 / 12, 1 / 3, 251 / 720)",
        "a coefficient of Adams' series",
        (f"{MOMENTUM}::test_the_series_is_that_of_adams_bashforth",),
    ),
    Mutant(
        "solvers/samplers/momentum.py", "return differences_to_nodes(series + q * np.concatenate",
        "return differences_to_nodes(series - q * np.concatenate",
        "lag of the velocity with the wrong sign",
        (f"{MOMENTUM}::test_weights_are_the_printed_ones",),
    ),
    Mutant(
        "solvers/samplers/momentum.py",
        "weights[: j + 1] += c * np.array([(-1) ** i * math.comb(j, i)",
        "weights[: j + 1] += c * np.array([math.comb(j, i)",
        "signs of a backward difference", (f"{MOMENTUM}::test_weights_are_the_printed_ones",),
    ),
    Mutant(
        "solvers/samplers/momentum.py", "series = np.array([(-q) ** j for j in range(count)])",
        "series = np.array([q**j for j in range(count)])",
        "velocity before the start with the wrong sign",
        (f"{MOMENTUM}::test_velocities_before_the_start_are_those_of_a_polynomial_since_ever",),
    ),
    Mutant(
        "solvers/samplers/momentum.py", "v = tape.lin((old, 1.0 - beta), (m, beta))",
        "v = tape.lin((old, beta), (m, 1.0 - beta))", "beta and 1 - beta swapped",
        (f"{MOMENTUM}::test_the_plan_is_the_published_loop",),
    ),
    Mutant(
        "solvers/samplers/momentum.py",
        'terms = [(v, 1.0)] if kind == "hb" else [(v, 1.0 - beta)]',
        'terms = [(v, 1.0)] if kind == "hb" else [(v, beta)]', "Nesterov's look ahead",
        (f"{MOMENTUM}::test_the_plan_is_the_published_loop",),
    ),
    Mutant(
        "solvers/samplers/momentum.py", "terms = terms if t.sigma > 0.0 else [(m, 1.0)]",
        "terms = terms if t.sigma >= 0.0 else [(m, 1.0)]", "lag left in the last step",
        (f"{MOMENTUM}::test_a_last_step_to_sigma_zero_takes_the_newest_output_alone",),
    ),
    Mutant(
        "solvers/samplers/momentum.py", "w = beta * w / w.sum()", "w = beta * w",
        "weights that do not add up to one",
        (f"{MOMENTUM}::test_the_velocity_of_2m_smooths_the_extrapolated_data_prediction",),
    ),
    Mutant(
        "solvers/samplers/pseudo.py", "past_mean = [(tape.lin((m, 0.5), (end, 0.5)), s)]",
        "past_mean = [(tape.lin((m, 1.0), (end, 0.0)), s)]", "a start of first order",
        (f"{PSEUDO}::test_s_pndm_starts_by_a_pseudo_improved_euler_step",),
    ),
    Mutant(
        "solvers/samplers/pseudo.py",
        "second = 0.5 * (1.0 - a * b)", "second = 0.5 * (1.0 - a) * b",
        "shipped weights silently corrected",
        (f"{PSEUDO}::test_shipped_weights_of_three_nodes_are_right_on_equal_steps_alone",),
    ),
    Mutant(
        "solvers/samplers/pseudo.py", "third = (0.5 * (1.0 - a) + tail) * b * ahead / back",
        "third = (0.5 * (1.0 - a) - tail) * b * ahead / back",
        "a sign of the shipped weights silently corrected",
        (f"{PSEUDO}::test_the_third_difference_of_the_shipped_weights_is_11_24",),
    ),
    Mutant(
        "analysis/stability_region.py", "return -np.polyval(constant, w) / np.polyval(slope, w)",
        "return np.polyval(constant, w) / np.polyval(slope, w)", "sign of the boundary locus",
        (f"{REGION}::test_adams_bashforth_ends_where_books_say",),
    ),
    Mutant(
        "analysis/stability_region.py", "crossings = [float(np.real(curve[-1]))]",
        "crossings = [float(np.real(curve[0]))]", "the crossing at theta = pi forgotten",
        (f"{REGION}::test_adams_bashforth_ends_where_books_say",),
    ),
]  # fmt: skip
