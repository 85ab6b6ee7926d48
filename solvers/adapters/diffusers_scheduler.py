"""Any plan as a scheduler of diffusers: ``pipe.scheduler = FokkerScheduler.from_config(...)``.

``FokkerScheduler`` has what a pipeline of diffusers calls: ``set_timesteps``, ``timesteps``,
``init_noise_sigma``, ``scale_model_input``, ``step``, ``add_noise``, ``config`` and its round trip
(``from_config``, ``save_config``, ``from_pretrained``). It is made when it is first asked for,
because diffusers is optional::

    from fokker.solvers.adapters.diffusers_scheduler import FokkerScheduler
    pipe.scheduler = FokkerScheduler.from_config(pipe.scheduler.config, sampler="dpmpp_2m")

A step of a plan may need several evaluations; ``timesteps`` lists all of them, so that the loop of
the pipeline stays what it is, and ``step`` returns the state at which the network is asked next.
With a deterministic plan, or with :class:`~.diffusers_steps.GeneratorNoise` and a generator of the
same seed, the sample is that of :func:`fokker.solvers.run.run` to rounding.

Configuration (names of diffusers where it has one; what it does not know is ignored):

=======================  ======================================================================
``sampler``              name of a registered plan (default ``"unipc_2"``); ``sampler_options``
``prediction_type``      what the network gives: ``epsilon``, ``sample``, ``v_prediction``, or
                         ``flow_prediction`` (then the process is ``alpha = 1 - sigma``)
``beta_schedule``        ``linear``, ``scaled_linear``, ``squaredcos_cap_v2``; with ``beta_start``,
                         ``beta_end``, ``trained_betas``, ``rescale_betas_zero_snr``
``timestep_spacing``     ``lam`` (default), ``karras``, and ``linspace``, ``leading``, ``trailing``
                         with ``steps_offset`` and, for flows, ``shift``
``final_sigmas_type``    ``zero`` (default), or ``sigma_min``: stop at the last level
=======================  ======================================================================

Spacings ``lam`` and ``karras`` have time labels that are no integers, and hand them to the network
as they are: none is rounded. ``order`` is the number of evaluations of a step, by which pipelines
that begin in the middle count. The configuration of a scheduler of flows is taken for a flow; one
that has no table of betas otherwise is refused. What it is often confused with is a scheduler that
clips: ``clip_sample`` and thresholding of other configurations are wrappers of the model here.

``num_inference_steps`` counts steps, the one to sigma 0 included; samplers with a declared
``multiple`` need a number divisible by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .diffusers_levels_of_plan import adopted
from .diffusers_steps import GeneratorNoise as GeneratorNoise
from .diffusers_steps import PlanSteps, _diffusers

if TYPE_CHECKING:
    FokkerScheduler: Any


def __getattr__(name: str) -> Any:
    """The scheduler class, made when it is first asked for."""
    if name != "FokkerScheduler":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = _make()
    return globals()[name]


def _make() -> type:
    """The class, with the base classes of the installed diffusers."""
    configuration = _diffusers("diffusers.configuration_utils")
    utils = _diffusers("diffusers.schedulers.scheduling_utils")
    output = _diffusers("diffusers.utils").BaseOutput

    class FokkerScheduler(utils.SchedulerMixin, configuration.ConfigMixin):
        """A plan as a scheduler of diffusers; see the module for its configuration."""

        _compatibles = [kind.name for kind in utils.KarrasDiffusionSchedulers]  # noqa: RUF012
        order = 1

        @configuration.register_to_config
        def __init__(  # the arguments are read back from the configuration that they make
            self,
            num_train_timesteps: int = 1000,
            beta_start: float = 0.0001,
            beta_end: float = 0.02,
            beta_schedule: str = "linear",
            trained_betas: list[float] | None = None,
            prediction_type: str = "epsilon",
            timestep_spacing: str = "lam",
            steps_offset: int = 0,
            final_sigmas_type: str = "zero",
            rescale_betas_zero_snr: bool = False,
            shift: float = 1.0,
            sampler: str = "unipc_2",
            sampler_options: dict[str, Any] | None = None,
        ) -> None:
            del beta_start, beta_end, beta_schedule, trained_betas, prediction_type, shift
            del timestep_spacing, steps_offset, final_sigmas_type, rescale_betas_zero_snr
            del sampler, sampler_options
            self.steps = PlanSteps(self.config)
            self.init_noise_sigma = 1.0
            self.num_inference_steps: int | None = None
            self.timesteps = torch.arange(num_train_timesteps - 1, -1, -1)

        @classmethod
        def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kw: Any):
            """A scheduler from the configuration of this or of another one, and what is given.

            Raises
            ------
            InvalidProcessError
                If the other is of a process that is neither a table of betas nor a flow.
            """
            if isinstance(config, Mapping):
                kw = adopted(config, kw)
            return super().from_config(config, return_unused_kwargs, **kw)

        @property
        def step_index(self) -> int | None:
            """Index of the evaluation that comes next."""
            return self.steps.position

        @property
        def begin_index(self) -> int | None:
            """Index of the first evaluation, if a pipeline has set it."""
            return self.steps.begin_index

        def set_begin_index(self, begin_index: int = 0) -> None:
            """Begin at that evaluation (image to image); a step must begin there."""
            self.steps.begin_index = begin_index

        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            """Make the plan; ``timesteps`` are then the labels of all its evaluations."""
            labels = torch.tensor(self.steps.set(num_inference_steps), dtype=torch.float64)
            whole = bool((labels == labels.round()).all())
            self.timesteps = labels.to(torch.int64 if whole else torch.float32).to(device)
            self.num_inference_steps = num_inference_steps
            self.order = self.steps.whole.rhythm

        def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
            """The sample itself: networks of these processes are given x."""
            del timestep
            return sample

        def step(
            self,
            model_output: Tensor,
            timestep: Any,
            sample: Tensor,
            generator: Any = None,
            return_dict: bool = True,
        ) -> Any:
            """Take one answer of the network.

            Parameters
            ----------
            model_output, sample : Tensor
                Shape (B, *D); of a half precision sample the state is kept in float32.
            timestep : float or Tensor
                The next of ``timesteps``.
            generator : torch.Generator or list of them, optional
                For the noise of stochastic plans.

            Returns
            -------
            object or tuple
                ``prev_sample``, the state to show to the network next, or at last the sample; and
                ``pred_original_sample``, the data prediction.

            Raises
            ------
            InvalidPlanError
                If the timestep is not the next one, or ``set_timesteps`` was not called.
            """
            if self.num_inference_steps is None:
                msg = "call set_timesteps(num_inference_steps) before step"
                raise _plan_error(msg)
            at = torch.as_tensor(timestep, dtype=torch.float64).flatten()
            if not len(at) or not bool((at == at[0]).all()):
                msg = f"a step is taken at one timestep, got {at.tolist()[:4]}"
                raise _plan_error(msg)
            state = self.steps.step(model_output, float(at[0]), sample, generator)
            data = self.steps.data.to(sample.dtype)
            if not return_dict:
                return state, data
            return output_class(prev_sample=state, pred_original_sample=data)

        def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Any) -> Tensor:
            """``alpha x_0 + sigma eps`` at time labels, shape (B,) or one for all."""
            at = torch.as_tensor(timesteps, dtype=torch.float64)
            return self.steps.add_noise(original_samples, noise, at)

        def __len__(self) -> int:
            return int(self.config.num_train_timesteps)

    class FokkerSchedulerOutput(output):
        """``prev_sample`` and ``pred_original_sample``, each of shape (B, *D)."""

        prev_sample: Tensor
        pred_original_sample: Tensor | None = None

    from dataclasses import dataclass

    output_class = dataclass(FokkerSchedulerOutput)
    FokkerScheduler.__module__ = __name__
    FokkerScheduler.__qualname__ = "FokkerScheduler"
    return FokkerScheduler


def _plan_error(message: str) -> Exception:
    from ..errors import InvalidPlanError

    return InvalidPlanError(message)
