"""Joining two distributions: optimal maps, entropic plans, Schrodinger bridges, interpolants.

Here time u runs from the first law (u = 0) to the second (u = 1), as in the literature of bridges;
samplers of diffusion models run the other way, in the clock of their process.
"""
