"""Mistakes in Langevin correctors, chains over levels, conditioned sampling and its exact laws."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

ROOM = "solvers/langevin/"
STEPS = (f"{UNIT}solvers/test_langevin.py",)
SCORE_SDE = (f"{UNIT}solvers/test_score_sde.py",)
CHAIN = (f"{UNIT}solvers/test_denoising_mcmc.py",)
INPAINTING = (f"{UNIT}solvers/test_inpainting.py",)
CONDITIONED = (f"{UNIT}toy_models/test_conditioned.py",)
IMPULSES = (f"{UNIT}analysis/test_impulses.py",)

CORRECTORS = [
    Mutant(
        f"{ROOM}steps.py", "else math.sqrt(2 * step)", "else math.sqrt(step)",
        "missing factor 2 in the noise", STEPS,
    ),
    Mutant(
        f"{ROOM}steps.py", "return 2 * _squared_ratio(s, t) * (self.snr * s.sigma) ** 2",
        "return 2 * (self.snr * s.sigma) ** 2", "a forgotten", STEPS,
    ),
    Mutant(
        f"{ROOM}steps.py", "(self.snr * noises / sizes) ** 2", "(self.snr * sizes / noises) ** 2",
        "swapped ratio", STEPS,
    ),
    Mutant(
        f"{ROOM}steps.py", "z.flatten(1).norm(dim=1).mean() / _norms(score, s).mean()",
        "z.norm() / score.norm()", "norm of the batch for the mean of norms", STEPS,
    ),
    Mutant(
        f"{ROOM}steps.py", "return -0.5 * self.kappa", "return -1.0 * self.kappa",
        "missing factor 2", STEPS,
    ),
    Mutant(
        f"{ROOM}steps.py", "return variance / (1 - step / (2 * variance))",
        "return variance / (1 - step / variance)", "twice the bias", STEPS,
    ),
    Mutant(
        f"{ROOM}steps.py", "(1 - step / variance) ** (2 * steps)",
        "(1 - step / variance) ** steps", "the mean's factor for the variance's", STEPS,
    ),
    Mutant(
        f"{ROOM}steps.py", "return ((dim + 2) / dim) ** 2", "return (dim + 2) / dim",
        "one of two reasons forgotten", STEPS,
    ),
    Mutant(
        f"{ROOM}correctors.py", "inner(forth, forth) - inner(back, back)",
        "inner(back, back) - inner(forth, forth)", "proposal ratio upside down", STEPS,
    ),
    Mutant(
        f"{ROOM}correctors.py", "/ (4 * step)", "/ (2 * step)", "missing factor 2", STEPS,
    ),
    Mutant(
        f"{ROOM}correctors.py", "torch.special.log_ndtr(field_.flatten(1)[:, 0])",
        "-field_.flatten(1)[:, 0].abs()", "half-normal for the log of a uniform", STEPS,
    ),
    Mutant(
        f"{ROOM}correctors.py", "torch.log1p(size / damping)", "torch.log1p(size * damping)",
        "inverse damping", STEPS,
    ),
    Mutant(
        f"{ROOM}correctors.py", "damped(z, e, self.damping, 0.5)", "damped(z, e, self.damping)",
        "the matrix for its root", STEPS,
    ),
    Mutant(
        f"{ROOM}correctors.py", "(w + (dim + 2) * k * w * w)", "(w + dim * k * w * w)",
        "another fourth moment", STEPS,
    ),
    Mutant(
        f"{ROOM}predictor_corrector.py", "return ask(model, y, s, i) / -s.sigma",
        "return ask(model, y, s, i) / s.sigma", "flipped sign of the score", SCORE_SDE,
    ),
    Mutant(
        f"{ROOM}predictor_corrector.py", "return Noise(clock, a, b, \"H\")",
        "return Noise(clock, a, b, \"W\")", "the predictor's noise used again", SCORE_SDE,
    ),
    Mutant(
        f"{ROOM}score_sde.py", "LamRule(kappa / steps)", "LamRule(kappa / steps / 2)",
        "half the noise", SCORE_SDE,
    ),
    Mutant(
        f"{ROOM}score_sde.py", "return 0.5 * self.step * (s.sigma / self.last) ** 2",
        "return self.step * (s.sigma / self.last) ** 2", "another paper's step", SCORE_SDE,
    ),
    Mutant(
        f"{ROOM}score_sde.py", "return Langevin(SnrRule(snr), steps)",
        "return Langevin(SnrPublished(snr), steps)", "samples coupled", SCORE_SDE,
    ),
]  # fmt: skip

CHAINS = [
    Mutant(
        f"{ROOM}langevin_gibbs.py", 'return -eps / self.column("rho", state)',
        'return -eps / self.column("sigma", state)', "x for x/alpha", CHAIN,
    ),
    Mutant(
        f"{ROOM}langevin_gibbs.py", "return Chain(y, drawn_levels(logits, draw(2)))",
        "return Chain(y, drawn_levels(logits, draw(0)))", "a noise used twice", CHAIN,
    ),
    Mutant(
        f"{ROOM}langevin_gibbs.py", "edges = logits.softmax(1).cumsum(1)",
        "edges = logits.exp().cumsum(1).roll(1, 1)", "levels off by one", CHAIN,
    ),
    Mutant(
        f"{ROOM}langevin_gibbs.py", "now = (state.y, score, self._logits(state.y)",
        "now = (state.y, score, 0 * self._logits(state.y)", "a density forgotten", CHAIN,
    ),
    Mutant(
        f"{ROOM}denoising_mcmc.py", "less = rho[a.level] < rho[b.level]",
        "less = rho[a.level] > rho[b.level]", "the most noisy for the least", CHAIN,
    ),
    Mutant(
        f"{ROOM}denoising_mcmc.py", "cost += skip * kernel.evaluations * len(x) + asked",
        "cost += kernel.evaluations * len(x) + asked", "sweeps not paid for", CHAIN,
    ),
    Mutant(
        f"{ROOM}denoising_mcmc.py", "node.alpha * state.y[rows]", "state.y[rows]",
        "x/alpha for x", CHAIN,
    ),
]  # fmt: skip

CONDITIONS = [
    Mutant(
        f"{ROOM}conditional.py", "return model(x, t) - weight * size * slope",
        "return model(x, t) + weight * size * slope", "flipped sign", INPAINTING,
    ),
    Mutant(
        f"{ROOM}conditional.py", "found.log_softmax(1)[:, label]", "found[:, label]",
        "logits for log probabilities", INPAINTING,
    ),
    Mutant(
        f"{ROOM}conditional.py", "known = node.alpha * values + node.sigma * z",
        "known = values + node.sigma * z", "alpha forgotten", INPAINTING,
    ),
    Mutant(
        f"{ROOM}conditional.py", "return known.put(state, before if lag else node, z)",
        "return known.put(state, before, z)", "a level too late", INPAINTING,
    ),
    Mutant(
        f"{ROOM}conditional.py", "flat = coordinates.flatten(1) @ self.basis.to(coordinates).mT",
        "flat = coordinates.flatten(1) @ self.basis.to(coordinates)", "basis for its inverse",
        INPAINTING,
    ),
    Mutant(
        f"{ROOM}conditional.py", "values[..., :k] = y @ u / sizes", "values[..., :k] = y @ u",
        "singular values forgotten", INPAINTING,
    ),
    Mutant(
        f"{ROOM}conditional.py", "first = images.mean(1) * shape[0] ** 0.5",
        "first = images.mean(1)", "grey not scaled", INPAINTING,
    ),
    Mutant(
        "toy_models/conditioned.py", "evidence = -0.5 * white.square().sum() - ",
        "evidence = -0.5 * white.square().sum() + ", "flipped sign of the determinant",
        CONDITIONED,
    ),
    Mutant(
        "toy_models/conditioned.py", "kept = rest @ cov @ rest.mT + noise**2 * gain @ gain.mT",
        "kept = rest @ cov @ rest.mT", "the noise's share forgotten", CONDITIONED,
    ),
    Mutant(
        "analysis/impulses.py", "cov = matrix @ start.cov @ matrix.mT + noises.mT @ noises",
        "cov = matrix.mT @ start.cov @ matrix + noises.mT @ noises", "transposed", IMPULSES,
    ),
    Mutant(
        "analysis/impulses.py", "k = self.cells.setdefault(cell, len(self.cells))",
        "k = len(self.cells); self.cells[cell] = k", "a noise used again is another", IMPULSES,
    ),
]  # fmt: skip

MUTANTS = [*CORRECTORS, *CHAINS, *CONDITIONS]
