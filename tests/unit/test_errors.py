"""Errors: one root, the built-in parents a caller expects, and attributes that travel."""

from __future__ import annotations

import copy
import inspect

import pytest

from fokker.solvers import errors
from fokker.solvers.errors import FokkerError, NonFiniteError, UnknownSamplerError

ALL = [e for _, e in inspect.getmembers(errors, inspect.isclass) if issubclass(e, Exception)]


@pytest.mark.parametrize("error", ALL)
def test_one_clause_catches_every_error(error: type[Exception]):
    assert issubclass(error, FokkerError)
    assert error is FokkerError or issubclass(error, (ValueError, RuntimeError, OSError))
    assert str(error("one sentence")) == "one sentence"
    assert error.__doc__


def test_the_attributes_survive_a_copy_as_they_must_between_processes():
    error = copy.copy(NonFiniteError("bad", step=3, t=0.5, sample_ids=[1, 2]))
    assert (str(error), error.step, error.t, error.sample_ids) == ("bad", 3, 0.5, (1, 2))
    unknown = copy.copy(UnknownSamplerError("no", name="ddin", nearest=["ddim"]))
    assert (str(unknown), unknown.name, unknown.nearest) == ("no", "ddin", ("ddim",))
