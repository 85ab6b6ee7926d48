"""Mistakes in the measures of samples and in the choice of a sampler."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

MEASURES = f"{UNIT}analysis/test_evaluation.py"
CHOICE = f"{UNIT}analysis/test_recommend.py"
INTERVALS = f"{UNIT}analysis/test_evaluation_intervals.py"
MIXED = f"{UNIT}analysis/test_recommend_on_mixture.py"
HERE = "analysis/evaluation/"
THERE = "analysis/recommend/"
NO_BIAS = (f"{MEASURES}::test_the_estimate_has_no_bias_and_its_deviation_is_that_of_its_scatter",)
GROUP = (
    f"{MEASURES}::test_the_group_of_the_best_covers_ties_and_leaves_out_who_is_behind",
    f"{MEASURES}::test_the_group_holds_the_best_about_as_often_as_it_says",
)
SURROGATE = (f"{CHOICE}::test_on_gaussian_data_the_surrogate_is_the_error_of_the_network",)
FINE = (f"{CHOICE}::test_the_fine_solution_is_the_exact_flow_and_knows_its_own_error",)

MUTANTS = [
    Mutant(
        f"{HERE}paired.py", "each = gap.square().mean(1).sqrt()",
        "each = gap.square().sum(1).sqrt()", "a sum for a mean over coordinates",
        (f"{MEASURES}::test_the_error_of_a_sample_is_its_distance_over_the_root_of_the_dimension",),
    ),
    Mutant(
        f"{HERE}paired.py", "else 0.5 * np.log(means)", "else np.log(means)",
        "the log of the square for that of the root",
        (f"{MEASURES}::test_a_group_by_rms_is_ruled_by_what_a_typical_error_does_not_see",),
    ),
    Mutant(
        f"{HERE}paired.py", "abs(a - b) <= 2 * max(", "abs(a - b) <= max(",
        "the error of the reference counted once",
        (f"{MEASURES}::test_what_the_reference_does_not_know_is_not_resolved",),
    ),
    Mutant(
        f"{HERE}paired.py", "kept = np.maximum(table, max(floor,",
        "kept = np.maximum(table, max(0.0 * floor,", "errors below that of the reference",
        (f"{MEASURES}::test_no_error_counts_below_that_of_the_reference",),
    ),
    Mutant(
        f"{HERE}best.py", "scatter = drawn[:, [c]] - drawn - gap",
        "scatter = drawn[:, [c]] - drawn + gap", "resamples that are not centred", GROUP,
    ),
    Mutant(
        f"{HERE}paired.py", "minlength=draws * n).reshape(draws, n) / n",
        "minlength=draws * n).reshape(draws, n)", "counts for shares",
        (f"{MEASURES}::test_shares_of_a_resample_are_counts_over_n",),
    ),
    Mutant(
        f"{HERE}kernel.py", "off = k - np.diag(np.diag(k))", "off = k.copy()",
        "a point with itself counts", NO_BIAS,
    ),
    Mutant(
        f"{HERE}kernel.py", "linear, rest = 4 * first / n + 4 * second / m,",
        "linear, rest = first / n + second / m,", "a factor of 4 in the variance", NO_BIAS,
    ),
    Mutant(
        f"{HERE}kernel.py", "mean_kernel(zero, 2 * ca)", "mean_kernel(zero, ca)",
        "the variance of one point for that of a difference",
        (f"{MEASURES}::test_on_the_line_the_closed_form_is_the_integral",),
    ),
    Mutant(
        f"{HERE}kernel.py", "math.exp(-0.5 * float(volume + pull))",
        "math.exp(-float(volume + pull))", "a determinant for its root",
        (f"{MEASURES}::test_on_the_line_the_closed_form_is_the_integral",),
    ),
    Mutant(
        f"{HERE}sliced.py", ".clamp_min(0).sqrt() for c in", ".clamp_min(0) for c in",
        "variances for deviations in sliced W2",
        (f"{MEASURES}::test_for_proportional_covariances_the_mean_over_directions_is_closed",),
    ),
    Mutant(
        f"{HERE}digits.py", "gaussian_w2(*moments[0], *moments[1])) ** 2",
        "gaussian_w2(*moments[0], *moments[1]))", "W2 for its square",
        (f"{MEASURES}::test_the_frechet_distance_of_exact_moments_is_the_closed_form",),
    ),
    Mutant(
        f"{HERE}inception.py", "(images + 1.0) * 127.5",
        "(images + 1.0) * 255.0", "images that are twice as bright",
        (f"{MEASURES}::test_images_go_to_the_library_as_bytes_and_its_answer_comes_back",),
    ),
    Mutant(
        f"{THERE}reference.py", "share = 1.0 / (2.0**order - 1.0) if", "share = 1.0 if",
        "Richardson's denominator forgotten", FINE,
    ),
    Mutant(
        f"{THERE}reference.py", "order = min(order, math.log2(ratio))",
        "order = min(order, math.log(ratio))", "the natural log of a ratio of errors", FINE,
    ),
    Mutant(
        f"{THERE}surrogate.py", "square = gain**2 * start.var + (gain * start.mean + shift) ** 2",
        "square = gain**2 * start.var + gain * start.mean**2", "the shift left out of the error",
        SURROGATE,
    ),
    Mutant(
        f"{THERE}surrogate.py", "answer.gain * flow.shift + answer.shift", "answer.shift",
        "the shift of the flow lost at the end", SURROGATE,
    ),
    Mutant(
        f"{THERE}surrogate.py", "var[:r] += (1 - shrink) * values**2 / n",
        "var[:r] += values**2 / n", "a shrinkage that only adds",
        (f"{CHOICE}::test_statistics_are_those_of_ledoit_and_wolf_in_their_eigenbasis",),
    ),
    Mutant(
        f"{THERE}race.py", "bool(k < sure or close[k] or may_be_best(", "bool(k < 1 and (",
        "nobody but the leader stays",
        (f"{CHOICE}::test_the_race_finds_who_wins_without_one_and_spends_less",),
    ),
    Mutant(
        f"{THERE}race.py", "errors_of(x, truth.ends[first:last])",
        "errors_of(x, truth.ends[: last - first])", "ends of other starts",
        (f"{CHOICE}::test_the_race_finds_who_wins_without_one_and_spends_less",),
    ),
    Mutant(
        "solvers/jobs/trial.py", "return grid[0].sigma * upload(", "return upload(",
        "starts of variance one",
        (f"{CHOICE}::test_starts_on_an_exploding_process_have_its_deviation",),
    ),
    Mutant(
        f"{THERE}candidates.py", "if plan.nfe <= nfe:", "if plan.nfe <= nfe + 1:",
        "one evaluation more than asked",
        (f"{CHOICE}::test_everybody_keeps_the_budget_and_nobody_could_take_a_further_step",),
    ),
    Mutant(
        f"{THERE}scheduler.py", "1.0 - ratios]", "ratios]", "alphas for betas",
        (f"{CHOICE}::test_a_scheduler_that_spans_the_same_levels_makes_the_measured_grid",),
    ),
    Mutant(
        f"{HERE}few.py", "return math.sqrt(n / (n - 1)) * stdtrit(", "return 1.0 * stdtrit(",
        "the deviation of a bootstrap for that of the sample",
        (f"{INTERVALS}::test_a_widened_quantile_is_exact_for_means_and_vanishes_for_many",),
    ),
    Mutant(
        f"{HERE}best.py", "ahead.max() <= widened(limit, count)", "ahead.max() <= limit",
        "a normal quantile for few starts",
        (f"{INTERVALS}::test_the_group_of_few_starts_holds_the_best_as_often_as_it_says",),
    ),
    Mutant(
        f"{HERE}kernel.py", "xx.degenerate / (n - 2) -", "xx.degenerate / (n - 1) -",
        "a noise of effects that is too small",
        (f"{INTERVALS}::test_the_variance_of_the_mmd_is_estimated_without_bias",),
    ),
    Mutant(
        f"{HERE}summary.py", ".permutation(len(x))[:_MOST]", ".permutation(_MOST)[:_MOST]",
        "the first rows for any",
        (f"{INTERVALS}::test_a_part_of_the_samples_does_not_depend_on_their_order",),
    ),
    Mutant(
        f"{THERE}mixture.py", "spread = float((about**2).sum() / free / d)",
        "spread = float((about**2).sum() / n / d)", "means that cost no degrees of freedom",
        (f"{MIXED}::test_beyond_the_rank_the_variance_is_spread_evenly",),
    ),
    Mutant(
        f"{THERE}mixture.py", "about = rows - means[which]", "about = rows - rows.mean(0)",
        "the scatter of the means in the covariance",
        (f"{MIXED}::test_the_mixture_has_the_means_of_the_classes_and_the_shrunk_covariance_about_them",),
    ),
    Mutant(
        f"{THERE}mixture.py", "np.sqrt((kept - rest).clip(0))", "np.sqrt(kept)",
        "the even rest counted twice",
        (f"{MIXED}::test_beyond_the_rank_the_variance_is_spread_evenly",),
    ),
]  # fmt: skip
