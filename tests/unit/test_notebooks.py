"""Every notebook runs from its text, in an empty folder, without an error; no output is stored."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))
SOURCES = {"fokker", "math", "matplotlib", "numpy", "torch", "typing", "__future__"}
KINDS = ("float64", "float32")
LONGEST = 120  # seconds a cell; a whole notebook takes about ten

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq"),
]
each = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Execute all cells in a folder, one thread, pictures inline; raises at the first error."""
    where = {"metadata": {"path": str(folder)}}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(name, "1")
        patch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        client = NotebookClient(notebook, timeout=LONGEST, kernel_name="python3", resources=where)
        return client.execute()


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    """What the cells gave, in order."""
    return [out for cell in notebook.cells for out in cell.get("outputs", [])]


def test_there_is_a_first_notebook():
    assert NOTEBOOKS
    assert NOTEBOOKS[0].stem.startswith("01_")


@each
def test_a_notebook_is_text_that_begins_with_a_title(file: Path):
    notebook = jupytext.read(file, fmt="py:percent")
    nbformat.validate(notebook)
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert any(cell.cell_type == "code" for cell in notebook.cells)


@each
def test_only_the_text_is_kept(file: Path):
    """No file with outputs lies beside it: pictures are made, not stored."""
    assert not outputs(jupytext.read(file, fmt="py:percent"))
    assert not list(FOLDER.glob("**/*.ipynb"))


@each
def test_a_notebook_needs_nothing_but_fokker_and_its_libraries(file: Path):
    used = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            used |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used.add((node.module or "").split(".")[0])
    assert used <= SOURCES


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda file: file.stem)
def done(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[NotebookNode], Path]:
    """A notebook, what its cells gave, and the folder where it ran."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = run(jupytext.read(request.param, fmt="py:percent"), folder)
    return request.param, outputs(notebook), folder


def words(given: list[NotebookNode]) -> str:
    """All that was printed."""
    return "".join(out.text for out in given if out.output_type == "stream")


@pytest.mark.slow
def test_a_notebook_runs_and_shows_pictures(done):
    _, given, folder = done
    assert len([out for out in given if "image/png" in out.get("data", {})]) >= 3
    assert not [out for out in given if out.output_type == "error"]
    assert "Warning" not in words(given)
    assert not {item.name for item in folder.iterdir()} - {"ipython"}  # nothing is left behind


@pytest.mark.slow
def test_the_first_notebook_shows_what_it_teaches(done):
    file, given, _ = done
    if file != NOTEBOOKS[0]:
        return
    said = words(given)
    double, single = (
        re.search(rf"{kind}: order (\S+), claim 4: ([a-z ]+);", said) for kind in KINDS
    )
    assert double is not None
    assert single is not None
    assert float(double[1]) == pytest.approx(4.0, abs=0.1)
    assert (double[2], single[2]) == ("met", "not resolved")
    judged = [line for line in said.splitlines() if "slopes" in line and "order 2: " in line]
    assert [line.split()[0] for line in judged] == ["gaussian", "plane"]
    assert judged[0].endswith("order 2: met")
    assert judged[1].endswith("order 2: not met")
    assert said.index("order 2 is not met yet") < said.index("order 2: well done")  # the exercise


@pytest.mark.slow
def test_a_broken_notebook_is_noticed(tmp_path: Path):
    broken = jupytext.reads("# %%\nx = 1\n\n# %%\nassert x == 2\n", fmt="py:percent")
    broken.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    with pytest.raises(CellExecutionError, match="AssertionError"):
        run(broken, tmp_path)
