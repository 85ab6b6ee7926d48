"""Log-densities along the probability-flow ODE: one more coordinate of any sampler's state."""
