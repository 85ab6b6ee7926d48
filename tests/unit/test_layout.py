"""The house stands as drawn: links, guards, one direction of imports, no dangerous calls."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("solvers", "toy_models", "analysis", "paper_figs")  # imports only go left
LONGEST_MODULE = 450  # the aim is 300


def sources() -> list[Path]:
    """Every file of the project's own code, once."""
    folders = [ROOT / room for room in ROOMS]
    folders += [ROOT / "src/fokker/cli", ROOT / "benchmarks", ROOT / "notebooks"]
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    return [*files, *sorted((ROOT / "src/fokker").glob("*.py"))]


def module_name(file: Path) -> str:
    """Dotted name: solvers/sde/heun.py is fokker.solvers.sde.heun, a package ends in __init__."""
    relative = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(relative[1:] if relative[0] == "src" else ("fokker", *relative))


def imported(tree: ast.AST, name: str) -> Iterator[tuple[str, int]]:
    """Absolute name and level of all that a module imports, also inside its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = name.split(".")[: -node.level] if node.level else []
            base = [*start, node.module] if node.module else start
            yield from ((".".join([*base, alias.name]), node.level) for alias in node.names)


def wrong_imports(source: str, name: str) -> list[str]:
    """What the module must not import: a room to its right, the command line, itself by name."""
    room = name.split(".")[1]
    wrong = []
    for target, level in imported(ast.parse(source), name):
        first, _, rest = target.partition(".")
        there = rest.partition(".")[0]
        right = there in ROOMS and room in ROOMS and ROOMS.index(there) > ROOMS.index(room)
        cli = there == "cli" and room not in ("cli", "__main__")
        absolute = level == 0 and room != "__main__"
        if first in ROOMS or (first == "fokker" and (right or cli or absolute)):
            wrong.append(target)
    return wrong


def dangerous(source: str) -> list[str]:
    """Ways to run code that came in as data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [
                n for n in names if n.split(".")[0] in ("pickle", "cPickle", "dill", "shelve")
            ]
        elif isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            if call in ("eval", "exec", "torch.load", "yaml.load", "joblib.load"):
                found.append(call)
            found += [
                k.arg
                for k in node.keywords
                if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"
            ]
    return found


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("room", ROOMS)
def test_the_link_in_src_leads_to_the_real_folder(room: str):
    link = ROOT / "src/fokker" / room
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{room}"
    assert link.resolve() == ROOT / room
    assert not (ROOT / room).is_symlink()


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_without_fokker_is_refused_with_a_sentence(room: str):
    result = python("-c", f"import {room}", cwd=ROOT)
    last = result.stderr.strip().splitlines()[-1]
    expected = f"use 'import fokker.{room}' (this folder is part of the fokker package)"
    assert (result.returncode, last) == (1, f"ImportError: {expected}")


def test_import_works_from_another_folder(tmp_path: Path):
    code = "import fokker.solvers.errors as e, fokker.cli; print(e.__file__)"
    result = python("-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).resolve() == ROOT / "solvers/errors.py"


def test_the_type_checker_is_told_of_every_room():
    """It follows a link only when the link itself is named, and would be silent otherwise."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = set(settings["tool"]["pyright"]["include"])
    assert {f"src/fokker/{room}" for room in ROOMS} <= included
    assert not set(ROOMS) & included  # each file once


def test_imports_only_go_left_and_are_relative():
    wrong = {
        name: found
        for file in sources()
        if file.relative_to(ROOT).parts[0] in (*ROOMS, "src")
        for name in [module_name(file)]
        if (found := wrong_imports(file.read_text(encoding="utf-8"), name))
    }
    assert not wrong


@pytest.mark.parametrize(
    ("source", "name", "bad"),
    [
        ("from ..toy_models import gaussian", "fokker.solvers.plan", True),
        ("from ...toy_models.gaussian import Gaussian", "fokker.solvers.sde.heun", True),
        ("def f():\n    from .. import analysis", "fokker.toy_models.digits", True),
        ("from ..cli import main", "fokker.analysis.order", True),
        ("from fokker.solvers import plan", "fokker.analysis.order", True),
        ("import solvers.plan", "fokker.analysis.order", True),
        ("from ..solvers import plan", "fokker.analysis.order", False),
        ("from . import plan", "fokker.solvers.__init__", False),
        ("from .. import __version__", "fokker.analysis.certificate", False),
        ("from ..analysis import certificate", "fokker.cli.certify", False),
        ("from ..cli import helper", "fokker.cli.certify", False),
    ],
)
def test_the_check_of_imports_sees_a_planted_mistake(source: str, name: str, bad: bool):
    assert bool(wrong_imports(source, name)) is bad


def test_no_module_is_too_long_to_read():
    lengths = {f: len(f.read_text(encoding="utf-8").splitlines()) for f in sources()}
    assert not {str(f.relative_to(ROOT)): n for f, n in lengths.items() if n > LONGEST_MODULE}


def test_every_folder_of_code_is_a_package():
    """The build looks for __init__.py; a folder without one would be missing in the wheel."""
    folders = {file.parent for file in sources() if file.relative_to(ROOT).parts[0] in ROOMS}
    assert not [str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").exists()]


def test_nothing_runs_code_that_came_in_as_data():
    found = {str(f.relative_to(ROOT)): dangerous(f.read_text(encoding="utf-8")) for f in sources()}
    assert not {file: calls for file, calls in found.items() if calls}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "torch.load(f)",
        "yaml.load(f)",
        "eval('1')",
        "np.load(f, allow_pickle=True)",
    ],
)
def test_the_check_of_dangerous_calls_sees_a_planted_mistake(source: str):
    assert dangerous(source)
    harmless = "model.eval()\nsafetensors.load(f)\nnode = Eval(x, t)"
    assert not dangerous(f"{harmless}\nnp.load(f, allow_pickle=False)")
