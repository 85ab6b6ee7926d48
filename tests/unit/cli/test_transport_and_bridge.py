"""``fokker transport`` and ``fokker bridge``: files in, numbers, a whole folder or nothing out."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from fokker import cli
from fokker.cli import cloud_plots, clouds_out, transport
from fokker.solvers.transport.discrete import discrete_transport


def cloud(n: int, dim: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)) * (1 + seed) + seed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of points, and the place where commands run."""
    np.save(tmp_path / "a.npy", cloud(20, 2, 0))
    w = np.arange(1.0, 31.0)
    np.savez(tmp_path / "b.npz", points=cloud(30, 2, 1), weights=w / w.sum())
    np.savetxt(tmp_path / "c.csv", cloud(10, 1, 0), delimiter=",")
    np.save(tmp_path / "d.npy", cloud(15, 1, 1).astype(np.float32))
    np.save(tmp_path / "e.npy", cloud(12, 4, 0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture, *words: str, status: int = 0) -> str:
    assert cli.main(list(words)) == status
    return capsys.readouterr().out


# -- transport ----------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_solver(here: Path, capsys: pytest.CaptureFixture):
    with np.load("b.npz") as held:
        exact = discrete_transport(np.load("a.npy"), held["points"], None, held["weights"])
    found = json.loads(said(capsys, "transport", "a.npy", "b.npz", "--method", "exact", "--json"))
    assert found["result"]["cost"] == pytest.approx(exact.value, rel=1e-12)
    assert found["result"]["root_cost"] == pytest.approx(exact.value**0.5, rel=1e-12)
    assert found["result"]["iterations"] is None
    page = said(capsys, "transport", "a.npy", "b.npz", "--epsilon", "0.1")
    assert "sinkhorn, epsilon 0.1 of the mean cost" in page
    assert "(asked for 1e-06: met)" in page
    assert " W2 " not in page  # an entropic plan is not the best one
    assert list(here.glob("*/")) == []  # without --out nothing is written


def test_the_folder_holds_arrays_a_picture_and_a_manifest_that_knows_them(
    here: Path, capsys: pytest.CaptureFixture
):
    words = ("transport", "a.npy", "b.npz", "--out")
    page = said(capsys, *words, "first")
    assert page.splitlines()[-1] == str(here / "first/transport.json")
    manifest = json.loads((here / "first/transport.json").read_text())
    assert {f.name for f in (here / "first").iterdir()} == {
        "transport.json", "transport.npz", "transport.png"
    }  # fmt: skip
    for file in manifest["files"]:
        data = (here / "first" / file["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
    data = (here / "a.npy").read_bytes()
    assert manifest["inputs"]["a"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert {"fokker", "torch", "POT"} <= set(manifest["versions"])
    assert manifest["picture"] == "both coordinates, 20 of 20 arrows"
    with np.load(here / "first/transport.npz") as kept:  # no pickles
        about = json.loads(str(kept["about"]))
        distance = ((kept["a"][:, None] - kept["b"]) ** 2).sum(2)
        shares = kept["weights_b"] * np.exp((kept["g"] - distance) / kept["epsilon"])
        image = shares @ kept["b"] / shares.sum(1, keepdims=True)
        np.testing.assert_allclose(image, kept["mapped"], rtol=0, atol=1e-12)
    assert about["formula"].startswith("mean of b with weights_b exp((g - |x - b|^2)/epsilon)")
    assert said(capsys, *words, "second")
    for name in ("transport.npz", "transport.png"):
        assert (here / "first" / name).read_bytes() == (here / "second" / name).read_bytes()


def test_long_silence_is_announced(
    here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transport, "SILENT", 200)
    for method, announced in (("exact", True), ("gaussian", False)):
        assert cli.main(["transport", "a.npy", "b.npz", "--method", method]) == 0
        err = capsys.readouterr().err
        assert ("shows no progress; 6e+02 entries take some 3 times" in err) is announced


def test_a_map_on_a_line_is_drawn_as_a_map(here: Path, capsys: pytest.CaptureFixture):
    words = ("transport", "c.csv", "d.npy", "--method", "quantile", "--out", "line")
    page = said(capsys, *words)
    assert "shown: the map: image against point" in page
    bounds = next(line for line in page.splitlines() if line.startswith("W2^2"))
    low, high = (float(word.split()[-1]) for word in bounds.split(","))
    assert low == high


def test_more_coordinates_are_seen_along_principal_directions_and_this_is_said(
    here: Path, capsys: pytest.CaptureFixture
):
    np.save("f.npy", cloud(12, 4, 1))
    page = said(capsys, "transport", "e.npy", "f.npy", "--method", "gaussian", "--out", "o")
    assert "shown: first two principal directions of both clouds (" in page
    assert "of the two Gaussians" in page


def test_what_has_not_converged_says_by_how_much_and_has_status_one(
    here: Path, capsys: pytest.CaptureFixture
):
    words = ["--epsilon", "0.001", "--max-iterations", "3", "--out", "o"]
    for command in ("transport", "bridge"):
        assert cli.main([command, "a.npy", "b.npz", *words]) == 1
        out, err = capsys.readouterr()
        assert "(asked for 1e-06: NOT met)" in out
        assert err.startswith("fokker: not converged: after 3 iterations the marginals are missed")
        assert err.count("\n") == 1
        found = json.loads(Path("o", f"{command}.json").read_text())["result"]
        assert found["converged"] is False
        assert f"missed by {found['marginal_error']:.3g}, " in err


def test_a_failure_on_the_way_leaves_no_file(
    here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def failing(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cloud_plots, "transport_picture", failing)
    assert cli.main(["transport", "a.npy", "b.npz", "--out", "o"]) == 3
    assert list(Path("o").iterdir()) == []


def test_a_bar_shows_after_a_while_only(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    for patience, shown in ((60.0, False), (0.0, True)):
        monkeypatch.setattr(clouds_out, "PATIENCE", patience)
        with clouds_out.SweepBar() as bar:
            for level, count in ((1.0, 2), (0.1, 3)):
                for k in range(1, count + 1):
                    bar(k, 0.5, level)
            assert bar.total() == 5
        assert ("marginal error 5.0e-01" in capsys.readouterr().err) is shown


# -- bridge -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["points", "gaussian"])
def test_paths_laws_and_what_makes_them_are_saved(
    here: Path, capsys: pytest.CaptureFixture, method: str
):
    words = ["--method", method, "--reference", "ou", "--kappa", "1.5", "--sigma", "0.7"]
    words += ["--times", "0", "0.5", "1", "--count", "40", "--seed", "3", "--out", "o"]
    page = said(capsys, "bridge", "a.npy", "b.npz", *words)
    assert "ou reference, sigma 0.7" in page
    assert "shown: both coordinates, 40 of 40 paths" in page
    with np.load("o/bridge.npz") as kept:
        assert kept["paths"].shape == (40, 3, 2)
        assert kept["drift_matrix"].tolist() == [[-1.5, 0], [0, -1.5]]
        about = json.loads(str(kept["about"]))
        laws = about["result"]["marginals"]
        np.testing.assert_allclose(kept["means"][1], laws[1]["mean"])
        np.testing.assert_allclose(kept["paths"][:, 1].mean(0), laws[1]["mean_of_paths"])
        if method == "points":
            first = kept["paths"][:, 0]
            assert all((kept["a"] == x).all(1).any() for x in first)  # paths begin in points
    assert (about["options"]["seed"], about["options"]["kappa"]) == (3, 1.5)
    assert (about["result"]["relative_entropy"] is None) == (method == "points")
    assert "seconds" not in about["result"]


def test_a_fan_of_paths_on_a_line(here: Path, capsys: pytest.CaptureFixture):
    page = said(capsys, "bridge", "c.csv", "d.npy", "--count", "5", "--out", "o")
    assert "shown: 5 of 5 paths against time" in page
    assert page.count("\n0.") == 9
    np.save("tiny.npy", 1e-9 * np.load("d.npy"))
    page = said(capsys, "bridge", "tiny.npy", "tiny.npy", "--count", "2", "--times", "0")
    assert "e-09" in page.splitlines()[-1]  # no column of zeros


# -- bad input ----------------------------------------------------------------------------------


def write(name: str, data: object) -> str:
    """A bad file."""
    path = Path(name)
    if isinstance(data, bytes):
        path.write_bytes(data)
    elif name.endswith(".npz"):
        np.savez(path, **data)  # type: ignore[arg-type]
    else:
        np.save(path, data)  # type: ignore[arg-type]
    return name


PLANE = np.ones((3, 2))


def torn() -> bytes:
    """A compressed file with bytes of its stream changed."""
    room = io.BytesIO()
    np.savez_compressed(room, points=cloud(40, 2, 0))
    data = bytearray(room.getvalue())
    data[150:190] = b"\xff" * 40
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("x.txt", b"1 2", "points are read from .npy, .npz, .csv files, got 'x.txt'"),
        ("x.npy", b"", "x.npy is empty"),
        ("x.csv", b"\n\n", "x.csv is empty"),
        ("x.csv", b"a,b\n1,2\n", "line 1 of x.csv has 'a' where a number is wanted: only num"),
        ("x.csv", b"1,2\n3\n", "line 2 of x.csv has 1 numbers and line 1 has 2"),
        ("x.csv", b"1,2\n\n3,4\n", "line 2 of x.csv has '' where a number is wanted"),
        ("x.csv", b"\xff\xfe1", "x.csv is no text in UTF-8"),
        ("x.csv", b"1,2\nnan,4\n", "x.csv has 1 of 2 points that are not finite, the first is ro"),
        ("x.npy", np.array([[1, "a"]], dtype=object), "x.npy holds pickled Python objects, which"),
        (
            "x.npy",
            b"\x80\x02]q\x00G?\xf0\x00\x00\x00\x00\x00\x00a.",
            "x.npy is no .npy file of NumPy (a pickle is not read",
        ),
        ("x.npz", b"PK123", "x.npz cannot be read: "),
        ("x.npy", b"\x93NUMPY\x01\x00", "x.npy cannot be read: "),
        ("x.npz", torn(), "x.npz cannot be read: "),
        ("x.npy", np.ones(3), "x.npy must hold points (n, d), at least one, got (3,); points on"),
        ("x.npy", np.ones((0, 2)), "x.npy must hold points (n, d), at least one, got (0, 2)"),
        ("x.npy", PLANE * 1j, "x.npy: points must be real numbers, got the dtype complex128"),
        ("x.npy", PLANE > 0, "x.npy: points must be real numbers, got the dtype bool"),
        ("x.npy", np.ones((3, 4)), "both clouds must have one dimension, got 2 coordinates in a."),
        ("x.npz", {"u": PLANE, "v": PLANE}, "x.npz must hold an array 'points', it holds u, v"),
        ("x.npz", {"weights": PLANE}, "x.npz must hold an array 'points', it holds weights"),
        ("x.npz", {"points": PLANE, "weights": np.ones(3)}, "x.npz: weights must sum to 1, got 3"),
        ("x.npz", {"points": PLANE, "weights": np.ones(2) / 2}, "x.npz: weights must be a non-em"),
        (
            "x.npz",
            {"points": PLANE, "weights": np.array([2.0, -1, 0])},
            "x.npz: weights must be p",
        ),
    ],
)
def test_a_bad_file_is_one_sentence_and_status_two(
    here: Path, capsys: pytest.CaptureFixture, name: str, data: object, sentence: str
):
    assert cli.main(["transport", "a.npy", write(name, data), "--out", "o"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fokker: {sentence}")
    assert err.count("\n") == 1
    assert not Path("o").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["transport", "a.npy", "no.npy"], "No such file or directory ('no.npy')"),
        (["transport", "a.npy", "b.npz", "--epsilon", "0"], "epsilon must be positive and finite"),
        (["transport", "a.npy", "b.npz", "--epsilon", "-1"], "epsilon must be positive and finit"),
        (["transport", "a.npy", "b.npz", "--tolerance", "3"], "tolerance is an L1 error of masse"),
        (["transport", "a.npy", "b.npz", "--max-iterations", "0"], "max_iterations must be at le"),
        (
            ["transport", "a.npy", "b.npz", "--method", "quantile"],
            "quantile maps are for points o",
        ),
        (["transport", "a.npy", "b.npz", "--weights-b", "c.csv"], "b.npz holds weights of its ow"),
        (["transport", "a.npy", "b.npz", "--weights-a", "c.csv"], "a.npy: weights must be a non-"),
        (["transport", "a.npy", "a.npy", "--method", "exact", "--epsilon", "1"], "epsilon is an"),
        (["transport", "a.npy", "b.npz", "--out", "a.npy"], "cannot write to the folder 'a.npy'"),
        (["bridge", "a.npy", "b.npz", "--epsilon", "0"], "epsilon must be positive and finite, g"),
        (["bridge", "a.npy", "b.npz", "--sigma", "-1"], "sigma must be positive and finite, got"),
        (["bridge", "a.npy", "b.npz", "--times", "0.5", "0.1"], "times must increase and lie in"),
        (["transport", "one.npy", "one.npy"], "all points of one.npy and one.npy are one and the"),
        (["bridge", "one.npy", "one.npy"], "all points of one.npy and one.npy are one and the sa"),
        (["bridge", "a.npy", "b.npz", "--count", "0"], "the number of paths must be at least 1"),
        (["bridge", "a.npy", "b.npz", "--kappa", "1"], "--kappa and --centre are options of --re"),
        (["bridge", "a.npy", "b.npz", "--reference", "ou"], "--reference ou needs a positive --k"),
        (
            ["bridge", "a.npy", "b.npz", "--method", "gaussian", "--tolerance", "1e-3"],
            "--method gaussian is a closed form and takes no tolerance",
        ),
        (
            ["bridge", "one.npy", "b.npz", "--method", "gaussian"],
            "the covariance of one.npy must be positive definite, its smallest eigenvalue is 0 of",
        ),
        (
            ["transport", "one.npy", "b.npz", "--method", "gaussian"],
            "from one.npy to b.npz: no map leads from a singular Gaussian to this one",
        ),
    ],
)
def test_a_bad_question_is_one_sentence_and_status_two(
    here: Path, capsys: pytest.CaptureFixture, words: list[str], sentence: str
):
    np.save("one.npy", np.ones((1, 2)))
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fokker: {sentence}")
    assert err.count("\n") == 1


def test_weights_may_come_from_a_second_file(here: Path, capsys: pytest.CaptureFixture):
    w = np.arange(1.0, 21.0)
    np.savetxt("w.csv", w / w.sum())
    np.savez("both.npz", points=np.load("a.npy"), weights=np.loadtxt("w.csv"))
    words = ("--method", "gaussian", "--json")
    one = said(capsys, "transport", "a.npy", "b.npz", "--weights-a", "w.csv", *words)
    two = said(capsys, "transport", "both.npz", "b.npz", *words)
    plain = said(capsys, "transport", "a.npy", "b.npz", *words)
    costs = [json.loads(text)["result"]["cost"] for text in (one, two, plain)]
    assert costs[0] == costs[1] != costs[2]
    np.savez("single.npz", points=np.load("a.npy"), weights=(w / w.sum()).astype(np.float32))
    single = json.loads(said(capsys, "transport", "single.npz", "b.npz", *words))
    assert single["result"]["cost"] == pytest.approx(costs[0], rel=1e-6)
