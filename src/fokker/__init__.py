"""fokker: a sampler is a matrix, and every matrix is certified.

The packages `fokker.solvers`, `fokker.toy_models`, `fokker.analysis` and `fokker.paper_figs` are
imported by name; this module stays light, so that the command line answers without PyTorch.
"""

__version__ = "0.1.0"
