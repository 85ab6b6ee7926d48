"""Mistakes in samplers of the reverse SDE: shapes of eta, stages on the path, shared noise."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

SHAPES = (f"{UNIT}solvers/test_eta_shapes.py",)
STAGES = (f"{UNIT}solvers/test_stochastic_rk.py",)
PATHS = (f"{UNIT}solvers/test_path_stages.py",)
ADAMS = (f"{UNIT}solvers/test_sa_solver.py",)
CONSTANT = (f"{LAWS}test_constant_data.py",)

SHAPE = [
    Mutant(
        "solvers/samplers/eta_shapes.py", "if low <= lam < high", "if low < lam <= high",
        "a jump belongs to the wrong side", SHAPES,
    ),
    Mutant(
        "solvers/samplers/eta_shapes.py", "found = ((max(a, low), min(b, high), v)",
        "found = ((a, b, v)", "pieces are not cut to the step", SHAPES,
    ),
    Mutant(
        "solvers/samplers/step_kernel.py", "density = (1.0 + values(level, lams)) * ",
        "density = ", "missing 1 + eta", SHAPES,
    ),
    Mutant(
        "solvers/samplers/step_kernel.py", "total += math.exp(-after) * ", "total += ",
        "later pieces do not damp earlier ones", SHAPES,
    ),
    Mutant(
        "solvers/samplers/step_kernel.py",
        "weight = self.t.sigma * math.exp(-left)", "weight = self.t.sigma",
        "later pieces do not damp the noise of earlier ones", SHAPES,
    ),
    Mutant(
        "solvers/samplers/step_kernel.py", "mean = spent / (high - low) if callable(level)",
        "mean = spent if callable(level)", "an integral for a mean", SHAPES,
    ),
    Mutant(
        "solvers/samplers/step_kernel.py", "math.exp(part - whole) * -math.expm1(-part)",
        "-math.expm1(-part)", "the share of the path in the clock of its end", STAGES,
    ),
    Mutant(
        "solvers/samplers/step_kernel.py", "slope = whole / 2 if", "slope = whole if",
        "missing factor 2 in the midpoint rule", SHAPES,
    ),
]  # fmt: skip

RUNGE_KUTTA = [
    Mutant(
        "solvers/samplers/stochastic_rk.py", "sign * std * math.sqrt(1 - share)",
        "std * math.sqrt(1 - share)", "both midpoints under one sign", STAGES,
    ),
    Mutant(
        "solvers/samplers/stochastic_rk.py", "return std * math.sqrt(share), ",
        "return std * share, ", "a share for its root", STAGES,
    ),
    Mutant(
        "solvers/samplers/stochastic_rk.py", "_PLUS = 1 / 2 + math.sqrt(3) / 4",
        "_PLUS = 1 / 2 + math.sqrt(3) / 6", "wrong share of the midpoints", STAGES,
    ),
    Mutant(
        "solvers/samplers/stochastic_rk.py", "    c = 0.75\n    first = float",
        "    c = 2 / 3\n    first = float", "Ralston's place for SRA1's", STAGES,
    ),
    Mutant(
        "solvers/samplers/stochastic_rk.py", "kernel.spent(1.0)) / 12)",
        "kernel.spent(1.0)) / 3)", "the variance of int W for that of the area", STAGES,
    ),
    Mutant(
        "solvers/samplers/stochastic_rk.py", "last = (-whole, ", "last = (whole, ",
        "flipped sign in Kutta's last stage", STAGES,
    ),
    Mutant(
        "solvers/samplers/stochastic_rk.py", "first = 0.75 * span / (1 + 0.75 * span)",
        "first = 0.75 * span / (1 + span)", "a stage scaled by the end of the step", STAGES,
    ),
]  # fmt: skip

PATH = [
    Mutant(
        "solvers/samplers/path_stages.py",
        "at.sigma * w * math.exp(e - kernel.spent(c))", "at.sigma * w",
        "the early noise does not fade", PATHS + CONSTANT,
    ),
    Mutant(
        "solvers/samplers/path_stages.py", "t.lam - 0.5 * math.log(left), up",
        "t.lam - math.log(left), up", "missing root of the level below", PATHS,
    ),
    Mutant(
        "solvers/samplers/path_stages.py", "slope = whole / (2 * r)", "slope = whole / r",
        "missing factor 2 in the slope", PATHS,
    ),
    Mutant(
        "solvers/samplers/path_stages.py",
        "part = (s.rho - middle.rho) / (s.rho - t.rho)", "part = 0.5",
        "the tree of another clock", PATHS,
    ),
    Mutant(
        "solvers/samplers/seeds.py", "w = 2 * at.sigma * z * ", "w = at.sigma * z * ",
        "the ODE's half of the drift", PATHS,
    ),
    Mutant(
        "solvers/samplers/seeds.py", "size = math.exp(-low) * ", "size = math.exp(-high) * ",
        "the noise of a cell at its end", PATHS,
    ),
    Mutant(
        "solvers/samplers/seeds.py", "last = [(one[0], two[1]), (two[0], one[1]), three]",
        "pass", "the published swap is left out", PATHS,
    ),
]  # fmt: skip

SA_SOLVER = [
    Mutant(
        "solvers/samplers/sa_solver.py", "mean_terms(kernel, before, use, rule), *noise)",
        "mean_terms(kernel, x, use, rule), *noise)", "a corrector on top of the predictor", ADAMS,
    ),
    Mutant(
        "solvers/samplers/sa_solver.py", "use = [new, *past[: corrector - 1]]",
        "use = [new, *past[:corrector]]", "one output too many in the corrector", ADAMS,
    ),
    Mutant(
        "solvers/samplers/sa_solver.py",
        "x = tape.lin(*mean_terms(kernel, before, use, rule), *noise)",
        "x = tape.lin(*mean_terms(kernel, before, use, rule))",
        "the corrector forgets the noise", ADAMS + CONSTANT,
    ),
    Mutant(
        "solvers/samplers/sa_solver.py", "shape.at(t.lam) if published",
        "shape.at(s.lam) if published", "tau at the start of the step", ADAMS,
    ),
]  # fmt: skip

RESTART = [
    Mutant(
        "solvers/samplers/restart.py", "part = grid.part(first, last)",
        "part = grid.part(first + 1, last)", "one step of the interval is left out",
        (f"{UNIT}solvers/test_restart.py",),
    ),
    Mutant(
        "solvers/samplers/restart.py", "again = rounds if", "again = rounds + 1 if",
        "one round too many", (f"{UNIT}solvers/test_restart.py",),
    ),
]  # fmt: skip

MUTANTS = [*SHAPE, *RUNGE_KUTTA, *PATH, *SA_SOLVER, *RESTART]
