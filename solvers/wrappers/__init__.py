"""A model or a step wrapped: thresholding, guidance, time shift, and what depends on the data."""
