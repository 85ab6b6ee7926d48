"""What samples can teach: rates of fits, few-shot corruption, singular laws, tests of two samples.

Rates of fits and of stopped empirical diffusions (``rates``), conditions corrupted in training
(``corruption``), maximum likelihood of singular laws by added noise (``singular``; of a
curve by a small network: ``curve``), the expected perturbation score (``perturbation_score``) and
tests by permutation (``permutation``).
"""

from .corruption import Conditional as Conditional
from .corruption import conditional_distance as conditional_distance
from .corruption import corrupted_conditional as corrupted_conditional
from .corruption import corrupted_fit as corrupted_fit
from .corruption import entropy as entropy
from .corruption import few_shot as few_shot
from .curve import curve_bias as curve_bias
from .curve import curve_errors as curve_errors
from .permutation import PermutationTest as PermutationTest
from .permutation import permutation_test as permutation_test
from .perturbation_score import perturbation_gain as perturbation_gain
from .perturbation_score import perturbation_score as perturbation_score
from .rates import Stop as Stop
from .rates import best_stop as best_stop
from .rates import fit_divergence as fit_divergence
from .rates import lifted_score as lifted_score
from .rates import stopped_error as stopped_error
from .singular import PerturbedFit as PerturbedFit
from .singular import descend as descend
from .singular import largest_step as largest_step
from .singular import mean_nll as mean_nll
from .singular import perturbed_fit as perturbed_fit
from .singular import removal_error as removal_error
from .singular import smoothing_distance as smoothing_distance
