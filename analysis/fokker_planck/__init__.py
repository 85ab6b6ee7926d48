"""How a density moves: residuals of the Fokker-Planck equation, and its solution on grids.

Residuals at points by automatic differentiation (``residual``), their means with error bars
(``collocation``), the weak and the moment form (``weak``), the score equation and the curl of
networks (``network``, ``network_report``), the gap between ODE and SDE of a wrong
score in closed form (``gap``), the penalty of training (``regulariser``). On grids: boxes and
generators (``grid``), time (``evolve``, ``contour``), nested grids (``extrapolated``), gaps of
spectra (``spectrum``), and Ornstein-Uhlenbeck densities in Hermite functions (``hermite``).
"""

from .collocation import Estimate as Estimate
from .collocation import collocate as collocate
from .collocation import mean as mean
from .collocation import points as points
from .collocation import rounding as rounding
from .contour import at_time as at_time
from .errors import DiffusionError as DiffusionError
from .errors import GridTooSmallError as GridTooSmallError
from .errors import NotDifferentiableError as NotDifferentiableError
from .errors import TimeRangeError as TimeRangeError
from .errors import TooFewSamplesError as TooFewSamplesError
from .evolve import Evolution as Evolution
from .evolve import evolve as evolve
from .evolve import positive_step as positive_step
from .extrapolated import Extrapolated as Extrapolated
from .extrapolated import extrapolated as extrapolated
from .fields import Dynamics as Dynamics
from .fields import Field as Field
from .fields import exact_log_density as exact_log_density
from .fields import exact_score as exact_score
from .fields import flow_ode as flow_ode
from .fields import forward_sde as forward_sde
from .fields import reverse_sde as reverse_sde
from .fields import score_of as score_of
from .fields import within as within
from .gap import gronwall as gronwall
from .gap import linear_variance as linear_variance
from .gap import process_variance as process_variance
from .gap import riccati as riccati
from .gap import scaled_score_variance as scaled_score_variance
from .grid import Box as Box
from .grid import Generator as Generator
from .grid import bernoulli as bernoulli
from .grid import drifting as drifting
from .grid import reversible as reversible
from .hermite import OrnsteinUhlenbeck as OrnsteinUhlenbeck
from .network import NetworkResidual as NetworkResidual
from .network import network_residual as network_residual
from .network_report import network_rows as network_rows
from .regulariser import denoising_loss as denoising_loss
from .regulariser import forward_residual as forward_residual
from .regulariser import penalty as penalty
from .residual import Residual as Residual
from .residual import curl as curl
from .residual import log_residual as log_residual
from .residual import score_residual as score_residual
from .residual import source_residual as source_residual
from .spectrum import Gaps as Gaps
from .spectrum import chain_gaps as chain_gaps
from .spectrum import grid_gaps as grid_gaps
from .spectrum import hermite_gaps as hermite_gaps
from .weak import Moments as Moments
from .weak import Motion as Motion
from .weak import Waves as Waves
from .weak import WeakResidual as WeakResidual
from .weak import pathwise as pathwise
from .weak import quadrature as quadrature
from .weak import weak_residual as weak_residual
