"""Mistakes in the strip Adams samplers: the functions, the clock, realignment, choice of order."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

STRIP = f"{UNIT}solvers/test_strip.py"
FEW = f"{UNIT}solvers/test_strip_adams.py"
ADAPTIVE = f"{UNIT}solvers/test_adams_adaptive.py"

MUTANTS = [
    Mutant(
        "solvers/samplers/strip.py",
        "    f = math.pi / (4 * strip)\n",
        "    f = math.pi / (2 * strip)\n",
        "a strip of half the width",
        (f"{STRIP}::test_the_space_has_its_poles_at_the_mirror_images_of_older_nodes",),
    ),
    Mutant(
        "solvers/samplers/strip.py",
        "    for i in range(1, n):\n        image",
        "    for i in range(n):\n        image",
        "the newest node has a mirror image, so constants are lost",
        (f"{STRIP}::test_the_functions_are_cardinal_and_reproduce_constants",),
    ),
    Mutant(
        "solvers/samplers/strip.py",
        "    return np.arcsinh(size * np.exp(lam))\n",
        "    return np.arcsinh(np.exp(lam) / size)\n",
        "the size divides the clock",
        (f"{STRIP}::test_the_clock_is_linear_in_the_noise_and_lam_near_the_data",),
    ),
    Mutant(
        "solvers/samplers/strip.py",
        "    mirror[:, :, 0] = 1.0\n",
        "",
        "a mirror image of the newest node in the weights of a batch",
        (f"{STRIP}::test_the_weights_of_all_prefixes_of_a_batch_are_those_of_each",),
    ),
    Mutant(
        "solvers/samplers/strip_adams.py",
        "(new, 1.0), (x, shift), (predicted, -shift)",
        "(new, 1.0), (x, -shift), (predicted, shift)",
        "an output moved away from the corrected state",
        (f"{FEW}::test_realignment_is_exact_on_the_normal_law_of_its_size",),
    ),
    Mutant(
        "solvers/samplers/strip_adams.py",
        "(node.sigma / (node.alpha * size)) ** 2",
        "node.sigma / (node.alpha * size)",
        "a Jacobian with a root of the variance",
        (f"{FEW}::test_realignment_is_exact_on_the_normal_law_of_its_size",),
    ),
    Mutant(
        "solvers/samplers/strip_adams.py",
        "(past if t.sigma > 0 else asked)[:order]",
        "past[:order]",
        "a step to sigma 0 that is no model output",
        (f"{LAWS}test_ends.py",),
    ),
    Mutant(
        "solvers/grids.py",
        "    low, high = (math.asinh(size * math.exp(lam)) for lam in (lam_start, lam_end))\n",
        "    low, high = (math.asinh(math.exp(lam)) for lam in (lam_start, lam_end))\n",
        "ends of a sinh grid in another clock than its nodes",
        (f"{FEW}::test_a_sinh_grid_is_uniform_in_its_clock_and_keeps_its_ends",),
    ),
    Mutant(
        "solvers/adaptive/walk.py",
        "    error[:, 1:-1] = gaps[:, 2:]\n",
        "    error[:, 1:] = gaps[:, 1:]\n",
        "the error of a corrector taken for that of the one below",
        (f"{ADAPTIVE}::test_the_best_order_is_where_neighbouring_correctors_agree_most",),
    ),
    Mutant(
        "solvers/adaptive/adams.py",
        "column(gain, x) / alpha * (x - predicted)",
        "column(gain, x) / alpha * (predicted - x)",
        "realignment in the wrong direction",
        (ADAPTIVE,),
    ),
    Mutant(
        "solvers/adaptive/adams.py",
        "            np.minimum(here.count + 1, MOST_NODES),\n",
        "            np.minimum(here.count, MOST_NODES),\n",
        "history that never grows",
        (f"{ADAPTIVE}::test_it_reaches_an_accuracy_in_fewer_evaluations_than_any_peer",),
    ),
    Mutant(
        "solvers/adaptive/dense.py",
        "steps.outputs[n::-1][: steps.best[n]]",
        "steps.outputs[n + 1::-1][: steps.best[n]]",
        "dense output from the wrong history",
        (f"{ADAPTIVE}::test_dense_output_is_as_accurate_between_the_steps_and_meets_them",),
    ),
    Mutant(
        "solvers/adaptive/ends.py",
        "    new[rows] = ask_rows(",
        "    new[: len(rows)] = ask_rows(",
        "outputs of other samples than those that asked",
        (ADAPTIVE, f"{UNIT}solvers/test_adaptive.py"),
    ),
]  # fmt: skip
