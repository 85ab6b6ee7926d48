"""Mistakes in pruned networks, in the terms of their error, and in comparisons of samples."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

HERE = f"{UNIT}analysis/test_pruned.py"
COUNT = (f"{HERE}::test_pruning_takes_the_smallest_and_counts_exactly",)
NORMS = (f"{HERE}::test_channels_go_by_their_norm_and_one_stays",)
CLOSED = (f"{HERE}::test_w2_of_the_law_without_channels_is_closed_for_every_eta",)
EXACT = (f"{HERE}::test_without_its_least_channels_it_is_the_exact_model_of_a_law_without_them",)
TERMS = (f"{HERE}::test_both_orders_are_those_of_the_linear_equations",)
FIELD = f"{UNIT}analysis/test_recommend_on_mixture.py"
MEASURES = f"{UNIT}analysis/test_evaluation.py"
INTERVALS = f"{UNIT}analysis/test_evaluation_intervals.py"
EQUAL = (f"{FIELD}::test_equal_samplers_hardly_ever_go_before_the_last_round",)
CLASSES = (f"{FIELD}::test_classes_in_turn_do_not_make_two_equal_laws_look_closer_than_equal",)
CLOUDS = f"{UNIT}analysis/test_cloud_sources.py"
NOISIEST = (
    f"{CLOUDS}::test_a_grid_that_begins_below_the_noisiest_level_begins_with_its_own_noise",
)
STOPS = (f"{HERE}::test_where_a_power_crosses_is_found_exactly",)

MUTANTS = [
    Mutant(
        "analysis/pruned.py",
        "values.abs().flatten(), share",
        "values.flatten(), share",
        "pruned by value, not by size",
        COUNT,
    ),
    Mutant(
        "analysis/pruned.py",
        "argsort(stable=True)[:",
        "argsort(stable=True, descending=True)[:",
        "the largest go",
        COUNT,
    ),
    Mutant(
        "analysis/pruned.py",
        "vector_norm(values.reshape(len(values), -1).double(), dim=1)",
        "vector_norm(values.reshape(len(values), -1).double(), ord=1, dim=1)",
        "another norm of a channel",
        NORMS,
    ),
    Mutant(
        "analysis/pruned.py",
        "share, len(values) - 1)",
        "share, len(values))",
        "a network without outputs",
        NORMS,
    ),
    Mutant(
        "analysis/pruned.py",
        "** (2 * (1 + eta))",
        "** (2 + eta)",
        "half of what the noise forgets",
        CLOSED,
    ),
    Mutant(
        "analysis/reach.py",
        "(up + down) / (2 * size**2)",
        "(up + down) / size**2",
        "a second derivative for the second term",
        TERMS,
    ),
    Mutant(
        "analysis/reach.py",
        "(up - down) / (2 * size), (",
        "(up - down) / size, (",
        "twice the first order",
        TERMS,
    ),
    Mutant(
        "analysis/reach.py",
        "_rms(whole - first) / length",
        "(_rms(whole) - length).abs() / length",
        "lengths compared, not vectors",
        TERMS,
    ),
    Mutant(
        "analysis/reach.py",
        "(s[k] / s[k - 1]) ** part",
        "(s[k] / s[k - 1]) * part",
        "a crossing that is not interpolated in logarithms",
        STOPS,
    ),
    Mutant(
        "analysis/reach.py",
        "k = int(above[0])",
        "k = int(above[-1])",
        "the last crossing, not the first",
        STOPS,
    ),
    Mutant(
        "toy_models/linear_network.py",
        "scale = self.values + (u[:, None] / clean).square()",
        "scale = self.values + u[:, None] / clean",
        "rho for its square",
        EXACT,
    ),
    Mutant(
        "toy_models/linear_network.py",
        "hidden = (z / clean - self.mean)",
        "hidden = (z - self.mean)",
        "x taken for x/alpha",
        EXACT,
    ),
    Mutant(
        "analysis/recommend/race.py",
        "SURE = 0.995",
        "SURE = 0.6",
        "a race that believes in luck",
        EQUAL,
    ),
    Mutant(
        "analysis/recommend/race.py",
        "k < sure or close[k] or may_be_best",
        "k < sure or may_be_best",
        "who is not told apart by the fine solution goes",
        EQUAL,
    ),
    Mutant(
        "analysis/evaluation/best.py",
        "scatter / safe).max(axis=1), level)",
        "scatter / safe)[:, 0], level)",
        "the leader taken as if named beforehand",
        EQUAL,
    ),
    Mutant(
        "analysis/evaluation/kernel.py",
        "4 * first / n, 2 * both.degenerate / (n * (n - 1))",
        "4 * first / n, both.degenerate / (n * (n - 1))",
        "half of the variance of a degenerate statistic",
        (f"{INTERVALS}::test_in_pairs_the_mmd_and_its_variance_have_no_bias",),
    ),
    Mutant(
        "analysis/evaluation/kernel.py",
        "_pair_moments(kxx + kyy - kxy - kxy.T)",
        "_pair_moments(kxx + kyy - kxy)",
        "the samples meet once, not twice",
        (f"{INTERVALS}::test_a_paired_mmd_is_that_of_its_pairs_and_refuses_what_is_none",),
    ),
    Mutant(
        "analysis/recommend/laws.py",
        "found = paired_mmd(x",
        "found = __import__(KernelDistance.__module__, fromlist=['k']).unbiased_mmd(x",
        "members of one class meet across the samples",
        CLASSES,
    ),
    Mutant(
        "analysis/recommend/mixture.py",
        "torch.zeros(d, max(r, 1),",
        "torch.zeros(d, r,",
        "a mixture on the line without a factor",
        CLASSES,
    ),
    Mutant(
        "analysis/evaluation/inception.py",
        "except Exception as error:",
        "except ImportError as error:",
        "a broken library breaks the evaluation",
        (f"{MEASURES}::test_a_library_that_is_there_but_broken_is_told_and_breaks_nothing",),
    ),
    Mutant(
        "analysis/evaluation/inception.py",
        "torch.promote_types(images.dtype, torch.float32)",
        "images.dtype",
        "levels counted in half precision",
        (f"{MEASURES}::test_levels_are_the_nearest_whatever_the_images_are_held_in",),
    ),
    Mutant(
        "analysis/score_error/clouds.py",
        "        first.sigma * eps,\n    )",
        "        process.prior_std * eps,\n    )",
        "the noise of another level than the grid's first",
        NOISIEST,
    ),
    Mutant(
        "analysis/score_error/split.py",
        "used = first.sigma * eps",
        "used = process.prior_std * eps",
        "pairs that start from another level than the grid's first",
        NOISIEST,
    ),
    Mutant(
        "analysis/score_error/clouds.py",
        "and model.process != process:",
        "and model.process is None:",
        "a network asked at the times of another process",
        (f"{CLOUDS}::test_bad_questions_are_refused_in_one_sentence",),
    ),
    Mutant(
        "analysis/score_error/linear.py",
        "!= (d, d) or np.shape(line.shift) != (d,):",
        "!= (d, d) and False:",
        "a model of another dimension",
        (f"{UNIT}analysis/test_score_error.py::test_bad_questions_are_refused_in_one_sentence",),
    ),
    Mutant(
        "analysis/other_module.py",
        "(ModuleCall, DiffusersCall)):",
        "ModuleCall):",
        "networks of diffusers said to be none",
        (
            f"{HERE}::test_a_network_of_diffusers_has_weights_too_and_another_way_of_asking_is_told",
        ),
    ),
    Mutant(
        "analysis/fokker_planck/network_report.py",
        "x = start.sigma * noise",
        "x = network.process.prior_std * noise",
        "points from another level than the network's first",
        NOISIEST,
    ),
    Mutant(
        "analysis/score_error/clouds.py",
        "process.node(s.t + p * (t.t - s.t))",
        "process.node(s.t + p * p * (t.t - s.t))",
        "pieces of time that are not equal",
        (f"{CLOUDS}::test_a_flow_that_starts_without_signal_is_cut_in_time_there",),
    ),
]
