"""Networks of diffusers as networks of ours: any folder or hub name with safetensors weights.

==========================  ==========================================================
class                       asked for
==========================  ==========================================================
``UNet2DModel``             nothing, or a class (``num_class_embeds``)
``UNet2DConditionModel``    texts: ``encoder_hidden_states``, and what else it takes
``DiTTransformer2DModel``   a class or none
``PixArtTransformer2DModel``  texts: ``encoder_hidden_states``, ``encoder_attention_mask``
``SD3Transformer2DModel``   texts: ``encoder_hidden_states``, ``pooled_projections``
==========================  ==========================================================

Encoders of text and decoders of latents are not loaded: texts come as embeddings, and what is
sampled is what the network was trained on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..process import Process
from .asking import check_answers
from .diffusers_call import DiffusersCall, arranged
from .diffusers_files import Files, find_files
from .diffusers_module import class_of, load_module
from .diffusers_training import training_of
from .errors import NetworkError
from .network import Network
from .strict_json import is_count

_TEXTS = {
    "UNet2DConditionModel": ("encoder_hidden_states",),
    "PixArtTransformer2DModel": ("encoder_hidden_states",),
    "SD3Transformer2DModel": ("encoder_hidden_states", "pooled_projections"),
}


def from_diffusers(
    source: str | os.PathLike[str],
    *,
    subfolder: str | None = None,
    variant: str | None = None,
    process: Process | None = None,
    prediction: str | None = None,
    conditions: Mapping[str, Tensor] | None = None,
    null: int | None = None,
    size: int | tuple[int, int] | None = None,
    name: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Network:
    """The network of a pipeline or of a folder of its own, in float32 on the CPU.

    Parameters
    ----------
    source : str or path
        A folder (see :mod:`.diffusers_files`), or a name ``owner/name`` on the hub.
    subfolder : str, optional
        Where the network lies in it; ``unet`` and ``transformer`` are found.
    variant : str, optional
        As diffusers has it: ``"fp16"`` for ``diffusion_pytorch_model.fp16.safetensors``.
    process, prediction : optional
        What it was trained on, where the config of the scheduler beside it does not say so.
    conditions : mapping of str to Tensor, optional
        What label k asks for: row k of each of these arguments of the network. A text is the
        row of its embedding, ``{"encoder_hidden_states": (R, L, E)}``.
    null : int, optional
        The row that stands for no class or the empty text: what guidance is measured from. The
        labels of the others close the gap. Known for DiT; without it there is no guidance.
    size : int or (int, int), optional
        Height and width of a sample; that of the config by default.
    name : str, optional
        Of the network; the last part of the source by default.
    local_files_only : bool
        Whether a hub name may only be looked up on this machine.
    cache_dir : path, optional
        Where files of the hub are kept; as diffusers has it by default.

    Raises
    ------
    NetworkError
        If there is no such network, of no supported class, or it is not known what it is.
    CheckpointError
        If its weights are no safetensors, not those of its config, or not finite.
    """
    files = find_files(
        source,
        subfolder=subfolder,
        variant=variant,
        local_files_only=local_files_only,
        cache_dir=cache_dir,
    )
    kind = class_of(files.config)
    training = training_of(files.scheduler, process=process, prediction=prediction)
    shape = _shape(files.config, size)
    tables, row = _tables(files.config, conditions)
    tables, classes, has_null = arranged(tables, row if null is None else null)
    module = load_module(files, variant)
    whole = files.config.get("time_embedding_type") == "learned"
    network = Network(
        name=name or files.name,
        call=DiffusersCall(module, training.shown, tables, shape[0], training.sign, whole),
        process=training.process,
        prediction=training.prediction,
        shape=shape,
        lam_range=training.lam_range,
        classes=classes,
        null_class=has_null,
        sigma_data=training.sigma_data,
        module=module,
        about=_about(files, kind, whole),
    )
    check_answers(network)
    return network


def _tables(
    config: Mapping[str, Any], conditions: Mapping[str, Tensor] | None
) -> tuple[dict[str, Tensor], int | None]:
    """What labels stand for, and the row of "none" if the network itself has one."""
    kind = class_of(config)
    if conditions:
        tables = {str(k): torch.as_tensor(v) for k, v in conditions.items()}
    else:
        tables = {}
    missing = [k for k in _TEXTS.get(kind, ()) if k not in tables]
    if missing:
        msg = f"a {kind} is asked for texts; give conditions with a row for each: {missing}"
        raise NetworkError(msg)
    if tables:
        return tables, None
    count = config.get("num_embeds_ada_norm" if kind.startswith("DiT") else "num_class_embeds")
    if count is None:
        return {}, None
    if not is_count(count, 1):
        msg = f"the number of classes must be a positive integer, got {str(count)[:40]}"
        raise NetworkError(msg)
    if kind.startswith("DiT"):
        return {"class_labels": torch.arange(count + 1)}, count
    return {"class_labels": torch.arange(count)}, None


def _shape(config: Mapping[str, Any], size: int | tuple[int, int] | None) -> tuple[int, int, int]:
    channels: Any = config.get("in_channels")
    found: Any = config.get("sample_size") if size is None else size
    pair = list(found) if isinstance(found, (list, tuple)) else [found, found]
    if not is_count(channels, 1) or len(pair) != 2 or not all(is_count(n, 1) for n in pair):
        given = f"{str(channels)[:40]} and {str(found)[:40]}"
        msg = f"need channels and size of a sample, got {given}; give size"
        raise NetworkError(msg)
    out = config.get("out_channels") or channels
    if out not in (channels, 2 * channels):
        gives = f"the network takes {channels} channels and gives {str(out)[:40]}"
        msg = f"{gives}; accepted: as many or twice"
        raise NetworkError(msg)
    return channels, pair[0], pair[1]


def _about(files: Files, kind: str, whole: bool) -> dict[str, Any]:
    scheduler = files.scheduler or {}
    about = {
        "library": "diffusers",
        "class": kind,
        "written_by": str(files.config.get("_diffusers_version", "unknown")),
        "folder": os.fspath(files.folder),
        "scheduler": str(scheduler.get("_class_name", "none")),
    }
    out, channels = files.config.get("out_channels"), files.config.get("in_channels")
    if out and out != channels:
        about["learned_variance"] = "cut off"
    if whole:
        about["time"] = "the nearest whole number is told"
    return about
