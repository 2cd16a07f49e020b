"""`traintop analyze`, end to end: a real process on the demo's own target."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from traintop.analyses import ANALYSES
from traintop.demo import networks
from traintop.demo import target as demo_target
from traintop.errors import AnalysisError
from traintop_tui import analyze_command
from traintop_tui.analyze_command import analyze
from traintop_tui.cli import main

TARGET = f"{demo_target.__file__}:target"
ENVELOPE = [
    "schema",
    "analysis",
    "status",
    "checkpoint",
    "step",
    "seconds",
    "device",
    "result",
    "findings",
]
RESULTS = {
    "lr_find": {
        "lrs",
        "losses",
        "smoothed",
        "suggestions",
        "range",
        "suggested",
        "agreement",
        "stopped_at",
        "edge",
        "seeds",
    },
    "dead_neurons": {"layers", "samples"},
}
LAYER_KEYS = {"name", "kind", "units", "dead", "dead_fraction", "dead_units", "saturated_fraction"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """The weights of the demo's network, as a training script would save them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoints") / "step-000400.pt"
    torch.save({"model": networks.convolutional().state_dict(), "step": 400}, path)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [("lr_find", ["--set", "num_it=20"]), ("dead_neurons", ["--set", "samples=1000"])],
)
def test_the_json_is_that_of_the_contract(name, options, checkpoint, tmp_path, capfd):
    out = tmp_path / "out"
    arguments = [name, "--target", TARGET, "--checkpoint", str(checkpoint), "--device", "cpu"]
    code = main(["analyze", *arguments, "--format", "json", "--out", str(out), *options])
    said = capfd.readouterr()
    assert code == 0, said.err
    [line] = said.out.splitlines()
    found = json.loads(line)
    assert list(found) == ENVELOPE
    assert (found["schema"], found["analysis"]) == ("traintop.analysis/1", name)
    assert (found["status"], found["step"], found["device"]) == ("ok", 400, "cpu")
    assert found["checkpoint"] == str(checkpoint)
    assert found["seconds"] > 0
    assert RESULTS[name] <= set(found["result"])
    [file] = out.iterdir()
    assert json.loads(file.read_text()) == found
    if name == "lr_find":
        result = found["result"]
        assert set(result["suggestions"]) == {"steep", "valley", "slide", "minimum"}
        assert len(result["lrs"]) == len(result["losses"]) == len(result["smoothed"]) <= 20
    else:
        assert found["result"]["samples"] >= 1000
        assert all(set(layer) >= LAYER_KEYS for layer in found["result"]["layers"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lr_find"], "--target FILE.py:FUNCTION is needed"),
        (["lr_find", "--target", "gone.py:target"], "gone.py"),
        (["lr_find", "--target", TARGET, "--checkpoint", "gone.pt"], "gone.pt"),
        (["lr_find", "--target", TARGET, "--set", "num_it"], "write OPTION=NUMBER"),
        (["lr_find", "--target", TARGET, "--set", "num_it=many"], "write OPTION=NUMBER"),
        (["lr_find", "--target", TARGET, "--set", "num_it=nan"], "write OPTION=NUMBER"),
        (["lr_find", "--target", TARGET, "--memory-limit", "inf"], "must be above 0"),
        (["lr_find", "--target", TARGET, "--run", "gone"], "gone is not the folder of a run"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(arguments, says, capsys):
    assert main(["analyze", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("arguments", [[], ["no_such_analysis"]])
def test_without_a_known_name_the_names_are_listed(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        analyze(arguments)
    assert ended.value.code == 2
    assert "lr_find" in capsys.readouterr().err


def test_the_list_has_every_analysis_and_option(capsys):
    assert analyze(["--list"]) == 0
    listed = capsys.readouterr().out
    for analysis in ANALYSES.values():
        assert analysis.id in listed
        assert all(f"--set {option.name}=" in listed for option in analysis.options)


def test_init_writes_a_target_file_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["analyze", "--init"]) == 0
    assert "traintop_target.py is written" in capsys.readouterr().out
    assert main(["analyze", "--init"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_an_analysis_that_fails_is_exit_1_and_its_words_are_harmless(tmp_path, capsys):
    target = tmp_path / "t.py"
    target.write_text("def target():\n    raise ValueError('no \\x1b[31mdata')\n")
    assert main(["analyze", "lr_find", "--target", f"{target}:target", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert "raised ValueError: no data" in said.out
    assert "\x1b" not in said.out


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([], "ckpt-20.pt"),
        (["--checkpoint", "mine.pt"], "mine.pt"),
        (["--no-checkpoint"], "None"),
        (["--run", "empty"], "None"),
    ],
)
def test_with_a_run_its_newest_checkpoint_is_taken(given, taken, tmp_path, monkeypatch, capsys):
    (tmp_path / "train_diagnostics.jsonl").write_text('{"step": 20, "loss": 1.0}\n')
    for name in ("ckpt-5.pt", "ckpt-20.pt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)

    def refuse(request, **_how):
        raise AnalysisError(f"asked for {request.checkpoint}")

    monkeypatch.setattr(analyze_command, "run", refuse)
    assert main(["analyze", "weights", "--run", str(tmp_path), "--target", TARGET, *given]) == 2
    assert capsys.readouterr().err.strip().endswith(taken)
