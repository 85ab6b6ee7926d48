"""Figures: data and drawing are apart, pictures are whole, claims are answered."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from fokker.paper_figs import __main__ as command
from fokker.paper_figs import readme_picture, work_precision
from fokker.paper_figs.compare import Curve, beats, envelope, ratio, slope, speed_up
from fokker.paper_figs.figure import (
    Claim,
    Measured,
    answers,
    drawn,
    figures,
    judge,
    picture,
    save,
    table,
)
from fokker.paper_figs.labels import spread

ROOT = Path(__file__).resolve().parents[3]
VERDICTS = {"holds", "does not hold", "not resolved"}


def made_up(*, starts: int = 8) -> dict:
    """Data of the work-precision figure whose curves are exact powers, without any sampler."""
    rng = np.random.default_rng(0)
    nfes = work_precision.NFES
    orders = {"ddim": 1}
    for titles in work_precision.PANELS.values():
        orders |= {name: 2 + k % 3 for k, name in enumerate(titles)}
    scale = np.exp(0.1 * rng.standard_normal(starts))
    curves = {
        name: {
            "order": p,
            "nfe": list(nfes),
            "steps": list(nfes),
            "errors": [(scale * n ** float(-p)).tolist() for n in nfes],
        }
        for name, p in orders.items()
    }
    image = {"mode": 3, "pixels": rng.uniform(-1, 1, 64).tolist()}
    images = {name: [image, image] for name in ("exact", *work_precision.STRIP)}
    return {
        "batch": starts,
        "shown_nfe": 10,
        "nfes": list(nfes),
        "curves": curves,
        "images": images,
    }


def made_up_readme() -> dict:
    """Data of the README's picture, exact powers again."""
    steps = [8 * 2**k for k in range(8)]
    curves = [
        {
            "title": shown.title,
            "order": p,
            "order_of_formula": p,
            "steps": steps,
            "nfe": steps,
            "errors": [float(n) ** -p for n in steps],
        }
        for p, shown in zip((1, 2, 2, 3, 4, 5, 5, 8), readme_picture.SHOWN, strict=True)
    ]
    return {"law": "none", "curves": curves, "floor": 1e-14}


FAKES = {"work_precision": made_up, "readme_picture": made_up_readme}
for _path in sorted(Path(__file__).parent.glob("made_up_*.py")):  # a file each, with made_up()
    FAKES[_path.stem.removeprefix("made_up_")] = runpy.run_path(str(_path))["made_up"]


def test_every_figure_has_made_up_data_here():
    assert set(figures()) == set(FAKES)


@pytest.mark.parametrize("name", FAKES)
def test_drawing_needs_no_sampler_only_data(name: str, monkeypatch: pytest.MonkeyPatch):
    module = figures()[name]
    for used in ("problem", "reference_problem", "paired_error", "sample", "get"):
        if hasattr(module, used):
            monkeypatch.setattr(module, used, None)  # any call would fail
    fake = FAKES[name]()
    before = json.dumps(fake)
    figure = drawn(module, fake)
    assert isinstance(figure, Figure)
    assert json.dumps(fake) == before


@pytest.mark.parametrize("name", FAKES)
def test_pictures_are_valid_and_not_blank(name: str, tmp_path: Path):
    module, fake = figures()[name], FAKES[name]()
    paths = save(name, drawn(module, fake), fake, answers(module.CLAIMS, fake), tmp_path)
    assert [p.suffix for p in paths] == [".png", ".svg", ".json"]
    pixels = imread(paths[0])
    assert min(pixels.shape[:2]) > 500
    assert np.ptp(pixels[..., :3]) == 1.0  # from black to white
    ink = (pixels[..., :3] < 0.9).any(-1).mean()
    assert 0.01 < ink < 0.6
    assert paths[1].read_text(encoding="utf-8").rstrip().endswith("</svg>")
    assert json.loads(paths[2].read_text(encoding="utf-8"))["data"] == fake


def test_equal_data_give_equal_bytes():
    fake = made_up_readme()
    one, two = (drawn(readme_picture, fake) for _ in range(2))
    for kind in ("png", "svg"):
        assert picture(one, kind) == picture(two, kind)


def test_a_drawing_leaves_the_style_of_the_caller_alone():
    with mpl.rc_context({"lines.linewidth": 7.25}):  # a width of nobody else
        picture(drawn(readme_picture, made_up_readme()), "png")
        assert mpl.rcParams["lines.linewidth"] == 7.25


def test_labels_do_not_overlap():
    places = spread([0.0, 0.1, 0.2, 5.0, 0.15], 1.0, -10.0, 10.0)
    assert min(np.diff(np.sort(places))) >= 1.0 - 1e-12
    assert np.argsort(places).tolist() == [0, 1, 4, 2, 3]
    assert places[3] == pytest.approx(5.0)
    assert np.mean([places[k] for k in (0, 1, 2, 4)]) == pytest.approx(0.1125)


def test_labels_stay_inside_where_there_is_room():
    places = spread([9.9, 9.95, 10.0], 1.0, 0.0, 10.0)
    assert max(places) <= 10.0
    assert spread([], 1.0, 0.0, 1.0) == []


# claims


@pytest.mark.parametrize("name", FAKES)
def test_every_claim_is_answered(name: str):
    claims = figures()[name].CLAIMS
    assert claims
    for row in answers(claims, FAKES[name]()):
        assert row["verdict"] in VERDICTS
        assert row["source"]
        assert "nan" not in row["text"]


def test_claims_of_papers_name_them():
    papers = [c.source for c in work_precision.CLAIMS if "arXiv:" in c.source]
    assert len(papers) >= 8


def test_the_table_prints_verdict_claim_source_and_measurement():
    claim = Claim("water is wet", "Anon 2020", lambda _data: Measured("it is", "holds"))
    text = table(answers([claim], {}))
    for word in ("holds", "water is wet", "Anon 2020", "measured: it is"):
        assert word in text


def test_a_claim_is_judged_by_its_interval():
    assert judge(1.1, 1.3, least=1.0) == "holds"
    assert judge(0.7, 0.9, least=1.0) == "does not hold"
    assert judge(0.9, 1.3, least=1.0) == "not resolved"


def power(order: float, factor: float = 1.0, *, noise: float = 0.0, seed: int = 0) -> Curve:
    """Errors ``factor n^-order`` of 32 starts of different difficulty, with noise of their own."""
    rng = np.random.default_rng(7)
    scale = factor * np.exp(rng.standard_normal(32))
    own = np.exp(noise * np.random.default_rng(seed).standard_normal((8, 32)))
    nfe = 5.0 * 2.0 ** np.arange(8)
    return Curve(nfe, nfe, scale * nfe[:, None] ** -order * own)


def test_numbers_read_off_exact_powers_are_exact():
    slow, fast = power(1), power(2)
    assert slope(fast, 10, 640).value == pytest.approx(2.0)
    assert ratio(power(1, 3.0), slow, 40) == pytest.approx((3.0, 3.0, 3.0))
    assert ratio(slow, fast, 20) == pytest.approx((20.0, 20.0, 20.0))
    # the error of `fast` at 20 is 1/400: `slow` needs 400 evaluations, 20 times as many
    assert speed_up(slow, fast, 20).value == pytest.approx(20.0, rel=1e-6)
    at, least = envelope([slow, power(2, 10.0)], [5, 10, 20, 40])
    assert at == pytest.approx([5, 10, 20, 40])
    assert least == pytest.approx(np.minimum(slow.typical, power(2, 10.0).typical)[:4])


def test_an_interval_of_paired_starts_covers_and_a_shift_is_seen():
    """Equal samplers with independent noise: 1 is inside; 30 % better: seen. Fixed seeds."""
    a, b = power(2, noise=0.1, seed=1), power(2, noise=0.1, seed=2)
    even = ratio(a, b, 40)
    assert even.low < 1.0 < even.high
    assert beats(a, b, (40,)).verdict == "not resolved"
    better = power(2, 0.7, noise=0.1, seed=3)
    assert beats(a, better, (20, 40)).verdict == "holds"
    assert beats(better, a, (20, 40)).verdict == "does not hold"


def test_one_undecided_start_does_not_decide():
    errors = np.full((1, 32), 1e-3)
    spoiled = errors.copy()
    spoiled[0, 5] = 0.2
    nfe = np.array([10.0])
    fair = ratio(Curve(nfe, nfe, spoiled), Curve(nfe, nfe, errors), 10)
    assert fair.value == pytest.approx(1.0)
    assert Curve(nfe, nfe, spoiled).rms[0] > 30e-3  # the root mean square sees nothing else


def test_planted_curves_turn_the_verdicts(monkeypatch: pytest.MonkeyPatch):
    """The same claims on data where they must come out the other way."""
    fake = made_up()
    rows = {r["says"]: r["verdict"] for r in answers(work_precision.CLAIMS, fake)}
    better = "at equal evaluations the multistep DPM-Solver++(2M) beats the singlestep 2S"
    fake["curves"]["dpmpp_2m"]["errors"] = [
        [0.5 * e for e in row] for row in fake["curves"]["dpmpp_2s"]["errors"]
    ]
    assert {r["says"]: r["verdict"] for r in answers(work_precision.CLAIMS, fake)}[
        better
    ] == "holds"
    fake["curves"]["dpmpp_2m"]["errors"] = [
        [2.0 * e for e in row] for row in fake["curves"]["dpmpp_2s"]["errors"]
    ]
    again = {r["says"]: r["verdict"] for r in answers(work_precision.CLAIMS, fake)}
    assert again[better] == "does not hold"
    assert rows.keys() == again.keys()


def test_the_readme_claim_sees_a_wrong_order():
    fake = made_up_readme()
    assert answers(readme_picture.CLAIMS, fake)[0]["verdict"] == "holds"
    fake["curves"][4]["order"] = 5  # it has 4
    assert answers(readme_picture.CLAIMS, fake)[0]["verdict"] == "does not hold"


# real data, small


def test_data_are_errors_of_the_samplers_against_the_flow():
    """A small run on the plane: errors fall, and that of DDIM is what a hand-made run gives."""
    import torch

    from fokker.solvers.grids import uniform_lam
    from fokker.toy_models import problem

    found = work_precision.data(problem="mixture", nfes=(8, 16), more=(), batch=4, shown=(0, 1))
    json.dumps(found, allow_nan=False)
    for name, curve in found["curves"].items():
        assert all(b > a for a, b in zip(curve["steps"], curve["steps"][1:], strict=False)), name
        assert all(math.isfinite(e) for row in curve["errors"] for e in row), name
    p = problem("mixture")
    x = p.starts(4)
    truth, grid = p.endpoint(x), uniform_lam(p.process, p.lam_start, p.lam_end).grid(8)
    model = p.model("data")
    for s, t in grid.steps():  # x_t = (sigma_t/sigma_s) x + (alpha_t - alpha_s sigma_t/sigma_s) D
        keep = t.sigma / s.sigma
        x = keep * x + (t.alpha - s.alpha * keep) * model(x, s.t)
    error = (x - truth).square().mean(1).sqrt() / p.end.alpha
    measured = torch.tensor(found["curves"]["ddim"]["errors"][0], dtype=torch.float64)
    torch.testing.assert_close(measured, error, rtol=1e-3, atol=0)


def test_the_picture_of_the_readme_is_small_and_whole():
    file = ROOT / "paper_figs" / "readme.png"
    assert file.stat().st_size < 200_000
    assert min(imread(file).shape[:2]) > 500


# the command


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch):
    """The command with made-up data in place of the real ones."""
    monkeypatch.setattr(work_precision, "data", made_up)
    monkeypatch.setattr(readme_picture, "data", made_up_readme)


@pytest.mark.usefixtures("small")
def test_the_command_writes_pictures_and_prints_claims(tmp_path: Path, capsys):
    assert command.main(["readme_picture", "--out", str(tmp_path / "new" / "folder")]) == 0
    out = capsys.readouterr().out
    assert "readme_picture: data computed" in out
    assert "holds" in out
    names = {file.name for file in (tmp_path / "new" / "folder").iterdir()}
    assert names == {"cache", *(f"readme_picture.{kind}" for kind in ("png", "svg", "json"))}
    assert command.main(["readme_picture", "--out", str(tmp_path / "new" / "folder")]) == 0
    assert "from the cache" in capsys.readouterr().out


def test_an_unknown_figure_is_one_sentence_with_the_nearest_name(tmp_path: Path, capsys):
    assert command.main(["work_precison", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "'work_precison'" in err
    assert "work_precision" in err
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_one_sentence(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert command.main(["readme_picture", "--out", str(tmp_path / "file")]) == 2
    assert "choose a writable folder" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_an_interrupt_is_told_and_leaves_no_half_file(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    def stop(_data: dict) -> Figure:
        raise KeyboardInterrupt

    monkeypatch.setattr(readme_picture, "draw", stop)
    assert command.main(["readme_picture", "--out", str(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert {file.name for file in tmp_path.iterdir()} == {"cache"}


def test_help_names_the_figures(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"])
    assert stop.value.code == 0
    assert "work_precision" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", FAKES)
def test_the_real_figures_are_drawn_and_answered(name: str, tmp_path: Path, capsys):
    assert command.main([name, "--small", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    answered = {row["says"]: row["verdict"] for row in record["claims"]}
    assert set(answered.values()) <= VERDICTS
    certain = ("every sampler has the order it declares", "the corrector UniC adds one order")
    for says, verdict in answered.items():
        if says.startswith(certain):  # theorems, on whatever law
            assert verdict == "holds"
    assert answered.get("DPM-Solver++(3M) is of order 3", "does not hold") == "does not hold"
