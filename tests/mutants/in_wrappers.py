"""Mistakes in wrappers of the model, in samplers that look at their data, and in ablations."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

SOLVERS = f"{UNIT}solvers/"
THRESHOLD = (f"{SOLVERS}test_thresholding.py",)
GUIDANCE = (f"{SOLVERS}test_conditional.py",)
EVODIFF = (f"{SOLVERS}test_evodiff.py",)
LML = (f"{SOLVERS}test_lml.py",)
DUALFAST = (f"{SOLVERS}test_dualfast.py",)
SHIFT = (f"{SOLVERS}test_time_shift.py",)
ABLATION = (f"{UNIT}analysis/test_ablation.py",)

THRESHOLDING = [
    Mutant(
        "solvers/wrappers/thresholding.py", "reach) * (limit / reach)", "reach) / reach",
        "the box of size 1 for every box", THRESHOLD,
    ),
    Mutant(
        "solvers/wrappers/thresholding.py", "reach.clamp_min(limit)", "reach.clamp_max(limit)",
        "minimum for maximum", THRESHOLD,
    ),
    Mutant(
        "solvers/wrappers/thresholding.py", "_quantile(data.flatten(1).abs(), quantile)",
        "_quantile(data.flatten().abs()[None], quantile).expand(len(data))",
        "one quantile for the batch", THRESHOLD,
    ),
    Mutant(
        "solvers/wrappers/thresholding.py", "ranked[:, low] + (place - low)",
        "ranked[:, high] + (place - low)",
        "interpolation from the wrong end", THRESHOLD,
    ),
    Mutant(
        "solvers/wrappers/wrapping.py",
        'return converted(data, x, nodes, "data", prediction)',
        "return data", "data answered for another prediction", THRESHOLD,
    ),
]  # fmt: skip

GUIDING = [
    Mutant(
        "solvers/wrappers/conditional.py", "out = without + weight * (with_condition - without)",
        "out = with_condition + weight * (with_condition - without)",
        "the weight of another paper", GUIDANCE,
    ),
    Mutant(
        "solvers/wrappers/conditional.py",
        "torch.where(acts, without + weight * (with_condition - without), with_condition)",
        "torch.where(acts, without + weight * (with_condition - without), without)",
        "unconditional outside of the interval", GUIDANCE,
    ),
    Mutant(
        "solvers/wrappers/conditional.py", "if not any(inside):", "if not all(inside):",
        "one sample outside stops guidance for all", GUIDANCE,
    ),
    Mutant(
        "toy_models/guided.py", "weights / weights.sum()", "weights.flip(0) / weights.sum()",
        "weights of other components", GUIDANCE,
    ),
    Mutant(
        "toy_models/guided.py", "(self.conditional.score(x, alpha, sigma) - without)",
        "self.conditional.score(x, alpha, sigma)", "score added, not mixed", GUIDANCE,
    ),
]  # fmt: skip

DATA_DEPENDENT = [
    Mutant(
        "solvers/wrappers/evodiff.py", "eta * backward + (1 - eta) * forward), data",
        "eta * backward + forward), data", "weights that do not sum to one", EVODIFF,
    ),
    Mutant(
        "solvers/wrappers/evodiff.py", "backward = (step.newest - step.older) / step.before",
        "backward = (step.newest - step.older) / step.h", "h for h_last", EVODIFF,
    ),
    Mutant(
        "solvers/wrappers/evodiff.py", "mixed = -eta / r * backward", "mixed = eta / r * backward",
        "flipped sign", EVODIFF,
    ),
    Mutant(
        "solvers/wrappers/evodiff.py", "axes = tuple(range(2 if a.ndim > 2 else 1, a.ndim))",
        "axes = tuple(range(1, a.ndim))", "products over channels too", EVODIFF,
    ),
    Mutant(
        "solvers/wrappers/evodiff.py",
        "base = (1 - weight) * math.sqrt(rate * step.p.sigma / s.sigma)",
        "base = (1 - weight) * math.sqrt(rate * s.sigma / step.p.sigma)", "swapped ratios",
        EVODIFF,
    ),
    Mutant(
        "solvers/wrappers/evodiff.py",
        "scale = 1 - math.sqrt(step.t.sigma * step.s.sigma)", "scale = 1.0",
        "the published last step without its scale", EVODIFF,
    ),
    Mutant(
        "solvers/wrappers/lml.py", "turned = damping / total * direction + kappa *",
        "turned = damping / total * direction - kappa *", "flipped sign", LML,
    ),
    Mutant(
        "solvers/wrappers/lml.py", "e = direction - kappa * d", "e = direction",
        "the present noise for its average", LML,
    ),
    Mutant(
        "solvers/wrappers/lml.py", "    return _rescaled(turned, direction)", "    return turned",
        "length not given back", LML,
    ),
    Mutant(
        "solvers/wrappers/lml.py",
        "aim = data + (data - old) / (2 * r)", "aim = data + (data - old) / r",
        "missing factor 2", LML,
    ),
    Mutant(
        "solvers/wrappers/lml.py",
        "            last, old = step, data", "            last, old = x, data",
        "the state for the last increment", LML,
    ),
    Mutant(
        "solvers/wrappers/dualfast.py", "stored[0 if anchor == \"first\" else -2]",
        "stored[-2 if anchor == \"first\" else 0]", "anchors swapped", DUALFAST,
    ),
    Mutant(
        "solvers/wrappers/dualfast.py",
        "hat = tape.lin((eps, 1.0 + c),", "hat = tape.lin((eps, 1.0),",
        "weights that do not sum to one", DUALFAST,
    ),
    Mutant(
        "solvers/wrappers/dualfast.py", 'a, b = conversion("noise", op.prediction, op.node)',
        "a, b = 0.0, 1.0", "noise answered for another prediction", DUALFAST,
    ),
    Mutant(
        "solvers/wrappers/dualfast.py", "    cross = 2 * mean(network, solver)",
        "    cross = mean(network, solver)", "missing factor 2", DUALFAST,
    ),
    Mutant(
        "solvers/wrappers/dualfast.py", "slope = (saved[(i + 1) * fine] / t.alpha - x / s.alpha)",
        "slope = (saved[(i + 1) * fine] - x)", "x for x/alpha", DUALFAST,
    ),
    Mutant(
        "solvers/wrappers/time_shift.py",
        "process.alpha(times) ** 2 * data_variance", "data_variance",
        "data not scaled by alpha", SHIFT,
    ),
    Mutant(
        "solvers/wrappers/time_shift.py", "half = np.linspace(-width / 2, width / 2, CANDIDATES)",
        "half = np.linspace(-width, width, CANDIDATES)", "half a window for a window", SHIFT,
    ),
    Mutant(
        "solvers/wrappers/time_shift.py", "if at <= cutoff or", "if at >= cutoff or",
        "cutoff from the wrong side", SHIFT,
    ),
    Mutant(
        "solvers/wrappers/time_shift.py",
        "if np.ptp(law) <= 1e-9 * law.max():", "if np.ptp(law) < 0:",
        "an answer where variance says nothing", SHIFT,
    ),
    Mutant(
        "solvers/wrappers/time_shift.py", "if 1 < i < last and", "if i < last and",
        "the first step shifted",
        (f"{SHIFT[0]}::test_the_first_and_the_last_step_are_not_shifted",),
    ),
]  # fmt: skip

CHOICES = [
    Mutant(
        "analysis/ablation.py", " * self.responses.size / part.size", "",
        "cells not counted by their size", ABLATION,
    ),
    Mutant(
        "analysis/ablation.py", "part = part - mean if axis in inside else mean",
        "part = part if axis in inside else mean", "subsets not taken away", ABLATION,
    ),
    Mutant(
        "analysis/few_steps.py", "past[: last if final else 2]", "past[:2]",
        "the last order not applied", ABLATION,
    ),
    Mutant(
        "analysis/few_steps.py", "if corrector else predicted", "if not corrector else predicted",
        "corrector on for off", ABLATION,
    ),
]  # fmt: skip

MUTANTS = [*THRESHOLDING, *GUIDING, *DATA_DEPENDENT, *CHOICES]
