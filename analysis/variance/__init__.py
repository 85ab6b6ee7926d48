"""Fewer samples for the same certainty: one sample for many means, and points that repel.

Means by importance sampling from a mixture with its parts as control variates (``importance``),
parts found by cross-entropy (``adapt``), regression on what is known (``controls``), weak errors
beside an exact path (``coupled``). Polynomials fitted to few values: bases and their points
(``bases``, ``volume``), weighted least squares without bias (``projection``).
"""

from .adapt import Adapted as Adapted
from .adapt import adapted as adapted
from .adapt import adaptive as adaptive
from .bases import Legendre as Legendre
from .bases import Weighted as Weighted
from .bases import monomials as monomials
from .controls import controlled as controlled
from .coupled import CoupledPaths as CoupledPaths
from .coupled import coupled_paths as coupled_paths
from .coupled import coupled_weak_error as coupled_weak_error
from .importance import Density as Density
from .importance import Proposal as Proposal
from .importance import Seen as Seen
from .importance import expectations as expectations
from .importance import weighted as weighted
from .projection import fit as fit
from .projection import gram_gap as gram_gap
from .projection import projected as projected
from .projection import stable_count as stable_count
from .volume import determinantal as determinantal
from .volume import independent as independent
from .volume import volume_sampled as volume_sampled
