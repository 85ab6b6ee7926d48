"""Mistakes in bridges on grids, through snapshots, and learned by matching."""

from .mutant import Mutant

FOLDER = "tests/unit/transport/"
GRID = (f"{FOLDER}test_grid_bridges.py",)
SNAPSHOTS = (f"{FOLDER}test_multi_marginal.py",)
MATCHING = (f"{FOLDER}test_matching.py",)

MUTANTS = [
    Mutant(
        "solvers/transport/grid_bridge.py", "    return p / mass", "    return p",
        "ends of different mass", GRID,
    ),
    Mutant(
        "solvers/transport/grid_bridge.py", "            first = a - back",
        "            first = 0.5 * (first + a - back)", "a damped sweep", GRID,
    ),
    Mutant(
        "solvers/transport/grid_bridge.py", "return self.density_b if u else self.density_a",
        "return self.density_a if u else self.density_b", "ends exchanged", GRID,
    ),
    Mutant(
        "solvers/transport/grid_bridge.py", "width, apart = self.sigma * math.sqrt(u),",
        "width, apart = self.sigma * u,", "a time for its root", GRID,
    ),
    Mutant(
        "solvers/transport/grid_bridge.py", "self._last - math.log(self.cell)", "self._last",
        "masses for densities in an entropy", GRID,
    ),
    Mutant(
        "solvers/transport/grid_bridge.py",
        "0.5 * self.sigma**2 * (self.to_come(x, u) - self.has_been(x, u))",
        "0.5 * self.sigma**2 * (self.to_come(x, u) + self.has_been(x, u))",
        "score for velocity", GRID,
    ),
    Mutant(
        "solvers/transport/grid_bridge.py", "if heaviest > 0.5:", "if heaviest > 2.0:",
        "a point mass let in", GRID,
    ),
    Mutant(
        "solvers/transport/multi_marginal.py", "math.sqrt(h) * lower", "h * lower",
        "noise sped up like a drift", SNAPSHOTS,
    ),
    Mutant(
        "solvers/transport/multi_marginal.py", "return piece.drift(x, u) / h",
        "return piece.drift(x, u)", "drift per stretch, not per time", SNAPSHOTS,
    ),
    Mutant(
        "solvers/transport/multi_marginal.py",
        "found = found @ torch.linalg.solve(piece.cov_a, piece.cross)", "found = piece.cross",
        "covariance of neighbours for that of far snapshots", SNAPSHOTS,
    ),
    Mutant(
        "solvers/transport/multi_marginal.py",
        "k = min(bisect_right(times, t) - 1, len(self.pieces) - 1)",
        "k = 0", "always the first stretch", SNAPSHOTS,
    ),
    Mutant(
        "solvers/transport/refinement.py", "0.5 * float(w) * (end - start) * xx",
        "0.5 * float(w) * xx", "stretches weighed alike", SNAPSHOTS,
    ),
    Mutant(
        "solvers/transport/refinement.py", "xx[:-1, :-1] += cov", "xx[:-1, :-1] += 0 * cov",
        "second moment without spread", SNAPSHOTS,
    ),
    Mutant(
        "solvers/transport/refinement.py", "ux[:, :-1] += slope @ cov",
        "ux[:, :-1] += slope.mT @ cov", "rotation the other way", SNAPSHOTS,
    ),
    Mutant(
        "solvers/transport/refinement.py",
        '"KL is about 0 but the drift is not unique" if blind else "recovered"',
        '"recovered"', "what no snapshot sees is called recovered", SNAPSHOTS,
    ),
    Mutant(
        "solvers/transport/refinement.py", "(phi @ cov @ phi.mT + noise).flatten()",
        "noise.flatten()", "sensitivity without the covariance", SNAPSHOTS,
    ),
    Mutant(
        "solvers/transport/matching.py", "sigma * (time * (1 - time)).sqrt() * z",
        "sigma * time * (1 - time) * z", "variance for its root", MATCHING,
    ),
    Mutant(
        "solvers/transport/matching.py", "pull = (predictor(x, k * h) - x) / (1.0 - k * h)",
        "pull = predictor(x, k * h) - x", "pull without the time that is left", MATCHING,
    ),
    Mutant(
        "solvers/transport/matching.py", "x = x + h * pull + sigma * math.sqrt(h) * z",
        "x = x + h * pull + sigma * h * z", "noise of a step too small", MATCHING,
    ),
    Mutant(
        "solvers/transport/matching.py", "predictor = learner(x1, x0, sigma, gen)",
        "predictor = learner(x0, x1, sigma, gen)", "a motion back that was learned forth",
        MATCHING,
    ),
    Mutant(
        "solvers/transport/matching.py", "    forward = not reference\n    while",
        "    forward = True\n    while", "a reference matched to itself", MATCHING,
    ),
    Mutant(
        "toy_models/learned_bridge.py", "return x + (1.0 - u) * moved", "return x + moved",
        "direction for a whole time", MATCHING,
    ),
]  # fmt: skip
