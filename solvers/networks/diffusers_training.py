"""What a network of diffusers was trained on, from the config of a scheduler beside it.

===============================  =========================  ===================================
scheduler                        process                    number that the network is told
===============================  =========================  ===================================
with a table of betas            levels i = 0 .. N-1,       ``t N - 1``, which is i at level i
                                 level i at t = (i + 1)/N   and goes on between the levels
FlowMatch*, or use_flow_sigmas   alpha = 1 - t, sigma = t   ``t N``, N = num_train_timesteps
EDM*                             alpha = 1, sigma = t       ``log(sigma)/4``, of c_in x
CosineDPM*                       alpha = 1, sigma = t       ``2 atan(sigma)/pi``, of c_in x
ScoreSdeVe                       exploding, geometric       sigma
===============================  =========================  ===================================

The time of a table is not rounded: a sampler may stop anywhere between two levels. Only a network
whose times are entries of a table of its own is told the nearest one, and its record says so.
A table is computed as diffusers does, in float32: it is what the network was trained with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..adapters.diffusers_levels import PREDICTIONS as NAMES
from ..discrete import DiscreteVP, from_alphas_cumprod
from ..errors import InvalidProcessError
from ..model import PREDICTIONS, SIGMA_DATA
from ..process import Process
from ..schedules import EDM, VE, RectifiedFlow
from .asking import ModuleCall
from .errors import NetworkError
from .strict_json import is_count, is_number

BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
"""Names of tables that diffusers computes."""

NEEDED = "networks of diffusers need it: pip install diffusers"
_MOST = 100_000


@dataclass(frozen=True)
class Training:
    """The process, the prediction, and how the network is told a level.

    ``shown(t) -> (scale, c)``: it is given ``scale x`` and c. ``sign`` is what its answer is
    multiplied by to be the prediction.
    """

    process: Process
    prediction: str
    lam_range: tuple[float, float]
    shown: Callable[[float], tuple[float, float]]
    sign: float = 1.0
    sigma_data: float = SIGMA_DATA


def training_of(
    scheduler: Mapping[str, Any] | None,
    *,
    process: Process | None = None,
    prediction: str | None = None,
) -> Training:
    """What the config of a scheduler says; a process or a prediction that is given has the word.

    Parameters
    ----------
    scheduler : mapping, optional
        Its config; without one both others are needed.
    process : Process, optional
        A :class:`~..discrete.DiscreteVP`, a flow, :class:`~..schedules.EDM` or
        :class:`~..schedules.VE`.
    prediction : str, optional
        One of :data:`~..model.PREDICTIONS`.

    Raises
    ------
    NetworkError
        If it cannot be known what the network was trained on.
    """
    config = dict(scheduler or {})
    if prediction is not None and prediction not in PREDICTIONS:
        msg = f"unknown prediction {prediction!r}; accepted: {', '.join(PREDICTIONS)}"
        raise NetworkError(msg)
    if process is None:
        if scheduler is None:
            msg = "no config of a scheduler lies beside the network; give its process, prediction"
            raise NetworkError(msg)
        process = _process(config)
    kind, sign = _prediction(config, process)
    if prediction is not None:
        kind, sign = prediction, 1.0
    sigma_data = _number(config, "sigma_data", SIGMA_DATA)
    steps = config.get("num_train_timesteps", 1000)
    if not is_count(steps, 2) or steps > _MOST:
        msg = f"num_train_timesteps must be an integer from 2 to {_MOST}, got {str(steps)[:40]}"
        raise NetworkError(msg)
    lam_range = _range(process, steps, config)
    shown = _shown(process, steps, sigma_data)
    if str(config.get("_class_name")).startswith("CosineDPM") and isinstance(process, EDM):
        scale = shown
        shown = lambda t: (scale(t)[0], math.atan(t) * 2.0 / math.pi)  # noqa: E731
    return Training(process, kind, lam_range, shown, sign, sigma_data)


def _process(config: Mapping[str, Any]) -> Process:
    name = str(config.get("_class_name", ""))
    for field, value in (("timestep_type", "continuous"), ("invert_sigmas", True)):
        if config.get(field) == value:
            msg = f"networks of a scheduler with {field} = {value!r} are told other levels than "
            msg += "those known here"
            raise NetworkError(msg)
    try:
        if name.startswith("FlowMatch") or config.get("use_flow_sigmas") is True:
            return RectifiedFlow()
        if name.startswith(("EDM", "CosineDPM")):
            return EDM(_number(config, "sigma_max", 80.0))
        if name.startswith("ScoreSdeVe"):
            low, high = _number(config, "sigma_min", 0.01), _number(config, "sigma_max", 1348.0)
            return VE(low, high)
        if "beta_schedule" in config or config.get("trained_betas") is not None:
            return from_alphas_cumprod(_table(config))
    except InvalidProcessError as reason:
        msg = f"the config of {name or 'the scheduler'} makes no process: {reason}"
        raise NetworkError(msg) from reason
    msg = f"the levels of {name[:80]!r} are not known here; give process and prediction"
    raise NetworkError(msg)


def _table(config: Mapping[str, Any]) -> np.ndarray:
    """``alphas_cumprod``, as the schedulers of diffusers compute it."""
    try:
        from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    except ImportError as reason:
        raise NetworkError(NEEDED) from reason
    steps, betas = config.get("num_train_timesteps", 1000), config.get("trained_betas")
    given: dict[str, Any] = {
        "beta_start": _number(config, "beta_start", 1e-4),
        "beta_end": _number(config, "beta_end", 0.02),
        "rescale_betas_zero_snr": config.get("rescale_betas_zero_snr") is True,
    }
    if betas is not None:
        if not isinstance(betas, list) or not all(map(is_number, betas)) or len(betas) > _MOST:
            msg = "trained_betas must be a list of numbers"
            raise NetworkError(msg)
        given |= {"trained_betas": betas, "num_train_timesteps": len(betas)}
    else:
        schedule = config.get("beta_schedule", "linear")
        if schedule not in BETAS:
            msg = f"unknown beta_schedule {str(schedule)[:80]!r}; accepted: {', '.join(BETAS)}"
            raise NetworkError(msg)
        if not is_count(steps, 2) or steps > _MOST:
            msg = f"num_train_timesteps must be from 2 to {_MOST}, got {str(steps)[:40]}"
            raise NetworkError(msg)
        given |= {"beta_schedule": schedule, "num_train_timesteps": steps}
    return DDPMScheduler(**given).alphas_cumprod.double().numpy()


def _prediction(config: Mapping[str, Any], process: Process) -> tuple[str, float]:
    """Our name of what the network gives, and its sign."""
    said = config.get("prediction_type", "epsilon")
    if isinstance(process, VE):  # its networks divide by sigma themselves
        return "score", 1.0
    if isinstance(process, EDM):
        if said not in ("epsilon", "v_prediction"):
            msg = f"unknown prediction_type {str(said)[:80]!r} of an EDM scheduler"
            raise NetworkError(msg)
        return "edm", 1.0 if said == "epsilon" else -1.0
    if isinstance(process, RectifiedFlow) and "prediction_type" not in config:
        return "flow", 1.0
    if said not in NAMES:
        msg = f"unknown prediction_type {str(said)[:80]!r}; accepted: {', '.join(NAMES)}"
        raise NetworkError(msg)
    return NAMES[said], 1.0


def _range(process: Process, steps: int, config: Mapping[str, Any]) -> tuple[float, float]:
    """The levels of the training, those without lam left out."""
    match process:
        case DiscreteVP():
            last = 1.0 - process.zero_terminal / process.levels
            return float(process.lam(last)), float(process.lam(1.0 / process.levels))
        case RectifiedFlow():
            return float(process.lam(1.0 - 1.0 / steps)), float(process.lam(1.0 / steps))
        case EDM():
            low = _number(config, "sigma_min", 0.002)
            if not 0 < low < process.sigma_max:
                msg = f"sigma_min must lie between 0 and {process.sigma_max}, got {low}"
                raise NetworkError(msg)
            return -math.log(process.sigma_max), -math.log(low)
        case VE():
            return process.lam_min, process.lam_max
    msg = (
        f"a {type(process).__name__} has no number that a network of diffusers is told; accepted: "
        "DiscreteVP, RectifiedFlow, EDM, VE"
    )
    raise NetworkError(msg)


def _shown(
    process: Process, steps: int, sigma_data: float
) -> Callable[[float], tuple[float, float]]:
    match process:
        case DiscreteVP():
            return lambda t: (1.0, t * process.levels - 1.0)
        case RectifiedFlow():
            return lambda t: (1.0, t * steps)
        case EDM():
            return ModuleCall(lambda *_: None, process, "edm", sigma_data).shown
    return lambda t: (1.0, float(process.sigma(t)))


def _number(config: Mapping[str, Any], field: str, default: float) -> float:
    value = config.get(field, default)
    if not is_number(value) or value <= 0:
        msg = f"{field} of the scheduler must be a positive number, got {str(value)[:80]!r}"
        raise NetworkError(msg)
    return float(value)
