"""Which sampler should I use: measured on a network's own trajectories.

==================  ===============================================================================
``candidates``      registered plans that fit the budget, on a few spacings; equal ones once
``starts``          the starts and the classes asked for, the same for every candidate
``reference``       a fine solution from these starts, and its own error
``race``            successive halving: evaluations are spent on those that may be the best
``surrogate``       the same question on a Gaussian with the network's data statistics, exactly
``mixture``         the same on an exact mixture of the network's classes, run by all
``scheduler``       the winner as a configuration for diffusers
``result``          :func:`recommend` and what it finds
``report``, ``picture``  the finding in words, and drawn
==================  ===============================================================================
"""

from .result import Recommendation as Recommendation
from .result import Settings as Settings
from .result import recommend as recommend
