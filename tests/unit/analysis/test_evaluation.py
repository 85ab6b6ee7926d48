"""Paired errors, unbiased MMD, sliced W2, features of digits, FID: closed forms and bad input."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from fokker.analysis.distances import gaussian_w2
from fokker.analysis.evaluation import inception
from fokker.analysis.evaluation.best import best_group
from fokker.analysis.evaluation.digits import (
    digits_classifier,
    frechet_distance,
    held_out_digits,
)
from fokker.analysis.evaluation.kernel import gaussian_mmd, unbiased_mmd
from fokker.analysis.evaluation.paired import (
    PairedErrors,
    compare,
    errors_of,
    log_sizes,
    resamples,
    shares,
)
from fokker.analysis.evaluation.sliced import against_chance, gaussian_sliced_w2
from fokker.analysis.evaluation.summary import evaluate
from fokker.analysis.two_samples import sliced_w2
from fokker.solvers.errors import AnalysisError
from fokker.solvers.networks.checkpoint import write_weights
from fokker.toy_models.digits import digits_labels, digits_points, digits_split

RNG = np.random.default_rng(3)
LOG_NORMAL = np.exp(0.7 * RNG.standard_normal(400))
ROOT = RNG.standard_normal((3, 3))
A, B = ROOT @ ROOT.T, np.diag([0.5, 1.0, 2.0])
M = np.array([0.4, -0.2, 0.1])


# paired errors


def test_the_error_of_a_sample_is_its_distance_over_the_root_of_the_dimension():
    x = torch.zeros(2, 1, 2, 2)
    r = torch.tensor([[3.0, 4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]).reshape(2, 1, 2, 2)
    assert errors_of(x, r).tolist() == [2.5, 1.0]


def test_intervals_have_the_width_of_the_central_limit():
    """Of a mean of n terms: 2 * 1.96 std/sqrt(n); 2000 resamples know it to about 3 %."""
    found = PairedErrors(LOG_NORMAL)
    n = len(LOG_NORMAL)
    logs, squares = np.log(LOG_NORMAL), LOG_NORMAL**2
    value, low, high = found.typical
    assert value == pytest.approx(math.exp(logs.mean()), rel=1e-12)
    assert math.log(high / low) == pytest.approx(3.92 * logs.std() / n**0.5, rel=0.12)
    value, low, high = found.rms
    assert value == pytest.approx(math.sqrt(squares.mean()), rel=1e-12)
    assert high**2 - low**2 == pytest.approx(3.92 * squares.std() / n**0.5, rel=0.12)
    assert found.median.low < found.median.value == np.median(LOG_NORMAL) < found.median.high


def test_shares_of_a_resample_are_counts_over_n():
    picks, found = resamples(7, draws=5), shares(7, draws=5)
    for row, share in zip(picks, found, strict=True):
        assert np.array_equal(7 * share, [np.sum(row == k) for k in range(7)])


def test_in_pairs_a_constant_ratio_is_known_exactly_and_alone_it_is_not():
    first, second = PairedErrors(LOG_NORMAL), PairedErrors(1.05 * LOG_NORMAL)
    ratio, verdict = compare(first, second)
    assert verdict == "better"
    assert ratio.low == pytest.approx(ratio.high, rel=1e-9)
    assert ratio.value == pytest.approx(1 / 1.05, rel=1e-12)
    assert first.typical.high > second.typical.low
    assert compare(second, first).verdict == "worse"


def test_what_the_reference_does_not_know_is_not_resolved():
    gap = PairedErrors(1.05 * LOG_NORMAL).rms.value - PairedErrors(LOG_NORMAL).rms.value
    for share, verdict in ((0.51, "not resolved"), (0.49, "better")):
        pair = [PairedErrors(k * LOG_NORMAL, share * gap) for k in (1.0, 1.05)]
        assert compare(*pair).verdict == verdict
    assert not PairedErrors(LOG_NORMAL, 10.0).resolved
    assert PairedErrors(LOG_NORMAL, 0.1).resolved


def test_no_error_counts_below_that_of_the_reference():
    found = PairedErrors(np.array([1e-9, 1.0]), 1e-3)
    assert found.typical.value == pytest.approx(1e-1**1.5, rel=1e-12)


def test_the_group_of_the_best_covers_ties_and_leaves_out_who_is_behind():
    """Eight equal samplers with their own scatter, and one that is 30 % worse."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal(200)
    equal = [np.exp(common + 0.3 * rng.standard_normal(200)) for _ in range(8)]
    found = best_group([*equal, 1.3 * equal[0] * np.exp(0.1 * rng.standard_normal(200))])
    assert found[:8].count(True) >= 7
    assert not found[8]
    assert best_group([equal[0], equal[0], 1.01 * equal[0]]) == [True, True, False]
    close = 0.02 * float(np.exp(np.log(equal[0]).mean()))
    assert best_group([equal[0], 1.01 * equal[0]], reference=close) == [True, True]


def test_a_group_by_rms_is_ruled_by_what_a_typical_error_does_not_see():
    rng = np.random.default_rng(1)
    base = np.exp(0.2 * rng.standard_normal(100))
    lost = 0.8 * base
    lost[::10] = 30.0
    assert best_group([base, lost], by="rms") == [True, False]
    sizes = log_sizes(np.stack([base, lost], axis=1), "rms", 0.0)
    assert np.exp(sizes) == pytest.approx([PairedErrors(e).rms.value for e in (base, lost)])
    steady = 0.8 * base
    steady[0] = 30.0
    assert best_group([base, steady]) == [False, True]
    assert best_group([base, steady], by="rms")[0]


def test_the_group_holds_the_best_about_as_often_as_it_says():
    """Ten equal samplers, 100 times, level 0.95: the first is in the group 95 times in the mean.

    Binomial(100, 0.95): fewer than 82 has probability below 1e-6; a group at level 0.5 fails.
    """
    rng = np.random.default_rng(2)
    draws = np.exp(rng.standard_normal((100, 10, 40)))
    inside = sum(best_group(list(d))[0] for d in draws)
    assert inside >= 82
    assert sum(best_group(list(d), level=0.5)[0] for d in draws) < 82


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: errors_of(torch.zeros(2, 3), torch.zeros(2, 4)), "one shape"),
        (lambda: errors_of(torch.full((2, 3), math.nan), torch.zeros(2, 3)), "sample 0"),
        (lambda: PairedErrors(np.array([1.0])), "at least two"),
        (lambda: PairedErrors(np.ones(3), level=1.0), "inside"),
        (lambda: compare(PairedErrors(np.ones(3)), PairedErrors(np.ones(4))), "do not pair"),
        (lambda: best_group([]), "one shape"),
        (lambda: best_group([np.ones(4)], level=2.0), "inside"),
        (lambda: best_group([np.ones(4)], by="mean"), "'typical' or 'rms'"),  # type: ignore[arg-type]
        (lambda: unbiased_mmd(np.ones((3, 1)), np.ones((9, 1))), "at least 4"),
        (lambda: unbiased_mmd(RNG.random((9, 1)), RNG.random((9, 1)), bandwidth=0), "bandwidth"),
        (lambda: gaussian_mmd(M, A, M, B, bandwidth=-1.0), "bandwidth"),
        (lambda: gaussian_sliced_w2(M, A, M, B, seed=0, projections=0), "projection"),
        (lambda: against_chance(A, B, sliced, seed=0, draws=1), "two splits"),
        (lambda: frechet_distance(np.ones((1, 2)), np.ones((5, 2))), "n, m >= 2"),
        (lambda: digits_classifier().features(np.ones((2, 63))), "64 pixels"),
        (lambda: digits_classifier().features(np.full((2, 64), np.inf)), "finite"),
        (lambda: digits_classifier().agreement(np.ones((2, 64)), [1]), "as many labels"),
        (lambda: evaluate(torch.ones(3, 2), torch.ones(3, 4)), "one shape"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, sentence: str):
    with pytest.raises(AnalysisError, match=sentence):
        call()


# MMD


def kernel_mean(x, mean: float, var: float, width: float):
    """``E k(x, Z)`` for ``Z ~ N(mean, var)`` on the line."""
    total = width**2 + var
    return width / math.sqrt(total) * np.exp(-((x - mean) ** 2) / (2 * total))


def test_on_the_line_the_closed_form_is_the_integral():
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    (ma, va), (mb, vb), w = (0.3, 0.8), (-0.5, 1.4), 0.9

    def mean(m: float, v: float, other: tuple[float, float]) -> float:
        return float(weights @ kernel_mean(m + math.sqrt(v) * nodes, *other, w))

    truth = mean(ma, va, (ma, va)) + mean(mb, vb, (mb, vb)) - 2 * mean(ma, va, (mb, vb))
    assert gaussian_mmd([ma], [[va]], [mb], [[vb]], bandwidth=w) == pytest.approx(truth, rel=1e-9)


def test_the_closed_form_of_independent_coordinates_is_a_product_of_kernels():
    c = np.diag([0.5, 2.0])
    found = gaussian_mmd([0.0, 1.0], c, [0.5, 0.0], np.eye(2), bandwidth=1.3)

    def mean(gap: list[float], spread: list[float]) -> float:
        parts = [kernel_mean(g, 0.0, s, 1.3) for g, s in zip(gap, spread, strict=True)]
        return float(np.prod(parts))

    truth = mean([0, 0], [1.0, 4.0]) + mean([0, 0], [2.0, 2.0])
    truth -= 2 * mean([0.5, -1.0], [1.5, 3.0])
    assert found == pytest.approx(truth, rel=1e-12)


def test_the_estimate_has_no_bias_and_its_deviation_is_that_of_its_scatter():
    """400 draws of n = 25, m = 40: their mean is the truth within 5 standard errors.

    False alarm 6e-7; that of the V-statistic is biased by 60 standard errors. The mean of the
    estimated variances is the variance of the draws within 25 % (3.5 deviations of it).
    """
    rng = np.random.default_rng(7)
    truth = gaussian_mmd(M, A, np.zeros(3), B, bandwidth=1.5)
    x = rng.multivariate_normal(M, A, (400, 25))
    y = rng.multivariate_normal(np.zeros(3), B, (400, 40))
    found = [unbiased_mmd(a, b, bandwidth=1.5) for a, b in zip(x, y, strict=True)]
    values = np.array([f.square for f in found])
    scatter = values.std(ddof=1)
    assert abs(values.mean() - truth) < 5 * scatter / 20
    mean_square = np.mean([f.deviation**2 for f in found])
    assert mean_square == pytest.approx(scatter**2, rel=0.25)
    same = [unbiased_mmd(a, b, bandwidth=1.5) for a, b in zip(y[:200], y[200:], strict=True)]
    values = np.array([f.square for f in same])
    assert abs(values.mean()) < 5 * values.std() / 200**0.5
    assert 0.75 < np.mean([f.deviation**2 for f in same]) / values.var() < 2.0


# sliced W2


def sliced(a, b) -> float:
    return float(sliced_w2(a, b, seed=0, projections=64))


def test_for_proportional_covariances_the_mean_over_directions_is_closed():
    found = gaussian_sliced_w2(M, A, np.zeros(3), 4 * A, seed=1, projections=20_000) ** 2
    truth = (M @ M + np.trace(A)) / 3
    assert found == pytest.approx(truth, rel=0.03)
    exact = gaussian_sliced_w2(M, np.eye(3), M, 9 * np.eye(3), seed=1, projections=3)
    assert exact == pytest.approx(2.0, rel=1e-12)


def test_samples_with_the_quantiles_of_two_normal_laws_have_their_closed_form():
    from scipy.special import ndtri

    q = ndtri((np.arange(4000) + 0.5) / 4000)[:, None]
    found = sliced_w2(0.7 + 1.5 * q, q, seed=0, projections=2)
    truth = gaussian_sliced_w2([0.7], [[2.25]], [0.0], [[1.0]], seed=0, projections=2)
    assert found == pytest.approx(truth, rel=1e-3)
    assert truth == pytest.approx(math.hypot(0.7, 0.5), rel=1e-12)


def test_a_sample_of_the_same_law_is_at_the_distance_of_chance_and_another_is_not():
    """Chance is about normal here: 5 deviations have probability below 1e-6."""
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((150, 3)), rng.standard_normal((200, 3))
    assert abs(against_chance(x, y, sliced, seed=0).score) < 5
    assert against_chance(x + 0.5, y, sliced, seed=0).score > 5


# digits


def test_the_classifier_knows_digits_that_it_has_not_seen():
    _, held = digits_split()
    classifier, labels = digits_classifier(), digits_labels()[held]
    assert classifier.agreement(held_out_digits(), labels) >= 0.985
    assert classifier.agreement(held_out_digits(), (labels + 1) % 10) < 0.02
    features = classifier.features(held_out_digits().reshape(-1, 1, 8, 8))
    assert np.exp(features).sum(1) == pytest.approx(np.ones(len(held)), rel=1e-9)


def test_the_frechet_distance_of_exact_moments_is_the_closed_form():
    """2 d points with mean and covariance as asked: the sample's moments are exact."""

    def points(mean, cov):
        root = np.linalg.cholesky(cov)
        d = len(mean)
        cross = np.concatenate([root.T, -root.T]) * math.sqrt((2 * d - 1) / 2)
        return mean + cross

    found = frechet_distance(points(M, A), points(np.zeros(3), B))
    assert found == pytest.approx(gaussian_w2(M, A, np.zeros(3), B) ** 2, rel=1e-9)
    scaled = frechet_distance(points(M, A), points(np.zeros(3), 4 * A))
    assert scaled == pytest.approx(M @ M + np.trace(A), rel=1e-9)


def test_real_digits_look_real_in_all_measures_and_blurred_ones_do_not():
    _, held = digits_split()
    real, labels = held_out_digits(), digits_labels()[held]
    data = digits_points()[digits_split()[0]][:297]
    found = evaluate(real.reshape(-1, 1, 8, 8), data.reshape(-1, 1, 8, 8), labels=labels,
                     digits=True)  # fmt: skip
    assert found["digits"]["agreement"] > 0.98
    assert abs(found["digits"]["frechet"]["score"]) < 5
    assert abs(found["sliced_w2"]["score"]) < 5
    assert abs(found["mmd"]["square"]) < 5 * found["mmd"]["deviation"]
    assert "FID and KID need" in found["inception"]["missing"]
    blurred = evaluate(0.5 * real, data, labels=labels, digits=True)
    assert blurred["sliced_w2"]["score"] > 5
    assert blurred["digits"]["frechet"]["score"] > 5
    assert blurred["mmd"]["square"] > 5 * blurred["mmd"]["deviation"]


# FID and KID: the library is not there, so a stand-in takes what it would be given


class Metric:
    """What torchmetrics' classes do with images, seen from outside."""

    def __init__(self, feature: nn.Module, **options) -> None:
        self.feature, self.options = feature, options
        self.seen: dict[bool, list[torch.Tensor]] = {True: [], False: []}

    def update(self, images: torch.Tensor, real: bool) -> None:
        assert images.dtype == torch.uint8
        self.seen[real].append(self.feature(images))


class Fid(Metric):
    def compute(self) -> torch.Tensor:
        fake, real = (torch.cat(self.seen[k]) for k in (False, True))
        value = frechet_distance(fake.numpy(), real.numpy())
        return torch.tensor(value, dtype=torch.float64)


class Kid(Metric):
    def compute(self) -> tuple[torch.Tensor, torch.Tensor]:
        size = self.options["subset_size"]
        return torch.randperm(100)[0].double(), torch.tensor(float(size))


class Channels(nn.Module):
    num_features = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.double().mean((2, 3))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key, metric in (
        ("fid", "FrechetInceptionDistance", Fid),
        ("kid", "KernelInceptionDistance", Kid),
    ):
        module = ModuleType(f"torchmetrics.image.{name}")
        setattr(module, key, metric)
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_images_go_to_the_library_as_bytes_and_its_answer_comes_back(stand_in):
    images = torch.rand(60, 3, 2, 2) * 3 - 1.5
    other = torch.rand(70, 1, 2, 2) * 2 - 1
    before = torch.get_rng_state()
    found = inception.inception_distances(images, other, extractor=Channels())
    assert torch.equal(torch.get_rng_state(), before)
    levels = [((v + 1) * 127.5).round().clamp(0, 255).double() for v in (images, other)]
    means = levels[0].mean((2, 3)), levels[1].mean((2, 3)).expand(-1, 3)
    truth = frechet_distance(means[0].numpy(), means[1].numpy())
    assert found.fid == pytest.approx(truth, rel=1e-9)
    assert found.kid_deviation == 60
    assert found == inception.inception_distances(images, other, extractor=Channels())


def test_what_is_missing_is_said_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    assert "'pip install torchmetrics'" in inception.why_not()
    with pytest.raises(AnalysisError, match="pip install torchmetrics"):
        inception.inception_distances(torch.zeros(4, 3, 2, 2), torch.zeros(4, 3, 2, 2))
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", ModuleType("fid"))
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    assert "'pip install torch-fidelity'" in inception.why_not()
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    assert str(tmp_path) in inception.why_not()
    assert inception.VARIABLE in inception.why_not()
    weights = write_weights(tmp_path / "w.safetensors", {"w": torch.ones(2)})
    monkeypatch.setenv(inception.VARIABLE, str(weights))
    assert inception.why_not() == ""


def test_a_library_that_is_there_but_broken_is_told_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """As a torchvision of another torch: the import raises, and no ImportError."""
    package = tmp_path / "torchmetrics"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator nms does not exist')")
    for name in ("torchmetrics", "torchmetrics.image", "torchmetrics.image.fid"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    x = torch.zeros(4, 3, 2, 2)
    sentence = "installed but cannot be imported: RuntimeError: operator nms does not exist"
    assert sentence in inception.why_not()
    assert sentence in inception.record(x, x)["missing"]
    with pytest.raises(AnalysisError, match=sentence):
        inception.inception_distances(x, x, extractor=Channels())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_levels_are_the_nearest_whatever_the_images_are_held_in(dtype: torch.dtype):
    images = torch.linspace(-1.2, 1.2, 192).reshape(4, 3, 4, 4).to(dtype)
    nearest = ((images.double() + 1) * 127.5).clamp(0, 255)
    gap = inception._bytes(images).double() - nearest
    assert float(gap.abs().max()) <= 0.5 + 1e-4


def test_weights_are_read_as_tensors_and_a_pickle_is_never_opened(
    stand_in, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    seen: dict[str, torch.Tensor] = {}

    def network(name: str, features: list[str], path: str) -> nn.Module:
        seen.update(torch.load(path, weights_only=True))
        return Channels()

    monkeypatch.setattr(
        sys.modules["torchmetrics.image.fid"], "NoTrainInceptionV3", network, raising=False
    )
    x = torch.rand(4, 3, 2, 2)
    good = write_weights(tmp_path / "w.safetensors", {"w": torch.ones(2)})
    monkeypatch.setenv(inception.VARIABLE, str(good))
    assert inception.record(x, x)["fid"] == pytest.approx(0.0, abs=1e-9)
    assert seen["w"].tolist() == [1, 1]
    pickle = tmp_path / "w.pth"
    torch.save({"w": torch.ones(2)}, pickle)
    monkeypatch.setenv(inception.VARIABLE, str(pickle))
    with pytest.raises(Exception, match="only safetensors is read"):
        inception.inception_distances(x, x)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (torch.zeros(4, 2, 2, 2), "float images"),
        (torch.zeros(4, 3, 2, 2, dtype=torch.uint8), "float images"),
        (torch.full((4, 3, 2, 2), math.nan), "finite"),
        (torch.zeros(1, 3, 2, 2), "at least two"),
    ],
)
def test_wrong_images_are_refused(images: torch.Tensor, sentence: str):
    with pytest.raises(AnalysisError, match=sentence):
        inception.inception_distances(images, torch.zeros(4, 3, 2, 2), extractor=Channels())


def test_resamples_are_a_function_of_their_seed():
    assert np.array_equal(resamples(9, draws=3), resamples(9, draws=3))
    assert not np.array_equal(resamples(9, draws=3), resamples(9, draws=3, seed=1))
