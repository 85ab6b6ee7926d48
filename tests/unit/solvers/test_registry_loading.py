"""What is registered is whole: a failure on the way leaves no half, a bad plug-in is named."""

from __future__ import annotations

from typing import Any

import pytest

from fokker.solvers import registry


class _Point:
    """An entry point of somebody's package."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.value, self.module, self.error = name, f"{name}:samplers", name, error

    def load(self) -> None:
        if self.error is not None:
            raise self.error


def _fresh(monkeypatch: pytest.MonkeyPatch, *points: _Point) -> None:
    registry.load_all()
    monkeypatch.setattr(registry, "_loaded", [])
    monkeypatch.setattr(registry, "_plugin_modules", set())
    monkeypatch.setattr(registry, "entry_points", lambda **_: points)


def test_a_plug_in_that_cannot_be_loaded_is_named_and_the_rest_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _fresh(monkeypatch, _Point("broken", ImportError("no module\nof that name")), _Point("good"))
    with pytest.warns(RuntimeWarning, match="plug-in broken .*ImportError: no module of that"):
        assert len(registry.samplers()) > 40
    assert registry._plugin_modules == {"good"}


def test_after_a_failure_half_a_registry_does_not_pass_for_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _fresh(monkeypatch)

    def fail(*_: Any) -> Any:
        raise OSError("disk")

    with monkeypatch.context() as broken:
        broken.setattr(registry.pkgutil, "walk_packages", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="disk"):
                registry.samplers()
    assert len(registry.samplers()) > 40
