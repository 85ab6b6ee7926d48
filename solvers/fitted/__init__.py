"""Samplers with statistics to estimate from a model, or coefficients to search."""
