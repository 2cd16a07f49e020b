"""`traintop demo`: what is missing is said, and the training ends with the app."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import SimpleNamespace

import pytest

from traintop.errors import TraintopError
from traintop_tui import demo_command
from traintop_tui.cli import main


@pytest.fixture
def no_torch(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """Return a function that lets a shell script stand for the training."""

    def stand_in(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(demo_command, "sys", SimpleNamespace(executable=str(path)))

    return stand_in


@pytest.mark.usefixtures("no_torch")
def test_without_torch_it_says_what_to_install(tmp_path):
    with (
        pytest.raises(TraintopError, match=r"pip install 'traintop\[torch\]'") as raised,
        demo_command.training(None, str(tmp_path)),
    ):
        pass
    assert sys.executable in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_torch")
def test_without_torch_the_command_ends_with_one_sentence(capsys):
    assert main(["demo"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "pip install" in said.err
    assert "Traceback" not in said.err


def test_the_training_runs_in_the_folder_and_ends_with_the_block(trainer, tmp_path, capsys):
    trainer('echo "$@" > "$3/arguments"; echo $$ > "$3/pid"; exec sleep 600')
    folder = tmp_path / "here" / "run"
    with demo_command.training("nan", str(folder)) as where:
        assert where == folder
        assert (folder / "arguments").read_text().split() == [
            "-m",
            "traintop.demo",
            str(folder),
            "--fault",
            "nan",
        ]
        pid = int((folder / "pid").read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert f"traintop {folder}" in capsys.readouterr().out


def test_a_training_that_ends_at_once_says_its_last_words(trainer, tmp_path):
    trainer("echo some lines >&2; echo 'error: no room' >&2; exit 2")
    with (
        pytest.raises(TraintopError, match="could not start: error: no room"),
        demo_command.training(None, str(tmp_path / "run")),
    ):
        pass


def test_an_unknown_fault_is_refused_before_anything_is_made(tmp_path):
    with (
        pytest.raises(TraintopError, match=r"no fault 'nonsense'; there are .*lr-jump"),
        demo_command.training("nonsense", str(tmp_path / "run")),
    ):
        pass
    assert not (tmp_path / "run").exists()


def test_a_training_that_does_not_end_when_told_is_ended(trainer, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_command, "GRACE", 0.1)
    trainer("trap '' TERM; echo $$ > \"$3/pid\"; while :; do sleep 1; done")
    with demo_command.training(None, str(tmp_path / "run")) as folder:
        pid = int((folder / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_a_folder_it_makes_one(trainer, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_command.tempfile, "tempdir", str(tmp_path))
    trainer("exec sleep 600")
    with demo_command.training(None, None) as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith("traintop-demo-")
