"""Divergences against Jacobians that are known, and the variance laws of random probes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidPlanError, PredictionError, ShapeError
from fokker.solvers.likelihood.divergence import ExactDivergence, Hutchinson, probe_variance
from fokker.toy_models.problems import problem

LAWS = ("rademacher", "gaussian")


def bent(x: Tensor, t: float) -> Tensor:
    """A field on (B, 2, 3) whose Jacobian is full and different in each sample."""
    y = x.flatten(1)
    wave = torch.sin(y @ torch.arange(36.0, dtype=x.dtype).reshape(6, 6) / 9 + t)
    return (wave * y.roll(1, 1)).reshape(x.shape)


def states(n: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, 2, 3, generator=generator, dtype=torch.float64)


def jacobians(x: Tensor) -> Tensor:
    flat = torch.func.vmap(torch.func.jacrev(lambda v: bent(v[None], 0.4)[0]))(x)
    return flat.reshape(len(x), 6, 6)


@pytest.mark.parametrize("chunk", [1, 4, 6, 64])
def test_the_exact_divergence_is_the_trace_of_the_jacobian(chunk: int):
    x = states()
    out, div = ExactDivergence(chunk)(bent, x, 0.4)
    torch.testing.assert_close(out, bent(x, 0.4))
    trace = jacobians(x).diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(div, trace, rtol=1e-12, atol=1e-12)
    assert not out.requires_grad


def test_it_works_where_gradients_are_off_and_leaves_them_off():
    x = states()
    with torch.no_grad():
        _, div = ExactDivergence()(bent, x, 0.4)
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(div, ExactDivergence()(bent, x, 0.4)[1])


def test_the_divergence_of_a_law_is_that_of_its_hessian():
    p = problem("mixture")
    x, node = p.starts(6), p.process.node_at_lam(0.7)
    _, div = ExactDivergence()(p.model("score"), x, node.t)
    truth = p.law.hessian(x, node.alpha, node.sigma).diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(div, truth, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("law", LAWS)
def test_one_probe_is_the_quadratic_form_and_its_vector_stays(law: str):
    x = states()
    ask = Hutchinson(7, law=law)
    v = ask.vectors(5, 6)[0]
    form = torch.einsum("bi,bij,bj->b", v, jacobians(x), v)
    torch.testing.assert_close(ask(bent, x, 0.4)[1], form, rtol=1e-12, atol=1e-12)
    assert torch.equal(Hutchinson(7, law=law).vectors(5, 6)[0], v)
    assert not torch.equal(Hutchinson(8, law=law).vectors(5, 6)[0], v)


def test_signs_are_signs_and_several_probes_are_averaged():
    x, both = states(), Hutchinson(2, probes=2)
    v = both.vectors(5, 6)
    assert set(v.unique().tolist()) == {-1.0, 1.0}
    assert not torch.equal(v[0], v[1])
    forms = torch.einsum("pbi,bij,pbj->pb", v, jacobians(x), v)
    torch.testing.assert_close(both(bent, x, 0.4)[1], forms.mean(0))


def test_a_sample_has_its_probe_in_any_batch():
    whole = Hutchinson(1, probes=3).vectors(5, 6)
    part = Hutchinson(1, probes=3, sample_ids=[4, 1]).vectors(2, 6)
    assert torch.equal(part, whole[:, [4, 1]])


@pytest.mark.parametrize("law", LAWS)
def test_probes_are_unbiased_and_have_the_variance_of_the_law(law: str):
    """20 000 probes of one matrix; bounds of 6 standard errors (false alarm below 1e-8 each).

    The fourth moment in the error of the variance is taken from the sample itself. The other
    law's variance is the negative control.
    """
    j = jacobians(states(1))[0]
    v = Hutchinson(5, law=law).vectors(20_000, 6)[0]
    found = torch.einsum("bi,ij,bj->b", v, j, v)
    n, var = len(found), probe_variance(j, law)
    assert abs(float(found.mean() - j.trace())) < 6 * math.sqrt(float(var) / n)
    off = (found - j.trace()).square()
    error = 6 * float(off.std()) / math.sqrt(n)
    assert abs(float(off.mean() - var)) < error
    other = LAWS[1 - LAWS.index(law)]
    assert abs(float(off.mean() - probe_variance(j, other))) > error


def test_signs_are_exact_on_diagonal_matrices_and_never_worse():
    j = jacobians(states())
    diagonal = torch.diag_embed(j.diagonal(dim1=1, dim2=2))
    assert torch.equal(probe_variance(diagonal), torch.zeros(5, dtype=torch.float64))
    assert bool((probe_variance(j) <= probe_variance(j, "gaussian")).all())
    skew = j - j.mT
    assert float(probe_variance(skew, "gaussian").max()) == 0.0  # v^T A v = 0


@pytest.mark.parametrize("ask", [ExactDivergence(), ExactDivergence(1), Hutchinson(0)])
def test_a_model_without_a_jacobian_is_refused_not_taken_for_constant(ask):
    with pytest.raises(PredictionError, match="does not depend on x through autograd"):
        ask(lambda x, _: x.detach() * 2.0, states(), 0.4)
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    with pytest.raises(PredictionError, match="has no Jacobian"):
        ask(lambda x, _: x.detach() * weight, states(), 0.4)


def test_each_bad_setting_is_one_sentence():
    with pytest.raises(InvalidPlanError, match=r"probes must be a whole number >= 1, got 0"):
        Hutchinson(0, probes=0)
    with pytest.raises(InvalidPlanError, match="accepted: rademacher, gaussian"):
        Hutchinson(0, law="normal")
    with pytest.raises(InvalidPlanError, match="chunk must be"):
        ExactDivergence(0)
    with pytest.raises(InvalidPlanError, match="unknown law of probes"):
        probe_variance(torch.eye(2), "cauchy")
    with pytest.raises(ShapeError, match="2 sample ids were given for the probes of a batch of 5"):
        Hutchinson(0, sample_ids=[0, 1])(bent, states(), 0.4)
    with pytest.raises(ShapeError, match="must have the shape"):
        ExactDivergence()(lambda x, _: x[:, 0], states(), 0.4)


def test_a_seed_is_a_whole_number_whatever_it_is_written_in():
    want = Hutchinson(1, sample_ids=[2, 3]).vectors(2, 3)
    for seed, ids in ((True, [2, 3]), (np.int64(1), np.array([2, 3], np.int32))):
        assert torch.equal(Hutchinson(seed, sample_ids=ids).vectors(2, 3), want)  # type: ignore[arg-type]
    with pytest.raises(InvalidPlanError, match=r"a seed must be a whole number, got 1\.0"):
        Hutchinson(1.0)  # type: ignore[arg-type]
