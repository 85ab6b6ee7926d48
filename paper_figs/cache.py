"""Data of figures, computed once: a cache keyed by the inputs and by the source that made them.

The key is a hash of three things: the inputs, the versions of the numerical libraries, and the
source that the function reaches. Of its own module that is the function and the names it uses, so
that a change of the drawing keeps the data; of the rest of the project it is every module that is
imported on the way. Comments and layout do not count: the syntax tree is hashed.

A cache file that is missing, of another key, cut short or changed by hand is computed again.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..solvers.files import write_text_atomic

ROOT = Path(__file__).resolve().parents[1]
"""The folder of the rooms ``solvers``, ``toy_models``, ``analysis``, ``paper_figs``."""

LIBRARIES = ("numpy", "scipy", "torch", "scikit-learn", "torchdiffeq")
_LOADS_ITS_FOLDER = ROOT / "solvers" / "registry.py"
"""The registry imports every module beside it by name, which no import statement shows."""

Data = dict[str, Any]


def versions() -> dict[str, str]:
    """Versions that numbers may depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def inputs_of(function: Callable[..., Data], **changed: Any) -> dict[str, Any]:
    """All inputs of a data function: its defaults, and what is changed."""
    bound = inspect.signature(function).bind(**changed)
    bound.apply_defaults()
    return dict(bound.arguments)


def fingerprint(function: Callable[..., Data], inputs: Mapping[str, Any]) -> str:
    """Hash of inputs, library versions and source: equal keys mean equal data."""
    parts = [json.dumps([inputs, versions()], sort_keys=True)]
    parts += [f"{name}\n{text}" for name, text in sources(function)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def cached(
    function: Callable[..., Data], name: str, folder: Path, **changed: Any
) -> tuple[Data, bool]:
    """``function(**changed)``, from the cache if it holds it.

    Parameters
    ----------
    function : callable
        A data function: inputs with defaults, to plain data (what JSON can hold).
    name : str
        Of the cache file, ``name.json``.
    folder : Path
        An existing folder.

    Returns
    -------
    (dict, bool)
        The data, and whether they were computed now. They went through JSON in either case, so
        that a drawing cannot depend on which.

    Raises
    ------
    OutputError
        If the cache file cannot be written.
    """
    path, inputs = folder / f"{name}.json", inputs_of(function, **changed)
    key = fingerprint(function, inputs)
    found = _read(path, key)
    if found is not None:
        return found, False
    text = json.dumps(function(**inputs), allow_nan=False)
    entry = {"key": key, "digest": _digest(text), "data": text}
    write_text_atomic(path, json.dumps(entry))
    return json.loads(text), True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path, key: str) -> Data | None:
    """The data of a whole cache file of that key, or None."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        text = entry["data"]
        whole = entry["key"] == key and entry["digest"] == _digest(text)
        return json.loads(text) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def sources(function: Callable[..., Data]) -> list[tuple[str, str]]:
    """``(file, syntax)`` of all that a function reaches in this project, in order of names.

    A function from outside the project has no others: its own module is taken as a whole.
    """
    home = Path(inspect.getfile(function)).resolve()
    tree = ast.parse(home.read_text(encoding="utf-8"))
    reached = _reached(tree, function.__name__)
    out = [(home.name, "\n".join(ast.unparse(node) for node in reached))]
    files: set[Path] = set()
    for node in reached:
        for file in _targets(node, home):
            files |= _closure(file)
    if _LOADS_ITS_FOLDER in files:
        for file in sorted(_LOADS_ITS_FOLDER.parent.rglob("*.py")):
            files |= _closure(file)
    return out + [(str(file.relative_to(ROOT)), _syntax(file)) for file in sorted(files)]


def _reached(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The top-level statements of a module that bind what a name needs, in their order."""
    binds: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for bound in _bound(node):
            binds.setdefault(bound, []).append(node)
    wanted, seen, kept = [name], set(), set()
    while wanted:
        word = wanted.pop()
        if word in seen:
            continue
        seen.add(word)
        for node in binds.get(word, ()):
            kept.add(id(node))
            wanted += [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    return [node for node in tree.body if id(node) in kept]


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that a top-level statement binds."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    else:
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _syntax(file: Path) -> str:
    return ast.unparse(_tree(file))


@cache
def _imports(file: Path) -> frozenset[Path]:
    """Files of this project that a file imports, also inside its functions."""
    return frozenset(target for node in ast.walk(_tree(file)) for target in _targets(node, file))


def _targets(node: ast.AST, file: Path) -> Iterator[Path]:
    """Files of this project that a relative import names."""
    if not (isinstance(node, ast.ImportFrom) and node.level and file.is_relative_to(ROOT)):
        return
    base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
    for place in (base, *(base / alias.name for alias in node.names)):
        for candidate in (place.with_name(place.name + ".py"), place / "__init__.py"):
            if candidate.is_file():
                yield candidate


def _closure(file: Path) -> set[Path]:
    """A file and all that it imports, and so on."""
    seen: set[Path] = set()
    wanted = [file]
    while wanted:
        here = wanted.pop()
        if here not in seen:
            seen.add(here)
            wanted += _imports(here)
    return seen
