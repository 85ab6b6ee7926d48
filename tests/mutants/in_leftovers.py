"""Mistakes in EDICT, a learned reflow, guidance's bias, tables of the executor, and the tools."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

EDICT = (f"{UNIT}solvers/test_edict.py",)
LEARNED = (f"{UNIT}toy_models/test_learned.py",)
SHIFTED = (f"{UNIT}solvers/test_shifted.py",)
BIAS = (f"{UNIT}solvers/test_guidance_bias.py",)
EVODIFF = (f"{UNIT}solvers/test_evodiff.py",)
TOOLS = (f"{UNIT}solvers/test_tools.py",)
RUNS = (f"{UNIT}solvers/test_plan.py", f"{UNIT}solvers/test_run_memory.py",
        f"{UNIT}solvers/test_run_not_finite.py")  # fmt: skip

COUPLED = [
    Mutant(
        "solvers/samplers/edict.py", "first = i % 2 if turns else 0", "first = 0",
        "no turns", EDICT,
    ),
    Mutant(
        "solvers/samplers/edict.py", "(1 - first, s if published else t)", "(1 - first, s)",
        "asked at the level of the other state", EDICT,
    ),
    Mutant(
        "solvers/samplers/edict.py", "tape.eval(pair[1 - k], asked", "tape.eval(pair[k], asked",
        "asked at its own state", EDICT,
    ),
    Mutant(
        "solvers/samplers/edict.py", "tape.lin((pair[1], p), (mixed, 1.0 - p))",
        "tape.lin((pair[1], p), (pair[0], 1.0 - p))", "mixed with the state before the mixing",
        EDICT,
    ),
    Mutant(
        "solvers/samplers/edict.py", "t.alpha * (t.rho - s.rho)", "s.alpha * (t.rho - s.rho)",
        "level off by one", EDICT,
    ),
]  # fmt: skip

REFLOW = [
    Mutant(
        "toy_models/learned.py", "return z - u * self.direction", "return z + u * self.direction",
        "flipped sign", LEARNED,
    ),
    Mutant(
        "toy_models/learned.py", "z, u = x / (a + s), s / (a + s)", "z, u = x, s / (a + s)",
        "state not brought to the straight mixture", LEARNED,
    ),
    Mutant(
        "toy_models/learned.py", "(net((1 - u) * x0 + u * e, u) - (e - x0))",
        "(net((1 - u) * x0 + u * e, u) - (x0 - e))", "direction turned round", LEARNED,
    ),
    Mutant(
        "toy_models/learned.py", "e, x0 = eps[rows], data[rows]",
        "e, x0 = eps[rows], data[rows.flip(0)]", "pairs torn apart", LEARNED,
    ),
    Mutant(
        "toy_models/learned.py", "return (a * data - x) / s**2", "return (data - x) / s**2",
        "missing factor alpha", LEARNED,
    ),
    Mutant(
        "toy_models/learned.py", "with torch.random.fork_rng(devices=[]):", "if True:",
        "global generator seeded", LEARNED,
    ),
]  # fmt: skip

REST = [
    Mutant(
        "solvers/processes/shifted.py", "float(name != CONSTANT)", "1.0",
        "a constant taken for a state", SHIFTED,
    ),
    Mutant(
        "solvers/samplers/local_sde.py", "again = rounds if t.sigma > 0.0 < s.alpha",
        "again = min(rounds, 1) if t.sigma > 0.0 < s.alpha", "one round for all", BIAS,
    ),
    Mutant(
        "solvers/wrappers/evodiff.py", "eta * backward + (1 - eta) * forward), data",
        "(1 - eta) * backward + eta * forward), data", "weights of the slopes exchanged", EVODIFF,
    ),
    Mutant(
        "solvers/engine/tables.py", "plan.peak_live - count for", "plan.peak_live - count + 1 for",
        "room for one vector too many", RUNS,
    ),
    Mutant(
        "solvers/engine/tables.py", "seen |= new", "seen = new", "outputs of one row remembered",
        RUNS,
    ),
    Mutant(
        "solvers/batch.py", ".reshape(-1, *[1] * (like.ndim - 1))",
        ".reshape(*[1] * (like.ndim - 1), -1)", "numbers of samples beside coordinates",
        (f"{UNIT}solvers/test_thresholding.py",),
    ),
    Mutant(
        "solvers/tools.py", "arXiv:2508.05396", "arXiv:2508.05369", "a source that is none", TOOLS,
    ),
    Mutant(
        "solvers/tools.py", "test_the_contraction_is_that_of_renoising_and_the_exact_flow",
        "test_the_contraction_is_that_of_the_exact_flow", "a test that is none", TOOLS,
    ),
]  # fmt: skip

MUTANTS = COUPLED + REFLOW + REST
