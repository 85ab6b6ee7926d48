"""Mistakes found in a second reading of noise, stochastic solvers, Langevin steps, likelihoods."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

EDGES = (f"{UNIT}solvers/test_noise_edges.py",)
SCORE_SDE = (f"{UNIT}solvers/test_score_sde.py",)
CHAIN = (f"{UNIT}solvers/test_denoising_mcmc.py",)
STEPS = (f"{UNIT}solvers/test_langevin.py",)
SOLVE = (f"{UNIT}sde/test_sde_solve.py",)
BAD = (f"{UNIT}sde/test_sde_bad_input.py",)
ADAPTIVE = (f"{UNIT}sde/test_sde_adaptive.py",)
STABLE = (f"{UNIT}sde/test_stable_problems.py",)
GRADIENTS = (f"{UNIT}sde/test_sde_gradients.py",)
BITS = (f"{UNIT}solvers/test_bits.py",)
PROBES = (f"{UNIT}solvers/test_divergence.py",)
_OWN = "test_what_a_divergence_of_the_users_own_gives_is_not_broadcast"
_START = "test_a_start_density_that_is_no_number_is_told"
DENSITY = tuple(f"{UNIT}solvers/test_likelihood.py::{name}" for name in (_OWN, _START))
BOUND = (f"{UNIT}solvers/test_elbo.py",)
GUIDED = (f"{UNIT}solvers/test_inpainting.py",)

NOISE = [
    Mutant(
        "solvers/given.py", "return operator.index(value)", "return int(value)",
        "seeds 1.2 and 1.7 are one seed", EDGES,
    ),
    Mutant(
        "solvers/noise.py", "if like.ndim == 0 or not like.is_floating_point():",
        "if like.ndim == 0:", "normals cut off to whole numbers", EDGES,
    ),
    Mutant(
        "solvers/noise.py", 'if cell.kind not in ("W", "H"):', "if not cell.kind:",
        "the noise of divisions given away as a cell's", EDGES,
    ),
    Mutant(
        "solvers/noise.py", "if not MEASURES[0] <= measure <= MEASURES[1]:",
        "if not measure >= 0.0:", "NaN for a cell of infinite measure", EDGES,
    ),
    Mutant(
        "solvers/normals.py", "for v in (0.5, 2.0**-40)", "for v in (0.0, 2.0**-40)",
        "a radius of infinity", EDGES,
    ),
]  # fmt: skip

SOLVERS = [
    Mutant(
        "solvers/sde/problem.py", 'if value.dtype != x.dtype:\n            msg = f"the diff',
        'if value.dtype is None:\n            msg = f"the diff',
        "a float32 solve goes on in float64", BAD,
    ),
    Mutant(
        "solvers/sde/problem.py", "v = (1 + torch.rand(tuple(x.shape), generator=generator, ",
        "v = (2 * torch.randint(0, 2, tuple(x.shape), generator=generator) - 1 + 0 * "
        "torch.rand(tuple(x.shape), ",
        "directions of signs, which agree by chance", SOLVE,
    ),
    Mutant(
        "solvers/sde/problem.py", "(seen[0], torch.zeros_like(x))", "(seen[0], seen[0])",
        "additive noise may read the state", SOLVE,
    ),
    Mutant(
        "solvers/sde/inputs.py", "if not (isinstance(n, Integral) and 0 <= int(n) <= last):",
        "if not 0 <= float(n or 0) <= last:", "a step between steps saved in silence", BAD,
    ),
    Mutant(
        "solvers/sde/solve.py", "            if not finite(state[0]):",
        "            if not state:", "the way back ends in NaN", SOLVE,
    ),
    Mutant(
        "solvers/sde/solve.py", "h = math.nextafter(h, 0.0)", "h = b - a",
        "coefficients asked beyond the last time", SOLVE,
    ),
    Mutant(
        "solvers/sde/solve.py", "named = [ids[i] for i in error.sample_ids]",
        "named = list(error.sample_ids)", "rows for the ids of samples", SOLVE,
    ),
    Mutant(
        "solvers/sde/gradients.py", "if not gap <= allowed * size:", "if gap < 0.0:",
        "a gradient of states that never were", GRADIENTS,
    ),
    Mutant(
        "solvers/sde/gradients.py", "if ctx.needs_input_grad[1]:", "if params:",
        "a gradient refused for a start that nobody asks for", GRADIENTS,
    ),
    Mutant(
        "solvers/sde/adaptive.py", "torch.where(gap == 0, gap, gap / size)", "(gap / size)",
        "0/0 is refused for ever", ADAPTIVE,
    ),
    Mutant(
        "solvers/sde/stable.py", "return math.inf if start or lipschitz * shift else 0.0",
        "return math.inf", "nothing becomes infinite", STABLE,
    ),
]  # fmt: skip

STEPPERS = [
    Mutant(
        "solvers/langevin/predictor_corrector.py",
        'if count == 1 and all(op.kind == "W" for op in drawn):', "if count == 1:",
        "the area that the predictor reads used for the corrector", SCORE_SDE,
    ),
    Mutant(
        "solvers/langevin/denoising_mcmc.py", 'clock=f"round {self._number} {cell.clock}"',
        'clock=f"round 0 {cell.clock}"', "all rounds have one noise", CHAIN,
    ),
    Mutant(
        "solvers/langevin/denoising_mcmc.py", "draw(own, self._batch)[self._rows]",
        "draw(own, self._batch)[: len(self._rows)]", "the noise of other chains", CHAIN,
    ),
    Mutant(
        "solvers/langevin/denoising_mcmc.py", "chosen = state = next(states)",
        "chosen, state = state, next(states)", "the start of a round for a state of it", CHAIN,
    ),
    Mutant(
        "solvers/langevin/correctors.py", "self.rule(new[1], other, s, t)",
        "self.rule(now[1], z, s, t)", "a step that looks at the state is not found out", STEPS,
    ),
    Mutant(
        "solvers/langevin/steps.py", "good = (norms > 0) & torch.isfinite(norms)",
        "good = norms >= 0", "a step of 0/0", STEPS,
    ),
    Mutant(
        "solvers/langevin/steps.py", "if step.ndim and step.shape != (",
        "if step.ndim > 9 and step != (", "steps of samples for those of coordinates", STEPS,
    ),
    Mutant(
        "solvers/langevin/correctors.py", "if value.shape != x.shape[:1]:", "if value.ndim > 9:",
        "one density for all samples", STEPS,
    ),
    Mutant(
        "solvers/langevin/langevin_gibbs.py", "level.dtype in (torch.int32, torch.int64)",
        "not level.is_floating_point()", "levels taken for a mask", CHAIN,
    ),
    Mutant(
        "solvers/langevin/score_sde.py", "parameters=[*first, *own, predictor]",
        "parameters=[*first, predictor]", "options that nobody is told of", SCORE_SDE,
    ),
    Mutant(
        "solvers/langevin/conditional.py", "if found.ndim != 2 or len(found) != batch:",
        "if found.ndim != 2:", "a classifier of another batch", GUIDED,
    ),
    Mutant(
        "solvers/langevin/conditional.py", "create_graph=follows", "create_graph=False",
        "a density without the classifier's slope", GUIDED,
    ),
]  # fmt: skip

DENSITIES = [
    Mutant(
        "solvers/likelihood/divergence.py", 'f"{int(self.seed)}|probe', 'f"{self.seed}|probe',
        "the seed True is not the seed 1", PROBES,
    ),
    Mutant(
        "solvers/likelihood/bits.py", 'if whole_number(levels, "levels") < 1',
        "if levels < 1", "half a level", BITS,
    ),
    Mutant(
        "solvers/likelihood/augmented.py", "value.shape != shape:", "value.numel() == 0:",
        "one divergence for the whole batch", DENSITY,
    ),
    Mutant(
        "solvers/likelihood/density.py", "if bool(found.isnan().any()):", "if found is None:",
        "a density of NaN", DENSITY,
    ),
    Mutant(
        "solvers/likelihood/elbo.py", "check_like(out, state,", "check_like(state, state,",
        "an answer for one coordinate for all", BOUND,
    ),
    Mutant(
        "solvers/likelihood/elbo.py", "if not -_LARGEST < lam_start < lam_end < _LARGEST:",
        "if not lam_start < lam_end < math.inf:", "an overflow in foreign words", BOUND,
    ),
]  # fmt: skip

MUTANTS = [*NOISE, *SOLVERS, *STEPPERS, *DENSITIES]
