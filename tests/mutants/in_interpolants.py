"""Mistakes in stochastic interpolants: coefficients, fields, equations, objectives, budgets."""

from .mutant import Mutant

FIELDS = ("tests/unit/toy_models/test_interpolated.py",)
FLOWS = ("tests/unit/transport/test_interpolant_flows.py::"
         "test_a_step_of_ddim_is_a_step_of_euler_in_u",
         "tests/unit/transport/test_interpolant_flows.py::"
         "test_predictions_are_those_of_the_flow_and_times_may_be_rows")  # fmt: skip
SDES = ("tests/unit/transport/test_interpolant_sdes.py",)
COSTS = ("tests/unit/transport/test_interpolant_errors.py::"
         "test_a_constant_error_costs_what_its_mean_equation_says",
         "tests/unit/transport/test_interpolant_errors.py::"
         "test_linear_errors_stay_within_the_bound_and_obey_the_identity")  # fmt: skip
OBJECTIVES = ("tests/unit/transport/test_interpolant_objectives.py",)

PATHS = "solvers/transport/interpolant.py"
EXACT = "toy_models/interpolated.py"
FLOW = "solvers/transport/as_flow.py"
EQUATIONS = "solvers/transport/interpolant_sde.py"
TRAINED = "solvers/transport/objectives.py"
COST = "analysis/interpolant_error.py"

MUTANTS = [
    Mutant(
        PATHS, "c.d_beta * last - c.gamma_d_gamma * score",
        "c.d_beta * last + c.gamma_d_gamma * score", "sign of the score in the velocity", FIELDS,
    ),
    Mutant(
        PATHS, "Coefficients(1 - u, u, q * u * (1 - u), -1.0, 1.0, q * (0.5 - u))",
        "Coefficients(1 - u, u, q * u * (1 - u), -1.0, 1.0, q * (1 - 2 * u))",
        "derivative of gamma^2 for half of it", FIELDS,
    ),
    Mutant(
        PATHS, "return Coefficients(cos, sin, g * g, -half * sin, half * cos, g * dg)",
        "return Coefficients(cos, sin, g * g, half * sin, half * cos, g * dg)",
        "sign of a sine's derivative", FIELDS,
    ),
    Mutant(
        PATHS, "da, db = (rate, 0.0) if before else (0.0, rate)",
        "da, db = (0.0, rate) if before else (rate, 0.0)", "ends exchanged", FIELDS,
    ),
    Mutant(
        PATHS, "return math.sin(math.pi * u) ** 2, math.pi * math.sin(2 * math.pi * u)",
        "return math.sin(math.pi * u) ** 2, 0.5 * math.pi * math.sin(2 * math.pi * u)",
        "missing factor 2", FIELDS,
    ),
    Mutant(
        EXACT, "cov = c.alpha**2 * a + c.beta**2 * b + mixed + mixed.mT + noise",
        "cov = c.alpha**2 * a + c.beta**2 * b + mixed + noise",
        "the coupling of the ends counted once", FIELDS,
    ),
    Mutant(
        EXACT, "c.alpha * cross.mT + c.beta * b)",
        "c.alpha * cross + c.beta * b)", "coupling not transposed", FIELDS,
    ),
    Mutant(
        EXACT, "sign = -1.0 if backward else 1.0", "sign = 1.0", "one drift for both ways", SDES,
    ),
    Mutant(
        EXACT, "return -math.sqrt(self.interpolant.at(u).gamma2) * self",
        "return -self.interpolant.at(u).gamma2 * self", "gamma^2 for gamma", FIELDS,
    ),
    Mutant(
        FLOW, "out = velocity(x, 1.0 - t)", "out = velocity(x, t)", "time run backwards", FLOWS,
    ),
    Mutant(
        FLOW, "convert(-out, x,", "convert(out, x,", "sign of the flow", FLOWS,
    ),
    Mutant(
        FLOW, "torch.cat(out)[torch.cat(rows).argsort()]", "torch.cat(out)[torch.cat(rows)]",
        "permutation for its inverse", FLOWS,
    ),
    Mutant(
        EQUATIONS, "b = velocity(x, u) if ahead else -velocity(x, u)", "b = velocity(x, u)",
        "velocity not turned", SDES,
    ),
    Mutant(
        EQUATIONS, "return b + noise * score(x, u) if noise else b",
        "return b + (noise if ahead else -noise) * score(x, u) if noise else b",
        "score turned with the clock", SDES,
    ),
    Mutant(
        EQUATIONS, "return math.sqrt(2.0 * _checked(profile(u),",
        "return math.sqrt(_checked(profile(u),", "half of the noise", SDES,
    ),
    Mutant(
        EQUATIONS, "u = time if ahead else 1.0 - time", "u = time",
        "fields of the other end", SDES,
    ),
    Mutant(
        "analysis/affine_law.py", "cov = gain @ cov @ gain.mT", "cov = gain @ cov @ gain",
        "gain not transposed", SDES,
    ),
    Mutant(
        TRAINED, "rate = c.gamma_d_gamma / gamma if gamma else 0.0",
        "rate = c.gamma_d_gamma if gamma else 0.0", "gamma gamma' for gamma'", OBJECTIVES,
    ),
    Mutant(
        TRAINED, "else -noise / c.gamma", "else -noise", "score without 1/gamma", OBJECTIVES,
    ),
    Mutant(
        TRAINED, "c.d_beta * last + c.d_gamma * noise", "c.d_beta * last + c.d_gamma * z",
        "noise of the pair not turned in the target", OBJECTIVES,
    ),
    Mutant(
        TRAINED, "(0.5 * f * f - pull * f).sum(1)", "(f * f - pull * f).sum(1)",
        "missing half", OBJECTIVES,
    ),
    Mutant(
        COST, "bound = size / (4.0 * epsilon)", "bound = size / (2.0 * epsilon)",
        "Girsanov's constant for noise 1", COSTS,
    ),
    Mutant(
        COST, "cov = half + half.T + 2.0 * epsilon", "cov = half + half.T + epsilon",
        "half of the noise", COSTS,
    ),
    Mutant(
        COST, "fed - epsilon * eaten", "fed + epsilon * eaten", "noise that feeds the error",
        COSTS,
    ),
    Mutant(
        COST, "fed = np.trace(slope.T @ e.gain @ true.cov)",
        "fed = np.trace(slope @ e.gain.T @ true.cov)", "gain transposed", COSTS,
    ),
]  # fmt: skip
