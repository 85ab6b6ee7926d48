"""Graphs stay graphs under any plan, their names do not matter, and S4's orders are exact."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.analysis.coupled_law import FullNormal, coupled_law
from fokker.analysis.gaussian_path import normal
from fokker.analysis.law import output_law
from fokker.solvers.errors import AnalysisError, InvalidLawError, InvalidPlanError, ShapeError
from fokker.solvers.grids import Grid, grid_from_times
from fokker.solvers.ops import Noise
from fokker.solvers.plan import Plan
from fokker.solvers.process import Process
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.splitting import half_ratio, half_std
from fokker.solvers.schedules import VE, VPLinear
from fokker.solvers.sde.graphs import GraphNoise, graph_mask, graph_plan, join, parts, permuted
from fokker.toy_models.graphs import GaussianGraphs, GraphScore

LAW = GaussianGraphs((1.0, -0.5))
VP, EXPLODING = VPLinear(), VE()
CELL = Noise("t", 0.5, 0.4)
PUBLISHED: dict[str, Any] = {"published": True}


def times(steps: int, begin: float = 0.9, end: float = 0.2) -> Grid:
    u = np.linspace(0, 1, steps + 1)
    return grid_from_times(VP, list(begin + (end - begin) * u * (0.8 + 0.2 * u)))


def plan(steps: int, edges: Process = EXPLODING, size: int = 3, **options: Any) -> Plan:
    return graph_plan(VP, edges, times(steps), features=2, size=size, **options)


def law_of(made: Plan, edges: Process = EXPLODING, size: int = 3) -> FullNormal:
    begin = FullNormal(*LAW.marginal(VP, edges, times(1)[0].t, size))
    return coupled_law(made, lambda t: LAW.affine_score(VP, edges, t, size), begin, LAW.lift(size))


def error(steps: int, **options: Any) -> float:
    """Largest error of a covariance: the exact reverse SDE keeps the marginal."""
    truth = LAW.marginal(VP, EXPLODING, times(1)[-1].t, 3)[1]
    return float(np.abs(law_of(plan(steps, **options)).cov - truth).max())


# -- orders, exactly ------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "order"), [(PUBLISHED, 1.0), ({}, 2.0)])
def test_s4_has_weak_order_1_as_published_and_2_with_the_filling_of_strang(
    options: dict, order: float
):
    """On a Gaussian of nodes and edges, each with its own process; no sampling."""
    errors = [error(n, **options) for n in (64, 128, 256)]
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert slopes[-1] == pytest.approx(order, abs=0.08), (errors, slopes)


def test_with_a_langevin_step_of_fixed_size_the_limit_is_another_law():
    """Langevin's own stationary law ``S = (1 - D P) S (1 - P D) + 2 D``, P the precision."""
    node = times(1)[-1].t
    truth = LAW.marginal(VP, EXPLODING, node, 3)[1]
    push = 0.5 * np.diag(np.repeat([float(p.sigma(node)) ** 2 for p in (VP, EXPLODING)], [6, 3]))
    keep, limit = np.eye(9) - push @ np.linalg.inv(truth), truth
    for _ in range(500):
        limit = keep @ limit @ keep.T + 2 * push
    covs = [law_of(plan(n, correction=0.5, **PUBLISHED)).cov for n in (64, 128)]
    far, near = (float(np.abs(cov - limit).max()) for cov in covs)
    assert near < 0.6 * far
    assert near < 0.4 * float(np.abs(covs[1] - truth).max())


def test_the_published_half_step_has_the_noise_of_the_forward_transition():
    """``sqrt(1 - e^{-2B})`` for ``sqrt(e^{2B} - 1)``: variances differ by ``(2B)^2``."""
    a, b = 0.5, 0.49
    twice = 2 * (float(VP.log_alpha(b)) - float(VP.log_alpha(a)))
    assert half_std(VP, a, b, published=True) ** 2 == pytest.approx(-math.expm1(-twice), rel=1e-12)
    assert half_std(VP, a, b) ** 2 == pytest.approx(math.expm1(twice), rel=1e-12)
    assert half_ratio(VP, a, b) == pytest.approx(math.exp(0.5 * twice), rel=1e-12)
    assert half_std(EXPLODING, a, b) == half_std(EXPLODING, a, b, published=True)


@pytest.mark.parametrize(("name", "options"), [("s4_published", PUBLISHED), ("s4", {})])
def test_on_one_process_it_is_the_registered_sampler(name: str, options: dict):
    """Two readings of one law: matrices over graphs, and numbers in an eigenbasis."""
    blocks = law_of(plan(16, VP, **options), VP)
    mean, cov = LAW.moments(3)
    values, vectors = np.linalg.eigh(cov)
    found = output_law(get(name)(VP, times(16)), normal(vectors.T @ mean, values))
    np.testing.assert_allclose(vectors @ np.diag(found.var) @ vectors.T, blocks.cov, atol=1e-11)
    np.testing.assert_allclose(vectors @ found.mean, blocks.mean, atol=1e-11)


def test_samples_have_the_law_that_the_plan_has():
    """45 covariances of 4000 graphs, at 6 standard errors: false alarm below 1e-7."""
    made = plan(12)
    exact, count = law_of(made), 4000
    lift = LAW.lift(3).reshape(9, -1)
    mean, cov = LAW.marginal(VP, EXPLODING, times(1)[0].t, 3)
    normals = np.random.default_rng(1).standard_normal((count, 9))
    start = torch.from_numpy((mean + normals @ np.linalg.cholesky(cov).T) @ lift)
    model = GraphScore(LAW, VP, EXPLODING)
    out = run(made, model, start.reshape(count, 3, 5), noise=GraphNoise(3, [4, 9, 2])).x
    seen = out.reshape(count, -1).numpy() @ (lift / lift.sum(1, keepdims=True)).T - exact.mean
    gap = seen.T @ seen / count - exact.cov
    size = np.diag(exact.cov)
    bar = 6 * np.sqrt((np.outer(size, size) + exact.cov**2) / count)
    assert (np.abs(gap) < bar).all()
    wrong = LAW.moments(3)[1]  # the control: the law of the data
    assert not (np.abs(seen.T @ seen / count - wrong) < bar).all()


def test_the_moments_of_the_law_are_those_of_its_sentence():
    """``a_ij = b + c w.(x_i + x_j) + s e_ij``, entry by entry; pairs are 01, 02, 12."""
    law = GaussianGraphs((1.0, -0.5), mean=0.3, spread=0.7, base=-0.2, coupling=0.8, noise=0.4)
    mean, cov = law.moments(3)
    assert mean.tolist() == pytest.approx([0.3] * 6 + [-0.2 + 0.8 * 0.5 * 0.6] * 3)
    both = 0.8**2 * 1.25 * 0.49  # what two edges with a node in common share
    assert cov[6, 6] == pytest.approx(2 * both + 0.16)
    assert cov[6, 7] == cov[7, 8] == pytest.approx(both)
    assert cov[6, :6].tolist() == pytest.approx([0.392, -0.196, 0.392, -0.196, 0, 0])
    assert cov[8, :2].tolist() == [0, 0]
    np.testing.assert_allclose(cov[:6, :6], 0.49 * np.eye(6), atol=1e-15)


# -- symmetry, masks, names -----------------------------------------------------------------------


def pairwise_model(x: Tensor, t: float) -> Tensor:
    """Equivariant to the last bit: no sum over nodes, whose order would round differently."""
    nodes, edges = parts(x)
    hub = torch.tanh(nodes[..., :1])
    product = hub * hub.mT
    off = 1 - torch.eye(x.shape[1], dtype=x.dtype)
    return join(t * torch.sin(nodes) - nodes, (product - edges) * off)


IDS = [11, 3, 8, 20, 5]
ORDER = [2, 4, 0, 1, 3]


def sample(model: Any, start: Tensor, ids: list[int], present: Tensor | None = None) -> Tensor:
    made = plan(10, size=len(ids), correction=0.05, published=True)
    return run(made, model, start, noise=GraphNoise(7, ids, present)).x


def starts(ids: list[int]) -> Tensor:
    return GraphNoise(1, ids).draw(
        CELL, torch.empty(4, len(ids), 2 + len(ids), dtype=torch.float64)
    )


def test_adjacency_stays_symmetric_with_an_empty_diagonal():
    nodes, edges = parts(sample(GraphScore(LAW, VP, EXPLODING), starts(IDS), IDS))
    assert float((edges - edges.mT).abs().max()) < 1e-12
    assert not bool(edges.diagonal(dim1=1, dim2=2).any())
    assert len(nodes.unique()) == nodes.numel()


def test_a_permutation_of_the_ids_permutes_the_sample_exactly():
    start, there = starts(IDS), [IDS[k] for k in ORDER]
    moved = sample(pairwise_model, permuted(start, ORDER), there)
    assert torch.equal(moved, permuted(sample(pairwise_model, start, IDS), ORDER))
    model = GraphScore(LAW, VP, EXPLODING)
    torch.testing.assert_close(
        sample(model, permuted(start, ORDER), there),
        permuted(sample(model, start, IDS), ORDER),
        rtol=1e-10,
        atol=1e-10,
    )
    other = sample(pairwise_model, permuted(start, ORDER), IDS)  # ids that stay: the control
    assert float((other - moved).abs().max()) > 0.1


def test_a_graph_does_not_depend_on_the_nodes_that_it_does_not_have():
    present = (
        torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [1, 1, 1, 0, 0], [0, 1, 0, 0, 1]]) > 0
    )
    mask = graph_mask(present, 2)
    model = GraphScore(LAW, VP, EXPLODING, present)
    whole = sample(model, starts(IDS) * mask, IDS, present)
    assert not bool(whole[mask == 0].any())
    for graph, there in zip(whole, present, strict=True):
        gone = (~there).nonzero().flatten()
        assert not bool(graph[gone].any())
        assert not bool(graph[:, 2 + gone].any())
    kept = [0, 2, 3]
    columns = [0, 1, *(2 + k for k in kept)]
    alone = sample(
        GraphScore(LAW, VP, EXPLODING), starts(IDS)[:, kept][:, :, columns], [IDS[k] for k in kept]
    )
    torch.testing.assert_close(whole[1, kept][:, columns], alone[1], rtol=1e-10, atol=1e-10)


def test_the_noise_of_a_graph_is_one_normal_for_each_feature_and_each_pair():
    """Covariances of 20000 draws at 6.5 standard errors: false alarm below 1e-8."""
    count, lift = 20_000, LAW.lift(3).reshape(9, -1)
    field = GraphNoise(5, [0, 1, 2]).draw(CELL, torch.empty(count, 3, 5, dtype=torch.float64))
    assert torch.equal(field, join(*parts(field)))
    free = field.reshape(count, -1).numpy() @ (lift / lift.sum(1, keepdims=True)).T
    gap = np.abs(free.T @ free / count - np.eye(9))
    assert (gap < 6.5 * np.sqrt((1 + np.eye(9)) / count)).all()
    other = GraphNoise(5, [0, 1, 2]).draw(Noise("t", 0.5, 0.4, "H"), field).reshape(count, -1)
    assert abs(float((field.reshape(count, -1) * other).mean())) < 6.5 / math.sqrt(9 * count)


def test_noise_of_a_graph_does_not_depend_on_its_batch():
    like = torch.empty(3, 5, 7, dtype=torch.float64)
    whole = GraphNoise(2, IDS).draw(CELL, like)
    part = GraphNoise(2, IDS, sample_ids=[2, 0]).draw(CELL, like[:2])
    assert torch.equal(part, whole[[2, 0]])


# -- what is refused ------------------------------------------------------------------------------


def test_what_is_no_graph_is_refused():
    x, lopsided = torch.zeros(2, 3, 1), torch.zeros(2, 3, 3)
    lopsided[0, 1, 2] = 1.0
    with pytest.raises(ShapeError, match=r"A - A\^T reaches 1 and the diagonal 0"):
        join(x, lopsided)
    with pytest.raises(ShapeError, match="the diagonal 1"):
        join(x, torch.eye(3).expand(2, 3, 3))
    with pytest.raises(ShapeError, match=r"edges \(B, n, n\), got \(2, 3, 1\) and \(2, 3, 2\)"):
        join(x, torch.zeros(2, 3, 2))
    with pytest.raises(ShapeError, match=r"shape \(B, n, F \+ n\), got \(2, 3, 1\)"):
        parts(x)


def test_an_id_of_a_node_is_not_cut_off():
    with pytest.raises(InvalidPlanError, match=r"a node id must be a whole number, got 1\.2"):
        GraphNoise(0, [1.2, 1.7])  # type: ignore[list-item]


def test_noise_for_another_graph_is_refused():
    for ids in ([1, 1], [-1, 2]):
        with pytest.raises(ShapeError, match="distinct ids"):
            GraphNoise(0, ids)
    with pytest.raises(ShapeError, match=r"graphs with 2 nodes was asked for a state \(2, 3, 4\)"):
        GraphNoise(0, [1, 2]).draw(CELL, torch.empty(2, 3, 4))
    with pytest.raises(ShapeError, match="1 sample ids were given for a batch of 2"):
        GraphNoise(0, [1, 2], sample_ids=[4]).draw(CELL, torch.empty(2, 2, 3))
    with pytest.raises(ShapeError, match=r"present must be bool of shape \(2, 2\)"):
        GraphNoise(0, [1, 2], torch.ones(2, 2)).draw(CELL, torch.empty(2, 2, 3))


def test_plans_and_laws_that_make_no_sense_are_refused():
    with pytest.raises(InvalidPlanError, match="end above sigma = 0"):
        graph_plan(VP, VP, times(4).with_zero(), features=1, size=2)
    with pytest.raises(InvalidPlanError, match="correction must be a finite number >= 0, got -1"):
        plan(2, published=True, correction=-1.0)
    with pytest.raises(InvalidLawError, match="spreads above 0"):
        GaussianGraphs(noise=0.0)
    begin = FullNormal(np.zeros(2), np.eye(2))
    with pytest.raises(AnalysisError, match="2 coordinates"):
        coupled_law(plan(2), lambda _: (np.eye(2), np.zeros(2)), begin, LAW.lift(3))
