"""Networks as models: what is known about one, how it is loaded, and how it is called.

Only weights are ever read from a file, never code: see :mod:`.checkpoint`.

A module of one's own is a network by :func:`~.asking.module_network`, one in the form of EDM by
:func:`~.edm.edm_network`, one of diffusers by
:func:`~.diffusers_networks.from_diffusers`; a folder of ours is written and read by
:func:`~.folder.save_network` and :func:`~.folder.load_network`.
"""
