"""Mistakes in entropic and exact transport between point clouds."""

from .mutant import Mutant

FOLDER = "solvers/transport/"
FILE = "tests/unit/transport/test_sinkhorn.py"


def at(*names: str) -> tuple[str, ...]:
    """Tests of the file."""
    return tuple(f"{FILE}::test_{name}" for name in names)


GAUSSIANS = at("gaussians_on_a_grid_have_the_cost_the_map_and_the_cross_covariance_of_theory")
GRADIENTS = at("gradients_are_those_of_the_value_in_points_weights_and_costs")
WAYS = at("every_way_to_run_ends_at_the_same_plan_with_the_error_it_reports")
OVERSHOOT = at("overshooting_on_gaussians_is_as_fast_as_theory_says_and_never_less_exact")
RATES = at("rates_of_overshooting_invert_each_other_and_are_least_at_the_best_omega")
GROWING = at("a_growing_error_halves_the_overshoot")
REFUSED = at("bad_input_is_refused_in_one_sentence")
LOUD = at("what_is_not_reached_is_said_aloud_and_by_how_much")
SAFE = at("absorption_neither_overflows_nor_loses_a_row_or_column")
ITSELF = at("a_law_with_itself_halves_its_error_at_least_in_every_iteration")
DEBIASED = at(
    "the_divergence_is_zero_at_equality_positive_elsewhere_and_the_gaussian_one_on_grids"
)
SAME = at("points_a_function_and_a_matrix_of_the_same_costs_have_one_plan")
EXACT = at("the_exact_plan_of_a_map_of_convex_gradients_is_that_map_for_every_sample")

KERNEL, RELAX = f"{FOLDER}sinkhorn_kernel.py", f"{FOLDER}sinkhorn_relaxation.py"
RESULT, COST = f"{FOLDER}sinkhorn_result.py", f"{FOLDER}cost.py"
DIVERGENCE, MAIN = f"{FOLDER}sinkhorn_divergence.py", f"{FOLDER}sinkhorn.py"

MUTANTS = [
    Mutant(
        COST, "p = p[rows] - scale * x.square().sum(1)",
        "p = p[rows] - 2 * scale * x.square().sum(1)", "a square too many", GAUSSIANS,
    ),
    Mutant(
        COST, "forth = 2 * (plan.sum(1)[:, None] * x - plan @ self.y)",
        "forth = plan.sum(1)[:, None] * x - plan @ self.y", "missing factor 2", GRADIENTS,
    ),
    Mutant(
        COST, "return forth, 2 * (plan.sum(0)[:, None] * self.y - plan.mT @ x)",
        "return forth, 2 * (plan.mT @ x - plan.sum(0)[:, None] * self.y)",
        "flipped sign", GRADIENTS,
    ),
    Mutant(
        COST, "return float(a @ x + b @ y)", "return float(a @ x + b @ y) * 0.5",
        "the mean of halved costs", SAME,
    ),
    Mutant(
        COST, "if not (low >= 0.0 and math.isfinite(total)):", "if not math.isfinite(total):",
        "negative costs let through", REFUSED,
    ),
    Mutant(
        KERNEL, "if low < -self.limit:", "if False:", "vanished columns left as they are", SAFE,
    ),
    Mutant(
        KERNEL, "part = u[rows] * (a / (s * u[rows])) ** omega",
        "part = (a / s) ** omega", "overshooting from zero", OVERSHOOT,
    ),
    Mutant(
        KERNEL, "error = missed + (held - self.b).abs().sum()",
        "error = (held - self.b).abs().sum()",
        "rows left out of the error", OVERSHOOT,
    ),
    Mutant(
        KERNEL, "return Sweep(new, v, v * (ratio if", "return Sweep(new, v, (ratio if",
        "an increment taken for the scaling", WAYS,
    ),
    Mutant(
        KERNEL, "return self.f + self.epsilon * u.log(), self.g + self.epsilon * v.log()",
        "return self.f + u.log(), self.g + v.log()", "logarithms without epsilon", WAYS,
    ),
    Mutant(
        RELAX, "return min(2.0 / (1.0 + math.sqrt(1.0 - eta)), LARGEST)",
        "return min(2.0 / (1.0 + math.sqrt(1.0 - eta * eta)), LARGEST)", "a rate squared", RATES,
    ),
    Mutant(
        RELAX, "return (rate + omega - 1.0) ** 2 / (omega * omega * rate)",
        "return (rate + omega - 1.0) ** 2 / (omega * rate)", "a missing square", RATES,
    ),
    Mutant(
        RELAX, "self.chosen = self.cap = 1.0 + 0.5 * (self.chosen - 1.0)",
        "self.chosen = self.cap = 0.5 * self.chosen", "the factor halved", GROWING,
    ),
    Mutant(
        RESULT, "return self.marginal_error <= self.tolerance", "return True",
        "always converged", LOUD,
    ),
    Mutant(
        RESULT, "dual - self.epsilon * missed.sum()", "dual + self.epsilon",
        "another entropy", WAYS,
    ),
    Mutant(
        RESULT, "q = self.g / self.epsilon + self.b.log()\n        for",
        "q = self.g / self.epsilon\n        for", "a map without weights", GAUSSIANS,
    ),
    Mutant(
        RESULT, "out += [held.f if _wanted(a) else None,",
        "out += [-held.f if _wanted(a) else None,",
        "a flipped gradient in the weights", GRADIENTS,
    ),
    Mutant(
        DIVERGENCE, "across.value - 0.5 * first.value - 0.5 * second.value",
        "across.value - 0.5 * first.value", "half of the bias left", DEBIASED,
    ),
    Mutant(
        DIVERGENCE, "u = (u * kernel.a / s).sqrt()", "u = kernel.a / s",
        "no average of the two potentials", ITSELF,
    ),
    Mutant(
        DIVERGENCE, "error = 2 * (held * s - kernel.a).abs().sum()",
        "error = (held * s - kernel.a).abs().sum()", "one marginal of two", ITSELF,
    ),
    Mutant(
        MAIN, "eps = float(value) if epsilon is not None else float(value) * mean",
        "eps = float(value)", "a fraction taken for epsilon", SAME,
    ),
    Mutant(
        MAIN, "if not plan.converged:", "if False:", "a missed tolerance kept quiet", LOUD,
    ),
    Mutant(
        f"{FOLDER}discrete.py", "f, g = (unit *", "f, g = (-unit *",
        "flipped potentials", EXACT,
    ),
]  # fmt: skip
