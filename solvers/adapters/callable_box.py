"""Any function that samples, as a foreign sampler: two calling conventions.

* :func:`from_sigmas`: ``f(model, x, sigmas, **options)``, the convention of k-diffusion. The model
  is called as ``model(x, sigma, **extra)`` with ``sigma`` of shape (B,) or (), and gives the data
  prediction; x is ``x_0 + sigma eps``, whatever the process is.
* :func:`from_times`: ``f(model, x, times, **options)``. The model is called as ``model(x, t)``
  with a time of the process and gives the prediction that is named; x is a state of the process.

:func:`load` brings the module of a file, for authors who publish their sampler as one.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..grids import Grid
from ..process import Process
from .foreign import Foreign
from .foreign_error import ForeignError
from .levels import asked_level, node_near

Function = Callable[..., Tensor]


class _Source(SourceFileLoader):
    """Runs the bytes that it read, never bytecode: that of a file edited within a second is old.

    So :func:`source_digest` speaks of what was run, and no ``__pycache__`` is left beside it.
    """

    data = b""

    def get_data(self, path: str) -> bytes:
        self.data = super().get_data(path)
        return self.data

    def path_stats(self, path: str) -> Mapping[str, Any]:
        raise OSError(errno.ENOTSUP, "no bytecode", path)


def source_digest(module: ModuleType) -> str:
    """SHA-256 of the bytes of the file that :func:`load` ran, 64 hexadecimal digits."""
    loader = module.__loader__
    return hashlib.sha256(loader.data if isinstance(loader, _Source) else b"").hexdigest()


def load(path: str | Path) -> ModuleType:
    """The module in a file; whatever stands at its top level is run.

    Raises
    ------
    ForeignError
        If there is no such file, or it does not run.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"there is no file {str(path)!r}"
        raise ForeignError(msg, kind="not installed")
    name = f"fokker_foreign_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Source(name, str(path)))
    if spec is None or spec.loader is None or path.suffix != ".py":
        msg = f"{str(path)!r} is not a Python file"
        raise ForeignError(msg, kind="not installed")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # anybody's code
        msg = f"{path.name} raised {type(error).__name__} when it was loaded: {error}"
        raise ForeignError(msg, kind="raised") from error
    return module


def from_sigmas(
    f: Function,
    process: Process,
    grid: Grid,
    *,
    name: str | None = None,
    library: str = "a function",
    version: str = "",
    exact: bool = True,
    modules: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    **options: Any,
) -> Foreign:
    """A function of ``(model, x, sigmas)`` on the levels of a grid.

    A parameter ``noise_sampler`` of the function is given increments of one Brownian path in
    sigma; what it draws otherwise is drawn for it.

    Raises
    ------
    ForeignError
        If the grid starts at ``alpha = 0``, where sigma is infinite.
    """
    label = name or getattr(f, "__name__", "function")
    if grid[0].alpha == 0.0:
        msg = f"{label} cannot start at alpha = 0, where sigma is infinite"
        raise ForeignError(msg, kind="not supported")
    accepted = inspect.signature(f).parameters
    extra: dict[str, Any] = {k: v for k, v in {"disable": True}.items() if k in accepted}

    def loop(session: Any, x: Tensor) -> Tensor:
        def model(y: Tensor, sigma: Any, *_: Any, **__: Any) -> Tensor:
            rho = float(torch.as_tensor(sigma, dtype=torch.float64).reshape(-1)[0])
            node = asked_level(label, process, grid.nodes, rho)
            return session.model(y * node.alpha, node, label=rho)

        sigmas = torch.tensor([node.rho for node in grid.nodes], dtype=x.dtype)
        given = dict(extra)
        if "noise_sampler" in accepted:
            given["noise_sampler"] = lambda a, b: session.path(x, float(b), float(a))
        out = f(model, x / grid[0].alpha, sigmas, **given, **options)
        return out * grid[-1].alpha

    return Foreign(
        name=label,
        library=library,
        version=version,
        process=process,
        start=grid[0],
        end=grid[-1],
        prediction="data",
        loop=loop,
        exact=exact,
        modules=(getattr(f, "__module__", ""), *modules),
        notes=notes,
    )


def from_times(
    f: Function,
    process: Process,
    grid: Grid,
    *,
    prediction: str = "noise",
    name: str | None = None,
    library: str = "a function",
    version: str = "",
    exact: bool = True,
    modules: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    **options: Any,
) -> Foreign:
    """A function of ``(model, x, times)`` on the times of a grid."""
    nodes = {node.t: node for node in grid.nodes}

    def loop(session: Any, x: Tensor) -> Tensor:
        def model(y: Tensor, t: Any, *_: Any, **__: Any) -> Tensor:
            time = float(torch.as_tensor(t, dtype=torch.float64).reshape(-1)[0])
            node = nodes.get(time) or process.node(time)
            node = node_near(process, grid.nodes, node.lam)
            return session.model(y, node, label=time)

        times = torch.tensor([node.t for node in grid.nodes], dtype=x.dtype)
        return f(model, x, times, **options)

    return Foreign(
        name=name or getattr(f, "__name__", "function"),
        library=library,
        version=version,
        process=process,
        start=grid[0],
        end=grid[-1],
        prediction=prediction,
        loop=loop,
        exact=exact,
        modules=(getattr(f, "__module__", ""), *modules),
        notes=notes,
    )
