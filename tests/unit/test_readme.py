"""The README says what is so: its example runs, its table is right, its commands exist."""

import io
import re
import runpy
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

from fokker.cli.samplers import BEGIN, END, HEAD, table
from fokker.solvers import registry
from fokker.solvers.registry import Sampler, samplers
from fokker.solvers.run import run

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def block_with(words):
    (found,) = [block for block in BLOCKS if words in block]
    return found


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
    names, _ = run_block(block_with("def my_sampler"), tmp_path)
    try:
        assert isinstance(registry.get("my_sampler"), Sampler)
        assert callable(names["my_sampler"])
    finally:
        registry.unregister("my_sampler")


def test_the_own_network_of_the_readme_is_sampled(tmp_path):
    names, _ = run_block(block_with("def mine"), tmp_path)
    network = names["mine"]()
    sampler = registry.get("unipc_3")
    model = network.model(prediction=sampler.prediction)
    x = torch.zeros(2, *network.shape)
    assert run(sampler(network.process, network.grid(3)), model, x).x.shape == x.shape


def cells(text):
    return [[cell.strip() for cell in line.split(" | ")] for line in text.strip().splitlines()]


def test_the_table_of_samplers_is_the_one_that_the_command_writes():
    inside = cells(README.partition(BEGIN)[2].partition(END)[0])
    own = cells(table([s for s in samplers() if s.name != "my_sampler"], {}))
    column = HEAD.index("measured")
    claims = [row[:column] + row[column + 1 :] for row in inside]
    assert claims == [row[:column] + row[column + 1 :] for row in own], (
        "run: make certify; fokker samplers --readme README.md"
    )


def test_the_measured_orders_of_the_table_are_the_declared_ones():
    column = HEAD.index("measured")
    for row, entry in zip(
        cells(README.partition(BEGIN)[2].partition(END)[0])[2:], samplers(), strict=True
    ):
        claims = (entry.order or entry.weak, entry.order_cold or entry.weak_cold, entry.strong)
        declared = [c for c in claims if c is not None]
        found = row[column].split(" / ") if row[column] != "-" else []
        assert len(found) == len(declared), f"run: make certify (for {entry.name})"
        for seen, claim in zip(found, declared, strict=True):
            if seen == "?":  # not resolved: said so, and only where quadrature has no tables
                assert entry.stochastic, entry.name
                continue
            assert abs(float(seen) - claim) < max(0.5, claim / 8) or float(seen) > claim


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
