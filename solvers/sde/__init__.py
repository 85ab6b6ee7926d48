"""Stochastic differential equations with any drift and diffusion, and what solves them."""
