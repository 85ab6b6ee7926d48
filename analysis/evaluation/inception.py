"""FID and KID of images through torchmetrics, where it and the weights are present.

Both compare features of an Inception network: FID is the Frechet distance of their moments (Heusel
et al. 2017, 1706.08500), KID the unbiased MMD squared with a cubic kernel (Binkowski et al. 2018,
1801.01401). The metrics are torchmetrics', the network is torch-fidelity's; neither is required by
this project, and nothing is ever downloaded here. Without them there is one sentence that says
what is missing: :func:`why_not`.

The weights must be a safetensors file, because the usual ``.pth`` is a pickle and torch-fidelity
would execute what is in it. Convert it once, where you trust it::

    state = torch.load("weights-inception-2015-12-05-6726825d.pth", weights_only=True)
    safetensors.torch.save_file(state, "weights-inception-2015-12-05.safetensors")
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...solvers.errors import AnalysisError

WEIGHTS = "weights-inception-2015-12-05.safetensors"
VARIABLE = "FOKKER_INCEPTION_WEIGHTS"
FEATURES = 2048
_METRICS = "torchmetrics.image.fid", "torchmetrics.image.kid"
_BATCH = 50


class InceptionDistances(NamedTuple):
    """FID, and KID with the deviation over its subsets."""

    fid: float
    kid: float
    kid_deviation: float


def places() -> tuple[Path, ...]:
    """Where the weights are looked for, in order."""
    named = os.environ.get(VARIABLE)
    beside = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    return (*((Path(named).expanduser(),) if named else ()), beside)


def why_not() -> str:
    """Empty if FID and KID can be computed; else one sentence: what to install, where to put."""
    for module in (_METRICS[0], "torch_fidelity"):
        missing = _missing(module)
        if missing:
            return missing
    looked = places()
    if not any(p.is_file() for p in looked):
        return (
            "FID and KID need the Inception weights as safetensors, looked for at "
            f"{' and '.join(map(str, looked))}; name the file by {VARIABLE}, or see "
            "fokker.analysis.evaluation.inception for how to make it"
        )
    return ""


def _missing(module: str) -> str:
    """Why a module cannot be imported; empty if it can."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        wanted = (error.name or module).partition(".")[0].replace("_", "-")
        return f"FID and KID need {wanted}, which is missing: 'pip install {wanted}' brings it"
    except Exception as error:  # a torchvision of another torch raises RuntimeError
        found = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"FID and KID need {module}, which is installed but cannot be imported: {found}"
    return ""


def inception_distances(
    images: Tensor,
    reference: Tensor,
    *,
    extractor: nn.Module | None = None,
    subset_size: int = 1000,
    subsets: int = 100,
    seed: int = 0,
) -> InceptionDistances:
    """FID and KID between two sets of images.

    Parameters
    ----------
    images, reference : Tensor
        (n, 3, H, W) or (n, 1, H, W), values in [-1, 1]; outside of it they are cut, then rounded
        to 256 levels, as files of images would be. On any device; measured on the CPU.
    extractor : nn.Module, optional
        Another network for the features: takes uint8 images (n, 3, H, W), gives (n, F), and has
        the attribute ``num_features``. The Inception network by default.
    subset_size, subsets : int
        Of KID; not larger than either set. The deviation is that over subsets, which says less
        than the scatter of the images: it is 0 where a subset is both sets whole.
    seed : int
        Of the subsets.

    Raises
    ------
    AnalysisError
        If something is missing (see :func:`why_not`), or for other shapes and values.
    """
    pair = [_bytes(images), _bytes(reference)]
    size = min(subset_size, *map(len, pair))
    if size < 2 or subsets < 1:
        msg = f"FID and KID need at least two images in each set, got {[len(p) for p in pair]}"
        raise AnalysisError(msg)
    missing = _missing(_METRICS[0]) or _missing(_METRICS[1])
    if missing:
        raise AnalysisError(missing)
    fid_class = importlib.import_module(_METRICS[0]).FrechetInceptionDistance
    kid_class = importlib.import_module(_METRICS[1]).KernelInceptionDistance
    net = extractor if extractor is not None else _inception()
    fid = fid_class(feature=net)
    kid = kid_class(feature=net, subset_size=size, subsets=subsets)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # torchmetrics draws its subsets from the global generator
        for shown, real in zip(pair, (False, True), strict=True):
            for part in shown.split(_BATCH):
                fid.update(part, real=real)
                kid.update(part, real=real)
        mean, deviation = kid.compute()
        return InceptionDistances(float(fid.compute()), float(mean), float(deviation))


def _inception() -> nn.Module:
    """torch-fidelity's network, with weights that were read as tensors and nothing else."""
    missing = why_not()
    if missing:
        raise AnalysisError(missing)
    from ...solvers.networks.checkpoint import read_weights

    path = next(p for p in places() if p.is_file())
    weights = read_weights(path).tensors
    make = importlib.import_module("torchmetrics.image.fid").NoTrainInceptionV3
    with tempfile.TemporaryDirectory() as folder:
        # it takes nothing but the name of a pickle: it gets one that was written here
        own = Path(folder) / "weights.pth"
        torch.save(dict(weights), own)
        net = make("inception-v3-compat", [str(FEATURES)], str(own))
    net.num_features = FEATURES
    return net


def _bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as bytes with three channels."""
    shape: Sequence[int] = tuple(images.shape)
    if len(shape) != 4 or shape[1] not in (1, 3) or not images.is_floating_point():
        msg = f"FID and KID need float images (n, 1, H, W) or (n, 3, H, W), got {tuple(shape)}"
        raise AnalysisError(msg)
    if not bool(torch.isfinite(images).all()):
        msg = "images must be finite"
        raise AnalysisError(msg)
    # half precision has fewer numbers near 1 than there are levels: one more rounding moves some
    images = images.detach().to(torch.promote_types(images.dtype, torch.float32))
    levels = ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return (levels.expand(-1, 3, -1, -1) if shape[1] == 1 else levels).cpu()


def record(images: Tensor, reference: Tensor, **options: Any) -> dict[str, Any]:
    """FID and KID as plain data, or ``{"missing": sentence}``."""
    if options.get("extractor") is None:
        missing = why_not()
        if missing:
            return {"missing": missing}
    return dict(inception_distances(images, reference, **options)._asdict())
