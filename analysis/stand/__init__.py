"""Samplers of other libraries certified as shipped: rows, causes, a page."""
