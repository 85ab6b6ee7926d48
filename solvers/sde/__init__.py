"""Stochastic differential equations with any drift and diffusion, and the methods that solve them."""
