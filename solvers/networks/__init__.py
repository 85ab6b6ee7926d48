"""Networks as models: what is known about one, how it is loaded, and how it is called.

Only weights are ever read from a file, never code: see :mod:`.checkpoint`.
"""
