"""Mistakes in what steppers, fits, gradients and edits ask of a model, and in what they refuse."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

ASKING = (f"{UNIT}solvers/test_asking_alone.py",)
SECOND = (f"{UNIT}solvers/test_second_reading.py",)
SADA = (f"{UNIT}solvers/test_sada.py",)

MUTANTS = [
    Mutant(
        "solvers/asking.py", "out.to(x.dtype, copy=True)", "out.to(x.dtype)",
        "the tensor of the model kept as it is", ASKING,
    ),
    Mutant(
        "solvers/asking.py", "if counting and x._version != before:", "if False:",
        "a model may change its input", ASKING,
    ),
    Mutant(
        "solvers/asking.py",
        'check_like(out, x, f"the model\'s output at t = {_time(t, 0)}", same_dtype=False)',
        "pass",
        "an answer of any shape", ASKING,
    ),
    Mutant(
        "solvers/asking.py", 'check_finite(out, "the model\'s output", names)', "pass",
        "an answer that is not finite", ASKING,
    ),
    Mutant(
        "solvers/asking.py", "_time(t, names.index(error.sample_ids[0]))", "_time(t, 0)",
        "the time of another sample in an error", ASKING,
    ),
    Mutant(
        "solvers/caching/sada.py", 'check_finite(state.x, "the sample", range(len(x)))', "pass",
        "an overflow given back", ASKING,
    ),
    Mutant(
        "solvers/caching/sada.py",
        "noise = torch.where(column(state.skip, state.x), state.noise, noise)", "pass",
        "a noise prediction made of a guess", SADA,
    ),
    Mutant(
        "solvers/wrappers/wrapping.py", "torch.where(data.isfinite(), change(data), data)",
        "change(data)", "clipping hides an infinity", ASKING,
    ),
    Mutant(
        "solvers/model.py",
        "return BatchModel(whole, lambda places: make(*(for_rows(m, places) for m in models)))",
        "return whole", "a wrapper forgets which samples it is asked for", ASKING,
    ),
    Mutant(
        "solvers/model.py", "return choose(places) if callable(choose) else model",
        "return model if choose is None else choose(places)", "any attribute taken for a function",
        ASKING,
    ),
    Mutant(
        "solvers/gradients/reversible_gradient.py", "head_of(self.job.model, op.head)(leaf",
        "self.job.model(leaf", "one model for all heads on the way back", SECOND,
    ),
    Mutant(
        "solvers/gradients/parameters.py",
        "model.values() if isinstance(model, Heads) else [model]", "[model]",
        "the parameters of several models forgotten", SECOND,
    ),
    Mutant(
        "solvers/editing/noise_maps.py", "asked(head_of(model, op.head), x, op.node.t)",
        "asked(model, x, op.node.t)", "one model for all heads in noise maps", ASKING,
    ),
    Mutant(
        "solvers/editing/inversion.py", "s.sigma * -math.expm1(s.lam - t.lam)",
        "s.alpha * (s.rho - t.rho) if s.alpha else 0.0", "no noise at alpha = 0", SECOND,
    ),
    Mutant(
        "solvers/editing/realtime.py", "((seed + 1) << 32) + cycle", "seed + cycle + 1",
        "neighbouring seeds share their noise", SECOND,
    ),
    Mutant(
        "solvers/fitted/gaussian_flow.py", 'to_prediction(entry(process, rest), "data")',
        "entry(process, rest)", "a data prediction taken for noise", SECOND,
    ),
    Mutant(
        "solvers/fitted/moments.py", "torch.linalg.qr(vectors)[0]", "vectors",
        "a basis orthonormal to float32", SECOND,
    ),
    Mutant(
        "solvers/gradients/checkpointing.py", 'given.setdefault("one", torch.ones_like(x))',
        'given.setdefault("one", torch.zeros_like(x))', "a constant that is zero", SECOND,
    ),
    Mutant(
        "solvers/gradients/checkpointing.py", "_check_same(before, given_back)", "pass",
        "a model that forgets asked twice", SECOND,
    ),
    Mutant(
        "solvers/gradients/reversible_gradient.py",
        "self._check_start(self.ops[event.vector], found)", "pass",
        "a way back that leads elsewhere", SECOND,
    ),
    Mutant(
        "solvers/gradients/forcing.py", "if not bool(torch.isfinite(jacobians).all()):",
        "if False:", "infinity has a bound", SECOND,
    ),
]  # fmt: skip
