"""``fokker residual``: zero for the exact score, the closed form for a scaled one."""

from __future__ import annotations

import json

import pytest

from fokker.cli import main
from fokker.toy_models import problem


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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nothing",), "unknown problem"),
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
