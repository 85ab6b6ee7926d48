"""The levels that a scheduler of diffusers would visit, as a grid of ours.

Networks of diffusers are given a time label: ``label = N t - 1`` with t in (0, 1] the time of the
table of N betas (an integer at a level of the table), or ``N u`` for a flow, ``alpha = 1 - u``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from ..discrete import from_alphas_cumprod
from ..errors import InvalidGridError, InvalidProcessError
from ..grids import Grid, grid_from_times, karras, uniform_lam
from ..process import DATA, Array, Node, Process
from ..schedules import RectifiedFlow

SPACINGS = ("lam", "karras", "linspace", "leading", "trailing")
PREDICTIONS = {
    "epsilon": "noise",
    "sample": "data",
    "v_prediction": "velocity",
    "flow_prediction": "flow",
}
_COSINE_SHIFT = 0.008
_COMMON = {
    "num_train_timesteps", "prediction_type", "timestep_spacing", "steps_offset", "sampler",
    "final_sigmas_type", "rescale_betas_zero_snr", "sampler_options", "beta_start", "beta_end",
}  # fmt: skip
"""What a configuration may say without saying of which process it is."""


def betas(
    schedule: str, start: float, end: float, count: int, trained: Sequence[float] | None = None
) -> Array:
    """Betas of ``count`` levels, float64: those of the schedules of diffusers, by formula.

    Raises
    ------
    InvalidProcessError
        For an unknown schedule, and trained betas of another number.
    """
    if trained is not None:
        if len(trained) != count:
            msg = f"{len(trained)} trained_betas are given for num_train_timesteps = {count}"
            raise InvalidProcessError(msg)
        return np.asarray(trained, dtype=np.float64)
    if schedule == "linear":
        return np.linspace(start, end, count)
    if schedule == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, count) ** 2
    if schedule == "squaredcos_cap_v2":
        u = np.arange(count + 1) / count
        bar = np.cos((u + _COSINE_SHIFT) / (1 + _COSINE_SHIFT) * np.pi / 2) ** 2
        return np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    msg = (
        f"unknown beta_schedule {schedule!r}; accepted: linear, scaled_linear, "
        "squaredcos_cap_v2, or trained_betas"
    )
    raise InvalidProcessError(msg)


def adopted(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What to add to the configuration of another scheduler, so that it is not misread.

    A scheduler that has no table of betas is not one with the default table: of flows, which have
    a ``shift``, the network gives the flow.

    Raises
    ------
    InvalidProcessError
        If a configuration of another kind has no table and nobody has given one.
    """
    added = dict(given)
    if "flow_shift" in config:  # the same thing by the name that some schedulers have for it
        added.setdefault("shift", config["flow_shift"])
    all_of_it = {**config, **given}
    told = "beta_schedule" in all_of_it or "trained_betas" in given
    if told or all_of_it.get("prediction_type") == "flow_prediction":
        return added
    if "shift" in config:
        return {**added, "prediction_type": "flow_prediction"}
    other = sorted(k for k in config if k not in _COMMON and not k.startswith("_"))
    if other:
        who = config.get("_class_name", f"a scheduler with {', '.join(other[:3])}")
        msg = (
            f"the configuration of {who} has no beta_schedule: its networks are of another "
            "process; if that is not so, give beta_schedule or trained_betas"
        )
        raise InvalidProcessError(msg)
    return added


def process_of(config: Any) -> Process:
    """The process that a configuration describes."""
    if config["prediction_type"] not in PREDICTIONS:
        known = ", ".join(PREDICTIONS)
        msg = f"unknown prediction_type {config['prediction_type']!r}; accepted: {known}"
        raise InvalidProcessError(msg)
    if config["prediction_type"] == "flow_prediction":
        return RectifiedFlow()
    table = np.cumprod(
        1.0
        - betas(
            config["beta_schedule"], config["beta_start"], config["beta_end"],
            config["num_train_timesteps"], config["trained_betas"],
        )
    )  # fmt: skip
    if config["rescale_betas_zero_snr"]:  # Lin et al. 2023, 2305.08891, algorithm 1
        root = np.sqrt(table)
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        table = root**2
    return from_alphas_cumprod(table)


def label(process: Process, node: Node, count: int) -> float:
    """The time label of a level; an integer where it is one to rounding."""
    value = node.t * count if isinstance(process, RectifiedFlow) else node.t * count - 1.0
    return float(round(value)) if abs(value - round(value)) < 1e-6 else value


def level(process: Process, at: float, count: int) -> Node:
    """The level of a time label.

    Raises
    ------
    InvalidGridError
        If the label is beyond the table.
    """
    value = at / count if isinstance(process, RectifiedFlow) else (at + 1.0) / count
    if not -1e-6 <= value <= 1.0 + 1e-6:  # a label may be rounded to float32
        msg = f"the timestep {at:g} is beyond the {count} of num_train_timesteps"
        raise InvalidGridError(msg)
    return process.node(min(max(value, 0.0), 1.0))


def grid_of(process: Process, config: Any, steps: int) -> Grid:
    """The grid of ``steps`` steps that a configuration describes, the one to sigma 0 included.

    Raises
    ------
    InvalidGridError
        For an unknown spacing or end, and for more steps than the table has levels.
    """
    spacing, end = config["timestep_spacing"], config["final_sigmas_type"]
    if spacing not in SPACINGS or end not in ("zero", "sigma_min"):
        msg = (
            f"timestep_spacing must be one of {', '.join(SPACINGS)} and final_sigmas_type 'zero' "
            f"or 'sigma_min', got {spacing!r} and {end!r}"
        )
        raise InvalidGridError(msg)
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 1:
        msg = f"num_inference_steps must be a whole number, at least 1, got {steps!r}"
        raise InvalidGridError(msg)
    nodes = steps if end == "zero" else steps + 1
    if spacing in ("lam", "karras"):
        listed = _smooth(process, spacing, nodes, config)
    else:
        listed = _by_time(process, spacing, nodes, config)
    return Grid((*listed, DATA) if end == "zero" else listed)


def _ends(process: Process, count: int) -> tuple[Node, Node]:
    """Noisiest and cleanest level with a finite lam."""
    noisy = process.node(process.t_max)
    if noisy.alpha == 0.0:
        noisy = process.node(1.0 - 1.0 / count)
    return noisy, process.node(1.0 / count)


def _smooth(process: Process, spacing: str, nodes: int, config: Any) -> tuple[Node, ...]:
    first, last = _ends(process, config["num_train_timesteps"])
    if nodes == 1:
        return (first,)
    make = karras(process, first.rho, last.rho) if spacing == "karras" else None
    maps = make or uniform_lam(process, first.lam, last.lam)
    return maps.grid(nodes - 1).nodes


def _by_time(process: Process, spacing: str, nodes: int, config: Any) -> tuple[Node, ...]:
    count = config["num_train_timesteps"]
    if nodes > count:
        msg = f"{nodes} levels are asked for, the table has {count}"
        raise InvalidGridError(msg)
    if spacing == "linspace":
        labels = np.linspace(count - 1, 0, nodes) if nodes > 1 else np.array([count - 1.0])
    elif spacing == "leading":
        labels = np.arange(nodes)[::-1] * (count // nodes) + config["steps_offset"]
    else:
        labels = count - np.arange(nodes) * (count / nodes) - 1.0  # a range may give one too many
    labels = np.clip(np.round(labels), 0, count - 1)
    times = (labels + 1.0) / count
    if isinstance(process, RectifiedFlow):
        shift = config["shift"]
        times = shift * times / (1.0 + (shift - 1.0) * times)
    if nodes == 1:
        return (process.node(float(times[0])),)
    return grid_from_times(process, times.tolist()).nodes
