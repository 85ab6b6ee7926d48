"""The winner as a scheduler of diffusers: a configuration that its pipelines load.

A configuration names a sampler and a spacing, not weights: diffusers keeps the levels of a network
as a table of betas, or as a flow, and the plan is made again from there. So the levels of that
plan may differ from those that were measured (a table is no formula, and its ends are its own
first and last level); by how much is said, in lam.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...solvers.adapters.diffusers_levels_of_plan import grid_of
from ...solvers.adapters.diffusers_levels_of_plan import process_of as process_of_config
from ...solvers.discrete import DiscreteVP
from ...solvers.errors import FokkerError
from ...solvers.files import writable_folder, write_text_atomic
from ...solvers.networks.network import Network
from ...solvers.process import Process
from ...solvers.schedules import RectifiedFlow, VPLinear
from .candidates import Candidate

PREDICTION_TYPES = {
    "noise": "epsilon",
    "data": "sample",
    "velocity": "v_prediction",
    "flow": "flow_prediction",
}
SPACINGS = {"lam": "lam", "karras": "karras", "time": "linspace"}
LEVELS = 1000
NAME = "scheduler_config.json"
_REST = {
    "steps_offset": 0, "rescale_betas_zero_snr": False, "shift": 1.0, "sampler_options": None,
    "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "trained_betas": None,
    "num_train_timesteps": LEVELS,
}  # fmt: skip


class Written(NamedTuple):
    """The configuration, and the largest difference of a level in lam; or why there is none."""

    config: dict[str, Any] | None
    gap: float
    sentence: str


def configuration(network: Network, candidate: Candidate, *, to_zero: bool = True) -> Written:
    """The configuration of :class:`FokkerScheduler` nearest to the candidate."""
    prediction = PREDICTION_TYPES.get(network.prediction)
    betas = _betas(network.process)
    flow = isinstance(network.process, RectifiedFlow)
    if prediction is None or (betas is None and not flow) or (prediction[0] == "f") != flow:
        reason = (
            f"a scheduler of diffusers knows no network on {type(network.process).__name__} that "
            f"gives the {network.prediction} prediction"
        )
        return Written(None, 0.0, reason)
    config = {
        **_REST,
        **(betas or {}),
        "prediction_type": prediction,
        "timestep_spacing": SPACINGS[candidate.spacing],
        "final_sigmas_type": "zero" if to_zero else "sigma_min",
        "sampler": candidate.sampler.name,
    }
    try:
        grid = grid_of(process_of_config(config), config, len(candidate.grid))
    except FokkerError as error:
        return Written(None, 0.0, f"diffusers cannot hold these levels: {error}")
    lams = [[n.lam for n in g.nodes if n.sigma > 0] for g in (grid, candidate.grid)]
    gap = float(np.abs(np.subtract(*lams)).max())
    return Written(config, gap, f"its levels differ from those measured by {gap:.2g} in lam")


def _betas(process: Process) -> dict[str, Any] | None:
    """How a configuration names a variance-preserving process; None for another."""
    if isinstance(process, VPLinear):
        return {
            "beta_start": process.beta_min / LEVELS,
            "beta_end": process.beta_max / LEVELS,
        }
    if isinstance(process, DiscreteVP):
        table = np.asarray(process.alphas_cumprod, dtype=np.float64)
        before = np.concatenate([[1.0], table[:-1]])
        return {
            "trained_betas": [float(b) for b in 1.0 - table / before],
            "num_train_timesteps": len(table),
        }
    return None


def save_scheduler(
    network: Network, candidate: Candidate, folder: Path, *, to_zero: bool = True
) -> Written:
    """Write ``scheduler_config.json`` into a folder, as ``save_config`` of diffusers would.

    ``FokkerScheduler.from_pretrained(folder)`` reads it; diffusers is not needed to write it.
    """
    found = configuration(network, candidate, to_zero=to_zero)
    if found.config is not None:
        data = {"_class_name": "FokkerScheduler", **found.config}
        text = json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n"
        write_text_atomic(writable_folder(folder) / NAME, text)
    return found
