"""Mistakes where rows have times of their own, and where others work in the same folder."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

ROWS = (f"{UNIT}networks/test_rows.py",)
BESIDE = (f"{UNIT}jobs/test_work_beside.py",)
STRANGERS = (f"{UNIT}networks/test_strangers.py",)

MUTANTS = [
    Mutant(
        "solvers/networks/rows.py", "[torch.cat(places).argsort()]", "",
        "rows in the order of their times", ROWS,
    ),
    Mutant(
        "solvers/networks/rows.py", "torch.cat([t, t]) if by_row",
        "t.repeat_interleave(2) if by_row",
        "each time twice in a row, as states are not", ROWS,
    ),
    Mutant(
        "solvers/networks/asking.py", "column(scales, x) * x, level", "x, level",
        "the scale forgotten where rows differ", ROWS,
    ),
    Mutant(
        "solvers/networks/asking.py", "torch.tensor([change(c) for _, c in pairs]",
        "torch.tensor([change(pairs[0][1]) for _, c in pairs]",
        "every row is told the level of the first", ROWS,
    ),
    Mutant(
        "toy_models/networks.py", "times = t[rows.to(t.device)] if", "times = t[: rows.sum()] if",
        "times of the first rows", ROWS,
    ),
    Mutant(
        "solvers/networks/network.py", "of(bound[torch.as_tensor(places)])",
        "of(bound[: len(places)])", "labels of the first rows", (*ROWS, *BESIDE),
    ),
    Mutant(
        "solvers/model.py", "conversion(source, target, n, sigma_data) for",
        "conversion(source, target, n) for", "the constant of the data forgotten",
        (f"{UNIT}networks/test_network.py",),
    ),
    Mutant(
        "solvers/wrappers/conditional.py", "slack = 1e-9 *", "slack = 0.0 *",
        "the end of an interval lost to rounding", ROWS,
    ),
    Mutant(
        "solvers/jobs/trial.py", "[ids[int(i)] for i in places]", "ids",
        "samples named by their row", BESIDE,
    ),
    Mutant(
        "solvers/files.py", "except FileExistsError:\n        return",
        "except FileExistsError:\n        part.replace(target)", "the last writer wins", BESIDE,
    ),
    Mutant(
        "solvers/jobs/folder.py", "for left in self._left:", "for left in self._halves():",
        "what another writes is taken away", BESIDE,
    ),
    Mutant(
        "solvers/networks/diffusers_training.py", "math.atan(t) * 2.0 / math.pi", "math.atan(t)",
        "a level told in radians", STRANGERS,
    ),
]  # fmt: skip
