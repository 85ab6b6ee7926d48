"""What is installed elsewhere: wheel and sdist hold every module of every room as a real file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("solvers", "toy_models", "analysis", "paper_figs")
FILES = ("pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])('out'))"

pytestmark = pytest.mark.slow


def build(kind: str, tree: Path) -> Path:
    """Call the build backend by itself: no network and no environment of its own."""
    (tree / "out").mkdir(exist_ok=True)
    result = subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{kind}"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return tree / "out" / result.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy, links kept as links: nothing left over from earlier builds can help."""
    copy = tmp_path_factory.mktemp("clean") / "fokker"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("src", *ROOMS):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=ignore)
    for file in FILES:
        shutil.copy(ROOT / file, copy / file)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    return build("wheel", tree)


@pytest.fixture(scope="module")
def expected(tree: Path) -> set[str]:
    modules = {
        f"fokker/{f.relative_to(tree)}" for room in ROOMS for f in (tree / room).rglob("*.py")
    }
    top = tree / "src/fokker"
    modules |= {f"fokker/{f.relative_to(top)}" for f in [*top.glob("*.py"), *top.glob("cli/*.py")]}
    return modules | {"fokker/py.typed"}


def code_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {n for n in archive.namelist() if n.endswith((".py", "py.typed"))}


def test_the_wheel_holds_the_weights_of_the_networks_that_come_with_it(wheel: Path):
    there = {f"fokker/{f.relative_to(ROOT)}" for f in ROOT.glob("toy_models/weights/*/*")}
    with zipfile.ZipFile(wheel) as archive:
        assert there
        assert there <= set(archive.namelist())


def test_the_wheel_holds_every_module_of_every_room(wheel: Path, expected: set[str]):
    assert code_of(wheel) == expected
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("fokker/solvers/errors.py")
    assert text == (ROOT / "solvers/errors.py").read_bytes()


def test_the_sdist_holds_real_files_from_which_the_same_wheel_is_built(
    tree: Path, expected: set[str], tmp_path: Path
):
    with tarfile.open(build("sdist", tree)) as archive:
        members = [m for m in archive.getmembers() if m.name.endswith((".py", "py.typed"))]
        assert all(m.isfile() for m in members)
        names = {m.name.partition("/src/")[2] for m in members}
        archive.extractall(tmp_path, filter="data")
    assert expected <= names
    assert code_of(build("wheel", next(tmp_path.iterdir()))) == expected


def test_the_wheel_works_without_the_repository(wheel: Path, tmp_path: Path):
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r});"
        "import fokker.solvers.errors as e, fokker.cli; print(e.__file__);"
        "sys.exit(fokker.cli.main(['version']))"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == str(site / "fokker/solvers/errors.py")
