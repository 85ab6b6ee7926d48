"""Mistakes in the small network, its training, named networks, own statistics and quantisation."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

NET = f"{UNIT}networks/test_small_unet.py"
TRAINING = f"{UNIT}toy_models/test_train_digits.py"
NAMED = f"{UNIT}toy_models/test_named_networks.py"
OWN = f"{UNIT}solvers/test_own_statistics.py"
BITS = f"{UNIT}analysis/test_quantised.py"
SKIPS = (f"{NET}::test_fresh_blocks_are_their_skips",)
EMBEDDING = (f"{NET}::test_the_embedding_is_slow_in_lam_and_still_at_the_ends",)
OBJECTIVE = (f"{TRAINING}::test_the_objective_is_least_at_the_direction_from_data_to_noise",)
DRAWS = (f"{TRAINING}::test_batches_are_dequantised_stratified_and_some_forget_their_class",)
CLASSES = (f"{NAMED}::test_a_label_asks_the_gaussian_of_its_class",)
STARTS = (f"{OWN}::test_starts_are_noise_of_the_noisiest_level",)
COST = (f"{OWN}::test_a_wrong_data_prediction_costs_what_it_moves",)
CARRIED = (f"{OWN}::test_a_start_is_carried_to_the_last_node_below",)
ROUNDING = (f"{BITS}::test_rounding_is_off_by_half_a_step_at_most_and_by_its_root_mean_square",)
CHANNELS = (f"{BITS}::test_channels_of_different_size_need_steps_of_their_own",)
COPIES = (f"{BITS}::test_a_changed_network_is_a_copy_and_keeps_what_it_is_told_to_keep",)
RECURSION = (f"{BITS}::test_independent_errors_meet_the_recursion_of_variances",)
DITHER = (f"{BITS}::test_dithered_rounding_is_predicted_exactly_for_any_plan",)
AFFINE = (f"{BITS}::test_errors_of_an_affine_model_propagate_linearly",)
WHITE = (f"{BITS}::test_at_eight_and_six_bits_q_squared_over_twelve_predicts_the_error",)

MUTANTS = [
    Mutant(
        "solvers/networks/unet.py",
        "return self.skip(x) + self.last(",
        "return self.last(",
        "a residual block without its residue",
        SKIPS,
    ),
    Mutant(
        "solvers/networks/unet.py",
        "return x + self.out(",
        "return self.out(",
        "attention without its skip",
        SKIPS,
    ),
    Mutant(
        "solvers/networks/unet.py",
        "(SLOWEST * (FASTEST / SLOWEST) ** places)",
        "(SLOWEST * (250 * FASTEST / SLOWEST) ** places)",
        "an embedding that ripples",
        EMBEDDING,
    ),
    Mutant(
        "solvers/networks/unet.py",
        'labels = torch.full((len(z),), self.config["classes"]',
        "labels = torch.full((len(z),), 0",
        "no class taken for the first",
        (f"{NET}::test_level_class_and_state_all_matter_and_no_label_is_the_last_one",),
    ),
    Mutant(
        "toy_models/train_digits.py",
        "z = (1.0 - u) * self.data + u * self.eps",
        "z = u * self.data + (1.0 - u) * self.eps",
        "noise and data exchanged",
        OBJECTIVE,
    ),
    Mutant(
        "toy_models/train_digits.py",
        "- (self.eps - self.data)).square()",
        "- (self.data - self.eps)).square()",
        "the direction turned round",
        OBJECTIVE,
    ),
    Mutant(
        "toy_models/train_digits.py",
        "data + GREY * (torch.rand",
        "data + 2 * GREY * (torch.rand",
        "two grey levels of dequantisation",
        DRAWS,
    ),
    Mutant(
        "toy_models/train_digits.py",
        "generator=generator) < drop",
        "generator=generator) < 2 * drop",
        "twice the dropped labels",
        DRAWS,
    ),
    Mutant(
        "toy_models/train_digits.py",
        "old.lerp_(new, 1.0 - decay)",
        "old.lerp_(new, decay)",
        "an average that forgets at once",
        (f"{TRAINING}::test_kept_weights_are_an_exponential_average",),
    ),
    Mutant(
        "toy_models/train_digits.py",
        "0.5 * (1.0 + math.cos(math.pi * step / steps))",
        "0.5 * (1.0 + math.cos(2 * math.pi * step / steps))",
        "a rate that rises again",
        (f"{TRAINING}::test_the_rate_rises_in_a_line_and_falls_as_a_cosine",),
    ),
    Mutant(
        "toy_models/networks.py",
        "models[label](x.index_select(0, rows), times)",
        "models[label - 1](x.index_select(0, rows), times)",
        "the neighbour's class",
        CLASSES,
    ),
    Mutant(
        "toy_models/networks.py",
        "laws = (*by_class, law)",
        "laws = (law, *by_class)",
        "no class taken for the last one",
        CLASSES,
    ),
    Mutant(
        "solvers/fitted/own_statistics.py",
        "return network.process.node_at_lam(network.lam_range[0]).sigma * eps",
        "return network.process.node_at_lam(network.lam_range[1]).sigma * eps",
        "starts at the clean end",
        STARTS,
    ),
    Mutant(
        "solvers/fitted/own_statistics.py",
        "None if labels is None else labels[part]",
        "None if labels is None else labels[:len(starts[part])]",
        "every batch labelled as the first one",
        (f"{OWN}::test_labels_and_batches_are_taken_in_order",),
    ),
    Mutant(
        "solvers/fitted/own_statistics.py",
        "x = teleport(start, statistics, grid[0], node)",
        "x = start",
        "judged at the noise, not along the flow",
        COST,
    ),
    Mutant(
        "solvers/fitted/own_statistics.py",
        "sum(node.lam <= lam for node in grid.nodes[1:-1])",
        "sum(node.lam <= lam for node in grid.nodes[:-1])",
        "one node too far",
        CARRIED,
    ),
    Mutant(
        "solvers/fitted/own_statistics.py",
        "change += push * c / math.hypot(1.0, c * node.nu)",
        "change += push * c",
        "a push that the flow does not contract",
        COST,
    ),
    Mutant(
        "solvers/fitted/own_statistics.py",
        "push = node.nu * float(",
        "push = node.rho * float(",
        "sigma over alpha for alpha over sigma",
        COST,
    ),
    Mutant(
        "analysis/quantised.py",
        "return span / (2 ** (bits - 1) - 1)",
        "return span / (2**bits - 1)",
        "a step of half the size",
        ROUNDING,
    ),
    Mutant(
        "analysis/quantised.py",
        "(step * (flat / step).round())",
        "(step * (flat / step).floor())",
        "rounding down",
        ROUNDING,
    ),
    Mutant(
        "analysis/quantised.py",
        'values.flatten(1) if per == "channel"',
        'values.flatten(1) if per == "tensor"',
        "tensors and channels exchanged",
        CHANNELS,
    ),
    Mutant(
        "analysis/quantised.py",
        "module = copy.deepcopy(module)",
        "module = module",
        "the weights of the caller rounded",
        COPIES,
    ),
    Mutant(
        "analysis/quantised.py",
        '(tape.noise("churn", place, place + 1.0), float(size))',
        '(tape.noise("churn", place, place + 1.0), float(size) ** 2)',
        "a variance for a standard deviation",
        RECURSION,
    ),
    Mutant(
        "analysis/quantised.py",
        "/ step).round() - push",
        "/ step).round()",
        "a dither that is not taken away",
        DITHER,
    ),
    Mutant(
        "analysis/quantised.py",
        "return out + size * (wrong(state, t) - out)",
        "return out + size * wrong(state, t)",
        "the first order of the model, not of its error",
        AFFINE,
    ),
    Mutant(
        "analysis/quantised.py",
        "(error * out).sum() / out.square().sum()",
        "(error * out).sum() / error.square().sum()",
        "gains relative to the error",
        AFFINE,
    ),
    Mutant(
        "analysis/quantised.py",
        "return model(state, t) + size * next(sizes) * push.to(state)",
        "return model(state, t) + 2.0 * size * next(sizes) * push.to(state)",
        "white errors of twice the size",
        WHITE,
    ),
]
