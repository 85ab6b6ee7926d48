"""A given sample as the beginning: exact inversion, noise maps, a target that moves."""
