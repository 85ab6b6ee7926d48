"""Planted mistakes of searches over plans and grids."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

SPACE = "solvers/fitted/search_space.py"
GRADIENT = "solvers/fitted/grid_gradient.py"
SEARCH = "solvers/fitted/search.py"
TESTS = (f"{UNIT}solvers/test_search.py",)

MUTANTS = [
    Mutant(
        SPACE, "np.cumsum(w)[:-1] / w.sum()", "np.cumsum(w)[:-1]", "shares not normalised", TESTS
    ),
    Mutant(
        SPACE, "(self.data, -n.alpha / n.sigma)", "(self.data, -1.0 / n.sigma)",
        "forgotten alpha in a conversion", TESTS,
    ),
    Mutant(
        SPACE, "[new, *used] if new else used", "used", "corrector without its node", TESTS
    ),
    Mutant(
        SPACE, "if i == 0 or not choices[i - 1].correct:", "if True:",
        "a corrected state is asked again", TESTS,
    ),
    Mutant(
        SPACE, "row = data_row if prediction == \"data\" else noise_row", "row = data_row",
        "noise predictions in the row of data", TESTS,
    ),
    Mutant(
        GRADIENT, "return out + slope * shift[t]", "return out",
        "no derivative of the level", TESTS,
    ),
    Mutant(
        GRADIENT, "(_table(ahead) - _table(behind)) / (2 * _STEP)",
        "(_table(ahead) - _table(behind)) / _STEP", "factor 2 of a central difference", TESTS,
    ),
    Mutant(
        GRADIENT, "for side in (1, -1)", "for side in (-1, 1)", "sign of a difference", TESTS
    ),
    Mutant(
        SEARCH, "np.argsort(errors, kind=\"stable\")[:parents]",
        "np.argsort(errors, kind=\"stable\")[-parents:]", "the worst are kept", TESTS,
    ),
    Mutant(
        SEARCH, "(trees.predict(codes) + kernel.predict(codes)) / 2",
        "-trees.predict(codes)", "ranking upside down", TESTS,
    ),
    Mutant(
        "solvers/fitted/searched.py", "return options if better else {}", "return {}",
        "the result of a fit is dropped", TESTS,
    ),
    Mutant(
        "solvers/fitted/searched.py", "whole.part(slice(0, cut)), whole.part(slice(cut, None))",
        "whole.part(slice(0, cut)), whole.part(slice(cut, cut))",
        "nothing held out", TESTS,
    ),
]  # fmt: skip
