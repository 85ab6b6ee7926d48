"""Mistakes in the noise: its key, its law, its bridges."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

BATCHES = (f"{LAWS}test_batches.py",)
NOISE = (f"{UNIT}solvers/test_noise.py",)
PATH = (f"{UNIT}solvers/test_noise_path.py",)
TREE = (f"{UNIT}solvers/test_brownian_tree.py",)
AHEAD = (f"{UNIT}solvers/test_noise_ahead.py",)

NUMBERS = [
    Mutant(
        "solvers/normals.py", "work.draw(begin[r, None], places[c], [",
        "work.draw(begin[:1, None].repeat(len(low[r]), 0), places[c], [",
        "one noise for the whole batch", BATCHES,
    ),
    Mutant(
        "solvers/normals.py", "_words([b\"%d|\" % high + key for key in keys])", "_words(keys)",
        "ids that agree in 32 bits share their noise", NOISE,
    ),
    Mutant(
        "solvers/normals.py", "begin = low * _EACH",
        "begin = low * _GOLDEN", "the places of neighbouring samples overlap", NOISE,
    ),
    Mutant(
        "solvers/normals.py",
        "for r in range(0, rows, tall):\n            for c in range(0, columns,",
        "for r in range(0, rows, tall):\n            for c in range(0, columns - 1,",
        "the last place of a row is left out", NOISE,
    ),
    Mutant(
        "solvers/normals.py", "_FACTOR = (np.array(v) for v in (0.5, 2.0**-40, -2.0))",
        "_FACTOR = (np.array(v) for v in (0.5, 2.0**-40, -1.0))",
        "missing factor 2 under the root", NOISE,
    ),
    Mutant(
        "solvers/normals.py", "np.sin(angle, out=wave)", "np.cos(angle, out=wave)",
        "both numbers of a pair the same", NOISE,
    ),
    Mutant(
        "solvers/normals.py", "if k < len(words):", "if k < 1:", "a key of 64 bits", NOISE,
    ),
    Mutant(
        "solvers/noise.py", "_pack(a + 0.0, b + 0.0)", "_pack(a, b)",
        "two zeros are two levels", NOISE,
    ),
    Mutant(
        "solvers/noise.py", "head = f\"{self.seed}|", "head = f\"{self.seed & 0xFFFFFFFF}|",
        "seed truncated to 32 bits", BATCHES,
    ),
    Mutant(
        "solvers/noise.py",
        "ids = range(like.shape[0]) if self.sample_ids is None else self.sample_ids",
        "ids = range(like.shape[0])", "noise by position in the batch", BATCHES,
    ),
]  # fmt: skip

PATHS = [
    Mutant(
        "solvers/noise.py", "return w1.add_(w2), area, m", "return w1.add_(w2) / 2**0.5, area, m",
        "normalised increments summed as if they were not", BATCHES,
    ),
    Mutant(
        "solvers/noise.py", "area.sub_(torch.mul(w2,", "area.add_(torch.mul(w2,",
        "flipped sign in the area of two cells", PATH,
    ),
    Mutant(
        "solvers/noise.py", "area = h1.mul_(m1 / m).add_(h2.mul_(m2 / m))",
        "area = h1.mul_(m2 / m).add_(h2.mul_(m1 / m))", "swapped weights of two areas", PATH,
    ),
    Mutant(
        "solvers/normals.py", "[word[k] for word in words]", "[word[:1] for word in words]",
        "fields drawn together all have the first key", PATH,
    ),
    Mutant(
        "solvers/ahead.py", "row.last, row.shape = i, like.shape", "row.last, row.shape = i, ()",
        "nothing that was drawn ahead is used", AHEAD,
    ),
    Mutant(
        "solvers/ahead.py", "found = row.waiting.pop(i, None)", "found = row.waiting.get(i)",
        "a field is given away twice", AHEAD,
    ),
    Mutant(
        "solvers/ahead.py", "row.shape == like.shape", "row.shape",
        "fields drawn ahead for another batch", AHEAD,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "np.subtract(share, total, out=total)",
        "np.add(share, total, out=total)", "both cells kicked to one side", TREE,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "h * (6 * p * q)", "h * 1.5",
        "bridge of two halves for cells that are none", TREE,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "h1, h2 = g * p**2, np.multiply(g, q**2, out=g)",
        "h1, h2 = g * p, np.multiply(g, q, out=g)", "wrong power of a part's measure", TREE,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "g = h - np.multiply(", "g = h + np.multiply(",
        "the areas lean with the increments, not against them", TREE,
    ),
    Mutant(
        "solvers/brownian/query.py", "lever = 0.5 * (after - before)", "lever = 0.5 * after",
        "area under the path for area over its chord", TREE,
    ),
    Mutant(
        "solvers/brownian/query.py", "before += piece.asked", "before += 0.0",
        "the first pieces forgotten in what comes before the others", TREE,
    ),
    Mutant(
        "solvers/brownian/descent.py", "math.sqrt(root.measure / 12)", "root.measure / 12",
        "variance for standard deviation of an area", TREE,
    ),
    Mutant(
        "solvers/brownian/descent.py", "return halves[side]", "return halves[0]",
        "the left half for the right one", TREE,
    ),
    Mutant(
        "solvers/brownian/query.py", "if b - a <= self.tolerance:  #",
        "if b - a <= 0.5 * self.tolerance:  #", "a level too deep", TREE,
    ),
    Mutant(
        "solvers/brownian/query.py", "(measure * (m / sum(ends)) for m in ends)",
        "(measure * 0.5 for m in ends)", "halves of the coordinate for those of the measure", TREE,
    ),
    Mutant(
        "solvers/brownian/tree.py", "ids[i : i + tall], (", "ids[:tall], (",
        "the first block of samples again and again", TREE,
    ),
    Mutant(
        "solvers/brownian/descent.py",
        "self._kept.setdefault(name, {})[block.begin] = values",
        "self._kept.setdefault(name, {})[0] = values",
        "a kept block of samples given for another", TREE,
    ),
    Mutant(
        "solvers/brownian/tree.py", "elif t - s < self.tolerance - self._fuzz and",
        "elif t - s < 0.0 and", "cells below the tolerance answered", TREE,
    ),
]  # fmt: skip

MUTANTS = [*NUMBERS, *PATHS]
