"""The winner as a scheduler of diffusers: a configuration that its pipelines load.

A configuration names a sampler and a spacing, not weights: diffusers keeps the levels of a network
as a table of betas, or as a flow, and the plan is made again from there. So the levels of that
plan may differ from those that were measured (a table is no formula, and its ends are its own
first and last level); by how much is said, in lam.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...solvers.adapters.diffusers_levels_of_plan import grid_of
from ...solvers.adapters.diffusers_levels_of_plan import process_of as process_of_config
from ...solvers.discrete import DiscreteVP
from ...solvers.errors import FokkerError
from ...solvers.files import writable_folder, write_text_atomic
from ...solvers.grids import Grid
from ...solvers.networks.network import Network
from ...solvers.process import Array, Process
from ...solvers.schedules import RectifiedFlow, VPCosine, VPLinear
from .candidates import Candidate

PREDICTION_TYPES = {
    "noise": "epsilon",
    "data": "sample",
    "velocity": "v_prediction",
    "flow": "flow_prediction",
}
SPACINGS = {"lam": "lam", "karras": "karras", "time": "linspace"}
LEVELS = 1000
"""Levels of the table of a process that has none of its own; it meets the process at each."""
SAME = 1e-9
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
    table = _table(network.process)
    flow = isinstance(network.process, RectifiedFlow)
    if prediction is None or (table is None and not flow) or (prediction[0] == "f") != flow:
        reason = (
            f"a scheduler of diffusers knows no network on {type(network.process).__name__} that "
            f"gives the {network.prediction} prediction"
        )
        return Written(None, 0.0, reason)
    config = {
        **_REST,
        **_betas(table),
        "prediction_type": prediction,
        "timestep_spacing": SPACINGS[candidate.spacing],
        "final_sigmas_type": "zero" if to_zero else "sigma_min",
        "sampler": candidate.sampler.name,
    }
    try:
        grid = grid_of(process_of_config(config), config, len(candidate.grid))
    except FokkerError as error:
        return Written(None, 0.0, f"diffusers cannot hold these levels: {error}")
    return Written(config, *_gap(grid, candidate.grid))


def _betas(table: Array | None) -> dict[str, Any]:
    """A table as diffusers names it, by its betas."""
    if table is None:
        return {}
    ratios = table / np.concatenate([[1.0], table[:-1]])
    return {"trained_betas": [float(b) for b in 1.0 - ratios], "num_train_timesteps": len(table)}


def _gap(made: Grid, measured: Grid) -> tuple[float, str]:
    """Largest difference of the levels with signal and noise, in lam, and a sentence on it."""
    pairs = zip(made.nodes, measured.nodes, strict=True)
    gaps = [abs(a.lam - b.lam) for a, b in pairs if math.isfinite(a.lam) and math.isfinite(b.lam)]
    gap = float(max(gaps, default=0.0))
    sentence = "its levels are those measured"
    if gap > SAME:
        sentence = f"its levels differ from those measured by up to {gap:.2g} in lam"
    if made[0].alpha == 0.0 < measured[0].alpha:
        sentence += f"; it starts at alpha = 0, measured was from lam = {measured[0].lam:.3g}"
    return gap, sentence


def _table(process: Process) -> Array | None:
    """``alpha^2`` at the levels of a table, if the process preserves variance; else None."""
    if isinstance(process, DiscreteVP):
        table = np.exp(2.0 * np.asarray(process.log_alphas))
        return np.append(table, 0.0) if process.zero_terminal else table
    if isinstance(process, (VPLinear, VPCosine)):
        return process.alpha(np.arange(1, LEVELS + 1) / LEVELS) ** 2
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
