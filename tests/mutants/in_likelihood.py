"""Mistakes in log-densities, divergences, the mirrored process, bits and the variational bound."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

DENSITY = f"{UNIT}solvers/test_likelihood.py"
DIVERGENCE = f"{UNIT}solvers/test_divergence.py"
MIRRORED = f"{UNIT}solvers/test_mirrored.py"
BITS = f"{UNIT}solvers/test_bits.py"
ELBO = f"{UNIT}solvers/test_elbo.py"
FIGURES = f"{UNIT}paper_figs/test_likelihood_data.py"
ON_ANY = f"{DENSITY}::test_on_any_process_the_density_at_its_own_level_is_found"
RATES = f"{MIRRORED}::test_rates_are_derivatives_of_the_mirrored_coefficients"
SAMPLES = f"{DENSITY}::test_the_density_of_samples_is_right_on_processes_of_any_scale"

MUTANTS = [
    Mutant(
        "solvers/likelihood/augmented.py", "own = near / size**2 * level + size / near * rate",
        "own = near / size**2 * level - size / near * rate", "sign of the divergence", (ON_ANY,),
    ),
    Mutant(
        "solvers/likelihood/augmented.py", "own = near / size**2 * level + size / near * rate",
        "own = near / size * level + size / near * rate", "a power of S lost off VP", (ON_ANY,),
    ),
    Mutant(
        "solvers/likelihood/augmented.py", "rate = near * div - x.shape[1] * (near / size) ** 2",
        "rate = near * div - x.shape[1] * near / size", "the trivial part not squared", (ON_ANY,),
    ),
    Mutant(
        "solvers/likelihood/augmented.py",
        "div = a * x.shape[1] + b * div", "div = a + b * div",
        "the identity has the trace 1 instead of d",
        (f"{DENSITY}::test_any_prediction_gives_the_same_number",),
    ),
    Mutant(
        "solvers/likelihood/density.py",
        "total = start + x[0].numel() * math.log(low / high) + gained / low",
        "total = start + x[0].numel() * math.log(high / low) + gained / low",
        "scale of the process the wrong way round", (ON_ANY,),
    ),
    Mutant(
        "solvers/likelihood/density.py",
        "total = start + x[0].numel() * math.log(low / high) + gained / low",
        "total = start + x[0].numel() * math.log(low / high) + gained",
        "l not divided by its scale", (ON_ANY,),
    ),
    Mutant(
        "solvers/likelihood/density.py", "math.log(low / high) - z[:, -1] / high",
        "math.log(low / high) + z[:, -1] / high", "density of samples grows as it should fall",
        (SAMPLES,),
    ),
    Mutant(
        "solvers/likelihood/density.py", "target = near if up else MIRRORED[near]",
        "target = near", "noise and data not exchanged in the mirror", (ON_ANY,),
    ),
    Mutant(
        "solvers/likelihood/density.py",
        "return -0.5 * ((flat / std).square().sum(1) + flat.shape[1] * scale)",
        "return -0.5 * ((flat / std).square().sum(1) + scale)",
        "one log 2 pi for all dimensions",
        (f"{DENSITY}::test_the_prior_of_samplers_costs_exactly_its_own_mismatch",),
    ),
    Mutant(
        "solvers/likelihood/divergence.py", "signs = self.law == \"rademacher\"",
        "signs = self.law != \"rademacher\"", "the two laws of probes exchanged",
        (f"{DIVERGENCE}::test_signs_are_signs_and_several_probes_are_averaged",),
    ),
    Mutant(
        "solvers/likelihood/divergence.py", "return out, total / self.probes", "return out, total",
        "probes summed", (f"{DIVERGENCE}::test_signs_are_signs_and_several_probes_are_averaged",),
    ),
    Mutant(
        "solvers/likelihood/divergence.py", "return 2.0 * even.square().sum((-2, -1))",
        "return even.square().sum((-2, -1))", "half the variance",
        (f"{DIVERGENCE}::test_probes_are_unbiased_and_have_the_variance_of_the_law",),
    ),
    Mutant(
        "solvers/likelihood/divergence.py", "even = 0.5 * (jacobian + jacobian.mT)",
        "even = jacobian", "the antisymmetric part counted",
        (f"{DIVERGENCE}::test_signs_are_exact_on_diagonal_matrices_and_never_worse",),
    ),
    Mutant(
        "solvers/processes/mirrored.py",
        "return self.base.dlam_dt(self.t_max - t) - self.base.f(self.t_max - t)",
        "return self.base.dlam_dt(self.t_max - t) + self.base.f(self.t_max - t)",
        "sign of the drift", (RATES,),
    ),
    Mutant(
        "solvers/processes/mirrored.py", "return self.base.log_alpha_of_lam(-lam) + lam",
        "return self.base.log_alpha_of_lam(-lam) - lam", "sign of lam in log sigma",
        (f"{MIRRORED}::test_signal_and_noise_change_places",),
    ),
    Mutant(
        "solvers/likelihood/bits.py", "return (high - low) / levels",
        "return (high - low) / (levels - 1)", "data mapped by L - 1",
        (f"{BITS}::test_the_offset_of_bytes_on_minus_one_to_one_is_7_and_on_zero_to_one_8",),
    ),
    Mutant(
        "solvers/likelihood/bits.py", "(dim * math.log(2.0)) - math.log2",
        "(dim * math.log(2.0)) + math.log2", "sign of the offset",
        (f"{BITS}::test_dequantised_bits_bound_those_of_the_integers_from_above",),
    ),
    Mutant(
        "solvers/likelihood/elbo.py", "total += weight * math.exp(2.0 * lam) * miss / draws",
        "total += 0.5 * weight * math.exp(2.0 * lam) * miss / draws",
        "half for d SNR kept where lam is half the log of it",
        (f"{ELBO}::test_the_gap_to_the_density_is_the_known_one_on_average",),
    ),
    Mutant(
        "solvers/likelihood/elbo.py", "(ratio - 1.0 - math.log(ratio))",
        "(ratio - math.log(ratio))", "the prior's divergence not zero at equality",
        (f"{ELBO}::test_each_term_is_what_it_says",),
    ),
    Mutant(
        "paper_figs/likelihood.py", "values = 0.5 * (high - low)", "values = high - low",
        "a missing factor 1/2 in the matrix of a path",
        (f"{FIGURES}::test_a_solve_with_a_probe_is_the_quadratic_form_of_the_path",),
    ),
    Mutant(
        "paper_figs/prior_mismatch.py",
        "eta).law(prior(law, 1.0))\n    return float(diagonal_kl(",
        "0.0).law(prior(law, 1.0))\n    return float(diagonal_kl(",
        "the ODE in place of every SDE",
        (f"{FIGURES}::test_the_data_of_a_wrong_start_fall_with_eta_and_with_the_noise",),
    ),
    Mutant(
        "paper_figs/strong_fan.py", "p.model(sampler.prediction), start, noise=noise).x",
        "p.model(sampler.prediction), start, noise=n).x",
        "a path of its own for each grid",
        (f"{FIGURES}::test_the_fan_closes_on_its_own_path_and_on_no_other",),
    ),
]  # fmt: skip
