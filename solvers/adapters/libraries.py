"""Foreign samplers by name: ``library:name``, or ``file.py:function``.

==============  =====================================  ==========================================
library         names                                  needs
==============  =====================================  ==========================================
``diffusers``   scheduler classes: ``DDIM``            ``pip install diffusers``
``k-diffusion`` functions: ``dpmpp_2m``                ``pip install --no-deps k-diffusion``
``azula``       sampler classes: ``zABSampler``        ``pip install --no-deps azula``
``x.py``        functions ``f(model, x, sigmas)``      the file
``x.py``        ``DPM_Solver``, ``UniPC``              the authors' file (``authors_box.py``)
==============  =====================================  ==========================================

k-diffusion and azula declare torchvision and more, which their samplers do not use: hence
``--no-deps``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ..grids import Grid, grid_from_sigmas, karras, power_t
from ..process import Process
from ..schedules import EDM
from ..schedules_vp import VPLinear
from . import authors_box, azula_box, diffusers_box, kdiffusion_box
from .callable_box import from_sigmas, load
from .foreign import Foreign
from .foreign_error import ForeignError

BOXES: dict[str, ModuleType] = {
    "azula": azula_box,
    "diffusers": diffusers_box,
    "k-diffusion": kdiffusion_box,
}


def names(library: str) -> tuple[str, ...]:
    """Names of all samplers of an installed library.

    Raises
    ------
    ForeignError
        Of kind ``"not installed"`` or ``"unknown name"``.
    """
    box = _box(library)
    return box.schedulers() if library == "diffusers" else box.samplers()


def native(spec: str, steps: int, *, exact: bool = True, **options: Any) -> Foreign:
    """The sampler ``library:name`` on its library's own levels.

    A function of a file is put on the Karras levels from sigma = 80 to 0.002, then 0; an authors'
    class on equal steps in time of the linear variance-preserving process, from 1 to 0.001.
    """
    library, name = _split(spec)
    if name in authors_box.CLASSES:
        process = VPLinear()
        grid = power_t(process, 1.0, 1e-3).grid(steps)
        return authors_box.on_grid(library, process, grid, exact=exact, **options)
    if library.endswith(".py"):
        process = EDM()
        levels = karras(process, 80.0, 0.002).grid(max(steps - 1, 1)).nodes
        sigmas = [node.rho for node in levels][:steps]
        grid = grid_from_sigmas(process, [*sigmas, 0.0])
        return from_sigmas(_function(library, name), process, grid, exact=exact, **options)
    return _box(library).native(name, steps, exact=exact, **options)


def on_grid(
    spec: str, process: Process, grid: Grid, *, exact: bool = True, **options: Any
) -> Foreign:
    """The sampler ``library:name`` on a grid of ours."""
    library, name = _split(spec)
    if name in authors_box.CLASSES:
        return authors_box.on_grid(library, process, grid, exact=exact, **options)
    if library.endswith(".py"):
        return from_sigmas(_function(library, name), process, grid, exact=exact, **options)
    return _box(library).on_grid(name, process, grid, exact=exact, **options)


def _split(spec: str) -> tuple[str, str]:
    library, colon, name = spec.rpartition(":")
    if not (colon and library and name):
        msg = f"a foreign sampler is named LIBRARY:NAME or FILE.py:FUNCTION, got {spec!r}"
        raise ForeignError(msg, kind="unknown name")
    return library, name


def _box(library: str) -> ModuleType:
    if library == "skrample":
        msg = (
            "skrample needs Python 3.12 and has no box here; a function of a file, "
            "f(model, x, sigmas), may call it"
        )
        raise ForeignError(msg, kind="not supported")
    box = BOXES.get(library.replace("_", "-"))
    if box is None:
        msg = f"unknown library {library!r}; accepted: {', '.join(BOXES)}, or a file ending in .py"
        raise ForeignError(msg, kind="unknown name")
    return box


def _function(path: str, name: str) -> Callable[..., Any]:
    found = getattr(load(Path(path)), name, None)
    if not callable(found):
        msg = f"{path} has no function {name!r}"
        raise ForeignError(msg, kind="unknown name")
    return found
