"""Mistakes in optimal maps, entropic plans and Schrodinger bridges."""

from .mutant import Mutant

FOLDER = "tests/unit/transport/"
MAPS = (f"{FOLDER}test_gaussian_maps.py",)
BRIDGES = (f"{FOLDER}test_gaussian_bridges.py",)
KINETIC = (f"{FOLDER}test_kinetic.py",)
DESIGNED = ("tests/unit/toy_models/test_bridges.py",)

MUTANTS = [
    Mutant(
        "solvers/transport/bures.py", "total = middle[:, None] + middle",
        "total = 2 * middle[:, None] + 0 * middle", "one root for the sum of two", MAPS,
    ),
    Mutant(
        "solvers/transport/bures.py", "return -m @ of_b @ m, of_b", "return -of_b, of_b",
        "gradient in A without the map", MAPS,
    ),
    Mutant(
        "solvers/transport/bures.py", "grads[0] * (eye - _symmetric(forth))",
        "grads[0] * (eye - _symmetric(back))", "the map back for the map", MAPS,
    ),
    Mutant(
        "solvers/transport/bures.py", "return (root_a - root_b @ q).square().sum()",
        "return torch.trace(root_a @ root_a + root_b @ root_b - 2 * root_b @ q @ root_a)",
        "a difference of traces at A = B", MAPS,
    ),
    Mutant(
        "solvers/transport/gaussian.py", "return (1.0 - u) * self._eye() + u * self.matrix",
        "return u * self._eye() + (1.0 - u) * self.matrix", "time run backwards", MAPS,
    ),
    Mutant(
        "solvers/transport/gaussian.py", "if missed > 1e-9 *", "if missed > 1e9 *",
        "a map that misses its end", MAPS,
    ),
    Mutant(
        "solvers/transport/entropic.py", "cross = 2 * root @ (u / (d + s))",
        "cross = root @ (u / (d + s))", "missing factor 2", MAPS,
    ),
    Mutant(
        "solvers/transport/entropic.py", "s * ((d + s) / (2 * s)).log().sum()",
        "s * ((d + s) / s).log().sum()", "entropy against another measure", MAPS,
    ),
    Mutant(
        "solvers/transport/entropic.py", "names = (\"mean_a\", \"cov_a\", \"mean_b\", \"cov_b\")\n"
        "        ends = gaussian_pair(*(getattr(self, n) for n in names))\n"
        "        self.__dict__.update(zip(names, ends, strict=True))\n"
        "        a, b, s = ends[1].detach(), ends[3].detach(), self.epsilon / 2",
        "names = (\"mean_a\", \"cov_a\", \"mean_b\", \"cov_b\")\n"
        "        ends = gaussian_pair(*(getattr(self, n) for n in names))\n"
        "        self.__dict__.update(zip(names, ends, strict=True))\n"
        "        a, b, s = ends[1].detach(), ends[3].detach(), self.epsilon",
        "epsilon of the halved cost", MAPS,
    ),
    Mutant(
        "solvers/transport/entropic.py", "return rho**2, rho**4", "return rho, rho**2",
        "rate of half a sweep", MAPS,
    ),
    Mutant(
        "solvers/transport/reference.py", "block[:d, :d], block[:d, d:], block[d:, d:] = -f,",
        "block[:d, :d], block[:d, d:], block[d:, d:] = f,", "wrong sign in Van Loan's matrix",
        BRIDGES,
    ),
    Mutant(
        "solvers/transport/reference.py", "return x @ self.drift_matrix.mT + self.offset",
        "return x @ self.drift_matrix + self.offset", "rotation the other way", BRIDGES,
    ),
    Mutant(
        "solvers/transport/gaussian_bridge.py", "if u > 0.5:", "if u > 2.0:",
        "a quotient 0/0 at the end", BRIDGES,
    ),
    Mutant(
        "solvers/transport/gaussian_bridge.py",
        "torch.linalg.solve(phi, root @ plan.cross @ root)",
        "root @ plan.cross @ root", "coupling of the moved start", BRIDGES,
    ),
    Mutant(
        "solvers/transport/gaussian_bridge.py",
        "self.drift(x, u) - 0.5 * self.score(x, u)",
        "self.drift(x, u) - self.score(x, u)", "backward drift for the velocity", BRIDGES,
    ),
    Mutant(
        "solvers/transport/gaussian_bridge.py", "mixed + mixed.mT\n", "mixed\n",
        "the coupling of the ends counted once", BRIDGES,
    ),
    Mutant(
        "solvers/transport/gaussian_bridge.py",
        "traces = torch.trace(torch.linalg.solve(q, spread))"
        " - self.dim", "traces = torch.trace(torch.linalg.solve(q, rest)) - self.dim",
        "entropy without the work of the mean", BRIDGES,
    ),
    Mutant(
        "solvers/transport/gaussian_iterations.py", "return bridge.cov_a @ gain.mT",
        "return bridge.cov_a @ gain", "gain transposed", BRIDGES,
    ),
    Mutant(
        "solvers/transport/gaussian_iterations.py", "x = x - slope @ c.mT + slope @ b @ slope.mT",
        "x = x + slope @ b @ slope.mT", "conditional covariance forgotten", BRIDGES,
    ),
    Mutant(
        "toy_models/bridges.py",
        "0.5 * self.sigma**2 * (self.to_come(x, u) - self.has_been(x, u))",
        "self.sigma**2 * (self.to_come(x, u) - self.has_been(x, u))", "missing half of a velocity",
        DESIGNED,
    ),
    Mutant(
        "toy_models/bridges.py", "p, q = a + self._noise(u), b + self._noise(1.0 - u)",
        "p, q = a + self._noise(1.0 - u), b + self._noise(u)", "law run backwards", DESIGNED,
    ),
    Mutant(
        "toy_models/bridges.py", "cross = gain_x @ b", "cross = gain_x @ a",
        "pairs coupled by the wrong end", DESIGNED,
    ),
    Mutant(
        "solvers/transport/kinetic.py", "size**2 * (da * m - a * dm) ** 2",
        "size**2 * (da * m + a * dm) ** 2", "sign of an angular velocity", KINETIC,
    ),
    Mutant(
        "solvers/transport/kinetic.py", "w = (1.0 + moment * rho * rho) * mmse(rho)",
        "w = mmse(rho)", "share without its bound", KINETIC,
    ),
    Mutant(
        "solvers/transport/kinetic.py", "dth = dpsi / rate", "dth = dpsi * rate",
        "rate for its inverse", KINETIC,
    ),
    Mutant(
        "solvers/transport/kinetic.py", "math.sin(0.5 * self.angle) ** 2",
        "math.sin(self.angle) ** 2", "chord of twice the angle", KINETIC,
    ),
]  # fmt: skip
