"""Mistakes in entropy, in the score equation of networks, in the split between clouds; memory."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

ENTROPY = f"{UNIT}analysis/test_entropy.py"
NETWORK = f"{UNIT}analysis/test_fp_network.py"
HERE = "analysis/entropy.py"
THERE = "analysis/fokker_planck/network.py"
TWELVE = (f"{ENTROPY}::test_a_rotating_steady_law_produces_twelve_and_a_half",)
BRUIJN = (f"{ENTROPY}::test_the_entropy_of_one_law_obeys_de_bruijn_with_the_drift",)
RELAXING = (
    f"{ENTROPY}::test_relaxing_is_the_fall_of_the_relative_entropy_to_the_steady_law",
    f"{ENTROPY}::test_production_is_relaxing_and_turning_for_every_law",
)
COMING = (
    f"{ENTROPY}::test_two_laws_in_one_noise_come_together_at_the_rate_of_their_fisher_information",
)
LINES = (f"{ENTROPY}::test_sums_on_a_line_are_the_closed_forms_of_gaussians",)
CLOCK = (f"{NETWORK}::test_it_is_the_residual_of_the_score_in_the_clock_lam_and_the_variable_u",)
CLOSED = (f"{NETWORK}::test_a_scaled_score_of_a_normal_law_leaves_its_closed_form",)
PARTS = (f"{UNIT}analysis/test_cloud_sources.py::test_on_a_line_the_parts_are_the_exact_ones",)
SIGNS = (f"{NETWORK}::test_signs_are_unbiased_though_their_own_error_is_squared",)

MUTANTS = [
    Mutant(
        HERE,
        "-0.5 * process.g2(t) * self.fisher",
        "-process.g2(t) * self.fisher",
        "a forgotten half in de Bruijn's identity",
        COMING,
    ),
    Mutant(
        HERE,
        "-0.5 * process.g2(t) * self.fisher",
        "-0.5 * process.g2(t) ** 0.5 * self.fisher",
        "g for g^2",
        COMING,
    ),
    Mutant(
        HERE,
        "- process.f(t) * dim)",
        "- 0.0 * dim)",
        "a missing f d",
        BRUIJN,
    ),
    Mutant(
        HERE,
        "there @ (p.mean - q.mean)",
        "inverse @ (p.mean - q.mean)",
        "the precision of the other law at a difference of means",
        COMING,
    ),
    Mutant(
        HERE,
        "return Entropy(value, float(np.sum(a * inverse)))",
        "return Entropy(value, float(np.sum(a * p.cov)))",
        "a variance for the Fisher information",
        BRUIJN,
    ),
    Mutant(
        HERE,
        "gain = f + 0.5 * a @ np.linalg.inv(carrier.cov)",
        "gain = f + a @ np.linalg.inv(carrier.cov)",
        "the velocity of the SDE's drift for that of the density",
        TWELVE,
    ),
    Mutant(
        HERE,
        "return 2.0 * float(np.sum((inverse",
        "return float(np.sum((inverse",
        "a for the diffusion constant a/2",
        TWELVE,
    ),
    Mutant(
        HERE,
        "away = f @ p.mean + c + 0.5",
        "away = f @ p.mean + 0.5",
        "a forgotten constant of the drift",
        RELAXING,
    ),
    Mutant(
        HERE,
        "gap = gaussian_entropy(p, q, weight=a)",
        "gap = gaussian_entropy(p, q)",
        "an isotropic noise where it is none",
        RELAXING,
    ),
    Mutant(
        HERE,
        "p = log_p.exp() * step",
        "p = log_p.exp() / log_p.exp().sum()",
        "a mass made one instead of measured",
        (f"{ENTROPY}::test_bad_questions_are_refused_in_one_sentence",),
    ),
    Mutant(
        HERE,
        "return log_p - other.log_density(x, alpha, sigma), p_score",
        "return log_p - other.log_density(x, 1.0, sigma), p_score",
        "the other law at another level",
        LINES,
    ),
    Mutant(
        THERE,
        "rho**2 * g - 2 * rho * pull",
        "rho**2 * g - rho * pull",
        "a forgotten 2 in the gradient of a square",
        CLOSED,
    ),
    Mutant(
        THERE,
        "(rho**2 * g - 2",
        "(0 * rho**2 * g - 2",
        "a forgotten divergence term",
        CLOCK,
    ),
    Mutant(
        THERE,
        "change, finer = (value + _in_level",
        "change, finer = (_in_level",
        "the change of rho with the level forgotten",
        CLOSED,
    ),
    Mutant(
        THERE,
        "change, finer = (value + _in_level",
        "change, finer = (value - _in_level",
        "the wrong direction of time",
        CLOSED,
    ),
    Mutant(
        THERE,
        "return (one * two).sum(1) / dim",
        "return (one * one).sum(1) / dim",
        "the square of a random estimate, which is biased",
        SIGNS,
    ),
    Mutant(
        THERE,
        "bent += part * (forth - back)",
        "bent += part * (forth + back)",
        "the symmetric part for the curl",
        CLOCK,
    ),
    Mutant(
        "analysis/score_error/clouds.py",
        "made(asked, fine, used),",
        "made(asked, grid, used),",
        "the model's part measured on the coarse grid, which has the error of the steps",
        PARTS,
    ),
    Mutant(
        "analysis/score_error/clouds.py",
        "float64) / on[-1].alpha",
        "float64) / on[-1].sigma",
        "another unit of length than the truth's",
        PARTS,
    ),
    Mutant(
        "solvers/transport/sinkhorn_kernel.py",
        "device=cost.device) if stored else None",
        "device=cost.device)",
        "a matrix that is held though none was asked for",
        (
            f"{UNIT}transport/test_sinkhorn_memory.py::"
            "test_without_a_matrix_memory_grows_with_the_points_and_not_with_their_pairs",
        ),
    ),
    Mutant(
        "solvers/transport/cost.py",
        "size = max(1, min(n, entries // m))",
        "size = max(1, min(n, entries))",
        "blocks of as many rows as entries",
        (
            f"{UNIT}transport/test_sinkhorn_memory.py::"
            "test_a_gradient_and_a_law_with_itself_need_no_matrix_either",
        ),
    ),
]
