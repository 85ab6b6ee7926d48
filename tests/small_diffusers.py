"""Small networks of diffusers, with random weights, in folders as their library writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fokker.solvers.networks.diffusers_networks import from_diffusers
from fokker.solvers.networks.errors import NetworkError

SMALL: dict[str, Any] = {
    "sample_size": 8, "in_channels": 2, "out_channels": 2, "layers_per_block": 1,
    "block_out_channels": (8, 16), "norm_num_groups": 4, "attention_head_dim": 8,
}  # fmt: skip
PLAIN = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
CROSS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 6,
}
DIT = {
    "sample_size": 8, "in_channels": 2, "out_channels": 4, "num_layers": 1, "patch_size": 4,
    "num_attention_heads": 2, "attention_head_dim": 8, "num_embeds_ada_norm": 5,
}  # fmt: skip
PIXART = {
    "sample_size": 8, "in_channels": 2, "out_channels": 4, "num_layers": 1, "patch_size": 4,
    "num_attention_heads": 2, "attention_head_dim": 8, "cross_attention_dim": 16,
    "caption_channels": 6,
}  # fmt: skip
SD3 = {
    "sample_size": 8, "in_channels": 2, "out_channels": 2, "num_layers": 1, "patch_size": 2,
    "num_attention_heads": 2, "attention_head_dim": 8, "joint_attention_dim": 6,
    "caption_projection_dim": 16, "pooled_projection_dim": 5, "pos_embed_max_size": 8,
}  # fmt: skip
TEXTS = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1))
POOLED = torch.randn(3, 5, generator=torch.Generator().manual_seed(2))
X = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(3))


def made(kind: str, config: dict[str, Any]) -> Any:
    """A network with random weights, none of them zero (new ones have whole layers of zeros)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = getattr(pytest.importorskip("diffusers"), kind)(**config).eval()
        with torch.no_grad():
            for parameter in module.parameters():
                if not parameter.any():
                    parameter.normal_(std=0.1)
    return module


def pipeline(folder: Path, module: Any, scheduler: Any, place: str = "unet") -> Path:
    """A folder laid out as pipelines are."""
    module.save_pretrained(folder / place)
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text('{"_class_name": "Pipeline"}')
    return folder


def file_of(folder: Path) -> Path:
    return folder / "unet" / "diffusion_pytorch_model.safetensors"


def rewrite(path: Path, **changed: Any) -> None:
    config = {**json.loads(path.read_text()), **changed}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))


def refused(source: Any, kind: type[Exception] = NetworkError, **given: Any) -> str:
    with pytest.raises(kind) as caught:
        from_diffusers(source, **given)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def time_of(network: Any, index: int) -> float:
    return float(network.process.level_time(index))
