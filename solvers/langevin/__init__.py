"""Langevin dynamics at a level of noise: correctors, chains over levels, conditioned sampling."""
