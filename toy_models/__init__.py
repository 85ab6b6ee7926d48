"""Exact models: laws whose score, denoiser, log-density and flow are known."""

if __name__ == "toy_models":
    raise ImportError("use 'import fokker.toy_models' (this folder is part of the fokker package)")

from .digits import (
    digits_empirical,
    digits_gaussian,
    digits_labels,
    digits_mixture,
    digits_points,
)
from .empirical import Empirical
from .gaussian import Gaussian
from .images import image_mixture, smooth_fields
from .law import Denoiser, Law, exact_model
from .lowrank import LowRankMixture
from .merged import merged
from .misfit import MisfitGaussian
from .mixture import GaussianMixture
from .perturbed import FourierField, Perturbed
from .problems import PROBLEMS, Problem, problem
from .product import ProductMixture
from .reference import ReferenceFlow, reference_flow

__all__ = [
    "PROBLEMS",
    "Denoiser",
    "Empirical",
    "FourierField",
    "Gaussian",
    "GaussianMixture",
    "Law",
    "LowRankMixture",
    "MisfitGaussian",
    "Perturbed",
    "Problem",
    "ProductMixture",
    "ReferenceFlow",
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
    "smooth_fields",
]
