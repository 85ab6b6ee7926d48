"""``fokker residual``: zero for the exact score, the closed form for a scaled one."""

from __future__ import annotations

import json

import pytest

from fokker.cli import main
from fokker.toy_models import problem
from fokker.toy_models.networks import WEIGHTS


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    assert main(["residual", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["rows"]


def test_an_exact_score_leaves_rounding(capsys):
    found = rows(capsys, "mixture", "--samples", "64", "--lam", "-1", "1")
    assert [r["lam"] for r in found] == [-1.0, 1.0]
    assert all(r["worst"] < 1e-12 and r["curl"] < 1e-12 for r in found)


def test_a_scaled_score_of_a_gaussian_leaves_the_variance_of_a_square(capsys):
    """R = (1+eta)/2 c g^2 (|s|^2 - tr V^-1), so E R^2 = 2 tr V^-2 times the factor squared."""
    (row,) = rows(capsys, "gaussian", "--samples", "4000", "--lam", "0", "--scale", "1.2")
    p = problem("gaussian")
    node = p.process.node_at_lam(0.0)
    inverse = 1 / (node.alpha**2 * p.law.to().eigenvalues + node.sigma**2)  # type: ignore[attr-defined]
    factor = 0.2 * float(p.process.g2(node.t))
    truth = factor**2 * 2 * float(inverse.square().sum())
    assert abs(row["mean"] - truth) < 2 * row["bar"]  # 6.6 standard deviations
    assert row["bar"] < 0.2 * truth


def test_a_gauge_term_moves_no_gaussian_and_has_a_curl(capsys):
    (row,) = rows(capsys, "gaussian", "--samples", "64", "--lam", "0", "--gauge", "3")
    assert row["worst"] < 1e-12
    assert row["curl"] > 0.5


def test_the_table_names_its_columns(capsys):
    assert main(["residual", "gaussian", "--samples", "64", "--lam", "0"]) == 0
    out = capsys.readouterr().out
    assert "mean square R" in out
    assert len(out.splitlines()) == 2


def test_of_a_network_an_exact_one_vanishes_class_by_class(capsys):
    words = ("digits-mixture", "--label", "3", "--lam", "0", "--samples", "32", "--probes", "1")
    (row,) = rows(capsys, *words)
    assert abs(row["share"]) < 1e-12
    assert row["curl"] < 1e-12


def test_a_network_in_a_folder_has_a_residual_a_curl_and_their_bars(capsys):
    """The trained digits network by its folder; the table says how the divergence was had."""
    words = ("--samples", "32", "--lam", "1", "--label", "7", "--probes", "1")
    assert main(["residual", str(WEIGHTS / "digits"), *words]) == 0
    out = capsys.readouterr().out
    assert "Hutchinson, 2 x 1 signs" in out
    assert out.splitlines()[2].count("±") == 2
    lam, _, value, plus, bar, rounding, *_ = out.splitlines()[2].split()
    assert (lam, plus) == ("1.00", "±")
    assert float(value) > float(bar) + float(rounding) > 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nothing",), "unknown network 'nothing'; accepted: digits"),
        (("digits", "--lam", "0", "9"), "lam = 4 (t = 0.002653) would be in it"),
        (("digits", "--samples", "8"), "32 would be enough"),
        (("digits", "--scale", "1.1"), "--scale makes the score of a reference problem wrong"),
        (("digits", "--lam", "0", "--label", "12"), "label 12 is no class"),
        (("mixture", "--label", "1"), "no classes"),
        (("gaussian", "--samples", "8"), "32 would be enough"),
        (("gaussian", "--eta", "-1"), "eta must not be negative"),
        (("gaussian", "--lam", "-90"), "outside"),
    ],
)
def test_bad_input_is_one_sentence(words: tuple[str, ...], sentence: str, capsys):
    assert main(["residual", *words]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert len(err.splitlines()) == 1
