"""Gradients of a sample in its start and in the parameters of the model."""
