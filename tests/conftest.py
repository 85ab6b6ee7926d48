"""Set-up of every test: one thread, one verdict on each run, no trace left behind."""

from __future__ import annotations

import os

# Before any numerical library is loaded, and for the processes that tests start.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.update(MPLBACKEND="Agg")

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, register_random, settings
from hypothesis.database import DirectoryBasedExampleDatabase

torch.set_num_threads(1)

# Every field is given: where the variable CI is set, hypothesis changes its own defaults, and
# profiles registered later would inherit them.
settings.register_profile(
    "ci",
    deadline=None,  # the first call of torch takes longer than any sensible deadline
    derandomize=True,
    database=None,
    print_blob=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "explore",
    deadline=None,
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    print_blob=True,
    max_examples=1000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


class _TorchRandom:
    """Lets hypothesis reset torch's generator before each example, as it does numpy's."""

    seed = staticmethod(torch.manual_seed)
    getstate = staticmethod(torch.get_rng_state)
    setstate = staticmethod(torch.set_rng_state)


_TORCH_RANDOM = _TorchRandom()  # hypothesis keeps only a weak reference
register_random(_TORCH_RANDOM)


@pytest.fixture(autouse=True)
def _house_rules() -> Iterator[None]:
    """Start from one state of the global generators, and undo what a test does to torch."""
    dtype, threads, grad = (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
    )
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from it, our own code must not
    yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.set_grad_enabled(grad)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests marked ``gpu`` on a machine without a CUDA device.

    A name with an address in it differs from process to process, and no two could share tests.
    """
    named = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if named:
        msg = f"give this test ids, its name holds an address: {named[0]}"
        raise pytest.UsageError(msg)
    if torch.cuda.is_available():
        return
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu:
        config.hook.pytest_deselected(items=gpu)
        items[:] = [item for item in items if item not in gpu]
