"""Mistakes in the noise: its key, its law, its bridges."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

BATCHES = (f"{LAWS}test_batches.py",)
NOISE = (f"{UNIT}solvers/test_noise.py",)
PATH = (f"{UNIT}solvers/test_noise_path.py",)
LAW = (f"{UNIT}solvers/test_brownian_law.py",)
TREE = (f"{UNIT}solvers/test_brownian_tree.py",)
MEMORY = (f"{UNIT}solvers/test_brownian_memory.py",)
AHEAD = (f"{UNIT}solvers/test_noise_ahead.py",)

NUMBERS = [
    Mutant(
        "solvers/normals.py", "_WORK.draw(begin[r, None], self._places[c], [",
        "_WORK.draw(begin[:1, None].repeat(len(begin[r]), 0), self._places[c], [",
        "one noise for the whole batch", BATCHES,
    ),
    Mutant(
        "solvers/normals.py", "_words([high + key for key in keys])", "_words(keys)",
        "ids that agree in 32 bits share their noise", NOISE,
    ),
    Mutant(
        "solvers/normals.py", "low * _EACH)", "low * _GOLDEN)",
        "the places of neighbouring samples overlap", NOISE,
    ),
    Mutant(
        "solvers/normals.py",
        "for r in range(0, rows, tall):\n            for c in range(0, columns,",
        "for r in range(0, rows, tall):\n            for c in range(0, columns - 1,",
        "the last place of a row is left out", NOISE,
    ),
    Mutant(
        "solvers/normals.py", "for v in (-2.0, 2.0 * math.pi", "for v in (-1.0, 2.0 * math.pi",
        "missing factor 2 under the root", NOISE,
    ),
    Mutant(
        "solvers/normals.py", "np.sin(self.angle, out=self.wave)",
        "np.cos(self.angle, out=self.wave)",
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
        "solvers/brownian/bridge.py", "(np.add if p <= q else np.subtract)", "np.add",
        "both cells kicked to one side", LAW,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "np.multiply(h, 6 * p * q, out=aside)",
        "np.multiply(h, 1.5, out=aside)", "bridge of two halves for cells that are none", LAW,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "h *= (q / s) ** 2", "h *= q / s",
        "wrong power of a part's measure", LAW,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "h -= np.multiply(kick, 0.5", "h += np.multiply(kick, 0.5",
        "the areas lean with the increments, not against them", LAW,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "h2 = np.subtract(h, h1, out=aside)",
        "h2 = np.add(h, h1, out=aside)", "the areas of both halves the same", LAW,
    ),
    Mutant(
        "solvers/brownian/query.py", "0.5 * (after - before)", "0.5 * after",
        "area under the path for area over its chord", LAW,
    ),
    Mutant(
        "solvers/brownian/query.py", "before += piece.asked", "before += 0.0",
        "the first pieces forgotten in what comes before the others", LAW,
    ),
    Mutant(
        "solvers/brownian/descent.py", "math.sqrt(root.measure / 12)", "root.measure / 12",
        "variance for standard deviation of an area", LAW,
    ),
    Mutant(
        "solvers/brownian/descent.py", "zip(step.parts, parts, strict=True)",
        "zip(step.parts[::-1], parts, strict=True)", "the left half for the right one", LAW,
    ),
    Mutant(
        "solvers/brownian/query.py", "if b - a <= self.tolerance:  #",
        "if b - a <= 0.5 * self.tolerance:  #", "a level too deep", MEMORY,
    ),
    Mutant(
        "solvers/brownian/query.py", "(measure * (m / sum(ends)) for m in ends)",
        "(measure * 0.5 for m in ends)", "halves of the coordinate for those of the measure", LAW,
    ),
    Mutant(
        "solvers/brownian/tree.py", "ids[i : i + tall], (", "ids[:tall], (",
        "the first block of samples again and again", MEMORY,
    ),
    Mutant(
        "solvers/brownian/descent.py", "memory.values(key, i) for", "memory.values(key, 0) for",
        "a kept block of samples given for another", MEMORY,
    ),
    Mutant(
        "solvers/brownian/memory.py", "return {key: self._kept.pop(key) for",
        "return {key: self._kept[key] for", "memory used again that is still another piece's",
        MEMORY,
    ),
    Mutant(
        "solvers/brownian/descent.py", "        memory.drop(self._asked.difference(",
        "        set(self._asked.difference(", "nothing that was taken is ever dropped", MEMORY,
    ),
    Mutant(
        "solvers/brownian/memory.py", "del free[: max(0, len(free) - room)]", "room -= 0",
        "arrays that nobody needs are kept, too", MEMORY,
    ),
    Mutant(
        "solvers/brownian/tree.py", "elif t - s < self.tolerance - self._fuzz and",
        "elif t - s < 0.0 and", "cells below the tolerance answered", TREE,
    ),
]  # fmt: skip

MUTANTS = [*NUMBERS, *PATHS]
