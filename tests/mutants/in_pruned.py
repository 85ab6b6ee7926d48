"""Mistakes in pruned networks, in the terms of their error, and in the linear network."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

HERE = f"{UNIT}analysis/test_pruned.py"
COUNT = (f"{HERE}::test_pruning_takes_the_smallest_and_counts_exactly",)
NORMS = (f"{HERE}::test_channels_go_by_their_norm_and_one_stays",)
CLOSED = (f"{HERE}::test_w2_of_the_law_without_channels_is_closed_for_every_eta",)
EXACT = (f"{HERE}::test_without_its_least_channels_it_is_the_exact_model_of_a_law_without_them",)
TERMS = (f"{HERE}::test_both_orders_are_those_of_the_linear_equations",)
STOPS = (f"{HERE}::test_where_a_power_crosses_is_found_exactly",)

MUTANTS = [
    Mutant(
        "analysis/pruned.py",
        "values.abs().flatten(), share",
        "values.flatten(), share",
        "pruned by value, not by size",
        COUNT,
    ),
    Mutant(
        "analysis/pruned.py",
        "argsort(stable=True)[:",
        "argsort(stable=True, descending=True)[:",
        "the largest go",
        COUNT,
    ),
    Mutant(
        "analysis/pruned.py",
        "vector_norm(values.reshape(len(values), -1).double(), dim=1)",
        "vector_norm(values.reshape(len(values), -1).double(), ord=1, dim=1)",
        "another norm of a channel",
        NORMS,
    ),
    Mutant(
        "analysis/pruned.py",
        "share, len(values) - 1)",
        "share, len(values))",
        "a network without outputs",
        NORMS,
    ),
    Mutant(
        "analysis/pruned.py",
        "** (2 * (1 + eta))",
        "** (2 + eta)",
        "half of what the noise forgets",
        CLOSED,
    ),
    Mutant(
        "analysis/reach.py",
        "(up + down) / (2 * size**2)",
        "(up + down) / size**2",
        "a second derivative for the second term",
        TERMS,
    ),
    Mutant(
        "analysis/reach.py",
        "(up - down) / (2 * size), (",
        "(up - down) / size, (",
        "twice the first order",
        TERMS,
    ),
    Mutant(
        "analysis/reach.py",
        "_rms(whole - first) / length",
        "(_rms(whole) - length).abs() / length",
        "lengths compared, not vectors",
        TERMS,
    ),
    Mutant(
        "analysis/reach.py",
        "(s[k] / s[k - 1]) ** part",
        "(s[k] / s[k - 1]) * part",
        "a crossing that is not interpolated in logarithms",
        STOPS,
    ),
    Mutant(
        "analysis/reach.py",
        "k = int(above[0])",
        "k = int(above[-1])",
        "the last crossing, not the first",
        STOPS,
    ),
    Mutant(
        "toy_models/linear_network.py",
        "scale = self.values + (u[:, None] / clean).square()",
        "scale = self.values + u[:, None] / clean",
        "rho for its square",
        EXACT,
    ),
    Mutant(
        "toy_models/linear_network.py",
        "hidden = (z / clean - self.mean)",
        "hidden = (z - self.mean)",
        "x taken for x/alpha",
        EXACT,
    ),
]
