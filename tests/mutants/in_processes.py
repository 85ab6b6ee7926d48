"""Mistakes in shifted processes, in PFGM++, in couplings, in boundary conditions, in cycles."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

PROCESS = f"{UNIT}solvers/test_process.py"
SHIFTED = f"{UNIT}solvers/test_shifted.py"
RESSHIFT = f"{UNIT}solvers/test_resshift.py"
PFGM = f"{UNIT}toy_models/test_pfgm.py"
RECTIFIED = f"{UNIT}toy_models/test_rectified.py"
SUPER = f"{UNIT}toy_models/test_super_resolution.py"
REALTIME = f"{UNIT}solvers/test_realtime.py"
KEEPS = (
    f"{LAWS}test_constant_data.py::"
    "test_constant_data_are_sampled_exactly_for_every_option_and_grid[vp-resshift_ancestral]"
)

REVERTING = [
    Mutant(
        "solvers/processes/mean_reverting.py", "return -2.0 * self.sigma_inf**2 * self._f(t)",
        "return -2.0 * self.sigma_inf * self._f(t)", "s for s^2 in the diffusion", (PROCESS,),
    ),
    Mutant(
        "solvers/processes/mean_reverting.py", "0.5 * np.log(-np.expm1(2.0 * self._log_alpha(t)))",
        "0.5 * np.log(-np.expm1(self._log_alpha(t)))", "alpha for alpha^2", (PROCESS, SHIFTED),
    ),
    Mutant(
        "solvers/processes/mean_reverting.py",
        "+ math.log(self.sigma_inf))", "- math.log(self.sigma_inf))",
        "wrong sign of the scale in an inverse", (PROCESS,),
    ),
    Mutant(
        "solvers/processes/mean_reverting.py", "math.sin(self._twice) * np.sin(d) ** 2",
        "math.sin(self._twice) * np.sin(d)", "an integral that is not one", (PROCESS, SHIFTED),
    ),
    Mutant(
        "solvers/processes/mean_reverting.py",
        "t * (2.0 + (self.ratio - 1.0) * t) / (1.0 + self.ratio)",
        "t * (1.0 + (self.ratio - 1.0) * t) / self.ratio", "missing factor 1/2 of a ramp",
        (PROCESS, SHIFTED),
    ),
    Mutant(
        "solvers/processes/shifted.py", "1.0 - brought)), 1.0", "1.0 - 0.5 * brought)), 1.0",
        "mu counted by halves", (SHIFTED,),
    ),
    Mutant(
        "solvers/processes/shifted.py", "return out - offset * mu if offset else out",
        "return out + offset * mu if offset else out", "shift in the wrong direction", (SHIFTED,),
    ),
    Mutant(
        "solvers/processes/shifted.py", '_SHIFTED = {"data": 1.0, "noise": 0.0,',
        '_SHIFTED = {"data": 1.0, "noise": 1.0,', "a shift of the noise", (SHIFTED,),
    ),
    Mutant(
        "solvers/processes/shifted.py", "node.sigma / sigma_inf * model(w + mu, t)",
        "node.sigma * model(w + mu, t)", "velocity of w for that of w/s", (SHIFTED,),
    ),
]  # fmt: skip

SHIFTING = [
    Mutant(
        "solvers/samplers/resshift.py", "return -self._speed(t) * (1.0 + eta) / (1.0 - eta)",
        "return -self._speed(t) / (1.0 - eta)", "forgotten rate of alpha", (PROCESS,),
    ),
    Mutant(
        "solvers/samplers/resshift.py", "np.arcsinh(0.5 * self.kappa * np.exp(",
        "np.arcsinh(self.kappa * np.exp(", "missing factor 1/2 in an inverse", (PROCESS,),
    ),
    Mutant(
        "solvers/samplers/resshift.py", "return min(self.min_noise / self.kappa, self.min_noise)",
        "return self.min_noise", "first level of another strength of noise", (RESSHIFT,),
    ),
    Mutant(
        "solvers/samplers/resshift.py", "keep = math.exp(2.0 * (t.log_sigma - s.log_sigma))",
        "keep = math.exp(t.log_sigma - s.log_sigma)", "sigma for sigma^2", (RESSHIFT,),
    ),
    Mutant(
        "solvers/samplers/resshift.py", "(d, t.alpha - keep * s.alpha), (xi, std)",
        "(d, 1.0 - keep), (xi, std)", "weight of D as if alpha were 1", (KEEPS,),
    ),
    Mutant(
        "solvers/samplers/resshift.py", "std = t.sigma * math.sqrt(-math.expm1(2.0 *",
        "std = t.sigma * math.sqrt(-math.expm1(", "too little noise", (RESSHIFT,),
    ),
]  # fmt: skip

POISSON = [
    Mutant(
        "toy_models/pfgm.py", "half = 0.5 * (self.dim + self.augmented)",
        "half = 0.5 * self.augmented", "power without the dimension of the data", (PFGM,),
    ),
    Mutant(
        "toy_models/pfgm.py", "torch.log1p(q / self.augmented)", "torch.log1p(q)",
        "sigma for r", (PFGM,),
    ),
    Mutant(
        "toy_models/pfgm.py", "rest = (u + n - 0.5) * math.log1p(n / u) - n",
        "rest = (u + n) * math.log1p(n / u) - n", "Stirling's half", (PFGM,),
    ),
    Mutant(
        "toy_models/pfgm.py", "t / s * (x - a * self.points)", "(t / s) ** 2 * (x - self.points)",
        "flow of another clock", (PFGM,),
    ),
    Mutant(
        "solvers/processes/pfgm.py", "z = z / np.sqrt(gamma)[:, None]", "z = z / gamma[:, None]",
        "variance for standard deviation", (PFGM,),
    ),
    Mutant(
        "solvers/processes/pfgm.py",
        "for i in ids]) / augmented", "for i in ids]) / (augmented + 2)",
        "unit variance for unit scale", (PFGM,),
    ),
]  # fmt: skip

COUPLED = [
    Mutant(
        "toy_models/rectified.py", "(x - alpha * self.shift)[..., None]",
        "(x - self.shift)[..., None]", "forgotten alpha of the mean", (RECTIFIED,),
    ),
    Mutant(
        "toy_models/rectified.py", "return alpha * self.transport(z) + sigma * z - x",
        "return self.transport(z) + sigma * z - x", "forgotten alpha of the data", (RECTIFIED,),
    ),
    Mutant(
        "toy_models/rectified.py", "return self.coupling.transport(self.noise(x, alpha, sigma))",
        "return self.coupling.transport(x)", "the state for its noise", (RECTIFIED,),
    ),
    Mutant(
        "toy_models/rectified.py",
        "bad = (values.imag.abs() <= slack) & (values.real < -slack)",
        "bad = values.real < -1e9", "crossing paths let through", (RECTIFIED,),
    ),
    Mutant(
        "analysis/straightness.py", "return steps / chord - 1.0", "return chord / steps - 1.0",
        "chord over length", (RECTIFIED,),
    ),
    Mutant(
        "analysis/straightness.py", "keep = last.sigma / first.sigma",
        "keep = last.alpha / first.alpha", "alpha for sigma in a step", (RECTIFIED,),
    ),
    Mutant(
        "analysis/straightness.py", "(eps - eps.mean(0)).square()", "(eps - eps[:1]).square()",
        "spread about the first node", (RECTIFIED,),
    ),
]  # fmt: skip

STARTS = [
    Mutant(
        "toy_models/super_resolution.py", "cov = c - gain @ a @ c", "cov = c - 0.5 * gain @ a @ c",
        "posterior that learns half", (SUPER,),
    ),
    Mutant(
        "toy_models/super_resolution.py", "(c2 / (alpha**2 * c2 + sigma**2)).sqrt()",
        "c2 / (alpha**2 * c2 + sigma**2)", "denoiser for flow", (SUPER,),
    ),
    Mutant(
        "toy_models/super_resolution.py", "alpha**2 * torch.trace(g @ known @ g.mT)",
        "alpha * torch.trace(g @ known @ g.mT)", "alpha for alpha^2", (SUPER,),
    ),
    Mutant(
        "analysis/best_of.py", "np.dot(g[::-1], c)) / (2 * j)", "np.dot(g, c)) / (2 * j)",
        "a convolution the wrong way round", (SUPER,),
    ),
    Mutant(
        "analysis/best_of.py", "goal = -math.expm1(math.log1p(-p) / count)", "goal = p / count",
        "law of the best for small p only", (SUPER,),
    ),
    Mutant(
        "solvers/processes/boundary.py",
        "index = int(losses.argmin())", "index = int(losses.argmax())",
        "the worst for the best", (SUPER,),
    ),
    Mutant(
        "solvers/editing/realtime.py", "return spread / math.hypot(spread, node.sigma)",
        "return spread / (spread + node.sigma)", "sum of deviations for that of variances",
        (REALTIME,),
    ),
    Mutant(
        "solvers/editing/realtime.py", "return kappa * drift / (1.0 - kappa)",
        "return drift / (1.0 - kappa)", "error before the cycle for that after it", (REALTIME,),
    ),
    Mutant(
        "solvers/editing/realtime.py", "return node.alpha * x + node.sigma * noise",
        "return x + node.sigma * noise", "forgotten alpha", (REALTIME,),
    ),
    Mutant(
        "solvers/editing/realtime.py", "return torch.cat([actions[:, steps:], last], dim=1)",
        "return torch.cat([last, actions[:, steps:]], dim=1)", "shifted the wrong way",
        (REALTIME,),
    ),
]  # fmt: skip

MUTANTS = [*REVERTING, *SHIFTING, *POISSON, *COUPLED, *STARTS]
