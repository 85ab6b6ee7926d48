"""Mistakes in coupled systems, chaotic ones, stable classes, and in what a solve refuses."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

GRAPHS = (f"{UNIT}sde/test_graphs.py",)
CHAOS = (f"{UNIT}toy_models/test_chaotic.py",)
STABLE = (f"{UNIT}sde/test_stable_problems.py",)
LOCAL = (f"{UNIT}sde/test_sde_regularised.py",)
BAD = (f"{UNIT}sde/test_sde_bad_input.py",)
PATH = (f"{UNIT}sde/test_sde_path.py",)

SPLITTING = "solvers/samplers/splitting.py"
GRAPH = "solvers/sde/graphs.py"
GRAPH_LAW = "toy_models/graphs.py"
COUPLED = "analysis/coupled_law.py"
FORCING = "solvers/gradients/forcing.py"
CHAOTIC = "toy_models/chaotic.py"
CLASSES = "solvers/sde/stable.py"
REGULARISED = "solvers/sde/regularised.py"
SOLVE = "solvers/sde/solve.py"
INPUTS = "solvers/sde/inputs.py"
ADAPTIVE = "solvers/sde/adaptive.py"

MUTANTS = [
    # -- S4 and graphs -----------------------------------------------------------------------
    Mutant(
        SPLITTING,
        "return fresh if published else fresh * half_ratio(process, a, b)",
        "return fresh",
        "forward noise in a reverse half step",
        GRAPHS,
    ),
    Mutant(
        SPLITTING,
        '(tape.eval(x, m, "score"), 0.5 * rate)',
        '(tape.eval(x, m, "score"), rate)',
        "missing factor 1/2",
        GRAPHS,
    ),
    Mutant(
        SPLITTING,
        '(tape.eval(there, m, "score"), rate)',
        '(tape.eval(x, m, "score"), rate)',
        "kick of Euler",
        GRAPHS,
    ),
    Mutant(
        SPLITTING,
        "rate = of(lambda p: dt * float(p.g2(m.t)))",
        "rate = of(lambda p: dt * float(p.g2(s.t)))",
        "time off by half a step",
        GRAPHS,
    ),
    Mutant(
        SPLITTING,
        "[(w, two), (area, -two)]",
        "[(w, two), (area, two)]",
        "halves that share their noise",
        GRAPHS,
    ),
    Mutant(
        SPLITTING,
        "math.sqrt(2 * correction)",
        "math.sqrt(correction)",
        "Langevin noise without its 2",
        GRAPHS,
    ),
    Mutant(
        GRAPH,
        "out[:, columns, features + rows] = field",
        "out[:, columns, features + rows] = -field",
        "edge of two values",
        GRAPHS,
    ),
    Mutant(
        GRAPH,
        "low, high = min(i, j), max(i, j)",
        "low, high = i, j",
        "pair that knows its order",
        GRAPHS,
    ),
    Mutant(
        GRAPH,
        "pairs = present[:, :, None] & present[:, None, :]",
        "pairs = present[:, :, None] | present[:, None, :]",
        "edges of missing nodes",
        GRAPHS,
    ),
    Mutant(
        GRAPH,
        "[coefficient(nodes), coefficient(edges)]",
        "[coefficient(nodes), coefficient(nodes)]",
        "one process for both blocks",
        GRAPHS,
    ),
    Mutant(
        GRAPH_LAW,
        "cross @ hears.T + self.noise**2",
        "cross @ hears.T + self.noise",
        "deviation for variance",
        GRAPHS,
    ),
    Mutant(
        COUPLED,
        "from_start.T @ start.cov @ from_start",
        "from_start @ start.cov @ from_start.T",
        "transpose",
        GRAPHS,
    ),
    # -- forcing and chaos -------------------------------------------------------------------
    Mutant(
        FORCING,
        "z = step((1.0 - alpha) * z + alpha * datum)",
        "z = (1.0 - alpha) * step(z) + alpha * datum",
        "forcing after the step",
        CHAOS,
    ),
    Mutant(
        FORCING,
        "return max(0.0, 1.0 - 1.0 / largest)",
        "return max(0.0, 1.0 - 1.0 / largest**2)",
        "square of a norm",
        CHAOS,
    ),
    Mutant(
        FORCING,
        "product = jacobian @ product",
        "product = product @ jacobian",
        "product in the wrong order",
        CHAOS,
    ),
    Mutant(
        FORCING,
        "matrix_norm(jacobians, ord=2).max()",
        "matrix_norm(jacobians, ord=2).flatten()[0]",
        "bound from one Jacobian",
        CHAOS,
    ),
    Mutant(CHAOTIC, "bend = -1 / p - 1 / (1 - p)", "bend = -1 / p", "bend of a tent", CHAOS),
    Mutant(
        CHAOTIC,
        "return -(self.sigma + 1 + self.beta)",
        "return -(self.sigma + self.beta)",
        "trace without an entry",
        CHAOS,
    ),
    Mutant(
        CHAOTIC,
        "lower = p * math.log(a) + (1 - p) * math.log(b)",
        "lower = p * math.log(b) + (1 - p) * math.log(a)",
        "swapped heights",
        CHAOS,
    ),
    Mutant(
        CHAOTIC,
        "(tangent + c * h * d)",
        "(tangent + h * d)",
        "tangent of another stage",
        CHAOS,
    ),
    # -- stable classes ----------------------------------------------------------------------
    Mutant(
        CLASSES,
        "-math.expm1(-contraction * t) / contraction if contraction",
        "-math.expm1(-contraction * t) if contraction",
        "missing division",
        STABLE,
    ),
    Mutant(
        "toy_models/neural_sdes.py",
        "mean - SIGMA**2 / 2",
        "mean - SIGMA**2 / 2 + 1.0",
        "contraction that is not there",
        STABLE,
    ),
    Mutant(
        CLASSES,
        "lambda t, z: gamma(t, z) * z,",
        "lambda t, z: gamma(t, z),",
        "rate for drift",
        STABLE,
    ),
    # -- local regularisation ----------------------------------------------------------------
    Mutant(REGULARISED, "* (length / (b - a))", "* (length)", "missing weight", LOCAL),
    Mutant(REGULARISED, "solve(sde, pair[1],", "solve(sde, pair[0],", "state of another", LOCAL),
    Mutant(REGULARISED, "(high - low).square()", "(high + low).square()", "flipped sign", LOCAL),
    # -- refusals ----------------------------------------------------------------------------
    Mutant(
        SOLVE,
        "if out.shape != like.shape or out.dtype != like.dtype:",
        "if False:",
        "noise that is broadcast",
        BAD,
    ),
    Mutant(
        INPUTS, "    if not finite(x):\n        bad", "    if False:\n        bad", "start", BAD
    ),
    Mutant(
        ADAPTIVE,
        "            _check_finite(job, parts, job.x[rows[keep]], named)\n",
        "",
        "not finite called too steep",
        BAD,
    ),
    Mutant(
        "solvers/sde/path.py",
        'Noise("t", piece.a, piece.b, "bridge")',
        'Noise("t", piece.a, piece.b, "half")',
        "a path of its own",
        PATH,
    ),
]
