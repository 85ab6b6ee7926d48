"""The command ``fokker``: quick, and never a bare traceback."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import types
from importlib.metadata import version
from pathlib import Path

import pytest

from fokker import __version__, cli
from fokker.cli import output
from fokker.solvers.errors import FokkerError, InvalidGridError, OutputError

FOKKER = [sys.executable, "-m", "fokker"]


def fokker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*FOKKER, *words], capture_output=True, text=True, check=False)


def plant(monkeypatch: pytest.MonkeyPatch, run) -> None:
    """Replace the commands by a single one, ``planted``."""
    command = types.SimpleNamespace(HELP="planted", add_arguments=lambda _: None, run=run)
    monkeypatch.setattr(cli, "commands", lambda: {"planted": command})


def failing(error: BaseException):
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize("words", [["--help"], ["version"], ["version", "--help"], ["--version"]])
def test_help_and_version_answer_without_torch(words: list[str]):
    code = (
        "import sys, fokker.cli\n"
        f"try: status = fokker.cli.main({words!r})\n"
        "except SystemExit as stop: status = stop.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not status, status\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_version_prints_the_installed_versions():
    result = fokker("version", "--json")
    found = json.loads(result.stdout)
    assert found["fokker"] == __version__
    assert found["torch"] == version("torch")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_help_lists_every_command_of_the_folder():
    folder = Path(cli.__file__).parent
    files = [f for f in folder.glob("*.py") if "\nHELP" in f.read_text(encoding="utf-8")]
    assert set(cli.commands()) == {f.stem.replace("_", "-") for f in files}
    text = fokker("--help").stdout
    assert all(f"\n    {name}" in text for name in cli.commands())


def test_every_command_has_a_help_line_and_refuses_unknown_options(capsys: pytest.CaptureFixture):
    for name, command in cli.commands().items():
        assert command.HELP
        assert "\n" not in command.HELP
        with pytest.raises(SystemExit) as stop:
            cli.main([name, "--no-such-option"])
        assert stop.value.code == 2
        said = capsys.readouterr().err  # argparse asks for a missing argument first
        assert "--no-such-option" in said or "arguments are required" in said


def test_an_unknown_command_is_answered_with_the_nearest_names(capsys: pytest.CaptureFixture):
    assert cli.main(["vresion"]) == 2
    sentence = "fokker: unknown command 'vresion'; the nearest names are: version"
    assert capsys.readouterr().err.startswith(sentence)
    assert cli.main(["zzz"]) == 2
    assert "the accepted names are: " in capsys.readouterr().err


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture):
    assert cli.main([]) == 2
    assert "version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (InvalidGridError("bad grid:\n got 3"), 2, "fokker: bad grid: got 3\n"),
        (FokkerError("plain"), 2, "fokker: plain\n"),
        (OutputError("cannot write"), 2, "fokker: cannot write\n"),
        (FileNotFoundError(2, "No such file", "a.json"), 2, "fokker: No such file ('a.json')\n"),
        (KeyboardInterrupt(), 130, "fokker: interrupted\n"),
    ],
)
def test_a_failure_is_one_sentence_and_a_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    error: BaseException,
    status: int,
    sentence: str,
):
    plant(monkeypatch, failing(error))
    assert cli.main(["planted"]) == status
    assert capsys.readouterr() == ("", sentence)


def test_our_own_mistake_is_a_sentence_unless_the_traceback_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    plant(monkeypatch, failing(ZeroDivisionError("division by zero")))
    monkeypatch.delenv("FOKKER_TRACEBACK", raising=False)
    assert cli.main(["planted"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("fokker: ZeroDivisionError: division by zero; ")
    assert err.count("\n") == 1
    monkeypatch.setenv("FOKKER_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["planted"])


def test_the_status_of_a_command_is_the_status_of_the_process(monkeypatch: pytest.MonkeyPatch):
    plant(monkeypatch, lambda _: 1)
    assert cli.main(["planted"]) == 1


def test_an_interrupt_from_the_keyboard_ends_with_status_130(tmp_path: Path):
    code = (
        "import signal, sys, time, types, pathlib\n"
        "from fokker import cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may ignore it
        "def run(args):\n"
        "    pathlib.Path('ready').touch()\n"
        "    time.sleep(60)\n"
        "command = types.SimpleNamespace(HELP='', add_arguments=lambda p: None, run=run)\n"
        "cli.commands = lambda: {'wait': command}\n"
        "sys.exit(cli.main(['wait']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "ready").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == "fokker: interrupted\n"
    assert process.returncode == 130


def test_a_closed_pipe_is_not_an_error(tmp_path: Path):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}  # the harder case
    process = subprocess.Popen(
        [*FOKKER, "version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=env
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_the_out_folder_is_made_and_an_unwritable_one_is_refused_with_a_sentence(tmp_path: Path):
    parser = argparse.ArgumentParser()
    output.add_out(parser, "certificate")
    assert parser.parse_args([]).out == "certificate"
    folder = output.out_folder(parser.parse_args(["--out", str(tmp_path / "a/b")]))
    assert folder == tmp_path / "a/b"
    assert list(folder.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write to the folder .*file.*; choose"):
        output.out_folder(parser.parse_args(["--out", str(tmp_path / "file")]))
