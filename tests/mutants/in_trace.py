"""Mistakes in reading foreign samplers out, in their boxes, short recurrences and comparisons."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

TRACE = "tests/external/test_trace.py"
OUTCOMES = "tests/external/test_foreign_outcomes.py"
COMPRESS = f"{UNIT}solvers/test_compress.py"
COMPARE = f"{UNIT}analysis/test_compare_plans.py"
SAME = f"{TRACE}::test_a_foreign_sampler_is_ours_of_the_same_name"
RUN = f"{TRACE}::test_the_compressed_plan_gives_the_samples_of_the_foreign_code"
BROWNIAN = f"{TRACE}::test_increments_of_a_path_overlap_as_those_of_brownian_motion_do"

MUTANTS = [
    Mutant(
        "solvers/adapters/trace.py", "flat = state.double().reshape(count, -1).numpy() / UNIT",
        "flat = state.double().reshape(count, -1).numpy()", "unit not divided out", (SAME,),
    ),
    Mutant(
        "solvers/adapters/trace.py", "for scale in (UNIT, 1.0, 1e3):", "for scale in (UNIT,):",
        "clipping out of reach of the test", (OUTCOMES,),
    ),
    Mutant(
        "solvers/adapters/trace.py", "if not here <= allowed:", "if here > 1e3 * allowed + 1e9:",
        "linearity never doubted", (OUTCOMES,),
    ),
    Mutant(
        "solvers/adapters/leaf_form.py", "if used[event.leaf]:", "if True:",
        "noise without weight kept", (TRACE,),
    ),
    Mutant(
        "solvers/adapters/basis.py", "return self.denoted.lam - self.node.lam",
        "return 0.0 * self.denoted.lam", "rounding of labels lost", (TRACE,),
    ),
    Mutant(
        "solvers/adapters/basis.py", "math.sqrt((b - a) / (high - low))", "(b - a) / (high - low)",
        "square root missing in a part of a path", (BROWNIAN,),
    ),
    Mutant(
        "solvers/adapters/basis.py", "not torch.equal(out, copy)", "out is copy",
        "writing into an output overlooked", (OUTCOMES,),
    ),
    Mutant(
        "solvers/adapters/intercept.py", "torch.set_default_dtype(self._default)", "pass",
        "default dtype left behind", (f"{OUTCOMES}::test_nothing_stays_patched_whatever_happens",),
    ),
    Mutant(
        "solvers/adapters/intercept.py", "module.np = was", "pass", "NumPy left behind",
        (f"{OUTCOMES}::test_nothing_stays_patched_whatever_happens",),
    ),
    Mutant(
        "solvers/adapters/intercept.py", "return args[0].copy_(draw(args[0]) * std + mean)",
        "return args[0].copy_(draw(args[0]) * std)", "mean of a normal forgotten",
        (f"{OUTCOMES}::test_nothing_stays_patched_whatever_happens",),
    ),
    Mutant(
        "solvers/adapters/intercept.py", "float32 = np.float64", "float32 = np.float32",
        "tables in single precision", (SAME,),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels.py", "if self.family in (\"ve\", \"edm\"):",
        "if self.family == \"edm\":", "scale of the exploding sample forgotten", (SAME,),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels.py",
        "self.process.node((t + 1) / s.config.num_train_timesteps)",
        "self.process.node(t / s.config.num_train_timesteps)", "label off by one level",
        (f"{TRACE}::test_levels_and_labels_are_told_apart",),
    ),
    Mutant(
        "solvers/adapters/diffusers_levels.py", "(out - skip * sample) / scale",
        "(out + skip * sample) / scale", "sign in the EDM preconditioning", (SAME,),
    ),
    Mutant(
        "solvers/adapters/diffusers_tables.py", "1.0 / (1.0 + rho**2) for rho",
        "1.0 / (1.0 + rho) ** 2 for rho", "table of another process", (SAME,),
    ),
    Mutant(
        "solvers/adapters/diffusers_tables.py", "process.node(0.5 * (clean.t + noisy.t))",
        "process.node(clean.t)", "half step of a table at its end", (SAME,),
    ),
    Mutant(
        "solvers/adapters/callable_box.py", "session.model(y * node.alpha, node, label=rho)",
        "session.model(y, node, label=rho)", "scale of the state forgotten", (SAME,),
    ),
    Mutant(
        "solvers/adapters/foreign.py", "as_source(self.source).draw(draw_cell(self.draws - 1)",
        "as_source(self.source).draw(draw_cell(0)", "the same noise at every draw", (RUN,),
    ),
    Mutant(
        "solvers/adapters/foreign.py",
        "denoted if self.as_labelled and denoted is not None else node", "node",
        "label ignored", (f"{TRACE}::test_the_label_is_what_the_network_would_see_on_demand",),
    ),
    Mutant(
        "solvers/adapters/compress.py", "rest = row - block @ a", "rest = row.copy()",
        "states not taken off the new leaves", (COMPRESS,),
    ),
    Mutant(
        "solvers/adapters/compress.py", "block[:old] / scale, row[:old], rcond=None)[0] / scale",
        "block[:old] / scale, row[:old], rcond=None)[0]", "scale of a fit forgotten", (COMPRESS,),
    ),
    Mutant(
        "solvers/adapters/compress.py", "later = [weights[s] for s in [*rows[n + 1 :],",
        "later = [weights[s] for s in [*rows[n:],", "rank of the future off by one", (COMPRESS,),
    ),
    Mutant(
        "analysis/comparison.py", "known[i] = rows[k]", "pass",
        "history of the wrong plan in a local comparison", (COMPARE,),
    ),
    Mutant(
        "analysis/comparison.py", "ops[i] = Noise(\"churn\", float(count), float(count + 1))",
        "ops[i] = op", "noises matched by clock", (COMPARE,),
    ),
    Mutant(
        "analysis/compare_plans.py", "return -found.same, gap,", "return found.same, gap,",
        "the farthest for the nearest", (COMPARE,),
    ),
]  # fmt: skip
