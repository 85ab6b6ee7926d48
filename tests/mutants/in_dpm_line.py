"""Mistakes in DPM-Solver's budget and step control, and in the starts and ends of UniPC."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

FAST = f"{UNIT}solvers/test_fast.py"
ADAPTIVE = f"{UNIT}solvers/test_adaptive_noise.py"
UNIPC = f"{UNIT}solvers/test_unipc_options.py"
ONE_STEP = f"{ADAPTIVE}::test_one_accepted_step_is_the_higher_order_of_the_pair"

MUTANTS = [
    Mutant(
        "solvers/samplers/fast.py", "return (*[3] * (full - 1), 2, 1)", "return tuple([3] * full)",
        "the last group of three not divided", (f"{FAST}::test_groups_are_the_published_ones",),
    ),
    Mutant(
        "solvers/samplers/fast.py", "np.arange(1, k) / k", "np.arange(1, k) / (k + 1)",
        "inner nodes of a group off", (
            f"{FAST}::test_the_published_grid_is_the_singlestep_solvers_one_after_the_other",
        ),
    ),
    Mutant(
        "solvers/samplers/fast.py", "return exp_two_stage(c[0]) if len(c) == 1",
        "return exp_two_stage(0.5) if len(c) == 1", "stage not where its node is",
        (f"{LAWS}test_constant_data.py",),
    ),
    Mutant(
        "solvers/adaptive/dpm_solver.py", "low = carry(end, eps, first, 0.5 / r1 * np.expm1(h))",
        "low = carry(end, eps, first, 0.5 * np.expm1(h))", "embedded solution of lower order",
        (f"{ADAPTIVE}::test_the_lower_order_of_the_pair_is_of_that_order",),
    ),
    Mutant(
        "solvers/adaptive/dpm_solver.py", "second = carry(b, eps, first, r2 / r1 * r2 * h",
        "second = carry(b, eps, first, r2 * h", "forgotten stage ratio", (ONE_STEP,),
    ),
    Mutant(
        "solvers/adaptive/dpm_solver.py", "carry(end, eps, last, h * _phi2(h) / r2)",
        "carry(end, eps, last, h * _phi2(h) / r1)", "weight of another stage", (ONE_STEP,),
    ),
    Mutant(
        "solvers/adaptive/dpm_solver.py", "self.rtol * torch.maximum(low.abs(), before.abs())",
        "self.rtol * low.abs()", "scale of the error by one state alone",
        (f"{ADAPTIVE}::test_the_error_is_measured_against_both_low_states_and_both_tolerances",),
    ),
    Mutant(
        "solvers/adaptive/dpm_solver.py", ".square().mean(1).sqrt()", ".abs().amax(1)",
        "another norm of the error", (
            f"{ADAPTIVE}::test_the_error_is_measured_against_both_low_states_and_both_tolerances",
        ),
    ),
    Mutant(
        "solvers/adaptive/dpm_solver.py", 'return found if self.control == "sample" else',
        'return found if self.control == "batch" else', "samples coupled through the control",
        (f"{ADAPTIVE}::test_a_sample_is_the_same_alone_and_in_any_company",),
    ),
    Mutant(
        "solvers/adaptive/dpm_solver.py", "np.maximum(error, 1e-30) ** (-1.0 / self.order)",
        "np.maximum(error, 1e-30) ** (-1.0)", "exponent of the step control",
        (f"{ADAPTIVE}::test_the_published_control_spends_what_it_is_known_to_spend",),
    ),
    Mutant(
        "solvers/samplers/predictor_corrector.py", 'm = new if mode == "PEC" else None',
        'm = new if mode == "PECE" else None', "the corrected state evaluated by itself",
        (f"{UNIPC}::test_evaluating_the_corrected_state_costs_twice_and_keeps_the_order",),
    ),
    Mutant(
        "solvers/samplers/predictor_corrector.py",
        "x = rk_row(tape, process, RK_OF_ORDER[min(order, _BEST_START)], s, t, x, clock)",
        "x = rk_row(tape, process, RK_OF_ORDER[1], s, t, x, clock)", "a start of first order",
        (f"{UNIPC}::test_the_caps_on_the_order_are_real",),
    ),
    Mutant(
        "solvers/samplers/predictor_corrector.py",
        'use = past[: len(grid) - i] if final == "lower" else past',
        'use = past[: len(grid) - i + 1] if final == "lower" else past',
        "order at the end one too high", (f"{UNIPC}::test_the_caps_on_the_order_are_real",),
    ),
]  # fmt: skip
