"""Mistakes in what runs backwards: reversible samplers, edits of a given sample, and gradients."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

SOLVERS = f"{UNIT}solvers/"
REVERSIBLE = (f"{SOLVERS}test_reversible.py",)
SECOND_READING = (f"{UNIT}solvers/test_second_reading.py",)
INVERSION = (f"{SOLVERS}test_inversion.py",)
EDITING = (f"{SOLVERS}test_editing.py",)
LOCAL = (f"{SOLVERS}test_local_sde.py",)
PARTS = (f"{SOLVERS}test_gradients_by_parts.py",)
ADJOINT = (f"{SOLVERS}test_adjoint.py",)

SAMPLERS = [
    Mutant(
        "solvers/samplers/reversible.py", "push = (s.rho - t.rho) + weight * (p.rho - s.rho)",
        "push = (s.rho - t.rho) - weight * (p.rho - s.rho)", "flipped sign", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py", "(x, (1.0 - weight) * math.exp",
        "(x, weight * math.exp", "gamma for 1 - gamma", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py", "(old, weight * math.exp(t.log_alpha - p.log_alpha))",
        "(old, weight * math.exp(t.log_alpha - s.log_alpha))", "level off by one", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py", "((s.rho - t.rho) / (p.rho - s.rho)) ** 2 for",
        "(s.rho - t.rho) / (p.rho - s.rho) for", "ratio for its square", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py", "g0 * math.exp(p.log_alpha - t.log_alpha) for",
        "g0 * math.exp(t.log_alpha - p.log_alpha) for", "alpha upside down", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py", "g0 * math.exp(p.lam - t.lam) for",
        "g0 * math.exp(s.lam - t.lam) for", "one step for two", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py", "else float((1.0 / weights).prod())",
        "else float(weights.prod())", "growth for its inverse", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py", "0.5 * t.sigma * (t.nu - s.nu)",
        "t.sigma * (t.nu - s.nu)", "missing factor 1/2", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py", "twin = tape.lin((half, 2.0), (twin, -ratio))",
        "twin = tape.lin((half, 2.0), (twin, -1.0))", "forgotten change of unit", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py",
        "(tape.eval(twin, t), kick)", "(tape.eval(twin, s), kick)",
        "time off by one", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py", "math.log(0.5 * (s.nu + t.nu))",
        "0.5 * (s.lam + t.lam)", "middle in another clock", REVERSIBLE,
    ),
    Mutant(
        "solvers/samplers/reversible.py",
        "twin = _push(tape, s, t, twin, tape.eval(half, middle))",
        "twin = _push(tape, s, t, twin, tape.eval(x, s))", "old state for the new one", REVERSIBLE,
    ),
    Mutant(
        "solvers/editing/inversion.py", "push = s.sigma * -math.expm1(s.lam - t.lam)",
        "push = t.sigma * -math.expm1(s.lam - t.lam)", "level off by one", SECOND_READING,
    ),
    Mutant(
        "solvers/editing/inversion.py", "back = run(plan, target, noise[\"x\"]",
        "back = run(plan, source, noise[\"x\"]", "edited with the source", INVERSION,
    ),
    Mutant(
        "solvers/editing/inversion.py", "second = {\"twin\": x}\n    if \"x-1\" in plan.inputs:",
        "second = {\"twin\": x, \"x-1\": x}\n    if \"x-2\" in plan.inputs:",
        "second state at the wrong level", INVERSION,
    ),
]  # fmt: skip

EDITS = [
    Mutant(
        "solvers/editing/noise_maps.py", "states.append(node.alpha * x0 + node.sigma * e)",
        "states.append(node.alpha * x0 + grid[0].sigma * e)", "noise of another level", EDITING,
    ),
    Mutant(
        "solvers/editing/noise_maps.py",
        "e = source.draw(Noise(\"churn\", float(i), float(i + 1)), x0)",
        "e = source.draw(Noise(\"churn\", 0.0, 1.0), x0)", "one noise for all levels", EDITING,
    ),
    Mutant(
        "solvers/editing/noise_maps.py", "found[cell] = (states[ends[row]] - rest) / weights[k]",
        "found[cell] = (states[ends[row] - 1] - rest) / weights[k]", "state off by one", EDITING,
    ),
    Mutant(
        "solvers/editing/noise_maps.py", "return tape.lin((d, t.alpha), (tape.noise(",
        "return tape.lin((d, s.alpha), (tape.noise(", "level off by one", EDITING,
    ),
    Mutant(
        "solvers/editing/noise_maps.py", "y = y - (node.sigma / node.alpha) * moved",
        "y = y - node.sigma * moved", "missing factor 1/alpha", EDITING,
    ),
    Mutant(
        "solvers/editing/noise_maps.py", "node.alpha * y + node.sigma * z",
        "node.alpha * x0 + node.sigma * z", "edit forgotten in each step", EDITING,
    ),
    Mutant(
        "solvers/samplers/local_sde.py", "-np.expm1(-(1 + e) * h)", "-np.expm1(-h)",
        "drift that ignores the mask", LOCAL,
    ),
    Mutant(
        "solvers/samplers/local_sde.py",
        "np.sqrt(-np.expm1(-2 * e * h))", "np.sqrt(-np.expm1(-e * h))",
        "missing factor 2 in a variance", LOCAL,
    ),
    Mutant(
        "solvers/samplers/local_sde.py", "t.sigma * np.sqrt(1 - e**2 * fresh)",
        "t.sigma * np.sqrt(1 - e * fresh)", "eta_ddim for its square", LOCAL,
    ),
    Mutant(
        "solvers/samplers/local_sde.py",
        "std = s.sigma * math.sqrt(-math.expm1(2 * (s.lam - t.lam)))",
        "std = t.sigma * math.sqrt(-math.expm1(2 * (s.lam - t.lam)))", "noise of another level",
        LOCAL,
    ),
    Mutant(
        "solvers/samplers/local_sde.py", "(turn - 1) / again, turn / again)", "0.0, 1.0)",
        "one noise for all turns", LOCAL,
    ),
]  # fmt: skip

GRADIENTS = [
    Mutant(
        "solvers/gradients/checkpointing.py",
        "if last.get(i, -1) > end)", "if last.get(i, -1) > end + 1)",
        "a vector dropped a row too early", PARTS,
    ),
    Mutant(
        "solvers/gradients/reversible_gradient.py", "self.give(j, bar * usable(w, bar))",
        "self.give(j, bar)", "weight forgotten in a gradient", PARTS,
    ),
    Mutant(
        "solvers/gradients/reversible_gradient.py",
        "self.bars[j] = self.bars[j] + bar if j in self.bars else bar",
        "self.bars[j] = bar", "gradients not added up", PARTS,
    ),
    Mutant(
        "solvers/gradients/reversible_gradient.py",
        "value = value - combine(tuple(weights), tuple(vectors))",
        "value = value + combine(tuple(weights), tuple(vectors))", "flipped sign", PARTS,
    ),
    Mutant(
        "solvers/gradients/reversible_gradient.py", "else grad if old is None else old + grad",
        "else grad", "parameters of the first step only", PARTS,
    ),
    Mutant(
        "solvers/gradients/reversible_gradient.py", "for j in ends.get(k, ()):", "for j in ():",
        "states kept for ever", PARTS,
    ),
    Mutant(
        "solvers/gradients/adjoint.py",
        "bundle = Bundle((end / scale(last), bar * scale(last), *zeros))",
        "bundle = Bundle((end / scale(last), bar, *zeros))", "missing factor alpha", ADJOINT,
    ),
    Mutant(
        "solvers/gradients/adjoint.py", "return [out.parts[1] / scale(start), *out.parts[2:]]",
        "return [out.parts[1] * scale(start), *out.parts[2:]]", "alpha upside down", ADJOINT,
    ),
    Mutant(
        "solvers/gradients/adjoint.py", "return Bundle((-eps.detach(), *filled))",
        "return Bundle((eps.detach(), *filled))", "states run on instead of back", ADJOINT,
    ),
    Mutant(
        "solvers/gradients/adjoint.py", "eps = f * x + (0.5 * g2 / node.sigma) * eps",
        "eps = f * x + (g2 / node.sigma) * eps", "missing factor 1/2", ADJOINT,
    ),
    Mutant(
        "solvers/gradients/adjoint.py", "x_of_state = node.alpha if job.frame == \"y\" else 1.0",
        "x_of_state = 1.0", "model asked at y for x", ADJOINT,
    ),
]  # fmt: skip

MUTANTS = SAMPLERS + EDITS + GRADIENTS
