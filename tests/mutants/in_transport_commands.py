"""Mistakes in transport between clouds, in pinned references and in the commands on clouds."""

from .mutant import Mutant

FOLDER = "solvers/transport/"
CLOUDS, BRIDGES = (f"tests/unit/transport/test_{name}.py" for name in ("clouds", "point_bridges"))
PATHS = "tests/unit/analysis/test_cloud_bridge.py"
COMMANDS = "tests/unit/cli/test_transport_and_bridge.py"


def at(file: str, *names: str) -> tuple[str, ...]:
    """Tests of a file."""
    return tuple(f"{file}::test_{name}" for name in names)


LINE = at(CLOUDS, "in_order_is_the_exact_plan_on_a_line_for_every_convex_cost")
IMAGES = at(CLOUDS, "pieces_have_both_marginals_and_are_few")
BOUNDS = at(CLOUDS, "bounds_hold_without_convergence_too_and_close_at_small_epsilon")
SAVED = at(CLOUDS, "the_saved_arrays_make_the_map")
MOMENTS = at(CLOUDS, "moments_are_those_of_the_weighted_cloud_itself")
PLANE = at(CLOUDS, "the_plane_of_a_picture_is_that_of_most_variance")
PINNED = at(BRIDGES, "the_pinned_law_is_the_conditional_of_the_joint_law")
TOGETHER = at(BRIDGES, "paths_have_the_covariance_of_the_brownian_bridge_at_all_times_together")
PULL = at(BRIDGES, "a_strong_pull_forgets_its_start_and_a_strong_push_is_refused")
SHORT = at(BRIDGES, "transitions_are_right_to_rounding_over_short_stretches_too")
COUPLED = at(BRIDGES, "two_points_an_end_are_coupled_in_closed_form")
MIXTURE = at(BRIDGES, "mean_and_covariance_are_those_of_a_mixture_of_pinned_references")
CONTINUITY = at(BRIDGES, "density_score_and_velocity_satisfy_the_continuity_equation")
MASS = at(BRIDGES, "the_density_has_mass_one_and_the_moments_of_the_law")
GRID = at(BRIDGES, "between_gaussians_on_a_grid_drift_and_law_are_the_closed_ones")
PAIRS = at(BRIDGES, "pairs_of_even_numbers_have_the_plan_of_the_bridge")
SAMPLED = at(PATHS, "paths_have_the_mean_and_covariance_of_the_bridge_at_every_time")
EPSILON = at(PATHS, "epsilon_means_the_same_as_for_transport")
MOVED = at(PATHS, "the_closed_form_is_that_of_the_moments")
LOUD = at(COMMANDS, "what_has_not_converged_says_by_how_much_and_has_status_one")
FILES = at(COMMANDS, "a_bad_file_is_one_sentence_and_status_two")

LINE_FILE, MAPS = f"{FOLDER}line_clouds.py", f"{FOLDER}cloud_transport.py"
PIN, POINT = f"{FOLDER}pinned.py", f"{FOLDER}point_bridge.py"
REFERENCE, CLOUD = f"{FOLDER}reference.py", f"{FOLDER}clouds.py"
PATH = "analysis/cloud_bridge.py"
OUT, READ = "src/fokker/cli/clouds_out.py", "src/fokker/cli/points.py"

MUTANTS = [
    Mutant(
        LINE_FILE, "by_x, by_y = x.argsort(stable=True), y.argsort(stable=True)",
        "by_x, by_y = x.argsort(stable=True), y.argsort(stable=True, descending=True)",
        "the worst plan, not the best", LINE,
    ),
    Mutant(LINE_FILE, "mass * y[last]) / a", "mass * y[last])", "weights left out", IMAGES),
    Mutant(
        MAPS, "feasible[rows] = (costs - plan.g).min(1).values", "feasible[rows] = plan.f[rows]",
        "potentials that are not feasible", BOUNDS,
    ),
    Mutant(
        MAPS, "plan.transport() + plan.marginal_error * high", "plan.transport()",
        "a plan that misses its marginals taken for one", BOUNDS,
    ),
    Mutant(
        MAPS, "found.plan @ b.points / found.plan.sum(1, keepdim=True)",
        "found.plan.mT.mT @ b.points", "images not made whole", SAVED,
    ),
    Mutant(CLOUD, "return (away.mT * self.weights) @ away", "return away.mT @ away / len(away)",
           "weights forgotten", MOMENTS),
    Mutant(CLOUD, "+ 0.25 * apart[:, None] * apart", "+ 0.5 * apart[:, None] * apart",
           "a factor of the spread between", PLANE),
    Mutant(PIN, "cov = torch.linalg.inv(back + pull @ rest.phi)",
           "cov = torch.linalg.inv(back + pull)", "the transition left out", PINNED),
    Mutant(PIN, "shift = cov @ (back @ step.shift - pull @ rest.shift)",
           "shift = cov @ (back @ step.shift + pull @ rest.shift)", "flipped sign", PINNED),
    Mutant(PIN, "            s = u\n", "            s = 0.0\n",
           "each time drawn from the start", TOGETHER),
    Mutant(REFERENCE, "out = eye + m @ out / k", "out = eye + m @ out / (k + 1)",
           "a factorial off by one", SHORT),
    Mutant(REFERENCE, "if float(torch.linalg.matrix_norm(m, 1)) >= 0.1:", "if True:",
           "ten digits for sixteen", SHORT),
    Mutant(POINT, "sinkhorn(seen, y @ inverse, a, b, epsilon=2.0, **effort)",
           "sinkhorn(seen, y @ inverse, a, b, epsilon=1.0, **effort)", "a factor 2", COUPLED),
    Mutant(POINT, "seen = (x @ move.phi.mT + move.shift) @ inverse",
           "seen = x @ inverse", "the reference's drift left out", GRID),
    Mutant(POINT, "return mean, ends + mixed + mixed.mT + law.cov",
           "return mean, ends + mixed + law.cov", "one of two mixed terms", MIXTURE),
    Mutant(POINT, "return self.plan.b.log() + 0.5 * self.plan.g - 0.5 * apart",
           "return self.plan.b.log() + self.plan.g - 0.5 * apart", "missing factor 2", GRID),
    Mutant(POINT, "- x @ step.phi.mT - step.shift\n        return torch.linalg.solve",
           "- x - step.shift\n        return torch.linalg.solve", "a transition left out",
           CONTINUITY),
    Mutant(POINT, "return self.drift(x, u) - 0.5 * self.score(x, u)",
           "return self.drift(x, u) - self.score(x, u)", "missing factor 1/2", CONTINUITY),
    Mutant(POINT, "dets = torch.logdet(whole.cov) - torch.logdet(rest.cov)",
           "dets = torch.logdet(rest.cov) - torch.logdet(whole.cov)", "flipped sign", MASS),
    Mutant(POINT, "_choose(rows, uniforms[part, 1:])", "_choose(rows, uniforms[part, :1])",
           "one number for both ends", PAIRS),
    Mutant(PATH, "spread = torch.trace(a) + torch.trace(b) - 2 * torch.trace(self.bridge.cross)",
           "spread = torch.trace(a) + torch.trace(b) - torch.trace(self.bridge.cross)",
           "missing factor 2", MOVED),
    Mutant(PATH, "sigma = noise_of(fraction * mean_squared_distance(a, b))",
           "sigma = noise_of(2 * fraction * mean_squared_distance(a, b))",
           "epsilon and sigma apart", EPSILON),
    Mutant(REFERENCE, "kappa * mean, dtype=torch.float64)", "kappa * mean)",
           "a centre rounded to float32", PULL),
    Mutant(f"{FOLDER}discrete.py", "mean_cost(between, a, b) or 1.0", "1.0",
           "tiny costs taken for 0", at(CLOUDS, "units_are_only_units")),
    Mutant(CLOUD, "distance = float(spread + (a.mean", "distance = float(spread - (a.mean",
           "the unit of epsilon without its means", EPSILON),
    Mutant(REFERENCE, "phi @ phi, shift + phi @ shift,", "phi @ phi, shift + shift,",
           "the first half not carried on", PULL),
    Mutant(REFERENCE, "cov + phi @ cov @ phi.mT\n", "cov + cov\n",
           "the first half's noise not carried on", PULL),
    Mutant(PATH, "rest = bridge.cov_b - slope @ bridge.cross", "rest = bridge.cov_b",
           "the end's noise counted twice", SAMPLED),
    Mutant(OUT, "file=sys.stderr,\n    )\n    return 1", "file=sys.stderr,\n    )\n    return 0",
           "a miss without a status", LOUD),
    Mutant(READ, "np.load(io.BytesIO(data))",
           "np.load(io.BytesIO(data), allow_pickle=True)", "pickles are run", FILES),
    Mutant("toy_models/bridges.py", "        _exact(self.first, self.last)\n", "",
           "float32 let through", at("tests/unit/toy_models/test_bridges.py",
                                     "bad_input_is_refused_with_its_value")),
    Mutant(f"{FOLDER}interpolant.py", "return Coefficients(0.0, u, 1.0 - u * u, 0.0, 1.0, -u)",
           "return Coefficients(0.0, u, 1.0 - u * u, 0.0, 1.0, -2 * u)", "gamma' for gamma gamma'",
           at("tests/unit/toy_models/test_interpolated.py",
              "the_derivatives_are_those_of_the_coefficients")),
]  # fmt: skip
