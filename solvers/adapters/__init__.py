"""Samplers of other libraries, run as they are and certified like the rest."""
