"""Running foreign code in float64 and with our noise, without touching it.

A foreign sampler computes its tables in float32 and draws its own noise. Inside
:class:`Intercept` every request for float32 (an argument ``dtype=torch.float32``, ``.to(...)``,
``.float()``, ``np.float32`` in the modules that are named) is answered in float64, and every
standard normal tensor comes from a function that is given. Both go through torch's own hook for
such things (``TorchFunctionMode``), so nothing of torch is replaced; the name ``np`` of the named
modules is, and is put back when the block is left, whatever happens in it.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Draw = Callable[[Tensor], Tensor]
"""``draw(like)``: standard normal numbers of the shape, dtype and device of ``like``."""

LOW = (torch.float32, torch.float16, torch.bfloat16)
_FACTORIES = (torch.randn, torch.normal)


class Float64Numpy:
    """NumPy, except that its float32 is float64."""

    float32 = np.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class Intercept(TorchFunctionMode):
    """Foreign code in this block sees float64 for float32, and draws its noise from ``draw``.

    Parameters
    ----------
    draw : callable, optional
        Called as ``draw(like)`` in place of ``torch.randn``, ``randn_like``, ``normal`` and
        ``Tensor.normal_``; without it noise is left alone.
    float64 : bool
        Whether to answer in float64 what is asked for in a lower precision.
    modules : iterable of str
        Names of loaded modules whose ``np`` answers in float64, too.
    """

    def __init__(
        self, draw: Draw | None = None, *, float64: bool = True, modules: Iterable[str] = ()
    ) -> None:
        super().__init__()
        self.draw, self.float64 = draw, float64
        self.modules = tuple(modules) if float64 else ()
        self._numpy: list[tuple[Any, Any]] = []
        self._default: torch.dtype | None = None
        self._warnings = warnings.catch_warnings()
        self._asleep = False

    def __enter__(self) -> Intercept:
        """Enter, and give the named modules another ``np``."""
        self._warnings.__enter__()
        warnings.simplefilter("ignore")  # what it says of itself is not for our users
        if self.float64:  # torch.tensor(0.1) asks for nothing and gets the default
            self._default = torch.get_default_dtype()
            torch.set_default_dtype(torch.float64)
        for name in self.modules:
            module = sys.modules.get(name)
            if module is not None and hasattr(module, "np"):
                self._numpy.append((module, module.np))
                module.np = Float64Numpy()  # pyright: ignore[reportAttributeAccessIssue]
        return super().__enter__()

    def __exit__(self, *exc: Any) -> None:
        """Leave, and put everything back."""
        self._warnings.__exit__(*exc)
        if self._default is not None:
            torch.set_default_dtype(self._default)
        while self._numpy:
            module, was = self._numpy.pop()
            module.np = was
        super().__exit__(*exc)

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """A block of our own code, such as the model, inside the foreign one: left alone."""
        inside = torch.get_default_dtype()
        self._asleep = True
        torch.set_default_dtype(self._default or inside)
        try:
            yield
        finally:
            self._asleep = False
            torch.set_default_dtype(inside)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer one call of torch."""
        kwargs = dict(kwargs or {})
        if self._asleep:
            return func(*args, **kwargs)
        if self.float64:
            args, kwargs = tuple(_up(a) for a in args), {k: _up(v) for k, v in kwargs.items()}
        if self.draw is not None:
            drawn = self._noise(func, args, kwargs)
            if drawn is not None:
                return drawn
        if self.float64 and func in (Tensor.float, Tensor.half, Tensor.bfloat16):
            func = Tensor.double
        out = func(*args, **kwargs)
        if self.float64 and isinstance(out, Tensor) and out.dtype in LOW:
            return out.double()
        return out

    def _noise(self, func: Any, args: tuple, kwargs: dict) -> Tensor | None:
        """What a request for normal numbers is answered with; None for every other call."""
        draw = self.draw
        if draw is None:
            return None
        if func is torch.randn_like:
            like = args[0] if args else kwargs["input"]
            return draw(like.to(kwargs["dtype"]) if kwargs.get("dtype") else like)
        if func is Tensor.normal_:
            mean, std = (*args[1:3], *(0.0, 1.0)[len(args[1:3]) :])
            mean, std = kwargs.get("mean", mean), kwargs.get("std", std)
            return args[0].copy_(draw(args[0]) * std + mean)
        if func in _FACTORIES:
            for word in ("generator", "names", "out", "pin_memory"):
                kwargs.pop(word, None)
            if func is torch.normal:
                mean = kwargs.pop("mean", args[0] if args else 0.0)
                std = kwargs.pop("std", args[1] if len(args) > 1 else 1.0)
                if isinstance(mean, Tensor) or isinstance(std, Tensor):
                    like = mean if isinstance(mean, Tensor) else std
                else:
                    like = torch.empty(kwargs.pop("size", args[2] if len(args) > 2 else ()))
                return draw(like) * std + mean
            if "size" in kwargs:
                args, kwargs = (kwargs.pop("size"),), kwargs
            return draw(torch.empty(*args, **kwargs))
        return None


def _up(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in LOW else value
