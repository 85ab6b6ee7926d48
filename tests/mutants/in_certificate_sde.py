"""Mistakes in the certificate of stochastic samplers and of methods for stochastic equations."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

_SAMPLERS = f"{UNIT}analysis/test_stochastic_orders.py::"
_METHODS = f"{UNIT}analysis/test_sde_method_orders.py::"

LAW = (f"{_SAMPLERS}test_quadrature_gives_the_exact_law_of_a_sampler_on_a_gaussian",)
HISTORY = (f"{_SAMPLERS}test_exact_history_is_that_of_the_reverse_sde",)
PATH = (f"{_SAMPLERS}test_a_path_gives_normalised_noises_and_refuses_other_cells",)
AREAS = (f"{_SAMPLERS}test_increments_and_areas_of_a_path_fit_together",)
GAUSSIAN = (f"{_SAMPLERS}test_errors_on_the_path_are_the_exact_strong_errors_on_a_gaussian",)
BARS = (f"{_SAMPLERS}test_wide_bars_never_make_a_method_exact_or_met",)
INTERVAL = (
    f"{_SAMPLERS}test_the_interval_of_a_strong_order_holds_it_and_widens_with_fewer_paths",
)
ALONE = (f"{_SAMPLERS}test_a_strong_order_that_only_a_gaussian_shows_is_refused",)
ONE_STEP = (f"{_METHODS}test_the_strong_error_of_one_euler_step_is_a_closed_form",)
REACHED = (f"{_METHODS}test_the_law_of_a_nonlinear_equation_is_reached",)
TRUE = (f"{_METHODS}test_a_method_of_order_three_halves_is_told_from_order_one",)

ROOM = "analysis/stochastic/"

MUTANTS = [
    Mutant(
        f"{ROOM}backward.py",
        "(-1) ** k * math.comb(_POINTS - 1, k)",
        "math.comb(_POINTS - 1, k)",
        "signs of interpolation weights forgotten",
        LAW,
    ),
    Mutant(
        f"{ROOM}backward.py",
        "weights, w / w.sum())",
        "weights, w)",
        "quadrature weights of the wrong total",
        LAW,
    ),
    Mutant(
        f"{ROOM}memory.py",
        "        newer = newer + gap\n        out.append(newer)",
        "        out.append(newer + gap)",
        "an older memory relative to the present state",
        (f"{_SAMPLERS}test_three_live_vectors_give_the_exact_law",),
    ),
    Mutant(
        f"{ROOM}weak.py",
        "x, newer = ratio * x + std * xi, node",
        "x, newer = x / ratio + std * xi, node",
        "history scaled the wrong way",
        HISTORY,
    ),
    Mutant(
        f"{ROOM}path.py",
        "part @ (-0.5 * _X * 12**0.5)",
        "part @ (-0.5 * _X)",
        "area of a cell not normalised",
        AREAS,
    ),
    Mutant(
        f"{ROOM}path.py",
        "kernel * np.sqrt(width)",
        "kernel * width",
        "a noise of the wrong size",
        PATH,
    ),
    Mutant(
        f"{ROOM}strong.py",
        "slope = (1 + eta) / (2 * eta)",
        "slope = (1 + eta) / 2",
        "the reference's drift off by the factor eta",
        GAUSSIAN,
    ),
    Mutant(
        f"{ROOM}strong.py",
        "dv * (first + 2 * second) / 3",
        "dv * (first + 2 * second) / 4",
        "weights of the reference do not sum to one",
        GAUSSIAN,
    ),
    Mutant(
        f"{ROOM}barred.py",
        "width = part / math.log(2)",
        "width = 0.0 * part",
        "error bars ignored",
        BARS,
    ),
    Mutant(
        f"{ROOM}barred.py",
        "half = WIDTH * spread * float(seen.std())",
        "half = 0.0",
        "no interval",
        INTERVAL,
    ),
    Mutant(
        "analysis/order_rows.py",
        "for claim in set(out) & set(STOCHASTIC) - bent:",
        "for claim in set():",
        "a claim that rests on a Gaussian alone passes",
        ALONE,
    ),
    Mutant(
        f"{ROOM}linear_equations.py",
        "table[:, 1:, 0] = out[0]",
        "table[:, 1:, 0] = 0.0",
        "additive noise forgotten in the recursion of moments",
        (f"{_METHODS}test_additive_noise_enters_the_moments",),
    ),
    Mutant(
        f"{ROOM}linear_equations.py",
        "sum(np.kron(b, b) for b in matrices[1:])",
        "0.5 * sum(np.kron(b, b) for b in matrices[1:])",
        "half the noise in the true moments",
        (f"{_METHODS}test_the_moments_of_a_linear_equation_are_those_of_its_generator",),
    ),
    Mutant(
        f"{ROOM}linear_equations.py",
        "np.exp(a + h * u - end)",
        "np.exp(a - h * u - end)",
        "the exact kernel runs backwards on a cell",
        ONE_STEP,
    ),
    Mutant(
        f"{ROOM}equations.py",
        "lambda _, x: 0.5 * B * B * x + A * _root(x), lambda _, x: B",
        "lambda _, x: A * _root(x), lambda _, x: B",
        "Ito's correction left out of an equation",
        REACHED,
    ),
    Mutant(
        f"{ROOM}methods.py",
        "x if kind == \"additive\" else torch.sinh(x)",
        "x",
        "the chain's coordinate taken for the state",
        REACHED,
    ),
    Mutant(
        f"{ROOM}methods.py",
        "(end - p.end).square().mean(1)",
        "(end - p.end).abs().mean(1)",
        "errors that are not squared",
        TRUE,
    ),
]  # fmt: skip
