"""What a wrong score does to the laws that are sampled, exactly and in bounds, on Gaussian data.

Linear models and the laws that they make at every level of noise (``linear``), bounds beside the
truth (``budget``), and the error of a sampler split into its four sources: exactly or in pairs
(``split``), between clouds for any sampler and model (``clouds``).
"""

from .budget import Budget as Budget
from .budget import score_budget as score_budget
from .clouds import CloudSplit as CloudSplit
from .clouds import cloud_sources as cloud_sources
from .linear import Line as Line
from .linear import Moments as Moments
from .linear import evolve as evolve
from .linear import exact_denoiser as exact_denoiser
from .linear import moments_of as moments_of
from .linear import noised as noised
from .linear import scaled_score as scaled_score
from .linear import with_error as with_error
from .split import FourParts as FourParts
from .split import PairedSplit as PairedSplit
from .split import four_sources as four_sources
from .split import paired_sources as paired_sources
