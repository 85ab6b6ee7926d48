"""What a gradient is taken by, besides the start of a run."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..errors import InvalidPlanError
from ..heads import Heads
from ..model import Model


def parameters_of(model: Model) -> tuple[Tensor, ...]:
    """The parameters of a model that is a module and wants gradients; none of others.

    Of several :class:`~fokker.solvers.heads.Heads` those of all of them, each once.
    """
    models = model.values() if isinstance(model, Heads) else [model]
    modules = [one for one in models if isinstance(one, nn.Module)]
    found = {id(p): p for one in modules for p in one.parameters() if p.requires_grad}
    return tuple(found.values())


def wanted_parameters(model: Model, given: Sequence[Tensor] | None) -> tuple[Tensor, ...]:
    """What was asked for, or the parameters of the model.

    Raises
    ------
    InvalidPlanError
        If one of those given is no tensor that wants a gradient.
    """
    if given is None:
        return parameters_of(model)
    for k, p in enumerate(given):
        if not (isinstance(p, Tensor) and p.requires_grad):
            what = f"{p.dtype} {tuple(p.shape)}" if isinstance(p, Tensor) else type(p).__name__
            msg = f"params[{k}] ({what}) wants no gradient; set requires_grad or leave it out"
            raise InvalidPlanError(msg)
    return tuple(given)
