"""Mistakes in what is given from outside: numbers, plans as text, foreign code, schedulers."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

GIVEN = (f"{UNIT}toy_models/test_given_numbers.py",)
TEXT = (f"{UNIT}solvers/test_plan_text.py",)
PLAN = (f"{UNIT}solvers/test_plan.py",)
ALGEBRA = (f"{UNIT}solvers/test_plan_algebra.py",)
REGISTRY = (f"{UNIT}solvers/test_registry_loading.py",)
QUADRATURE = (f"{UNIT}solvers/test_quadrature.py",)
STAGES = (f"{UNIT}solvers/test_path_stages.py",)
RUNS = (f"{UNIT}solvers/test_run_bad_input.py",)
TESTING = (f"{UNIT}analysis/test_testing.py",)
FOREIGN = ("tests/external/test_foreign_outcomes.py",)


def _of(test: str) -> tuple[str]:
    return (f"tests/external/test_diffusers_scheduler.py::{test}",)


NUMBERS = [
    Mutant(
        "solvers/parameters.py", "np.float32 if low else np.float64", "np.float32",
        "lists rounded to float32", GIVEN,
    ),
    Mutant(
        "solvers/parameters.py", "if value.is_complex():", "if False:",
        "imaginary part dropped", GIVEN,
    ),
    Mutant(
        "toy_models/misfit.py", "found = numbers(value, name)",
        "found = torch.as_tensor(value)", "a factor rounded to float32", GIVEN,
    ),
    Mutant(
        "solvers/schedules_vp.py", "real_number(given, item.name, InvalidProcessError)",
        "given", "computed in the dtype of a parameter",
        (f"{UNIT}solvers/test_process.py",),
    ),
    Mutant(
        "solvers/grids.py", 'lam_start, lam_end = _number(lam_start, "lam_start")',
        '_, _ = _number(lam_start, "lam_start")', "computed in the dtype of an end",
        (f"{UNIT}solvers/test_grids.py",),
    ),
]  # fmt: skip

PLANS = [
    Mutant(
        "solvers/plan_text.py", "if len(found) != len(pairs):", "if False:",
        "the last of two names taken", TEXT,
    ),
    Mutant(
        "solvers/plan_text.py", "if type(v) is not int:", "if not isinstance(v, (int, float)):",
        "half a vector", TEXT,
    ),
    Mutant(
        "solvers/plan_text.py", "(math.exp(node.log_alpha), node.alpha),",
        "(node.alpha, node.alpha),", "alpha of another level", TEXT,
    ),
    Mutant(
        "solvers/plan_text.py", "(lam, node.lam),", "(lam, lam),", "lam of another level", TEXT,
    ),
    Mutant(
        "solvers/plan.py", 'found.dtype.kind in "fiub"', 'found.dtype.kind in "fiubc"',
        "complex weights", PLAN,
    ),
    Mutant(
        "solvers/plan_algebra.py", "math.isclose(node.alpha, want.alpha,",
        "math.isclose(node.alpha, node.alpha,", "plans of two processes joined", ALGEBRA,
    ),
    Mutant(
        "solvers/plan_algebra.py", 'w.detach().cpu() if hasattr(w, "detach") else w', "w",
        "a learned weight with its graph taken for an array", ALGEBRA,
    ),
    Mutant(
        "solvers/plan_algebra.py", "max(entries, *apart, 0.0)", "max(entries, 0.0)",
        "a question elsewhere counted as the same", ALGEBRA,
    ),
]  # fmt: skip

BUILDING = [
    Mutant(
        "solvers/registry.py", "            _plugin_modules.add(point.module)",
        "            pass", "plug-ins not counted as registered", REGISTRY,
    ),
    Mutant(
        "solvers/registry.py", "if name not in known:", "if False:",
        "an unknown option is the builder's affair", REGISTRY,
    ),
    Mutant(
        "solvers/samplers/stochastic.py", "if not rho_low <= rho_high:", "if rho_low > rho_high:",
        "NaN means no noise", REGISTRY,
    ),
    Mutant(
        "solvers/samplers/stochastic.py",
        '(tape.eval(x, s, "score"), s.sigma**2 / s.alpha))\n        now',
        '(tape.eval(x, s, "score"), s.sigma / s.alpha))\n        now', "sigma for its square",
        REGISTRY,
    ),
    Mutant(
        "solvers/quadrature.py", "panel_rule(_PANEL * (t - s))", "panel_rule(2 * _PANEL)",
        "two panels for a step of any length", QUADRATURE,
    ),
    Mutant(
        "solvers/quadrature.py", "return (s - t) * (lagrange(nodes, clock(lam))",
        "return (t - s) * (lagrange(nodes, clock(lam))", "flipped sign", QUADRATURE,
    ),
    Mutant(
        "solvers/grids.py", "if not 0 <= first < last <= len(self):", "if not first < last:",
        "a part cut short", (f"{UNIT}solvers/test_grids.py",),
    ),
    Mutant(
        "solvers/samplers/path_stages.py", "return t.lam + (t.lam - s.lam), up",
        "return t.lam - 0.5 * math.log1p(-up * up), up", "a difference that cancels", STAGES,
    ),
    Mutant(
        "solvers/samplers/path_stages.py",
        "(1.0 - eta_ddim) * (1.0 + eta_ddim) + eta_ddim**2", "(1.0 - eta_ddim) + eta_ddim**2",
        "a missing factor", STAGES,
    ),
    Mutant(
        "solvers/noise.py", 'if not callable(getattr(noise, "draw", None)):', "if False:",
        "a generator taken for a source of cells", RUNS,
    ),
]  # fmt: skip

STRANGERS = [
    Mutant(
        "analysis/testing_samplers.py", "torch.as_tensor(sigma, dtype=torch.float64).flatten()",
        "torch.as_tensor(sigma).flatten()", "a level rounded to float32", TESTING,
    ),
    Mutant(
        "analysis/testing_samplers.py", "if unknown or not all(places):", "if unknown:",
        "nothing measured is a pass", TESTING,
    ),
    Mutant(
        "analysis/testing_samplers.py", "not 0 < float(claim) < math.inf", "not float(claim) > -9",
        "an order that everybody has", TESTING,
    ),
    Mutant(
        "solvers/adapters/trace.py", "(self._kind(MIXES) if mixed", "(MIXES if mixed",
        "noise taken for mixed entries", FOREIGN,
    ),
    Mutant(
        "solvers/adapters/levels.py", "if not rho >= 0.0 or lam < least", "if lam < least",
        "a negative level taken for the data", FOREIGN,
    ),
    Mutant(
        "solvers/adapters/levels.py", "lam < least - 1e-6 * max(1.0, abs(least))", "False",
        "a level beyond the process taken for its end", FOREIGN,
    ),
    Mutant(
        "solvers/adapters/basis.py", "if like.numel() != out.numel():", "if False:",
        "noise of another shape", FOREIGN,
    ),
]  # fmt: skip

SCHEDULERS = [
    Mutant(
        "solvers/adapters/stepwise.py", "whole = counts[:-1] or counts", "whole = counts",
        "the last step counted for the rhythm",
        _of("test_a_pipeline_that_begins_in_the_middle_counts_in_steps"),
    ),
    Mutant(
        "solvers/adapters/diffusers_steps.py", "state = self.run.shown ", "state = state ",
        "the rounded sample in the conversion",
        _of("test_a_rounded_sample_does_not_round_the_state_of_the_run"),
    ),
    Mutant(
        "solvers/adapters/diffusers_steps.py", "if self._labels(run) in rest.values():",
        "if self._labels(run) == next(iter(rest.values())):", "the first of two equal labels",
        _of("test_a_pipeline_that_begins_in_the_middle_counts_in_steps"),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels_of_plan.py",
        "labels = count - np.arange(nodes) * (count / nodes) - 1.0",
        "labels = np.arange(count, 0, -count / nodes) - 1.0", "a range with one too many",
        _of("test_a_trailing_grid_has_the_steps_that_were_asked_for"),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels_of_plan.py",
        'return {**added, "prediction_type": "flow_prediction"}', "return added",
        "a flow taken for noise",
        _of("test_a_scheduler_of_flows_is_taken_for_one"),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels_of_plan.py", "    if other:", "    if False:",
        "default betas for a process without betas",
        _of("test_a_scheduler_without_betas_is_not_given_the_default_ones"),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels_of_plan.py", "if len(trained) != count:", "if False:",
        "labels of a table of another length",
        _of("test_betas_of_another_number_are_refused"),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels_of_plan.py",
        "if not -1e-6 <= value <= 1.0 + 1e-6:", "if False:", "a level beyond the table",
        _of("test_no_noise_is_added_at_a_timestep_beyond_the_table"),
    ),
    Mutant(
        "solvers/adapters/diffusers_steps.py", 'sampler=get(state["sampler"])', "",
        "a copy without its sampler",
        _of("test_a_copy_goes_on_where_the_scheduler_was"),
    ),
]  # fmt: skip

THREADS = [
    Mutant(
        "analysis/threads.py", "    finally:\n        torch.set_num_threads(before)",
        "    finally:\n        pass", "one thread for the rest of the process",
        (f"{UNIT}analysis/test_threads.py",),
    ),
]  # fmt: skip

MUTANTS = [*THREADS, *NUMBERS, *PLANS, *BUILDING, *STRANGERS, *SCHEDULERS]
