"""Samplers of k-diffusion (Crowson et al.) as foreign samplers.

k-diffusion's package imports image models and torchvision; its samplers are one file of functions,
``k_diffusion/sampling.py``, that needs none of that. It is loaded by itself, with a stand-in for
the one helper that it takes from its package (``append_dims``), unless the whole package has been
imported already. So ``pip install --no-deps k-diffusion`` is enough.

Sample and levels are those of ``x_0 + sigma eps``. Noise samplers are given increments of one
Brownian path in sigma. Two functions choose their own levels between two ends (``dpm_fast``,
``dpm_adaptive``): they have :func:`native` levels only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..grids import Grid, grid_from_sigmas
from ..process import Process
from ..schedules import EDM
from .callable_box import from_sigmas
from .foreign import Foreign
from .foreign_error import ForeignError
from .intercept import Intercept
from .levels import asked_level, lam_of_rho

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0
"""The levels of the EDM paper, the default of :func:`native`."""

_PACKAGE = "fokker_k_diffusion"


def samplers() -> tuple[str, ...]:
    """Names of all sampling functions, without ``sample_``."""
    found = (n for n in vars(_sampling()) if n.startswith("sample_"))
    return tuple(sorted(n.removeprefix("sample_") for n in found))


def on_grid(
    name: str, process: Process, grid: Grid, *, exact: bool = True, **options: Any
) -> Foreign:
    """A function of k-diffusion on the levels of a grid, whatever the process.

    Raises
    ------
    ForeignError
        If it is not installed, has no such sampler, or the sampler chooses its levels by itself.
    """
    f = function(name)
    if "sigmas" not in inspect.signature(f).parameters:
        msg = f"k-diffusion {name} chooses its levels by itself; it has native levels only"
        raise ForeignError(msg, kind="not supported")
    facts = {"name": f.__name__.removeprefix("sample_"), **_facts()}
    return from_sigmas(f, process, grid, exact=exact, **facts, **options)


def native(
    name: str,
    steps: int,
    *,
    exact: bool = True,
    schedule: str = "karras",
    sigma_min: float = SIGMA_MIN,
    sigma_max: float = SIGMA_MAX,
    **options: Any,
) -> Foreign:
    """A function of k-diffusion on levels of its own (``get_sigmas_<schedule>``), then to 0."""
    f, module = function(name), _sampling()
    process = EDM(sigma_max=sigma_max)
    if "sigmas" not in inspect.signature(f).parameters:
        return _between(f, process, steps, exact, sigma_min, sigma_max, options)
    make = getattr(module, f"get_sigmas_{schedule}", None)
    if make is None:
        known = [n.removeprefix("get_sigmas_") for n in vars(module) if "get_sigmas_" in n]
        msg = f"k-diffusion has no schedule {schedule!r}; accepted: {', '.join(known)}"
        raise ForeignError(msg, kind="unknown name")
    with Intercept(None, float64=exact):
        sigmas = make(steps, sigma_min, sigma_max).double().tolist()
    grid = grid_from_sigmas(process, [min(s, sigma_max) for s in sigmas])
    return on_grid(name, process, grid, exact=exact, **options)


def _between(
    f: Callable[..., Any],
    process: Process,
    steps: int,
    exact: bool,
    low: float,
    high: float,
    options: dict[str, Any],
) -> Foreign:
    """A function that is told two ends, and perhaps a number of evaluations."""
    start, end = (process.node_at_lam(lam_of_rho(rho)) for rho in (high, low))
    accepted = inspect.signature(f).parameters
    given = {"n": steps} if "n" in accepted else {}

    def loop(session: Any, x: Tensor) -> Tensor:
        def model(y: Tensor, sigma: Any, **_: Any) -> Tensor:
            rho = float(torch.as_tensor(sigma, dtype=torch.float64).reshape(-1)[0])
            node = asked_level(f.__name__, process, (start, end), rho)
            return session.model(y, node, label=rho)

        def noise(a: Any, b: Any) -> Tensor:
            return session.path(x, float(b), float(a))

        return f(model, x, low, high, disable=True, noise_sampler=noise, **given, **options)

    return Foreign(
        name=f.__name__.removeprefix("sample_"),
        process=process,
        start=start,
        end=end,
        prediction="data",
        loop=loop,
        exact=exact,
        **_facts(),
    )


def _facts() -> dict[str, Any]:
    return {"library": "k-diffusion", "version": importlib.metadata.version("k-diffusion")}


def function(name: str) -> Callable[..., Any]:
    """The library's own function, with or without ``sample_`` in its name.

    Raises
    ------
    ForeignError
        If k-diffusion is not installed or has no such sampler.
    """
    module = _sampling()
    full = name if name.startswith("sample_") else f"sample_{name}"
    f = getattr(module, full, None)
    if f is None:
        msg = f"k-diffusion has no sampler {name!r}; accepted: {', '.join(samplers())}"
        raise ForeignError(msg, kind="unknown name")
    return f


def _append_dims(x: Tensor, ndim: int) -> Tensor:
    return x.reshape(*x.shape, *[1] * (ndim - x.ndim))


@lru_cache(maxsize=1)
def _sampling() -> ModuleType:
    whole = sys.modules.get("k_diffusion.sampling")
    if whole is not None:
        return whole
    spec = importlib.util.find_spec("k_diffusion")
    if spec is None or spec.origin is None:
        msg = "k-diffusion is not installed; 'pip install --no-deps k-diffusion' is enough"
        raise ForeignError(msg, kind="not installed")
    package = ModuleType(_PACKAGE)
    package.__path__ = []
    helper = ModuleType(f"{_PACKAGE}.utils")
    helper.append_dims = _append_dims  # pyright: ignore[reportAttributeAccessIssue]
    package.utils = helper  # pyright: ignore[reportAttributeAccessIssue]
    own = {package.__name__: package, helper.__name__: helper}
    path = Path(spec.origin).with_name("sampling.py")
    found = importlib.util.spec_from_file_location(f"{_PACKAGE}.sampling", path)
    if found is None or found.loader is None:
        msg = f"k-diffusion is installed without {path.name}"
        raise ForeignError(msg, kind="not installed")
    module = importlib.util.module_from_spec(found)
    sys.modules.update(own)
    try:
        found.loader.exec_module(module)
    except ImportError as error:
        msg = f"k-diffusion cannot be loaded: {error}"
        raise ForeignError(msg, kind="not installed") from error
    finally:
        for key in own:
            sys.modules.pop(key, None)
    return module
