"""A network with all that sampling must know about it, and the models that it is asked as.

A sampler calls ``model(x, t)``. A network needs more: the class or the text that it is asked for,
the number by which it knows the level of noise, the range of levels that it was trained on. A
:class:`Network` carries that, and :meth:`Network.model` binds what is asked for to a plain model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..engine.upload import upload
from ..grids import Grid, uniform_lam
from ..model import PREDICTIONS, SIGMA_DATA, BatchModel, Model
from ..process import DATA, Process
from ..wrappers.conditional import guided
from ..wrappers.wrapping import converted, nodes_of
from .errors import NetworkError
from .rows import Call, asked_by_row, doubled, one_time


@dataclass(frozen=True, eq=False)
class Network:
    """One network, trained or exact.

    Attributes
    ----------
    name : str
        What it is called in tables and manifests.
    call : callable
        ``call(x, t, labels) -> output`` with x of shape (B, *shape), t a float (the time of the
        process), labels an integer tensor (B,) or None without classes; the output has the shape
        of x. The label ``classes`` stands for "no class". A callable with an attribute
        ``takes_rows`` that is true is also asked with t of shape (B,), a time for each row; any
        other is asked once for each different time.
    process : Process
        The forward process that it was trained on.
    prediction : str
        What it gives, one of :data:`fokker.solvers.model.PREDICTIONS`.
    shape : tuple of int
        Shape of one sample, such as (3, 32, 32).
    lam_range : (float, float)
        The noisiest and the cleanest half log-SNR that it knows.
    classes : int
        Number of classes; 0 for an unconditional network.
    null_class : bool
        Whether a network with classes can be asked without one, by the label ``classes``.
    sigma_data : float
        The constant of the prediction ``"edm"``.
    module : nn.Module, optional
        The module inside, for moving it, compiling it and counting its parameters.
    about : mapping
        Where it comes from, in words and numbers that JSON can hold; for manifests.

    Raises
    ------
    NetworkError
        For an unknown prediction, a shape or a range of levels that is none.
    """

    name: str
    call: Call
    process: Process
    prediction: str
    shape: tuple[int, ...]
    lam_range: tuple[float, float]
    classes: int = 0
    null_class: bool = True
    sigma_data: float = SIGMA_DATA
    module: nn.Module | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            msg = f"unknown prediction {self.prediction!r}; accepted: {', '.join(PREDICTIONS)}"
            raise NetworkError(msg)
        if not self.shape or min(self.shape) < 1:
            msg = f"the shape of a sample must be positive integers, got {self.shape}"
            raise NetworkError(msg)
        low, high = self.lam_range
        if not -math.inf < low < high < math.inf:
            msg = f"lam_range must be finite and increasing, got ({low}, {high})"
            raise NetworkError(msg)

    def model(
        self,
        labels: Sequence[int] | Tensor | None = None,
        *,
        prediction: str | None = None,
        guidance: float = 1.0,
        interval: tuple[float, float] = (-math.inf, math.inf),
        autocast: torch.dtype | None = None,
        paired: bool = True,
    ) -> Model:
        """The plain model ``model(x, t)`` for one batch; t is a float, or (B,) with a time a row.

        With labels it is a :class:`~fokker.solvers.model.BatchModel`, which also serves a sampler
        that leaves some rows alone.

        Parameters
        ----------
        labels : sequence of int, optional
            One class for each row of the batch, 0 .. classes - 1, or ``classes`` for none; all
            rows without a class if not given.
        prediction : str, optional
            What the model shall give; that of the network by default.
        guidance : float
            Weight w of classifier-free guidance: 0 without the classes, 1 with them, more beyond.
        interval : (float, float)
            Levels lam at which guidance acts; see
            :func:`fokker.solvers.wrappers.conditional.guided`.
        autocast : dtype, optional
            The network computes under autocast in this dtype; its answer has the dtype of x.
        paired : bool
            Whether guidance asks the network once, for a batch of twice the size, or two times.
            The same to rounding; one call starts half as many kernels and holds twice the memory.

        Raises
        ------
        NetworkError
            For labels of an unconditional network, outside the classes, or guidance without them.
        """
        bound = self._labels(labels)
        if bound is None and guidance != 1.0:
            msg = f"guidance {guidance:g} needs labels; {self.name!r} was asked without any"
            raise NetworkError(msg)
        if self.classes and not self.null_class and (bound is None or guidance != 1.0):
            msg = f"the network {self.name!r} cannot be asked without a class; give labels only"
            raise NetworkError(msg)

        def of(rows: Tensor | None) -> Model:
            model = self._bound(rows, autocast)
            if guidance != 1.0 and rows is not None:
                none = torch.full_like(rows, self.classes)
                both = self._bound(torch.cat([rows, none]), autocast)
                model = guided(
                    model,
                    self._bound(none, autocast),
                    self.process,
                    weight=guidance,
                    interval=interval,
                    both=(lambda x, t: both(*doubled(x, t)).chunk(2)) if paired else None,
                )
            return self._converted(model, prediction or self.prediction)

        if bound is None:
            return of(None)
        return BatchModel(of(bound), lambda places: of(bound[torch.as_tensor(places)]))

    def grid(self, steps: int, *, to_zero: bool = True) -> Grid:
        """Grid of ``steps`` steps over the range of the network, uniform in lam.

        With ``to_zero`` the last of them goes from the cleanest level to sigma = 0.
        """
        spacing = uniform_lam(self.process, *self.lam_range)
        if to_zero and isinstance(steps, int) and steps > 1:
            return spacing.grid(steps - 1, to_zero=True)
        grid = spacing.grid(steps)  # also refuses what is no number of steps
        # one step from noise to data: the cleanest level is not visited
        return Grid((grid[0], DATA)) if to_zero else grid

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same network elsewhere; its module is moved in place, as PyTorch does."""
        if self.module is not None:
            self.module.to(device=device, dtype=dtype)
        return self

    def named(self, name: str) -> Self:
        """The same network under another name."""
        return replace(self, name=name)

    def _labels(self, labels: Sequence[int] | Tensor | None) -> Tensor | None:
        if labels is None:
            return None
        found = torch.as_tensor(labels)
        if not self.classes:
            msg = f"the network {self.name!r} has no classes, but labels were given"
            raise NetworkError(msg)
        if found.ndim != 1 or found.is_floating_point() or found.dtype == torch.bool:
            msg = f"labels must be integers of shape (B,), got {found.dtype} {tuple(found.shape)}"
            raise NetworkError(msg)
        most = self.classes if self.null_class else self.classes - 1
        wrong = found[(found < 0) | (found > most)]
        if len(wrong):
            none = f", and {self.classes} for none" if self.null_class else ""
            msg = (
                f"label {int(wrong[0])} is no class of {self.name!r}; accepted: "
                f"0 .. {self.classes - 1}{none}"
            )
            raise NetworkError(msg)
        return found.long()

    def _converted(self, model: Model, target: str) -> Model:
        """A model of the network's prediction as one of another."""
        if target == self.prediction:
            return model

        def seen(x: Tensor, t: Any) -> Tensor:
            nodes = nodes_of(self.process, t, x)
            return converted(model(x, t), x, nodes, self.prediction, target, self.sigma_data)

        return seen

    def _bound(self, labels: Tensor | None, autocast: torch.dtype | None) -> Model:
        """The network at fixed labels; on every device they are sent to once."""
        moved: dict[torch.device, Tensor] = {}
        call = self.call if getattr(self.call, "takes_rows", False) else asked_by_row(self.call)

        def model(x: Tensor, t: Any) -> Tensor:
            if tuple(x.shape[1:]) != self.shape:
                wanted = ", ".join(map(str, self.shape))
                msg = f"{self.name!r} takes x of shape (B, {wanted}), got {tuple(x.shape)}"
                raise NetworkError(msg)
            rows = self._rows(labels, x, moved)
            context = nullcontext()
            if autocast is not None:
                context = torch.autocast(x.device.type, dtype=autocast)
            with context:
                return call(x, one_time(t, x), rows).to(x.dtype)

        return model

    def _rows(
        self, labels: Tensor | None, x: Tensor, moved: dict[torch.device, Tensor]
    ) -> Tensor | None:
        if not self.classes:
            return None
        device = torch.device("cpu") if getattr(self.call, "host_labels", False) else x.device
        if labels is None:
            return torch.full((x.shape[0],), self.classes, device=device)
        if len(labels) != x.shape[0]:
            msg = f"{len(labels)} labels were given for a batch of {x.shape[0]}"
            raise NetworkError(msg)
        if device not in moved:
            moved[device] = upload(labels, device, labels.dtype)
        return moved[device]
