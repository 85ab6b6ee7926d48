"""Mistakes in what samples can teach: rates, corruption, singular laws, perturbation scores."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

HERE = "analysis/statistics/"
RATES = f"{UNIT}analysis/test_rates.py"
CORRUPTION = f"{UNIT}analysis/test_corruption.py"
SINGULAR = f"{UNIT}analysis/test_singular.py"
SCORES = f"{UNIT}analysis/test_perturbation_score.py"
PLANES = f"{UNIT}analysis/test_subspaces.py"
KNOWN = (f"{RATES}::test_a_fit_has_the_known_mean_divergence",)
STOPPED = (f"{RATES}::test_a_stopped_diffusion_of_points_has_the_known_mean_error",)
RIDGE = (f"{CORRUPTION}::test_corruption_is_ridge_regression",)
FEW = (f"{CORRUPTION}::test_without_corruption_the_mean_distance_is_closed",)
MANY = (f"{CORRUPTION}::test_of_many_samples_only_the_population_is_left",)
EXACT = (f"{SCORES}::test_under_every_labelling_the_level_is_exact",)

MUTANTS = [
    Mutant(
        f"{HERE}rates.py",
        "digamma((n - i) / 2)",
        "digamma((n - i + 1) / 2)",
        "a degree of freedom too many in a determinant",
        KNOWN,
    ),
    Mutant(
        f"{HERE}rates.py",
        "(c * (1 + 1 / n) - (n - rank - 2))",
        "(c - (n - rank - 2))",
        "the error of the mean forgotten",
        KNOWN,
    ),
    Mutant(
        f"{HERE}rates.py",
        "math.expm1(wide) - 2 * math.expm1(crossed)",
        "math.expm1(wide) - math.expm1(crossed)",
        "a cross term counted once",
        STOPPED,
    ),
    Mutant(
        f"{HERE}rates.py",
        "(sigma**-dim - math.exp(wide)) / n",
        "sigma**-dim / n",
        "a point that is its own neighbour",
        STOPPED,
    ),
    Mutant(
        f"{HERE}rates.py",
        "(x - z @ basis.mT) / sigma**2",
        "(x - z @ basis.mT) / sigma",
        "sigma for its square off a subspace",
        (f"{RATES}::test_the_score_of_a_subspace_splits",),
    ),
    Mutant(
        f"{HERE}corruption.py",
        "lost = gamma**2 * keep",
        "lost = gamma * keep",
        "a deviation for a variance of the corruption",
        (f"{CORRUPTION}::test_the_learned_variance_is_known",),
    ),
    Mutant(
        f"{HERE}corruption.py",
        "len(left) + gamma**2 * slope @ slope.T)",
        "len(left))",
        "what corruption leaves unexplained, forgotten in a fit",
        RIDGE,
    ),
    Mutant(
        f"{HERE}corruption.py",
        "return float(size + 0.5 * log)",
        "return float(size + log)",
        "twice the log-determinant in an entropy",
        (
            f"{CORRUPTION}::test_entropy_rises_strictly_and_a_model_of_the_population_only_gets_worse",
        ),
    ),
    Mutant(
        f"{HERE}corruption.py",
        "_chi_square(n - 1, nodes)",
        "_chi_square(n, nodes)",
        "the degree of freedom of the slope forgotten",
        FEW,
    ),
    Mutant(
        f"{HERE}corruption.py",
        "means = (fitted * keep - slope) ** 2",
        "means = (fitted - slope) ** 2",
        "a slope that corruption does not shrink",
        MANY,
    ),
    Mutant(
        f"{HERE}singular.py",
        "np.maximum(noisy - s**2, 0.0)",
        "np.maximum(noisy - s, 0.0)",
        "a deviation taken from a variance",
        (
            f"{SINGULAR}::test_the_fit_of_perturbed_samples_is_the_minimum_and_its_distance_is_of_its_error",
        ),
    ),
    Mutant(
        f"{HERE}singular.py",
        "gammaln(half + 1)",
        "gammaln(half)",
        "a Gamma function off by one",
        (f"{SINGULAR}::test_what_noise_leaves_behind_has_its_mean",),
    ),
    Mutant(
        f"{HERE}singular.py",
        "diagonal_w2(np.zeros_like(v), v + s**2",
        "diagonal_w2(np.zeros_like(v), v + s",
        "smoothing by a variance s",
        (
            f"{SINGULAR}::test_noise_costs_at_most_its_root_mean_square_and_that_much_across_the_set",
        ),
    ),
    Mutant(
        f"{HERE}singular.py",
        "(1 / w - square / w**3)",
        "(1 / w - square / w**2)",
        "a wrong power in a gradient",
        (
            f"{SINGULAR}::test_descent_reaches_the_width_exactly_by_steps_below_the_square_of_the_noise",
        ),
    ),
    Mutant(
        f"{HERE}curve.py",
        "keep, shrink = math.exp(-0.5 * omega**2",
        "keep, shrink = math.exp(-(omega**2)",
        "twice the blur of a curve",
        (f"{SINGULAR}::test_too_much_noise_blurs_a_curve_by_a_closed_amount",),
    ),
    Mutant(
        f"{HERE}perturbation_score.py",
        "gain -= w * node.alpha / (",
        "gain -= w / (",
        "alpha forgotten in the gain",
        (f"{SCORES}::test_the_gain_is_known",),
    ),
    Mutant(
        f"{HERE}perturbation_score.py",
        "mean = node.alpha * x[:, None]",
        "mean = x[:, None]",
        "data that do not fade",
        (f"{SCORES}::test_of_gaussian_data_it_is_affine_without_any_error",),
    ),
    Mutant(
        f"{HERE}perturbation_score.py",
        "return 0.5 * t_max * (nodes + 1), 0.5 * weights",
        "return 0.5 * t_max * (nodes + 1), weights",
        "the length of the interval in a mean",
        (f"{SCORES}::test_the_gain_is_known",),
    ),
    Mutant(
        f"{HERE}permutation.py",
        "values >= values[0] - 1e-12",
        "values > values[0] + 1e-12",
        "a p-value without the given labelling",
        EXACT,
    ),
    Mutant(
        f"{HERE}permutation.py",
        "    if bad:  # or",
        "    if False:  # or",
        "a p-value of 0 for what is not a number",
        (f"{SCORES}::test_bad_questions_are_refused_in_one_sentence",),
    ),
    Mutant(
        f"{HERE}permutation.py",
        "-2 * b * b",
        "-b * b",
        "another bandwidth than that of the discrepancy",
        (f"{SCORES}::test_the_statistic_is_the_square_of_the_discrepancy",),
    ),
    Mutant(
        "analysis/subspaces.py",
        "rank / (n - rank - 1)",
        "rank / n",
        "regressions on as many samples as one likes",
        (f"{PLANES}::test_the_mean_tilt_is_that_of_regressions",),
    ),
]
