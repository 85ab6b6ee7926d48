"""Mistakes in semi-discrete transport, quantile maps, designed maps and DPM-OT."""

from .mutant import Mutant

FOLDER = "tests/unit/transport/"
CELLS = (f"{FOLDER}test_semi_discrete.py",)
UNITS = (f"{FOLDER}test_semi_discrete.py::test_neither_units_nor_the_origin_matter",)
LINE = (f"{FOLDER}test_quantile_map.py",)
SHORT = (f"{FOLDER}test_semi_discrete_sampling.py",)
PACKAGE = "solvers/transport/"

MUTANTS = [
    Mutant(
        f"{PACKAGE}semi_discrete_cells.py", "(y[1:] + y[:-1] - 2 * b)", "(y[1:] + y[:-1] - b)",
        "missing factor 2", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_cells.py", "cost = source.second_moment + masses @ (y * y) - 2 *",
        "cost = source.second_moment + masses @ (y * y) - 1 *", "half of the inner product", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_cells.py", "bend = share * (_density(low) - _density(high))",
        "bend = share * (_density(high) - _density(low))", "sign of a truncated mean", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_cells.py", "slopes = -2 * atoms @ (root @ along)",
        "slopes = -2 * atoms @ along", "lines that are not whitened", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_cells.py",
        "rates = (share * _density(low))[later]",
        "rates = 0.5 * (share * _density(low))[later]", "half of the exchange", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_cells.py", "beaten = t <= start[pending, level]",
        "beaten = t < start[pending, level] - 1.0", "a line kept that is never lowest", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_cells.py", "through = mean + nodes @ (root @ rest).T",
        "through = nodes @ (root @ rest).T", "mean of a component forgotten", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_polygons.py", "rates = 0.5 * length / (2 *",
        "rates = length / (2 *", "edges counted twice", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_polygons.py",
        "square = (a * a + b * b + c * c + a * b + b * c + c * a).sum(-1) / 6",
        "square = (a * a + b * b + c * c).sum(-1) / 6", "second moment without products", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_polygons.py", "after = np.where(inside, other[:, None], border)",
        "after = np.where(inside, border, other[:, None])", "edges named the wrong way", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_polygons.py", "lower = hull.simplices[hull.equations[:, 2] < 0]",
        "lower = hull.simplices[hull.equations[:, 2] > 0]", "the upper hull", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_polygons.py",
        "cells._replace(sizes=np.where(lonely, 0, cells.sizes))",
        "cells", "a hidden atom that keeps the whole box", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_points.py",
        "rates = np.full(int(near.sum()), 0.5 / (n * window))",
        "rates = np.full(int(near.sum()), 1.0 / (n * window))", "both sides of a face", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_polygons.py", "- psi / unit**2", "- psi / unit",
        "a square that is none, in other units", UNITS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_centre.py", "return Normals(source.weights, source.means - c,",
        "return Normals(source.weights, source.means,", "the atoms moved without their source",
        UNITS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete.py", "heights = 0.5 * (self.potential - y.square().sum(1))",
        "heights = self.heights", "heights of atoms that were moved", UNITS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete.py", "self.cost + float(self.potential @ missing)",
        "self.cost - float(self.potential @ missing)", "sign of the dual", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete.py", "return 0.5 * (self.potential - self.atoms.square().sum(1))",
        "return self.potential - 0.5 * self.atoms.square().sum(1)", "potential not halved", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete.py", "psi - psi.mean()", "psi - psi[0]", "another gauge", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete.py", "missing = weights - cells.masses",
        "missing = cells.masses - weights", "descent of a concave dual", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete.py",
        "return (atoms * atoms).sum(1) - ((a + s * atoms) ** 2).sum(1) / s",
        "return np.zeros(len(atoms))", "a start with empty cells", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete.py",
        "return self.marginal_error <= self.tolerance", "return True",
        "always converged", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete.py", "if not same_law(self.source, source):",
        "if self.source.dim != source.dim:", "any source is taken", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete.py", "if int(copies.max()) > 1:", "if int(copies.max()) > 2:",
        "repeated atoms", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_sources.py",
        "return (self.means[:, 0] * ndtr(z) - self.roots[:, 0, 0] * density) @ self.weights",
        "return (self.means[:, 0] * ndtr(z) + self.roots[:, 0, 0] * density) @ self.weights",
        "sign of a truncated mean", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_sources.py", "(self.high - self.low) ** 2 / 12).sum())",
        "(self.high - self.low) ** 2 / 6).sum())", "variance of a box", CELLS,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_sources.py",
        "return z, share * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)",
        "return z, share / np.sqrt(2 * np.pi)", "a quantile without its density", CELLS,
    ),
    Mutant(
        f"{PACKAGE}quantile_map.py", "return np.where(low <= high, ndtri(low), -ndtri(high))",
        "return ndtri(low)", "the upper tail from below", LINE,
    ),
    Mutant(
        f"{PACKAGE}quantile_map.py", "lambda p: -np.log(p) / r,", "lambda p: -np.log1p(-p) / r,",
        "tails swapped", LINE,
    ),
    Mutant(
        f"{PACKAGE}quantile_map.py", "rough = np.abs(left + right - whole) > goal",
        "rough = np.abs(left + right - whole) > 1e-3", "steep maps on coarse panels", LINE,
    ),
    Mutant(
        f"{PACKAGE}quantile_map.py", "return sign * high", "return high", "sign of a tail", LINE,
    ),
    Mutant(
        "toy_models/brenier.py", "return self.ridge * x + a.tanh() @ self.directions",
        "return self.ridge * x + a @ self.directions", "no gradient of the potential", LINE,
    ),
    Mutant(
        "toy_models/brenier.py", "bend = (points(x, w) @ w.mT).cosh().square().reciprocal()",
        "bend = (points(x, w) @ w.mT).cosh().reciprocal()", "square forgotten", LINE,
    ),
    Mutant(
        "toy_models/brenier.py", "gain = (-torch.expm1(-safe) / (2 * safe)).sqrt()",
        "gain = (-torch.expm1(-safe) / safe).sqrt()", "radius without its half", LINE,
    ),
    Mutant(
        "toy_models/brenier.py", "return 2.0 + 0.5 * self.radius**2 - 2.0",
        "return 2.0 + self.radius**2 - 2.0", "second moment of a disc", LINE,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_sampling.py", "atoms = node.alpha * x + node.sigma * noise",
        "atoms = node.alpha * x", "latents without noise", SHORT,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_sampling.py", "among.fill_diagonal_(torch.inf).amin(1)",
        "among.amin(1)", "a point nearest to itself", SHORT,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_sampling.py",
        "return self.map(flat, source).reshape(z.shape).to(z)",
        "return self.map(flat).reshape(z.shape).to(z)", "any noise is taken", SHORT,
    ),
    Mutant(
        f"{PACKAGE}semi_discrete_sampling.py",
        "if abs(grid[0].lam - self.node.lam) > 1e-9 * (1 + abs(self.node.lam)):",
        "if abs(grid[0].lam - self.node.lam) > 1e9:", "steps from another level", SHORT,
    ),
]  # fmt: skip
