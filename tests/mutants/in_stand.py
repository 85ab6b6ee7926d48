"""Mistakes in the stand, in the assertions for other suites, and in the drop-in scheduler."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

TESTING = f"{UNIT}analysis/test_testing.py"
PAGE = f"{UNIT}analysis/test_stand_page.py"
STAND = "tests/external/test_stand.py::test_"
RIGHT = f"{STAND}what_is_right_is_met_on_exact_levels"
UNIPC = f"{STAND}the_last_step_of_unipc_costs_its_order_and_nothing_else_does"
START = f"{STAND}the_start_of_the_linear_multistep_method_costs_its_order"
EXPLAINS = f"{STAND}a_cause_explains_a_shortfall_from_3_if_the_change_reaches_3"
NAN = f"{STAND}a_sampler_that_gives_nan_at_one_step_is_told_from_one_that_raises"
SCHEDULER = "tests/external/test_diffusers_scheduler.py"

MUTANTS = [
    Mutant(
        "analysis/testing_samplers.py", "return out * grid[-1].alpha if isinstance(out, Tensor)",
        "return out if isinstance(out, Tensor)", "the state over alpha at the end", (TESTING,),
    ),
    Mutant(
        "analysis/testing_samplers.py", "return model(node.alpha * y, node.t)",
        "return model(y, node.t)", "the state over alpha shown to the model", (TESTING,),
    ),
    Mutant(
        "analysis/testing_samplers.py", 'source="noise", target=prediction',
        'source="noise", target="data"', "the prediction that was asked for", (TESTING,),
    ),
    Mutant(
        "analysis/testing.py", "b <= max(a / 1.5, GAUSSIAN_FLOOR)", "b <= 1e3 * a",
        "a law that stops converging", (TESTING,),
    ),
    Mutant(
        "analysis/testing.py", 'if verdict == "met":\n        return',
        'if verdict != "not met":\n        return', "an order that is not resolved passes",
        (TESTING,),
    ),
    Mutant(
        "analysis/testing_edges.py", "noise = CellNoise(7, sample_ids=ids)",
        "noise = CellNoise(7, sample_ids=range(len(ids)))", "noise by place in the batch",
        (TESTING,),
    ),
    Mutant(
        "analysis/testing_edges.py", "out.dtype != x.dtype", "out.dtype == torch.float16",
        "a result of another dtype", (TESTING,),
    ),
    Mutant(
        "analysis/stand/trials.py", "truth = law.flow(x, begin, (node.alpha, node.sigma))",
        "truth = law.flow(x, begin, (foreign.start.alpha, foreign.start.sigma))",
        "the truth at another level", (RIGHT,),
    ),
    Mutant(
        "analysis/stand/trials.py", "node = grid[round(trial.share * len(grid))]",
        "node = grid[len(grid)]", "the end in the place of an earlier state", (UNIPC,),
    ),
    Mutant(
        "analysis/stand/trials.py", "return float(-np.polyfit(x, y, 1)[0])",
        "return float(np.polyfit(x, y, 1)[0])", "sign of a slope", (RIGHT,),
    ),
    Mutant(
        "analysis/stand/causes.py",
        "if found is None or found < claim - SHORT:", "if found is None:",
        "a cause that explains nothing", (EXPLAINS,),
    ),
    Mutant(
        "analysis/stand/causes.py", "or found >= before + GAIN", "or found >= before - GAIN",
        "a change that gains nothing", (EXPLAINS,),
    ),
    Mutant(
        "analysis/stand/causes.py", "lambda t: replace(t, begin=FLAT),\n)\n_LAST",
        "lambda t: t,\n)\n_LAST", "a rerun that changes nothing", (START,),
    ),
    Mutant(
        "analysis/stand/rows.py", 'except NonFiniteError:\n        return "not finite"',
        'except NonFiniteError:\n        return "finite"', "NaN that passes", (NAN,),
    ),
    Mutant(
        "analysis/stand/page.py", 'if outcome != "finite":', 'if outcome == "not finite":',
        "what was raised is not shown", (PAGE,),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels_of_plan.py",
        "else node.t * count - 1.0", "else node.t * count", "time label off by one", (SCHEDULER,),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels_of_plan.py",
        "times = shift * times / (1.0 + (shift - 1.0) * times)",
        "times = times / (shift + (1.0 - shift) * times)", "shift of a flow the other way round",
        (SCHEDULER,),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels_of_plan.py",
        "np.linspace(start**0.5, end**0.5, count) ** 2",
        "np.linspace(start**0.5, end**0.5, count)", "root of the scaled betas", (SCHEDULER,),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels_of_plan.py",
        "root = (root - root[-1]) * root[0] / (root[0] - root[-1])",
        "root = root - root[-1]", "first level of the rescaled table", (SCHEDULER,),
    ),
    Mutant(
        "solvers/adapters/diffusers_steps.py", "answer = answer + a * state if a else answer",
        "answer = answer", "a conversion without the state", (SCHEDULER,),
    ),
    Mutant(
        "solvers/adapters/diffusers_steps.py", "self.run.replace(state)", "self.given = None",
        "a changed state that is ignored", (SCHEDULER,),
    ),
    Mutant(
        "solvers/adapters/diffusers_steps.py", "part = self.grid.part(first, len(self.grid))",
        "part = self.grid.part(0, len(self.grid))", "a run that begins in the middle",
        (SCHEDULER,),
    ),
    Mutant(
        "solvers/adapters/stepwise.py", "part = values[j] * (w if",
        "part = values[j] * (abs(w) if", "sign of a weight", (SCHEDULER,),
    ),
]  # fmt: skip
