"""Calls of the model that are saved: outputs extrapolated, features kept, steps skipped."""
