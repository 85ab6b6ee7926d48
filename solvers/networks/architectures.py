"""Architectures by name: what a folder may ask to be built, and nothing else.

A saved network names its architecture in this table and gives numbers for it. An import path in
its place would let the folder run any code on this machine.

Examples
--------
>>> @architecture("two-weights", asked="time")
... class TwoWeights(nn.Module):
...     def __init__(self, start: float) -> None:
...         super().__init__()
...         self.config = {"start": start}
...         self.weight = nn.Parameter(torch.full((2,), start))
...
...     def forward(self, z, c, labels):
...         return self.weight * z
>>> config_of(build_module("two-weights", {"start": 1.0}))
('two-weights', {'start': 1.0})
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .asking import ASKED
from .errors import NetworkError, told

Kind = TypeVar("Kind", bound=type[nn.Module])

BUILT_IN = ("unet",)
"""Modules of this package that register architectures when they are imported."""


@dataclass(frozen=True)
class Architecture:
    """One entry: ``build(**config)`` makes a module ``F(z, c, labels)`` that is asked so.

    The module keeps what it was built from in an attribute ``config`` that JSON can hold, and can
    be built on the device ``"meta"``, that is, without looking at its own numbers.
    """

    name: str
    build: Callable[..., nn.Module]
    asked: str


_TABLE: dict[str, Architecture] = {}


def architecture(name: str, *, asked: str = "time") -> Callable[[Kind], Kind]:
    """Enter a class of modules into the table.

    Parameters
    ----------
    name : str
        By which folders name it.
    asked : str
        How its modules are asked unless a folder says otherwise; see :mod:`.asking`.

    Raises
    ------
    NetworkError
        If the name is taken by another class, or the way of asking is unknown.
    """
    if asked not in ASKED:
        msg = f"unknown way of asking a module {asked!r}; accepted: {', '.join(ASKED)}"
        raise NetworkError(msg)

    def enter(kind: Kind) -> Kind:
        taken = _TABLE.get(name)
        if taken is not None and getattr(taken.build, "__qualname__", "") != kind.__qualname__:
            msg = f"the architecture {name!r} is there already"
            raise NetworkError(msg)
        _TABLE[name] = Architecture(name, kind, asked)
        return kind

    return enter


def get_architecture(name: str) -> Architecture:
    """The entry of that name.

    Raises
    ------
    NetworkError
        If there is none; the nearest names are offered.
    """
    for module in BUILT_IN:
        import_module(f".{module}", __package__)
    if name in _TABLE:
        return _TABLE[name]
    near = difflib.get_close_matches(name, _TABLE, n=3) or sorted(_TABLE)
    msg = f"unknown architecture {name[:80]!r}; accepted: {', '.join(near)}"
    raise NetworkError(msg)


class Undrawn(TorchFunctionMode):
    """Draws no numbers where none is looked at; on "meta" PyTorch takes a second to learn how."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Leave the tensor of a random initialisation as it is."""
        named = kwargs or {}
        if func.__name__ in ("normal_", "uniform_"):
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def build_module(name: str, config: Mapping[str, Any], device: Any = "cpu") -> nn.Module:
    """A fresh module; the state of the global generators is as it was afterwards.

    Raises
    ------
    NetworkError
        For an unknown name, or numbers of which the architecture makes nothing.
    """
    entry = get_architecture(name)
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device), _drawing(device):
            return entry.build(**config)
    except NetworkError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as reason:
        given = told(dict(config))
        msg = f"the architecture {name!r} cannot be built from {given}: {told(reason)}"
        raise NetworkError(msg) from reason


def _drawing(device: Any) -> AbstractContextManager[Any]:
    return Undrawn() if torch.device(device).type == "meta" else nullcontext()


def config_of(module: Any) -> tuple[str, dict[str, Any]]:
    """Name and numbers of which a module was built.

    Raises
    ------
    NetworkError
        If its class is not in the table, or it keeps no ``config``.
    """
    for entry in _TABLE.values():
        if type(module) is entry.build:
            config = getattr(module, "config", None)
            if not isinstance(config, Mapping):
                msg = f"a module of the architecture {entry.name!r} must keep its config"
                raise NetworkError(msg)
            return entry.name, dict(config)
    msg = (
        f"a {type(module).__name__} is of no registered architecture; "
        "enter its class with @architecture(name)"
    )
    raise NetworkError(msg)
