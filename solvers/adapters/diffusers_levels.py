"""Where schedulers of diffusers keep the level of noise, and in what scale they hold the sample.

==========  ==================================  =================  ==============================
family      who                                 sample is          level of an evaluation
==========  ==================================  =================  ==============================
``table``   DDIM, DDPM, PNDM, LCM, TCD          ``x``, VP          ``alphas_cumprod[t]``
``vp``      DPMSolver*, DEIS, UniPC, SASolver   ``x``, VP or flow  ``sigmas[step_index]``
``ve``      Euler*, Heun, KDPM2*, LMS, ...      ``x/alpha``        from the scale of the input
``edm``     EDM*, CosineDPMSolver               ``x/alpha``        ``sigmas[step_index]``
``flow``    FlowMatch*                          ``x``, flow        ``sigmas[step_index]``
==========  ==================================  =================  ==============================

``unit(node)`` is what a sample of the scheduler is multiplied by to be a state of the process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..discrete import from_alphas_cumprod
from ..process import DATA, Node, Process
from ..schedules import EDM, RectifiedFlow
from .foreign_error import ForeignError
from .levels import lam_of_rho, node_near

PREDICTIONS = {
    "epsilon": "noise",
    "sample": "data",
    "v_prediction": "velocity",
    "flow_prediction": "flow",
}


@dataclass
class Levels:
    """The levels of one scheduler, as it goes.

    Attributes
    ----------
    scheduler : object
        A scheduler of diffusers whose times are set.
    family : str
        See the module.
    process : Process
        The process of its levels.
    nodes : tuple of Node
        Nodes of the grid that the scheduler was put on; a level near one of them is that node.
    """

    scheduler: Any
    family: str
    process: Process
    prediction: str
    nodes: tuple[Node, ...] = ()
    notes: tuple[str, ...] = field(default=())
    count: int = 0

    def _node(self, rho: float) -> Node:
        same = 1e-7 if self.nodes else 0.0
        return node_near(self.process, self.nodes, lam_of_rho(rho), same)

    def of_sigma(self, sigma: float) -> Node:
        """The level that the scheduler calls ``sigma``."""
        if self.is_flow:
            return (
                self._node(math.inf if sigma >= 1 else sigma / (1 - sigma))
                if (sigma < 1)
                else self.process.node(self.process.t_max)
            )
        return self._node(sigma)

    @property
    def is_flow(self) -> bool:
        """Whether sigmas are those of ``alpha = 1 - sigma``."""
        config = self.scheduler.config
        return self.family == "flow" or bool(config.get("use_flow_sigmas", False))

    def of_table(self, index: int) -> Node:
        """The level of an entry of the table; before its first one lies what the class says."""
        s = self.scheduler
        if index >= 0:
            acp = float(s.alphas_cumprod[index])
        else:
            acp = float(getattr(s, "final_alpha_cumprod", 1.0))
        return self._node(math.sqrt((1 - acp) / acp)) if acp < 1 else DATA

    def first(self) -> Node:
        """Where the loop starts."""
        self.count = 0
        return self.start()

    def start(self) -> Node:
        """The level of the first evaluation."""
        s = self.scheduler
        if self.family == "table":
            return self.of_table(int(s.timesteps[0]))
        return self.of_sigma(float(s.sigmas[0]))

    def end(self) -> Node | None:
        """The level at which the loop ends."""
        s = self.scheduler
        if self.family == "table":
            return None
        return self.of_sigma(float(s.sigmas[-1]))

    def unit(self, node: Node) -> float:
        """What a sample of the scheduler at a level is multiplied by to be the process's state."""
        if self.family in ("ve", "edm"):
            return node.alpha
        return self.spread(node)

    def spread(self, node: Node) -> float:
        """Process over the scheduler's own flow or process of unit variance, at a level."""
        if not self.nodes:
            return 1.0
        return node.alpha + node.sigma if self.is_flow else math.hypot(node.alpha, node.sigma)

    def now(self) -> Node:
        """The level of the sample after the step just taken."""
        s = self.scheduler
        if self.family == "table":
            return self._after_table()
        index = s.step_index
        second = not getattr(s, "state_in_first_order", True)
        if self.family == "ve" and second:
            return self._middle(index)
        return self.of_sigma(float(s.sigmas[index]))

    def _middle(self, index: int) -> Node:
        s = self.scheduler
        if getattr(s, "mid_point_sigma", None) is not None:
            return self.of_sigma(float(s.mid_point_sigma))
        if hasattr(s, "sigmas_interpol"):
            shift = 1 if "Ancestral" in type(s).__name__ else 0
            return self.of_sigma(float(s.sigmas_interpol[index - shift]))
        return self.of_sigma(float(s.sigmas[index]))

    def _after_table(self) -> Node:
        s = self.scheduler
        times = s.timesteps
        if self.count < len(times):
            return self.of_table(int(times[self.count]))
        last = int(times[-1])
        ratio = s.config.num_train_timesteps // s.num_inference_steps
        if type(s).__name__.startswith(("LCM", "DDPM")):
            return DATA
        return self.of_table(0 if type(s).__name__.startswith("TCD") else last - ratio)

    def asked(self, sample: Tensor, t: Any) -> tuple[Node, Tensor]:
        """The level of the coming evaluation, and the state there in the process's scale."""
        s = self.scheduler
        self.count += 1
        if self.family == "table":
            node = self.of_table(int(t))
            shown = s.scale_model_input(sample, t)
            return node, shown * self.unit(node)
        shown = sample if self.family == "flow" else s.scale_model_input(sample, t)
        if s.step_index is None:
            s._init_step_index(t)
        if self.family == "ve":
            node = self._scaled(t)
            return node, shown * self.spread(node)
        node = self.of_sigma(float(s.sigmas[s.step_index]))
        return node, sample * self.unit(node)

    def _scaled(self, t: Any) -> Node:
        """The level by which the input of the model is scaled."""
        s = self.scheduler
        c = float(s.scale_model_input(torch.ones(1, dtype=torch.float64), t))
        rho = math.sqrt(max(1 / c**2 - 1, 0.0))
        known = [float(v) for v in s.sigmas]
        known += [float(v) for v in getattr(s, "sigmas_interpol", ())]
        near = min(known, key=lambda v: abs(v - rho))
        return self.of_sigma(near if math.isclose(near, rho, rel_tol=1e-4) else rho)

    def label(self, t: Any) -> float | None:
        """The time given to the network; none on a grid of ours."""
        return None if self.nodes else float(t)

    def denoted(self, t: Any) -> Node | None:
        """The level that a time given to the network stands for."""
        s, t = self.scheduler, float(t)
        if self.nodes:  # the times of a table that was filled by us stand for nothing else
            return None
        if self.family == "edm":
            cosine = "Cosine" in type(s).__name__
            return self.of_sigma(math.tan(0.5 * math.pi * t) if cosine else math.exp(4 * t))
        if self.is_flow:
            return self.process.node(min(t / s.config.num_train_timesteps, 1.0))
        return self.process.node((t + 1) / s.config.num_train_timesteps)

    def answer(self, out: Tensor, sample: Tensor, node: Node) -> Tensor:
        """The model's answer as the scheduler takes it: the EDM family is asked for the data."""
        if self.family != "edm":
            return out / self.spread(node) if self.prediction == "velocity" else out
        s, sigma = self.scheduler, node.rho
        zero = torch.zeros(1, dtype=torch.float64)
        one = torch.ones(1, dtype=torch.float64)
        skip = float(s.precondition_outputs(one, zero, torch.tensor(sigma, dtype=torch.float64)))
        scale = float(s.precondition_outputs(zero, one, torch.tensor(sigma, dtype=torch.float64)))
        return ((out - skip * sample) / scale).to(out.dtype)


def levels_of(scheduler: Any) -> Levels:
    """Where a scheduler, whose times are set, keeps its levels.

    Raises
    ------
    ForeignError
        Of kind ``"not supported"`` if it is of no known family.
    """
    config = scheduler.config
    prediction = config.get("prediction_type", "epsilon")
    if hasattr(scheduler, "precondition_inputs"):
        return Levels(scheduler, "edm", EDM(), "data", notes=_scale(scheduler))
    has_table, has_sigmas = hasattr(scheduler, "alphas_cumprod"), hasattr(scheduler, "sigmas")
    if prediction not in PREDICTIONS:
        msg = f"{type(scheduler).__name__} takes a prediction {prediction!r} of no known kind"
        raise ForeignError(msg, kind="not supported")
    if not has_table and has_sigmas and "FlowMatch" in type(scheduler).__name__:
        return Levels(scheduler, "flow", RectifiedFlow(), "flow")
    if not has_table or not len(scheduler.timesteps):
        msg = f"{type(scheduler).__name__} keeps its levels of noise in no way known here"
        raise ForeignError(msg, kind="not supported")
    if config.get("use_flow_sigmas", False):
        return Levels(scheduler, "vp", RectifiedFlow(), PREDICTIONS[prediction])
    table = np.asarray(scheduler.alphas_cumprod.double())
    process = from_alphas_cumprod(table)
    family = "table"
    if has_sigmas:
        one = torch.ones(1, dtype=torch.float64)
        scaled = float(scheduler.scale_model_input(one, scheduler.timesteps[0]))
        family = "vp" if scaled == 1.0 else "ve"
    notes = _scale(scheduler) if family == "ve" else ()
    return Levels(scheduler, family, process, PREDICTIONS[prediction], notes=notes)


def _scale(scheduler: Any) -> tuple[str, ...]:
    """What a user must know who starts the library's own loop."""
    start = float(getattr(scheduler, "init_noise_sigma", math.nan))
    return (f"its sample is x/alpha of the process; it is started at {start:.6g} times noise",)
