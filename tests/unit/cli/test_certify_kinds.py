"""``fokker certify --kind``: which samplers and methods are asked for."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

import fake_certificate as fake
from fokker import cli
from fokker.analysis.stochastic.rows import all_methods
from fokker.solvers.registry import samplers


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def certify(chosen: Any, **options: Any) -> dict[str, Any]:
        seen.update(options, names=[s.name for s in chosen])
        return fake.certificate(fake.default_samplers()[:2])

    module = types.SimpleNamespace(certify=certify)
    monkeypatch.setitem(sys.modules, "fokker.analysis.certificate", module)
    return seen


def run(*words: str, out: Path) -> int:
    return cli.main(["certify", *words, "--out", str(out)])


@pytest.mark.parametrize("kind", ["plan", "stepper", "blackbox"])
def test_a_kind_takes_the_samplers_of_that_kind(asked: dict, tmp_path: Path, kind: str):
    run("--kind", kind, out=tmp_path)
    assert asked["names"] == [s.name for s in samplers(kind)]
    assert not asked["methods"]


def test_sde_takes_all_stochastic_samplers_and_all_methods(asked: dict, tmp_path: Path):
    run("--kind", "sde", "--quick", out=tmp_path)
    assert asked["names"] == [s.name for s in samplers() if s.stochastic]
    assert asked["methods"] == all_methods()


def test_everything_takes_the_methods_too_and_a_name_does_not(asked: dict, tmp_path: Path):
    run(out=tmp_path)
    assert asked["methods"] == all_methods()
    run("ddim", out=tmp_path)
    assert not asked["methods"]


def test_a_kind_that_the_named_samplers_are_not_is_an_error(
    asked: dict, tmp_path: Path, capsys: pytest.CaptureFixture
):
    assert run("ddim", "--kind", "sde", out=tmp_path) != 0
    assert "none of ddim is of the kind 'sde'" in capsys.readouterr().err
    assert not asked
