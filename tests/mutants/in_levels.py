"""Mistakes below the samplers: processes, grids, quadrature, predictions."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

PROCESS = f"{UNIT}solvers/test_process.py"
QUADRATURE = f"{UNIT}solvers/test_quadrature.py"
INVARIANCES = f"{LAWS}test_invariances.py"
CONSTANT = f"{LAWS}test_constant_data.py"

MUTANTS = [
    Mutant(
        "solvers/schedules_vp.py", "return np.log(-np.expm1(2.0 * self._log_alpha(t)))",
        "return 0.5 * np.log(-np.expm1(2.0 * self._log_alpha(t)))",
        "square root in sigma of subVP", (PROCESS, INVARIANCES),
    ),
    Mutant(
        "solvers/schedules_vp.py", "return 0.5 * np.log(-np.expm1(2.0 * log_alpha))",
        "return 0.5 * np.log(1.0 - np.exp(2.0 * log_alpha))",
        "cancellation in sqrt(1 - alpha^2)", (PROCESS,),
    ),
    Mutant(
        "solvers/schedules_vp.py", "return c / (b + np.sqrt(b * b + (self.beta_max - b) * c))",
        "return (np.sqrt(b * b + (self.beta_max - b) * c) - b) / (self.beta_max - b)",
        "the root that cancels", (PROCESS,),
    ),
    Mutant(
        "solvers/schedules_vp.py",
        "return -t * (0.25 * (self.beta_max - self.beta_min) * t + 0.5 * self.beta_min)",
        "return -t * (0.5 * (self.beta_max - self.beta_min) * t + 0.5 * self.beta_min)",
        "missing factor 1/2 in an integral", (PROCESS,),
    ),
    Mutant(
        "solvers/schedules_vp.py", "return 2.0 * self._f(t) * np.expm1(4.0 * self._log_alpha(t))",
        "return -2.0 * self._f(t)", "diffusion of another process", (PROCESS,),
    ),
    Mutant(
        "solvers/schedules.py", "return 2.0 * self._rate * np.exp(2.0 * self._log_sigma(t))",
        "return 2.0 * self._rate * np.exp(self._log_sigma(t))", "sigma for sigma^2", (PROCESS,),
    ),
    Mutant(
        "solvers/schedules.py", "return -1.0 / (t * (1.0 - t))", "return 1.0 / (t * (1.0 - t))",
        "direction of time", (PROCESS,),
    ),
    Mutant(
        "solvers/process.py", "return self.log_alpha(t) - self.log_sigma(t)",
        "return 2.0 * (self.log_alpha(t) - self.log_sigma(t))",
        "log SNR for half of it", (PROCESS,),
    ),
    Mutant(
        "solvers/discrete.py", "(np.asarray(index, dtype=np.float64) + 1.0) / self.levels",
        "np.asarray(index, dtype=np.float64) / self.levels", "level off by one", (PROCESS,),
    ),
    Mutant(
        "solvers/discrete.py", "return DiscreteVP(tuple(0.5 * np.log(body)), zero_terminal)",
        "return DiscreteVP(tuple(np.log(body)), zero_terminal)", "alpha^2 for alpha", (PROCESS,),
    ),
    Mutant(
        "solvers/grids.py", "if not t.lam > s.lam:", "if t.lam < s.lam:",
        "repeated node and NaN accepted", (f"{LAWS}test_ends.py",),
    ),
    Mutant(
        "solvers/grids.py", "return itertools.pairwise(self.nodes)",
        "return itertools.pairwise(self.nodes[:-1])", "last step dropped",
        (f"{LAWS}test_counting.py",),
    ),
    Mutant(
        "solvers/quadrature.py", "value = (value - 1.0 / math.factorial(j)) / z",
        "value = (value - 1.0 / j) / z", "j for j! in a recursion", (QUADRATURE,),
    ),
    Mutant(
        "solvers/quadrature.py", "count = max(1, math.ceil(length / _PANEL))", "count = 1",
        "quadrature too coarse for long steps", (QUADRATURE,),
    ),
    Mutant(
        "solvers/quadrature.py", "np.exp(z * (1.0 - u))", "np.exp(z * u)",
        "exponential from the wrong end of the step", (f"{LAWS}test_multistep_equalities.py",),
    ),
    Mutant(
        "solvers/model.py", "return -sigma, alpha, 1.0", "return sigma, alpha, 1.0",
        "sign of the velocity", (f"{LAWS}test_equalities.py",),
    ),
    Mutant(
        "solvers/model.py", "math.inf if sigma == 0 else 1.0 / sigma",
        "math.inf if sigma == 0 else 1.0 / sigma**2", "sigma^2 for sigma in the score",
        (f"{UNIT}solvers/test_predictions.py", CONSTANT),
    ),
    Mutant(
        "solvers/model.py", "norm = math.hypot(sigma, alpha * sigma_data)",
        "norm = math.hypot(sigma, sigma_data)", "forgotten alpha in a network form",
        (f"{UNIT}solvers/test_predictions.py",),
    ),
]  # fmt: skip
