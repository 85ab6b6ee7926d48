"""Planted mistakes of caching, skipping and switching models."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

CACHING = "solvers/caching/virtual.py"
SADA = "solvers/caching/sada.py"
HEADS = "solvers/heads.py"
CACHE_TESTS = (f"{UNIT}solvers/test_caching.py",)
SADA_TESTS = (f"{UNIT}solvers/test_sada.py",)
HEAD_TESTS = (f"{UNIT}solvers/test_heads.py",)

MUTANTS = [
    Mutant(
        CACHING, "** i / math.factorial(i)", "** i", "forgotten factorial of Taylor", CACHE_TESTS
    ),
    Mutant(
        CACHING, "rows = (rows[:-1] - rows[1:]) / gaps[:, None]",
        "rows = (rows[:-1] - rows[1:]) / gaps[0]",
        "one gap for all differences", CACHE_TESTS,
    ),
    Mutant(
        CACHING, "lagrange(places[: degree + 1], at)", "lagrange(places[:degree], at)",
        "one node too few", CACHE_TESTS,
    ),
    Mutant(
        CACHING, "(k - first + 1) % interval == 0", "(k - first) % interval == 0",
        "calls off by one", CACHE_TESTS,
    ),
    Mutant(
        CACHING, "weights = self.rule([node.lam for _, _, node, _ in usable], op.node.lam)",
        "weights = self.rule([node.t for _, _, node, _ in usable], op.node.t)",
        "extrapolated in another clock", CACHE_TESTS,
    ),
    Mutant(
        CACHING, "if not usable or k == self.last or self.keep(k):",
        "if not usable or self.keep(k):", "last call skipped", CACHE_TESTS,
    ),
    Mutant(
        CACHING, "usable = [s for s in self.seen if s[3] == kind]",
        "usable = list(self.seen)", "outputs of two models mixed", CACHE_TESTS,
    ),
    Mutant(
        CACHING, "real = [i for i, op in enumerate(new.ops) if isinstance(op, Eval)][::-1]",
        "real = [i for i, op in enumerate(new.ops) if isinstance(op, Eval)]",
        "oldest outputs handed over as newest", CACHE_TESTS,
    ),
    Mutant(
        SADA, "PUBLISHED = (5 / 8, 6 / 8, -3 / 8)", "PUBLISHED = (5 / 8, 6 / 8, 3 / 8)",
        "sign of a published weight", SADA_TESTS,
    ),
    Mutant(
        SADA, "bend = y[0] - 2 * y[1] + y[2]", "bend = y[0] - y[1] + y[2]",
        "factor 2 of a second difference", SADA_TESTS,
    ),
    Mutant(
        SADA, "off = x - ahead", "off = ahead - x", "sign of the criterion", SADA_TESTS
    ),
    Mutant(
        SADA, ".flatten(1).sum(1) <= self.slack * size", ".sum() <= self.slack * size",
        "one decision for the batch", SADA_TESTS,
    ),
    Mutant(
        SADA, "g2 / (2 * node.sigma) * noise", "g2 / node.sigma * noise",
        "factor 2 of the probability flow", SADA_TESTS,
    ),
    Mutant(
        SADA, "guess = (ahead - t.sigma * noise) / t.alpha",
        "guess = (x - t.sigma * noise) / t.alpha",
        "guess at the state, not at its extrapolation", SADA_TESTS,
    ),
    Mutant(
        SADA, "skip = stable & (state.row < self.most)",
        "skip = stable & (state.row <= self.most)",
        "one skip too many in a row", SADA_TESTS,
    ),
    Mutant(
        HEADS, "if since <= op.node.lam < until", "if since < op.node.lam <= until",
        "wrong side of a limit", HEAD_TESTS,
    ),
    Mutant(
        "solvers/engine/executor.py", "self.model if self.heads is None else self.heads[op.head]",
        "self.model", "head not looked up", HEAD_TESTS,
    ),
    Mutant(
        "solvers/caching/features.py",
        "if k == 0 or keep(k) else REUSE", "if keep(k - 1) else REUSE",
        "key evaluations off by one", HEAD_TESTS,
    ),
    Mutant(
        "toy_models/merged.py", "shift[:, :, None] * shift[:, None]", "0 * shift[:, :, None]",
        "spread of the means forgotten", HEAD_TESTS,
    ),
]  # fmt: skip
