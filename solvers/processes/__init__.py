"""Processes that are not alpha x_0 + sigma eps with zero mean and Gaussian noise."""
