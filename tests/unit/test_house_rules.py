"""The set-up of the tests does what the other tests rely on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tolerances import EXACT, tolerance


@pytest.fixture(scope="module", autouse=True)
def torch_as_found() -> Iterator[None]:
    """Look once more after the last test of this file, when every fixture of a test is undone."""
    yield
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == 1


def test_a_test_that_changes_torch_leaves_no_trace():
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)


def test_the_global_generators_start_from_one_state():
    fresh = torch.Generator().manual_seed(0)
    assert torch.equal(torch.rand(8), torch.rand(8, generator=fresh))
    assert np.random.rand() == np.random.RandomState(0).rand()  # noqa: NPY002


def test_hypothesis_resets_the_generator_of_torch_before_each_example():
    drawn = set()

    @settings(max_examples=5)
    @given(st.integers())
    def draw(_: int) -> None:
        drawn.add(torch.rand(1).item())

    draw()
    assert len(drawn) == 1


def test_the_profile_of_the_suite_gives_the_same_verdict_on_each_run():
    profile = settings.get_profile("ci")
    assert (profile.derandomize, profile.database, profile.deadline) == (True, None, None)


def test_the_exploring_profile_draws_new_examples_and_keeps_failures():
    profile = settings.get_profile("explore")
    assert profile.derandomize is False
    assert profile.database is not None
    assert profile.max_examples > settings.get_profile("ci").max_examples


def test_tolerances_stay_above_the_rounding_of_the_dtype():
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        assert tolerance(dtype)["rtol"] > 3 * torch.finfo(dtype).eps
    assert 1e3 * torch.finfo(torch.float64).eps < EXACT < tolerance(torch.float64)["rtol"]
