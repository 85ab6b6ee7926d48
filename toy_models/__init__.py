"""Exact models: laws whose score, denoiser, log-density and flow are known."""

if __name__ == "toy_models":
    raise ImportError("use 'import fokker.toy_models' (this folder is part of the fokker package)")

from .conditioned import conditioned
from .digits import (
    digits_empirical,
    digits_gaussian,
    digits_labels,
    digits_mixture,
    digits_points,
)
from .empirical import Empirical
from .gaussian import Gaussian
from .guided import Guided, restricted
from .images import image_mixture, smooth_fields
from .law import Denoiser, Law, exact_model
from .lowrank import LowRankMixture
from .merged import merged
from .misfit import MisfitGaussian
from .mixture import GaussianMixture
from .perturbed import FourierField, Perturbed
from .pfgm import PoissonFlow
from .problems import PROBLEMS, Problem, problem
from .product import ProductMixture
from .rectified import FlowCoupling, LinearCoupling, PotentialCoupling, Rectified
from .reference import ReferenceFlow, reference_flow
from .super_resolution import SuperResolution

__all__ = [
    "PROBLEMS",
    "Denoiser",
    "Empirical",
    "FlowCoupling",
    "FourierField",
    "Gaussian",
    "GaussianMixture",
    "Guided",
    "Law",
    "LinearCoupling",
    "LowRankMixture",
    "MisfitGaussian",
    "Perturbed",
    "PoissonFlow",
    "PotentialCoupling",
    "Problem",
    "ProductMixture",
    "Rectified",
    "ReferenceFlow",
    "SuperResolution",
    "conditioned",
    "digits_empirical",
    "digits_gaussian",
    "digits_labels",
    "digits_mixture",
    "digits_points",
    "exact_model",
    "image_mixture",
    "merged",
    "problem",
    "reference_flow",
    "restricted",
    "smooth_fields",
]
