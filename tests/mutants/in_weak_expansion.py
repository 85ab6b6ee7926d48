"""Mistakes in the weak error at the first power of a nonlinearity, and in closed moments."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

_OWN = f"{UNIT}analysis/test_weak_expansion.py::"
_CLOSED = f"{UNIT}analysis/test_polynomial_equations.py::"

LAW = (f"{_OWN}test_noising_keeps_the_hermite_part_and_the_denoiser_bends_by_its_derivative",)
WAVES = (f"{_OWN}test_hermite_moments_with_a_wave_are_those_of_quadrature",)
RUN = (f"{_OWN}test_the_coefficient_is_the_derivative_of_the_run_itself",)
MOMENTS = (f"{_CLOSED}test_the_true_moments_solve_the_moment_equations_written_by_hand",)
STEPS = (f"{_CLOSED}test_two_steps_have_the_moments_of_quadrature_over_all_their_noises",)

ROOM = "analysis/stochastic/"

MUTANTS = [
    Mutant(
        f"{ROOM}perturbed.py",
        "rho**degree * math.sqrt(degree)",
        "rho**degree",
        "the derivative of a Hermite polynomial without its factor",
        LAW,
    ),
    Mutant(
        f"{ROOM}perturbed.py",
        "node.sigma**2 / node.alpha",
        "node.sigma / node.alpha",
        "Tweedie's sigma not squared",
        LAW,
    ),
    Mutant(
        f"{ROOM}perturbed.py",
        "direction * node.alpha * data.var / var",
        "direction * data.var / var",
        "the mean of the data given the state without alpha",
        LAW,
    ),
    Mutant(
        f"{ROOM}perturbed.py",
        "(0.5 * np.asarray(excess, float)) ** j",
        "np.asarray(excess, float) ** j",
        "a variance other than one half counted",
        WAVES,
    ),
    Mutant(
        f"{ROOM}perturbed.py",
        "turn = 1j * wave * np.asarray(cov, float)",
        "turn = wave * np.asarray(cov, float)",
        "a wave that is no wave",
        WAVES,
    ),
    Mutant(
        f"{ROOM}weak_expansion.py",
        "wave_moment(n - 1, cov, excess, k, var)",
        "wave_moment(n - 1, cov, 0 * excess, k, var)",
        "a stage taken for one of exact variance",
        RUN,
    ),
    Mutant(
        f"{ROOM}weak_expansion.py",
        "seen = seen + 1j * k * np.sum(",
        "seen = 1j * k * np.sum(",
        "the bent start forgotten",
        RUN,
    ),
    Mutant(
        f"{ROOM}weak_expansion.py",
        "y[a.leaf] @ b.u * conversion(\"data\", a.prediction, a.node)[1]",
        "y[a.leaf] @ b.u",
        "the bent part of another prediction taken for that of the data",
        RUN,
    ),
    Mutant(
        f"{ROOM}weak_expansion.py",
        "unit(1 + len(noises) + k, np.sqrt(step.var)), op.node",
        "unit(1 + len(noises) + k, step.var), op.node",
        "a history of the wrong spread",
        RUN,
    ),
    Mutant(
        f"{ROOM}weak_expansion.py",
        "np.sum(row**2) - 1 for row in rows",
        "np.sum(row) ** 2 - 1 for row in rows",
        "leaves that are not independent",
        RUN,
    ),
    Mutant(
        f"{ROOM}rows.py",
        "[c for c in _weak_claims(sampler) if c[1] <= MOST_ORDER]",
        "_weak_claims(sampler)[:1]",
        "one of two claims judged",
        (f"{_OWN}test_the_rows_of_a_sampler_with_a_memory_are_all_judged",),
    ),
    Mutant(
        f"{ROOM}rows.py",
        "partial(look, levels=levels + 2)",
        "partial(look, levels=levels)",
        "a late knee is not waited for",
        (f"{_CLOSED}test_the_weak_claim_of_a_method_with_a_shadow_rests_on_a_nonlinear_equation",),
    ),
    Mutant(
        f"{ROOM}polynomial_equations.py",
        "values += 0.5 * square",
        "values += square",
        "Ito's half forgotten in the generator",
        MOMENTS,
    ),
    Mutant(
        f"{ROOM}polynomial_equations.py",
        "factor = factor * powers[:, place]",
        "factor = factor * np.sign(powers[:, place])",
        "derivatives of monomials without their factor",
        MOMENTS,
    ),
    Mutant(
        f"{ROOM}polynomial_equations.py",
        "np.linalg.matrix_power(table, steps)",
        "np.linalg.matrix_power(table, steps - 1)",
        "one step too few",
        STEPS,
    ),
    Mutant(
        f"{ROOM}polynomial_equations.py",
        "if not gap < _FIT",
        "if gap is None or gap < 0 * _FIT",
        "a fit that is none is taken",
        (f"{_CLOSED}test_a_step_that_is_no_polynomial_is_refused",),
    ),
]  # fmt: skip
