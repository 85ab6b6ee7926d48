"""Mistakes in entropic and exact transport between point clouds."""

from .mutant import Mutant

FOLDER = "solvers/transport/"
TESTS = ("tests/unit/transport/test_sinkhorn.py",)
KERNEL, RELAX = f"{FOLDER}sinkhorn_kernel.py", f"{FOLDER}sinkhorn_relaxation.py"
RESULT, COST = f"{FOLDER}sinkhorn_result.py", f"{FOLDER}cost.py"
DIVERGENCE, MAIN = f"{FOLDER}sinkhorn_divergence.py", f"{FOLDER}sinkhorn.py"

MUTANTS = [
    Mutant(
        COST, "p = p[rows] - scale * x.square().sum(1)",
        "p = p[rows] - 2 * scale * x.square().sum(1)", "a square too many", TESTS,
    ),
    Mutant(
        COST, "forth = 2 * (plan.sum(1)[:, None] * x - plan @ self.y)",
        "forth = plan.sum(1)[:, None] * x - plan @ self.y", "missing factor 2", TESTS,
    ),
    Mutant(
        COST, "return forth, 2 * (plan.sum(0)[:, None] * self.y - plan.mT @ x)",
        "return forth, 2 * (plan.mT @ x - plan.sum(0)[:, None] * self.y)", "flipped sign", TESTS,
    ),
    Mutant(
        COST, "return float(a @ x + b @ y)", "return float(a @ x + b @ y) * 0.5",
        "the mean of halved costs", TESTS,
    ),
    Mutant(
        COST, "if not (low >= 0.0 and math.isfinite(total)):", "if not math.isfinite(total):",
        "negative costs let through", TESTS,
    ),
    Mutant(
        KERNEL, "if low < -self.limit:", "if False:", "vanished columns left as they are", TESTS,
    ),
    Mutant(
        KERNEL, "part = u[rows] * (a / (s * u[rows])) ** omega",
        "part = (a / s) ** omega", "overshooting from zero", TESTS,
    ),
    Mutant(
        KERNEL, "error = missed + (held - self.b).abs().sum()",
        "error = (held - self.b).abs().sum()",
        "rows left out of the error", TESTS,
    ),
    Mutant(
        KERNEL, "return Sweep(new, v, v * (ratio if", "return Sweep(new, v, (ratio if",
        "an increment taken for the scaling", TESTS,
    ),
    Mutant(
        KERNEL, "return self.f + self.epsilon * u.log(), self.g + self.epsilon * v.log()",
        "return self.f + u.log(), self.g + v.log()", "logarithms without epsilon", TESTS,
    ),
    Mutant(
        RELAX, "return min(2.0 / (1.0 + math.sqrt(1.0 - eta)), LARGEST)",
        "return min(2.0 / (1.0 + math.sqrt(1.0 - eta * eta)), LARGEST)", "a rate squared", TESTS,
    ),
    Mutant(
        RELAX, "return (rate + omega - 1.0) ** 2 / (omega * omega * rate)",
        "return (rate + omega - 1.0) ** 2 / (omega * rate)", "a missing square", TESTS,
    ),
    Mutant(
        RELAX, "self.chosen = self.cap = 1.0 + 0.5 * (self.chosen - 1.0)",
        "self.chosen = self.cap = 0.5 * self.chosen", "the factor halved", TESTS,
    ),
    Mutant(
        RESULT, "return self.marginal_error <= self.tolerance", "return True",
        "always converged", TESTS,
    ),
    Mutant(
        RESULT, "dual - self.epsilon * missed.sum()", "dual + self.epsilon",
        "another entropy", TESTS,
    ),
    Mutant(
        RESULT, "q = self.g / self.epsilon + self.b.log()\n        for",
        "q = self.g / self.epsilon\n        for", "a map without weights", TESTS,
    ),
    Mutant(
        RESULT, "out += [held.f if _wanted(a) else None,",
        "out += [-held.f if _wanted(a) else None,",
        "a flipped gradient in the weights", TESTS,
    ),
    Mutant(
        DIVERGENCE, "across.value - 0.5 * first.value - 0.5 * second.value",
        "across.value - 0.5 * first.value", "half of the bias left", TESTS,
    ),
    Mutant(
        DIVERGENCE, "u = (u * kernel.a / s).sqrt()", "u = kernel.a / s",
        "no average of the two potentials", TESTS,
    ),
    Mutant(
        DIVERGENCE, "error = 2 * (held * s - kernel.a).abs().sum()",
        "error = (held * s - kernel.a).abs().sum()", "one marginal of two", TESTS,
    ),
    Mutant(
        MAIN, "eps = float(value) if epsilon is not None else float(value) * mean",
        "eps = float(value)", "a fraction taken for epsilon", TESTS,
    ),
    Mutant(
        MAIN, "if not plan.converged:", "if False:", "a missed tolerance kept quiet", TESTS,
    ),
    Mutant(
        f"{FOLDER}discrete.py", "torch.from_numpy(log[\"v\"])\n",
        "-torch.from_numpy(log[\"v\"])\n",
        "a flipped potential", TESTS,
    ),
]  # fmt: skip
