"""Python's numbers reach a law as float64; what is no number is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidLawError
from fokker.solvers.parameters import numbers, weights
from fokker.solvers.transport.cost import cost_between
from fokker.solvers.transport.gaussian import GaussianMap
from fokker.solvers.transport.line_clouds import line_transport
from fokker.solvers.transport.reference import LinearReference
from fokker.solvers.transport.semi_discrete_sources import Box
from fokker.toy_models import (
    Empirical,
    FourierField,
    Gaussian,
    GaussianMixture,
    LowRankMixture,
    MisfitGaussian,
    ProductMixture,
)
from fokker.toy_models.brenier import DesignedMap
from fokker.toy_models.conditioned import conditioned
from fokker.toy_models.pfgm import PoissonFlow
from fokker.toy_models.rectified import LinearCoupling, PotentialCoupling

COV: Any = [[0.3, 0.1], [0.1, 0.7]]
MEAN: Any = [0.1, 0.2]
TENTHS, FACTORS = [[0.1, 0.2], [0.3, -0.7]], [[[0.1], [0.3]], [[0.7], [0.9]]]
TURN = [[0.6, 0.8], [-0.8, 0.6]]


def _given(f: Callable[..., Any], *lists: Any) -> tuple[Any, Any]:
    """What a builder makes of lists, and of the same numbers in float64 tensors."""
    return f(*lists), f(*(torch.tensor(v, dtype=torch.float64) for v in lists))


def _plain() -> Gaussian:
    return Gaussian(torch.zeros(2).double(), torch.eye(2).double())


BUILT: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "gaussian": (Gaussian, (MEAN, COV)),
    "gaussian by axes": (Gaussian.from_eigen, (MEAN, TURN, [0.1, 0.3])),
    "mixture": (GaussianMixture, ([0.3, 0.7], TENTHS, [COV, COV])),
    "diagonal mixture": (GaussianMixture, ([0.3, 0.7], TENTHS, [[0.1, 0.3], [0.7, 0.9]])),
    "low rank": (lambda w, m, f: LowRankMixture(w, m, f, 0.1), ([0.3, 0.7], TENTHS, FACTORS)),
    "product": (ProductMixture, ([[0.3, 0.7], [0.1, 0.9]], TENTHS, COV, TURN)),
    "points": (Empirical, (TENTHS,)),
    "poisson": (lambda p: PoissonFlow(p, 3.0), (TENTHS,)),
    "misfit": (lambda f, s: MisfitGaussian.of(_plain(), factor=f, shift=s), (MEAN, [0.3, 0.7])),
    "misfit of numbers": (lambda f, s: MisfitGaussian.of(_plain(), factor=f, shift=s), (0.1, 0.3)),
    "field": (FourierField, (TENTHS, COV, MEAN)),
    "designed map": (DesignedMap, (TENTHS,)),
    "linear coupling": (LinearCoupling, (COV, MEAN)),
    "potential coupling": (PotentialCoupling, (TENTHS, MEAN, MEAN)),
    "conditioned": (lambda a, y: conditioned(_plain(), a, y, 0.1), ([[0.1, 0.3]], [0.7])),
    "gaussian map": (lambda m, c: GaussianMap(m, c, m, c), (MEAN, COV)),
    "line": (line_transport, (MEAN, [0.3, 0.7])),
    "cost": (lambda x: cost_between(x, x, None), (TENTHS,)),
    "box": (Box, (MEAN, [0.3, 0.7])),
    "linear reference": (LinearReference, (COV, COV, MEAN)),
}


def _numbers_of(thing: Any) -> dict[str, Tensor]:
    """All numbers that an object holds, and those of what it holds."""
    found = {}
    for name, value in vars(thing).items():
        if isinstance(value, (Tensor, np.ndarray)):
            found[name] = torch.as_tensor(value)
        elif hasattr(value, "__dict__") and not callable(value):
            found |= {f"{name}.{k}": v for k, v in _numbers_of(value).items()}
    return found


@pytest.mark.parametrize("name", BUILT)
def test_lists_and_numbers_become_float64_bit_for_bit(name: str) -> None:
    listed, exact = (_numbers_of(v) for v in _given(BUILT[name][0], *BUILT[name][1]))
    assert listed.keys() == exact.keys()
    assert any(v.is_floating_point() for v in exact.values())
    for key, value in exact.items():
        assert listed[key].dtype == value.dtype != torch.float32, key
        assert torch.equal(listed[key], value), key


def test_a_law_of_lists_answers_float64_states_with_lists_and_tensors_mixed() -> None:
    law = Gaussian(MEAN, torch.tensor(COV, dtype=torch.float64))
    x = torch.zeros(1, 2, dtype=torch.float64)
    assert law.denoiser(x, 1.0, 1.0).dtype == torch.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_and_tensors_keep_their_precision_whatever_their_layout(dtype: type) -> None:
    whole = np.array([0.1, 0.2, 0.3], dtype)
    other_order = whole.astype(whole.dtype.newbyteorder())
    for value in (
        whole,
        whole[::-1].copy()[::-1],
        other_order,
        torch.from_numpy(whole),
        list(whole),
    ):
        found = numbers(value, "x")
        assert found.dtype == torch.from_numpy(whole).dtype
        assert found.tolist() == whole.tolist()


def test_any_real_numbers_will_do_and_rows_may_be_tensors() -> None:
    assert numbers([Fraction(1, 4), 2, True], "x").tolist() == [0.25, 2.0, 1.0]
    rows = [torch.tensor([0.1, 0.2], dtype=torch.float64), [0.3, 0.4]]
    assert numbers(rows, "x").tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert numbers(np.array([1, 2], np.int8), "x").dtype == torch.float64


@pytest.mark.parametrize(
    "value",
    [
        ["1", "2"], [1j, 2.0], np.array([1j]), torch.tensor([1j]), [[1.0, 2.0], [3.0]],
        [10**400], {1.0: 2.0}, (v for v in (1.0,)), [torch.zeros(1), torch.zeros(2)],
    ],
    ids=["text", "complex", "complex array", "complex tensor", "ragged", "huge", "mapping",
         "generator", "ragged tensors"],
)  # fmt: skip
def test_what_is_no_real_number_is_refused_in_our_words(value: Any) -> None:
    with pytest.raises(InvalidLawError, match=r"^mean (must be real|has rows of the shapes)"):
        Gaussian(value, COV)


def test_weights_of_a_list_must_sum_to_one_as_float64_do() -> None:
    with pytest.raises(InvalidLawError, match=r"sum to 1"):
        weights([0.3, 0.7 + 1e-8], 2)


def test_a_misfit_of_too_many_factors_is_refused_by_name() -> None:
    with pytest.raises(InvalidLawError, match=r"factor must be .*\(2\), got \(3,\)"):
        MisfitGaussian.of(_plain(), factor=[1.0, 2.0, 3.0])
