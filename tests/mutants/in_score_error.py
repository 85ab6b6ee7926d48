"""Mistakes in what wrong scores do: laws, bounds, gauges, dimension, subspaces, information."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

SCORE = f"{UNIT}analysis/test_score_error.py"
GAUGE = f"{UNIT}analysis/test_gauge.py"
PLANES = f"{UNIT}analysis/test_subspaces.py"
INFORMATION = f"{UNIT}analysis/test_information.py"
LEVELS = f"{UNIT}analysis/test_task_difficulty.py"
HERE = "analysis/score_error/"
MARGINALS = (f"{SCORE}::test_without_error_every_eta_keeps_the_exact_marginals",)
GIRSANOV = (
    f"{SCORE}::test_girsanov_is_the_integral_of_the_score_error_and_least_at_the_reverse_sde",
)
SHARP = (f"{SCORE}::test_a_constant_error_of_small_size_meets_the_wasserstein_bound",)
FLOW = (f"{GAUGE}::test_the_flow_tells_tangents_from_normals",)
WEIGHTS = (f"{PLANES}::test_weights_are_those_of_the_law_also_for_unequal_ranks_and_weights",)

MUTANTS = [
    Mutant(
        f"{HERE}linear.py",
        "half.T + 2 * eta * math.exp",
        "half.T + eta * math.exp",
        "half of the noise of the eta-SDE",
        MARGINALS,
    ),
    Mutant(
        f"{HERE}linear.py",
        "half = (1 + eta) * pull @ law.cov",
        "half = (1 + eta**0.5) * pull @ law.cov",
        "tau taken for eta in the drift",
        MARGINALS,
    ),
    Mutant(
        f"{HERE}linear.py",
        "(1 + delta) * gain - delta * np.eye",
        "(1 + delta) * gain + delta * np.eye",
        "a flipped sign in the scaled score",
        (f"{SCORE}::test_a_scaled_score_has_its_closed_form_in_every_direction",),
    ),
    Mutant(
        f"{HERE}linear.py",
        "size * add)",
        "add)",
        "an amplitude that forgets the shift",
        (f"{SCORE}::test_an_error_of_the_score_is_what_it_says_at_every_level",),
    ),
    Mutant(
        f"{HERE}budget.py",
        "(1 + eta) * (top * now[0] + math.sqrt(error))",
        "top * now[0] + math.sqrt(error)",
        "the ODE's bound for every eta",
        SHARP,
    ),
    Mutant(
        f"{HERE}budget.py",
        "np.linalg.eigvalsh(0.5 * (pull + pull.T))[-1]",
        "np.linalg.eigvalsh(0.5 * (pull + pull.T))[0]",
        "the smallest eigenvalue as the growth of distances",
        (f"{SCORE}::test_the_bound_grows_with_the_direction_that_forgets_least",),
    ),
    Mutant(
        f"{HERE}budget.py",
        "error / (4 * eta * noise)",
        "error / (8 * eta * noise)",
        "half of Girsanov's integral",
        (
            f"{SCORE}::test_girsanov_is_the_integral_of_the_score_error_and_least_at_the_reverse_sde",
        ),
    ),
    Mutant(
        f"{HERE}budget.py",
        "eta * noise * _square(ratio, exact)",
        "0.5 * eta * noise * _square(ratio, exact)",
        "half of what the noise eats",
        GIRSANOV,
    ),
    Mutant(
        f"{HERE}budget.py",
        "apart = _square(Line(pull - noise * own.gain",
        "apart = _square(Line(pull + noise * own.gain",
        "a flipped score in the bound of the gap",
        (f"{SCORE}::test_the_gap_and_its_bound_shrink_with_the_error",),
    ),
    Mutant(
        f"{HERE}split.py",
        "wrong = exact_law(believed, first, begin, end, eta)",
        "wrong = exact_law(believed, stopped, begin, end, eta)",
        "the wrong model from another start",
        (f"{SCORE}::test_the_source_of_the_model_is_that_of_the_linear_laws",),
    ),
    Mutant(
        f"{HERE}split.py",
        "used = first.sigma * eps",
        "used = right",
        "an initialisation without error",
        (f"{SCORE}::test_paired_sources_of_a_law_without_a_closed_flow",),
    ),
    Mutant(
        "analysis/gauge.py",
        "solve_continuous_lyapunov(s, b @ s + s @ b.T)",
        "solve_continuous_lyapunov(s, s @ b + b.T @ s)",
        "the covariance on the wrong side",
        (
            f"{GAUGE}::test_a_linear_field_is_a_gradient_and_a_stirring_orthogonal_to_all_gradients",
        ),
    ),
    Mutant(
        "analysis/gauge.py",
        "Line(gain + a @ (gain - np.eye(len(shift))), shift + a @ shift)",
        "Line(gain + a @ (gain - np.eye(len(shift))), shift)",
        "a gauge about another centre",
        (f"{GAUGE}::test_every_marginal_stays_and_the_budget_of_girsanov_is_empty",),
    ),
    Mutant(
        "analysis/gauge.py",
        "self.law.denoiser(x, alpha, sigma) + (s * s / a) * stirred",
        "self.law.denoiser(x, alpha, sigma) + (s / a) * stirred",
        "sigma for its square in a denoiser",
        (f"{GAUGE}::test_likelihoods_stay",),
    ),
    Mutant(
        "analysis/gauge.py",
        "(_gradients((x - centre) / scale, powers) / scale[:, None])",
        "_gradients((x - centre) / scale, powers)",
        "a chain rule forgotten in scaled coordinates",
        (f"{GAUGE}::test_of_a_mixture_the_gauge_has_no_gradient_and_the_score_is_one",),
    ),
    Mutant(
        "analysis/intrinsic.py",
        "turned = rho**2 * model.hessian",
        "turned = rho * model.hessian",
        "rho for its square in the Jacobian of the flow",
        FLOW,
    ),
    Mutant(
        "analysis/intrinsic.py",
        "return (a1 / a0) * torch.from_numpy",
        "return torch.from_numpy",
        "the Jacobian of x/alpha for that of x",
        FLOW,
    ),
    Mutant(
        "analysis/intrinsic.py",
        "self.values > share / sigma",
        "self.values > share",
        "a threshold that does not scale with sigma",
        (f"{GAUGE}::test_a_gauge_keeps_the_count_and_turns_the_plane",),
    ),
    Mutant(
        "analysis/subspaces.py",
        "np.log(p) - 0.5 * u.shape[1] * grown + pull",
        "np.log(p) + pull",
        "weights without the volume of unequal ranks",
        WEIGHTS,
    ),
    Mutant(
        "analysis/subspaces.py",
        "a * (2 - a) * kept",
        "a * kept",
        "a cross term lost in the denoising loss",
        (f"{PLANES}::test_the_denoising_loss_is_its_mean_over_the_noise",),
    ),
    Mutant(
        "analysis/subspaces.py",
        "(1 - missing / (dim - n))",
        "(1 - missing / dim)",
        "a completion in the whole space",
        (f"{PLANES}::test_below_the_transition_the_error_has_its_mean",),
    ),
    Mutant(
        "analysis/information.py",
        "root, 1.0)[:, 0] / root",
        "root, 1.0)[:, 0] / snr",
        "alpha for its square in a posterior variance",
        (f"{INFORMATION}::test_of_a_normal_law_everything_is_closed",),
    ),
    Mutant(
        "analysis/information.py",
        "total += snr * (gap @ weight)",
        "total += (gap @ weight)",
        "the Jacobian of log snr forgotten",
        (f"{INFORMATION}::test_a_difference_of_denoisers_is_a_ratio_of_densities",),
    ),
    Mutant(
        "analysis/task_difficulty.py",
        "speed = (2 * f * law.var + g2) / law.var",
        "speed = (2 * f * law.var + g2**0.5) / law.var",
        "g for g^2",
        (f"{LEVELS}::test_the_rate_is_the_limit_of_small_steps",),
    ),
    Mutant(
        "analysis/task_difficulty.py",
        "return diagonal_kl(*cleaner, *noisier)",
        "return diagonal_kl(*noisier, *cleaner)",
        "the other direction of KL",
        (f"{LEVELS}::test_neighbours_have_the_known_divergence",),
    ),
]
