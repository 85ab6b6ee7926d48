"""Mistakes in the noise: its key, its law, its bridges."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

BATCHES = (f"{LAWS}test_batches.py",)
NOISE = (f"{UNIT}solvers/test_noise.py",)
PATH = (f"{UNIT}solvers/test_noise_path.py",)
TREE = (f"{UNIT}solvers/test_brownian_tree.py",)

NUMBERS = [
    Mutant(
        "solvers/normals.py", "work.draw(begin[r, None], places[c], words)",
        "work.draw(begin[:1, None].repeat(len(low[r]), 0), places[c], words)",
        "one noise for the whole batch", BATCHES,
    ),
    Mutant(
        "solvers/normals.py", "words = _words(b\"%d|\" % high + key)", "words = _words(key)",
        "ids that agree in 32 bits share their noise", NOISE,
    ),
    Mutant(
        "solvers/normals.py", "begin = low * (_GOLDEN << np.uint64(32))",
        "begin = low * _GOLDEN", "the places of neighbouring samples overlap", NOISE,
    ),
    Mutant(
        "solvers/normals.py", "for r in range(0, rows, tall):\n        for c in range(0, columns,",
        "for r in range(0, rows, tall):\n        for c in range(0, columns - 1,",
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
        "solvers/noise.py", "\"<dd\", cell.a + 0.0, cell.b + 0.0", "\"<dd\", cell.a, cell.b",
        "two zeros are two levels", NOISE,
    ),
    Mutant(
        "solvers/noise.py", "return f\"{self.seed}|", "return f\"{self.seed & 0xFFFFFFFF}|",
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
        "solvers/brownian/bridge.py", "return c * u + s * v, s * u - c * v",
        "return c * u + s * v, s * u + c * v", "flipped sign in a rotation", TREE,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "math.sqrt(3.0) * root_p * root_q",
        "math.sqrt(3.0) * 0.5", "bridge of two halves for cells that are none", TREE,
    ),
    Mutant(
        "solvers/brownian/bridge.py", "cube_p, cube_q = root_p**3, root_q**3",
        "cube_p, cube_q = root_p**2, root_q**2", "wrong power of a part's measure", TREE,
    ),
    Mutant(
        "solvers/brownian/query.py", "area = (0.5 * root * (after - before),",
        "area = (0.5 * root * after,", "area under the path for area over its chord", TREE,
    ),
    Mutant(
        "solvers/brownian/query.py", "root * piece.asked / math.sqrt(12)",
        "root * piece.asked / 12", "variance for standard deviation of an area", TREE,
    ),
    Mutant(
        "solvers/brownian/query.py", " + (piece.left.asked if piece.left else 0.0)", "",
        "the left half forgotten in what comes before the right", TREE,
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
        "solvers/brownian/tree.py", "field *= row[j]", "field *= row[0]",
        "both normals of a bridge with one weight", TREE,
    ),
    Mutant(
        "solvers/brownian/tree.py", "ids[i : i + tall]\n", "ids[:tall]\n",
        "the first block of samples again and again", TREE,
    ),
    Mutant(
        "solvers/brownian/tree.py", "blocks[begin] = field", "blocks[0] = field",
        "a kept block of samples given for another", TREE,
    ),
    Mutant(
        "solvers/brownian/tree.py", "elif t - s < self.tolerance - self._fuzz and",
        "elif t - s < 0.0 and", "cells below the tolerance answered", TREE,
    ),
]  # fmt: skip

MUTANTS = [*NUMBERS, *PATHS]
