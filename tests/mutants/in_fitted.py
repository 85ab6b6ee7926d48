"""Mistakes in the fitted samplers and in the Gaussian theory behind two of them."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

V3 = f"{UNIT}solvers/test_dpm_v3.py"
INTEGRALS = (f"{V3}::test_the_weights_of_a_step_are_the_integrals_of_the_exact_solution",)
DC = f"{UNIT}solvers/test_dc_solver.py"
FLOW = f"{UNIT}solvers/test_gaussian_flow.py"
EXACT_FLOW = (f"{FLOW}::test_teleportation_is_the_exact_flow_of_a_gaussian",)
LOW_RANK = (f"{FLOW}::test_a_low_rank_covariance_moves_its_null_space_with_sigma_alone",)
ADAMS = f"{UNIT}solvers/test_preconditioned.py"
ON_ITS_GAUSSIAN = (
    f"{ADAMS}::test_the_gaussian_of_its_statistics_is_solved_exactly_whatever_the_steps",
)

STATISTICS = [
    Mutant(
        "solvers/fitted/statistics_v3.py",
        "rows.append(1.0 - node.alpha * slope",
        "rows.append(1.0 - slope",
        "alpha forgotten in a Jacobian",
        (f"{V3}::test_estimated_statistics_of_a_gaussian_are_those_of_its_formula",),
    ),
    Mutant(
        "solvers/fitted/statistics_v3.py",
        "total += (v * pulled).mean(0)",
        "total += pulled.mean(0)",
        "Hutchinson without the second factor",
        (f"{V3}::test_hutchinson_agrees_with_the_closed_form_diagonal_to_a_percent",),
    ),
    Mutant(
        "solvers/fitted/statistics_v3.py",
        "v = (2 * bits - 1)",
        "v = (bits + 0)",
        "probes with a mean",
        (f"{V3}::test_hutchinson_agrees_with_the_closed_form_diagonal_to_a_percent",),
    ),
    Mutant(
        "solvers/fitted/statistics_v3.py",
        "moved = y + (near.rho - node.rho) * eps",
        "moved = y + 0.0 * eps",
        "derivative at a fixed state, not along the flow",
        (f"{V3}::test_s_and_b_are_the_regression_along_the_exact_flow",),
    ),
    Mutant(
        "solvers/fitted/statistics_v3.py",
        "return s, mean_rate - s * mean",
        "return s, mean_rate + s * mean",
        "flipped sign of an intercept",
        (f"{V3}::test_fitted_statistics_gain_a_fifth_over_ddim_on_starts_they_did_not_see",),
    ),
    Mutant(
        "solvers/fitted/statistics_v3.py",
        "2.0 * mean * snr * ell**2",
        "mean * snr * ell**2",
        "missing factor 2",
        (f"{V3}::test_exact_statistics_of_an_axis_aligned_gaussian_make_every_step_exact",),
    ),
    Mutant(
        "solvers/fitted/statistics_v3.py",
        "return 1.0 - a2, -a2,",
        "return 1.0 - a2, a2,",
        "flipped sign of s",
        (f"{V3}::test_velocity_statistics_integrate_the_velocity_over_the_angle",),
    ),
]

V3_STEPS = [
    Mutant(
        "solvers/fitted/dpm_v3.py",
        "outer = t.alpha * np.exp(-path.ends[0])",
        "outer = t.alpha * np.exp(path.ends[0])",
        "flipped sign in an exponent",
        INTEGRALS,
    ),
    Mutant(
        "solvers/fitted/dpm_v3.py",
        "kernel = np.exp(path.L + path.S)",
        "kernel = np.exp(path.L)",
        "the scale forgotten",
        INTEGRALS,
    ),
    Mutant(
        "solvers/fitted/dpm_v3.py",
        "terms += _f_terms(statistics, output, -c * np.exp(-scale))",
        "terms += _f_terms(statistics, output, -c)",
        "an older output not anchored",
        INTEGRALS,
    ),
    Mutant(
        "solvers/fitted/dpm_v3.py",
        "beta = beta - c * shift",
        "beta = beta + c * shift",
        "flipped sign of an offset",
        INTEGRALS,
    ),
    Mutant(
        "solvers/fitted/dpm_v3.py",
        "_running(np.exp(-big_s) * offset, panels, width)",
        "_running(np.exp(big_s) * offset, panels, width)",
        "S for -S",
        INTEGRALS,
    ),
    Mutant(
        "solvers/fitted/dpm_v3.py",
        "weight * keep / output.node.alpha",
        "weight * keep",
        "alpha forgotten",
        INTEGRALS,
    ),
    Mutant(
        "solvers/fitted/dpm_v3.py",
        "basis += table[0][:, None] * u**k",
        "basis += table[0][:, None] * u**k / max(1, k)",
        "factorial counted twice",
        (f"{V3}::test_pseudo_orders_integrate_straight_lines_exactly_and_parabolas_not",),
    ),
    Mutant(
        "solvers/fitted/dpm_v3.py",
        'new = Output(end, tape.eval(end, t, "data"), t)\n',
        'new = Output(x, tape.eval(end, t, "data"), t)\n',
        "the cache trap: f with another x",
        (f"{V3}::test_the_corrector_reuses_f_of_the_predicted_state_with_its_own_x",),
    ),
    Mutant(
        "solvers/fitted/dpm_v3.py",
        "use[1 : len(use) - 1 + corrector]",
        "use[1 : len(use) + corrector]",
        "a corrector of one node too many",
        (f"{V3}::test_a_corrector_reads_as_many_outputs_as_it_says",),
    ),
]

DC_SOLVER = [
    Mutant(
        "solvers/fitted/dc_solver.py",
        "u = ratio * places[0] + (1.0 - ratio) * places[1]",
        "u = ratio * places[1] + (1.0 - ratio) * places[0]",
        "ratio for 1 - ratio",
        (f"{DC}::test_the_moved_value_is_the_parabola_through_the_cache",),
    ),
    Mutant(
        "solvers/fitted/dc_solver.py",
        "past[0][1]), *past[1:]]",
        "past[0][1]), *past]",
        "the moved value beside the old one",
        (f"{DC}::test_a_fit_gains_on_starts_that_it_did_not_see",),
    ),
    Mutant(
        "solvers/fitted/dc_solver.py",
        "past = _compensated(tape, past, ratio, clock)\n",
        "used = _compensated(tape, past, ratio, clock)\n",
        "computed and not used",
        (f"{DC}::test_the_moved_value_stays_in_the_cache_and_the_first_two_steps_use_none",),
    ),
    Mutant(
        "solvers/fitted/dc_solver.py",
        "if _is_one(ratio) or len(past) < CACHE",
        "if _is_one(ratio) or len(past) < CACHE + 1",
        "off by one in the cache",
        (f"{DC}::test_the_moved_value_stays_in_the_cache_and_the_first_two_steps_use_none",),
    ),
    Mutant(
        "solvers/fitted/dc_ratios.py",
        "truth = reference_states(model, process, grid, starts)\n    build",
        "truth = reference_states(model, process, grid, starts, 1)\n    build",
        "no finer than what is fitted",
        (f"{DC}::test_a_fit_gains_on_starts_that_it_did_not_see",),
    ),
    Mutant(
        "solvers/fitted/dc_ratios.py",
        "return min((float(found.x), ratios[i], 1.0), key=at)",
        "return max((float(found.x), ratios[i], 1.0), key=at)",
        "the worst ratio",
        (f"{DC}::test_a_fit_gains_on_starts_that_it_did_not_see",),
    ),
    Mutant(
        "solvers/fitted/dc_ratios.py",
        "(w / 4.0) ** b, (6.0 / n) ** c",
        "(w / 4.0) ** b, (n / 6.0) ** b",
        "an exponent of another",
        (f"{DC}::test_a_surface_gives_back_ratios_that_are_such_a_polynomial",),
    ),
]

GAUSSIAN = [
    Mutant(
        "solvers/fitted/gaussian_flow.py",
        "(after / before).sqrt(),",
        "after / before,",
        "variance for standard deviation",
        EXACT_FLOW,
    ),
    Mutant(
        "solvers/fitted/gaussian_flow.py",
        "flat - start.alpha * s.mean,",
        "flat - s.mean,",
        "alpha forgotten in a mean",
        EXACT_FLOW,
    ),
    Mutant(
        "solvers/fitted/gaussian_flow.py",
        "math.sqrt(after_rest / before_rest)",
        "1.0",
        "the null space left as it was",
        LOW_RANK,
    ),
    Mutant(
        "solvers/fitted/gaussian_flow.py",
        "node.alpha * s.variances / v, outside",
        "s.variances / v, outside",
        "alpha forgotten in a gain",
        LOW_RANK,
    ),
    Mutant(
        "solvers/fitted/moments.py",
        "singular[:kept] ** 2 / (n - 1)",
        "singular[:kept] ** 2 / n",
        "n for n - 1",
        (f"{FLOW}::test_statistics_of_few_samples_span_what_the_samples_span",),
    ),
    Mutant(
        "solvers/fitted/moments.py",
        "(len(mean) - rank)",
        "len(mean)",
        "variance lost in a cut",
        (f"{FLOW}::test_statistics_of_few_samples_span_what_the_samples_span",),
    ),
    Mutant(
        "solvers/fitted/gaussian_flow.py",
        "share = amplitudes**2 / amplitudes[-1] ** 2",
        "share = amplitudes / amplitudes[-1]",
        "amplitude for power",
        (f"{FLOW}::test_emergence_finds_where_a_known_sigmoid_has_half_its_power",),
    ),
    Mutant(
        "solvers/fitted/gaussian_flow.py",
        "for node in grid.nodes[1:-1])",
        "for node in grid.nodes[:-1])",
        "off by one in the node of arrival",
        (f"{FLOW}::test_a_third_of_the_steps_can_be_skipped_and_not_two_thirds",),
    ),
]

PRECONDITIONED = [
    Mutant(
        "solvers/fitted/preconditioned.py",
        "gain = node.alpha * c2 / _spread(c2, node)",
        "gain = c2 / _spread(c2, node)",
        "alpha forgotten in a gain",
        ON_ITS_GAUSSIAN,
    ),
    Mutant(
        "solvers/fitted/preconditioned.py",
        "np.sqrt(_spread(c2, t) / _spread(c2, s))",
        "_spread(c2, t) / _spread(c2, s)",
        "variance for standard deviation",
        ON_ITS_GAUSSIAN,
    ),
    Mutant(
        "solvers/fitted/preconditioned.py",
        "scale = variances * math.exp(2 * t.lam)",
        "scale = variances * math.exp(t.lam)",
        "missing factor 2 in an exponent",
        (
            f"{ADAMS}::test_weights_are_the_integrals_of_the_exact_solution_for_any_variance_and_step",
        ),
    ),
    Mutant(
        "solvers/fitted/preconditioned.py",
        "np.arcsinh(safe) / safe, 1.0)",
        "np.arcsinh(safe), 1.0)",
        "a limit taken wrongly",
        (f"{ADAMS}::test_from_pure_noise_the_first_step_is_the_limit_of_long_steps",),
    ),
    Mutant(
        "solvers/fitted/preconditioned.py",
        "return self.enter(asked(model, x, t), 1.0)",
        "return self.enter(asked(model, x, t), 0.0)",
        "the mean of the data left in",
        (
            f"{ADAMS}::test_a_frame_is_left_as_it_was_entered_and_knows_the_denoiser_of_its_gaussian",
        ),
    ),
    Mutant(
        "solvers/fitted/preconditioned.py",
        "if inner and order > len(past) + 1:",
        "if inner and order > len(past) + 2:",
        "a start that caps the order",
        (f"{ADAMS}::test_of_three_nodes_only_the_first_step_is_corrected_and_it_costs_nothing",),
    ),
]

REGISTRY = [
    Mutant(
        "solvers/registry.py",
        "return self.fit is not None",
        "return self.fit is None",
        "flipped answer",
        (f"{UNIT}solvers/test_fit.py::test_the_list_of_samplers_says_which_can_be_fitted",),
    ),
    Mutant(
        "solvers/run.py",
        'inputs.setdefault("one", torch.ones_like(x))',
        'inputs.setdefault("one", torch.zeros_like(x))',
        "no constant",
        (f"{V3}::test_exact_statistics_of_an_axis_aligned_gaussian_make_every_step_exact",),
    ),
]

MUTANTS = [
    *STATISTICS, *V3_STEPS, *DC_SOLVER, *GAUSSIAN, *PRECONDITIONED, *REGISTRY,
]  # fmt: skip
