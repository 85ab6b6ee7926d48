"""Samplers that choose their own steps: every sample of a batch at a level of its own."""
