"""Mistakes around the samplers: plans, their runner, exact laws and the judge itself."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

BATCHES = f"{LAWS}test_batches.py"
CONSTANT = f"{LAWS}test_constant_data.py"
FALSE_CLAIMS = f"{LAWS}test_false_claims.py"
INVARIANCES = f"{LAWS}test_invariances.py"
COPIES = f"{INVARIANCES}::test_a_copy_of_a_plan_draws_the_same_noises"
CONVERTED = f"{INVARIANCES}::test_the_prediction_asked_for_does_not_change_the_sample"
SCHEDULE = f"{INVARIANCES}::test_the_same_lams_on_another_process_give_the_same_x_over_alpha"
MEMORY = f"{LAWS}test_counting.py::test_memory_is_what_the_row_needs"
TIME = (
    f"{LAWS}test_precision.py::test_the_model_is_asked_in_the_dtype_of_the_state_at_an_exact_time"
)
CLOCKS = f"{UNIT}solvers/test_plan.py::test_clocks_measure_the_variance_of_their_increment"
PLACES = (
    f"{UNIT}solvers/test_plan_algebra.py::test_plans_that_ask_or_draw_elsewhere_are_infinitely_far"
)

PLANS = [
    Mutant(
        "solvers/plan.py", "w = float(w) if isinstance(w, (int, float, np.floating)) else w",
        "w = float(np.float32(w)) if isinstance(w, (int, float, np.floating)) else w",
        "float32 coefficients", (CONSTANT,),
    ),
    Mutant(
        "solvers/plan.py", "merged[j] = merged[j] + w if j in merged else w", "merged[j] = w",
        "equal terms overwrite each other", (f"{LAWS}test_noisy_equalities.py",),
    ),
    Mutant(
        "solvers/plan.py", "key = (source, node.t, prediction, head)",
        "key = (node.t, prediction, head)", "answer given for another state",
        (f"{LAWS}test_counting.py", f"{LAWS}test_multistep_equalities.py"),
    ),
    Mutant(
        "solvers/plan.py", "last[j] = i\n", "last[j] = i if last[j] == j else last[j]\n",
        "vector dropped before its last use", (MEMORY,),
    ),
    Mutant(
        "solvers/ops.py", "return _exp(2 * eta * b) * -math.expm1(2 * eta * (a - b))",
        "return _exp(2 * eta * b) * -math.expm1(eta * (a - b))",
        "missing factor 2 in the clock of a Brownian motion",
        (CLOCKS,),
    ),
    Mutant(
        "solvers/plan_algebra.py", "return tape.lin((x, a), (out, b))",
        "return tape.lin((x, b), (out, a))", "swapped coefficients of a conversion",
        (CONVERTED,),
    ),
    Mutant(
        "solvers/plan_algebra.py", "        return math.inf\n", "        return 0.0\n",
        "plans that ask elsewhere called equal", (PLACES,),
    ),
    Mutant(
        "solvers/plan_algebra.py", "new[i] = tape.noise(clock, a, b, kind)",
        "new[i] = tape.noise(clock, a, b)", "type of a noise lost in a copy",
        (COPIES,),
    ),
]  # fmt: skip

RUNS = [
    Mutant(
        "solvers/engine/executor.py",
        "= model(x if self.grad else x.detach(), op.node.t)",
        "= model(x if self.grad else x.detach(), torch.tensor(op.node.t).item())",
        "time rounded to float32", (TIME,),
    ),
    Mutant(
        "solvers/engine/executor.py",
        "out.add_(v, alpha=w)", "out.add_(v, alpha=float(f'{w:.7g}'))",
        "weights rounded on the way to the device", (SCHEDULE,),
    ),
    Mutant(
        "solvers/engine/executor.py", "_owners(vector) <= _ALONE",
        "_owners(vector) > 0", "model's output aliases a buffer in use",
        (BATCHES,),
    ),
]  # fmt: skip

JUDGES = [
    Mutant(
        "toy_models/gaussian.py", "(u * (v_end / v).sqrt()) @", "(u * (v_end / v)) @",
        "variances for standard deviations in a flow", (f"{UNIT}toy_models/test_flows.py",),
    ),
    Mutant(
        "toy_models/product.py", "logits = self._log_w - 0.5 *", "logits = -0.5 *",
        "weights of a mixture forgotten", (f"{UNIT}toy_models/test_flows.py",),
    ),
    Mutant(
        "toy_models/mixture.py", "((z * z / var).sum(-1) + var.log().sum(-1))",
        "((z * z / var).sum(-1))", "determinants of a mixture forgotten",
        (f"{UNIT}toy_models/test_identities.py",),
    ),
    Mutant(
        "analysis/order.py", "return max(0.25, claim / 16)", "return max(1.25, claim / 16)",
        "judge that forgives a whole order", (FALSE_CLAIMS,),
    ),
    Mutant(
        "analysis/order.py", "low = min(limit, slopes[-1]) - _PAD",
        "low = max(slopes) - _PAD", "best slope taken for the limit", (FALSE_CLAIMS,),
    ),
    Mutant(
        "analysis/paired.py", "return float(x.to(torch.float64).square().mean().sqrt())",
        "return float(x.to(torch.float64).square().mean())", "mean square for its root",
        (FALSE_CLAIMS,),
    ),
    Mutant(
        "analysis/gaussian_path.py", "self.gain**2 * x.var + self.var",
        "self.gain * x.var + self.var", "gain for its square in a variance",
        (f"{LAWS}test_slopes.py::test_declared_weak_and_strong_orders_are_those_of_the_exact_law"
         "_on_a_gaussian",),
    ),
]  # fmt: skip

MUTANTS = [*PLANS, *RUNS, *JUDGES]
