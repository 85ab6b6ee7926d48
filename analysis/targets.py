"""What is to be certified: samplers by name, or functions in a user's own file.

A user's file is run as ``import`` runs it. A function declared there with ``@sampler`` brings its
claims along; a bare function ``(process, grid) -> Plan`` is given one: its order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..solvers.errors import FokkerError, InvalidPlanError
from ..solvers.grids import Grid, uniform_lam
from ..solvers.plan import Eval, Noise, Plan
from ..solvers.registry import Sampler, get, register, samplers
from ..solvers.schedules import VPLinear


class TargetError(FokkerError, ValueError):
    """A sampler in a user's own file cannot be loaded, or is not what it must be."""


def resolve(words: Sequence[str], order: int | None = None) -> tuple[Sampler, ...]:
    """The samplers that words stand for, each once, in their order; all of them for no words.

    Parameters
    ----------
    words : sequence of str
        A registered name; ``file.py:function``; or ``file.py`` for all that the file declares.
    order : int, optional
        What a bare function, not declared with ``@sampler``, claims.

    Raises
    ------
    UnknownSamplerError
        With the nearest names.
    TargetError
        If a file is missing, cannot be imported, or has no such function, or a bare function
        claims nothing or builds no plan.
    """
    known = samplers()  # first of all: a user's file must not take the name of a registered one
    if not words:
        return known
    found: dict[str, Sampler] = {}
    modules: dict[Path, ModuleType] = {}
    used = False
    for word in words:
        path, function = _split(word)
        if path is None:
            entries = [get(word)]
        else:
            if path not in modules:
                modules[path] = _load(path)
            module = modules[path]
            declared = [s for s in samplers() if s.build.__module__ == module.__name__]
            entries, bare = _entries(module, path, function, declared, order)
            used |= bare
        found |= {s.name: s for s in entries}
    if order is not None and not used:
        msg = f"--order {order} is for a bare function of your own; {words[0]} declares its order"
        raise TargetError(msg)
    return tuple(found.values())


def _split(word: str) -> tuple[Path | None, str]:
    """Path and function of ``file.py:function``; no path for a plain name."""
    head, colon, tail = word.rpartition(":")
    if colon and head.endswith(".py"):
        return Path(head).expanduser().absolute(), tail
    if word.endswith(".py"):
        return Path(word).expanduser().absolute(), ""
    return None, ""


def _load(path: Path) -> ModuleType:
    """Import a file as ``import`` would from its own folder."""
    if not path.is_file():
        msg = f"there is no file {str(path)!r}"
        raise TargetError(msg)
    stem = path.stem
    names = (stem, "fokker_user_" + "".join(c if c.isalnum() else "_" for c in stem))
    for name in names:
        if getattr(sys.modules.get(name), "__file__", None) == str(path):
            return sys.modules[name]  # loaded before: its samplers are registered already
    free = stem.isidentifier() and stem not in sys.modules and find_spec(stem) is None
    name = names[0] if free else names[1]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last: a user's random.py must not hide the library's
    loader = SourceFileLoader(name, str(path))
    module = module_from_spec(ModuleSpec(name, loader, origin=str(path)))
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, FokkerError):
            raise
        msg = f"{path.name} cannot be imported: {_told(error)}"
        raise TargetError(msg) from error
    return module


def _entries(
    module: ModuleType, path: Path, function: str, declared: Sequence[Sampler], order: int | None
) -> tuple[list[Sampler], bool]:
    """Samplers of a loaded file, and whether ``order`` was used."""
    if not function:
        if not declared:
            msg = f"{path.name} declares no sampler with @sampler; name a function: {path.name}:f"
            raise TargetError(msg)
        return list(declared), False
    build = getattr(module, function, None)
    of_build = [s for s in declared if s.build is build or s.name == function]
    if of_build:
        return of_build, False
    if not callable(build):
        own = [
            k for k, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        hint = f"it has: {', '.join(own)}" if own else "it defines no function"
        msg = f"{path.name} has no function {function!r}; {hint}"
        raise TargetError(msg)
    return [_bare(build, function, path, order)], True


def _bare(build: Callable[..., Any], name: str, path: Path, order: int | None) -> Sampler:
    """A sampler made of a function ``(process, grid) -> Plan`` and the order it claims."""
    plan = trial(build, name, 4)
    if order is None:
        msg = f"{name} claims nothing: give --order N, or declare it with @sampler in {path.name}"
        raise TargetError(msg)
    if any(isinstance(op, Noise) for op in plan.ops):
        msg = f"{name} draws noise: declare it with @sampler(weak=..., weak_cold=..., sde_eta=...)"
        raise TargetError(msg)
    asked = [op.prediction for op in plan.ops if isinstance(op, Eval)]
    if not asked:
        msg = f"{name} never evaluates the model"
        raise TargetError(msg)
    doc = (build.__doc__ or "").strip().partition("\n")[0]
    return register(
        Sampler(
            name=name, build=build, order=order, order_cold=order, nfe=partial(_nfe, build, name),
            prediction=asked[0], source=f"{path.name}, {name}", family="own", note=doc,
        )
    )  # fmt: skip


def _nfe(build: Callable[..., Any], name: str, steps: int) -> int:
    return trial(build, name, steps).nfe


def trial(build: Callable[..., Any], name: str, steps: int) -> Plan:
    """The plan of a user's function on a small grid, or a sentence that says why there is none."""
    process = VPLinear()
    grid: Grid = uniform_lam(process, -1.5, 1.5).grid(steps)
    try:
        plan = build(process, grid)
    except FokkerError as error:
        msg = f"{name}(process, grid) of {steps} steps fails: {error}"
        raise InvalidPlanError(msg) from error
    except Exception as error:
        msg = f"{name}(process, grid) of {steps} steps fails with {_told(error)}"
        raise TargetError(msg) from error
    if not isinstance(plan, Plan):
        msg = f"{name}(process, grid) must return a Plan, got {type(plan).__name__}"
        raise TargetError(msg)
    if "x" not in plan.outputs:
        msg = f"the plan of {name} must have the output 'x', got {sorted(plan.outputs)}"
        raise TargetError(msg)
    return plan


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
