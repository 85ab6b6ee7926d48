"""A measurement runs on one thread and leaves the process as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fokker.analysis import measure as records
from fokker.analysis.stand.claims import Entry
from fokker.analysis.stand.rows import StandSettings, measure_entry
from fokker.analysis.threads import one_thread
from fokker.solvers.registry import get


def _record() -> None:
    records.measure(get("ddim"), records.Settings(quick=True))


def _row() -> None:
    measure_entry(Entry("diffusers", "none", "none", why="not a solver"), StandSettings())


@pytest.mark.parametrize("action", [_record, _row])
def test_threads_are_one_inside_and_what_they_were_after(
    action: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(records, "orders", lambda *_, **__: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        action()
    except TypeError:  # the orders that the spy does not give
        assert seen == [1]
    assert torch.get_num_threads() == 2


def test_threads_come_back_when_the_measurement_fails() -> None:
    torch.set_num_threads(2)

    @one_thread()
    def fail() -> None:
        assert torch.get_num_threads() == 1
        msg = "no"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="no"):
        fail()
    assert torch.get_num_threads() == 2
