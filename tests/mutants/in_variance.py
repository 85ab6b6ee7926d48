"""Mistakes in means from fewer samples: weights, controls, adaptation, coupling, points, fits."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

MEANS = f"{UNIT}analysis/test_variance.py"
POINTS = f"{UNIT}analysis/test_volume.py"
HERE = "analysis/variance/"
IDENTITY = (f"{MEANS}::test_with_the_best_densities_every_point_gives_every_mean",)
EXACT = (
    f"{MEANS}::test_relative_errors_are_those_of_exact_integrals_and_far_below_plain_sampling",
)
HALVES = (f"{MEANS}::test_halves_that_fit_each_other_leave_no_bias",)
INTERCEPT = (
    f"{MEANS}::test_the_slope_is_fitted_with_an_intercept_and_dependent_controls_do_no_harm",
)
FRESH = (f"{MEANS}::test_adaptation_finds_the_tails_from_a_wider_law",)
STOPS = (f"{MEANS}::test_adaptation_stops_when_a_round_does_not_pay",)
MOMENTS = (f"{MEANS}::test_a_fitted_part_has_the_weighted_moments_widened",)
SHARES = (f"{MEANS}::test_points_of_a_proposal_have_its_shares_and_independent_parts",)
PARTNER = (f"{MEANS}::test_the_exact_partner_has_the_law_of_the_process",)
COUPLED = (f"{MEANS}::test_a_coupled_weak_error_has_a_twentieth_of_the_deviation_of_a_plain_one",)
DENSITY = (f"{POINTS}::test_three_points_have_the_density_of_the_squared_determinant",)
CHRISTOFFEL = (f"{POINTS}::test_independent_points_have_the_christoffel_density",)
INTERPOLATION = (
    f"{POINTS}::test_interpolation_at_repelling_points_has_the_mean_and_variance_of_the_theory",
)
DISCRETE = (f"{POINTS}::test_draws_of_a_discrete_measure_have_the_law_of_the_continuous_one",)
UNBIASED = (f"{POINTS}::test_volume_sampled_fits_have_no_bias_and_less_variance_with_more_points",)
STABLE = (f"{POINTS}::test_enough_independent_points_are_stable_and_few_are_not",)

MUTANTS = [
    Mutant(
        f"{HERE}importance.py",
        "(target.log_density(x) - proposal.log_density(x)).exp()",
        "(target.log_density(x) - proposal.log_density(x)).mul(0.5).exp()",
        "the root of the weight",
        IDENTITY,
    ),
    Mutant(
        f"{HERE}importance.py",
        ".exp()[:, 1:] - 1",
        ".exp()[:, 1:]",
        "controls whose mean is one",
        EXACT,
    ),
    Mutant(
        f"{HERE}importance.py",
        "(logs + torch.tensor(shares, dtype=logs.dtype).log()).logsumexp(1)",
        "logs.logsumexp(1)",
        "a mixture without its shares",
        IDENTITY,
    ),
    Mutant(
        f"{HERE}importance.py",
        'seed=derived(seed, f"part {j}")',
        "seed=seed",
        "parts of a mixture drawn from the same numbers",
        SHARES,
    ),
    Mutant(
        f"{HERE}controls.py",
        "((slice(half), slice(half, n)), (slice(half, n), slice(half)))",
        "((slice(half), slice(half)), (slice(half, n), slice(half, n)))",
        "slopes fitted on the rows that they correct",
        HALVES,
    ),
    Mutant(
        f"{HERE}controls.py",
        "linalg.lstsq(h, values - values.mean(0)",
        "linalg.lstsq(controls, values",
        "a regression without an intercept",
        INTERCEPT,
    ),
    Mutant(
        f"{HERE}controls.py",
        "values[use] - controls[use] @",
        "values[use] - (controls[use] - controls[use].mean(0)) @",
        "controls centred by their sample mean",
        INTERCEPT,
    ),
    Mutant(
        f"{HERE}controls.py",
        "raise max(refused",
        "raise min(refused",
        "the number that is enough for the easiest mean alone",
        (f"{POINTS}::test_too_few_points_are_told_how_many_would_do",),
    ),
    Mutant(
        f"{HERE}adapt.py",
        'seed=derived(seed, "final")',
        'seed=derived(derived(seed, "adapt"), "pilot 1")',
        "the last pilots as the sample of the estimate",
        FRESH,
    ),
    Mutant(
        f"{HERE}adapt.py",
        "variances[-1] * (left + pilot) >= variances[-2] * left",
        "variances[-1] * left >= variances[-2] * (left + pilot)",
        "a round that pays more the more it costs",
        STOPS,
    ),
    Mutant(
        f"{HERE}adapt.py",
        "best = min(range",
        "best = max(range",
        "the worst proposal of all",
        STOPS,
    ),
    Mutant(
        f"{HERE}adapt.py",
        "cov = WIDEN**2 * spread",
        "cov = WIDEN * spread",
        "a factor of deviations taken for one of variances",
        MOMENTS,
    ),
    Mutant(
        f"{HERE}coupled.py",
        "/ (2 * kappa) / (w * w + v * v))",
        "/ kappa / (w * w + v * v))",
        "twice the variance of the exact partner",
        PARTNER,
    ),
    Mutant(
        f"{HERE}coupled.py",
        "np.exp(-kappa * h * (1 - u))",
        "np.exp(-kappa * h * u)",
        "a kernel that forgets the late noise",
        PARTNER,
    ),
    Mutant(
        f"{HERE}coupled.py",
        "function(paths.numerical) - known, function",
        "known - function(paths.numerical), function",
        "the sign of a weak error",
        COUPLED,
    ),
    Mutant(
        f"{HERE}bases.py",
        "legendre.legint(legendre.legmul(one, one) / 2, lbnd=-1)",
        "legendre.legint(np.ones(1) / 2, lbnd=-1)",
        "uniform points in place of the Christoffel density",
        CHRISTOFFEL,
    ),
    Mutant(
        f"{HERE}bases.py",
        "np.cumsum(self.weights * k)",
        "np.cumsum(self.weights)",
        "points of the measure itself",
        DISCRETE,
    ),
    Mutant(
        f"{HERE}volume.py",
        "rng.random(len(waiting)) * whole < far",
        "rng.random(len(waiting)) * whole < np.sqrt(far * whole)",
        "a distance taken for its square",
        DENSITY,
    ),
    Mutant(
        f"{HERE}volume.py",
        "spans[waiting, :i], rest)\n                rest = rest -",
        "spans[waiting, :i], rest)\n                rest = rest - 0.5 *",
        "half of the projection",
        INTERPOLATION,
    ),
    Mutant(
        f"{HERE}volume.py",
        "first = determinantal(basis, repeats, seed=seed)",
        "first = independent(basis, basis.size, repeats, seed=seed + 1)",
        "independent points for volume-sampled ones",
        UNBIASED,
    ),
    Mutant(
        f"{HERE}projection.py",
        "np.sqrt(basis.size / np.square(phi).sum(2))",
        "np.sqrt(np.square(phi).sum(2) / basis.size)",
        "weights upside down",
        UNBIASED,
    ),
    Mutant(
        f"{HERE}projection.py",
        "(1 + gap) * math.log1p(gap) - gap",
        "(1 + gap) * math.log1p(gap)",
        "a bound that asks for too few points",
        STABLE,
    ),
]
