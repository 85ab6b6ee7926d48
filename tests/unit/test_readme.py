"""The README says what is so: its example runs, its table is right, its commands exist."""

import io
import re
import runpy
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from fokker.cli.samplers import BEGIN, END, table
from fokker.solvers.registry import Sampler, samplers

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run_block(text, tmp_path):
    script = tmp_path / "readme_example.py"
    script.write_text(text)
    out = io.StringIO()
    with redirect_stdout(out):
        names = runpy.run_path(str(script))
    return names, out.getvalue()


def test_the_example_runs_as_printed_and_shows_order_two(tmp_path):
    assert len(BLOCKS[0].strip().splitlines()) <= 20
    _, out = run_block(BLOCKS[0], tmp_path)
    errors = [float(e) for e in re.findall(r"error (\S+)", out)]
    assert len(errors) == 4
    assert 3.4 < errors[-2] / errors[-1] < 4.6  # second order: a quarter at twice the steps
    assert "--- step 3 ends at" in out


def test_the_own_sampler_of_the_readme_is_a_sampler(tmp_path):
    from fokker.solvers import registry

    names, _ = run_block(BLOCKS[1], tmp_path)
    try:
        assert isinstance(registry.get("my_sampler"), Sampler)
        assert callable(names["my_sampler"])
    finally:
        registry.unregister("my_sampler")


def test_the_table_of_samplers_is_the_one_that_the_command_writes():
    inside = README.partition(BEGIN)[2].partition(END)[0].strip()
    own = [s for s in samplers() if s.name != "my_sampler"]
    assert inside == table(own), "run: fokker samplers --readme README.md"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", README))))
def test_every_make_target_of_the_readme_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"\bfokker ([a-z]+)\b", README))))
def test_every_command_of_the_readme_exists(command):
    assert (ROOT / "src/fokker/cli" / f"{command}.py").exists()


PATHS = re.findall(r"`((?:solvers|toy_models|analysis|src|tests)/[\w./]+)`", README)


@pytest.mark.parametrize("path", sorted(set(PATHS)))
def test_every_path_of_the_readme_exists(path):
    assert (ROOT / path).exists()


def test_the_picture_of_the_readme_exists():
    (picture,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert (ROOT / picture).stat().st_size > 1000
