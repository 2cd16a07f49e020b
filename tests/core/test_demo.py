"""The demo really trains, really goes wrong where asked, and ends when told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from traintop.demo import target as targets
from traintop.demo.__main__ import main
from traintop.demo.digits import make_digits
from traintop.demo.faults import FAULTS
from traintop.demo.training import Training


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(directory: Path, fault: str | None, steps: int) -> tuple[list[float], list[dict[str, Any]]]:
    """Losses, NaN among them, and layer records of a demo at full speed."""
    Training(directory, FAULTS[fault] if fault else None, steps, seed=0).run(pace=0)
    losses = [float(record["loss"]) for record in read(directory / "train_diagnostics.jsonl")]
    return losses, read(directory / "layers.jsonl")[1:]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_digits_are_the_same_for_the_same_seed() -> None:
    images, labels = make_digits(50, seed=3)
    assert images.shape == (50, 1, 16, 16)
    assert set(labels.tolist()) == set(range(10))
    assert abs(images.mean().item()) < 1e-5
    again, _ = make_digits(50, seed=3)
    other, _ = make_digits(50, seed=4)
    assert torch.equal(images, again)
    assert not torch.equal(images, other)


def test_a_healthy_run_learns_and_leaves_everything_that_a_run_leaves(tmp_path: Path) -> None:
    losses, _ = run(tmp_path, None, steps=210)
    assert mean(losses[-20:]) < 0.5 * mean(losses[:20])
    evaluations = read(tmp_path / "val_diagnostics.jsonl")
    assert [record["step"] for record in evaluations] == [49, 99, 149, 199]
    assert evaluations[-1]["accuracy"] > 0.4
    events = read(tmp_path / "events.jsonl")
    assert [e["path"] for e in events if e["event"] == "checkpoint"] == [
        "checkpoints/step-000200.pt"
    ]
    header = read(tmp_path / "layers.jsonl")[0]
    assert header["act_names"] == ["relu1", "relu2", "relu3", "relu4", "relu5"]
    assert [name.partition(".")[0] for name in header["names"]] == [
        *("conv1", "conv2", "conv3", "linear1", "linear2", "linear3")
    ]
    info = json.loads((tmp_path / "run.json").read_text())
    assert (info["planned_steps"], info["num_classes"]) == (210, 10)
    assert info["target"] == f"{targets.__file__}:target"
    saved = torch.load(tmp_path / "checkpoints" / "step-000200.pt", weights_only=True)
    assert saved["step"] == 200
    target = targets.target()
    target.model.load_state_dict(saved["model"])
    assert target.val is not None
    images, labels = next(iter(target.val))
    hits = (target.model(images).argmax(dim=1) == labels).float().mean().item()
    assert hits > 0.4


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_a_target_that_builds_its_network(fault: str) -> None:
    wanted = FAULTS[fault]
    built = getattr(targets, wanted.target)().model
    trained = Training(Path("unused"), wanted, steps=10, seed=0).model
    built.load_state_dict(trained.state_dict())


def test_nan_comes_after_the_onset(tmp_path: Path) -> None:
    losses, _ = run(tmp_path, "nan", steps=200)
    assert all(loss == loss for loss in losses[:60])
    assert all(loss != loss for loss in losses[120:])
    assert "nonfinite" in [event["event"] for event in read(tmp_path / "events.jsonl")]


def test_units_die(tmp_path: Path) -> None:
    _, layers = run(tmp_path, "dead-relu", steps=90)
    dead = {record["step"]: mean(record["act_dead_frac"][1:]) for record in layers[1:]}
    assert dead[20] < 0.4
    assert dead[80] > 0.7


def test_the_rate_jumps_and_the_loss_with_it(tmp_path: Path) -> None:
    losses, _ = run(tmp_path, "lr-jump", steps=240)
    # Whether it comes to NaN differs from machine to machine.
    assert not mean(losses[80:140]) <= 1.5 * mean(losses[60:80])
    jumps = [event for event in read(tmp_path / "events.jsonl") if event["event"] == "lr_change"]
    assert [event["step"] for event in jumps] == [80]
    assert jumps[0]["to"] == pytest.approx(12 * jumps[0]["from"], rel=0.01)


def test_the_first_layers_get_no_gradient(tmp_path: Path) -> None:
    _, layers = run(tmp_path, "vanishing", steps=30)
    assert all(record["grad_norm"][0] < 1e-4 * record["grad_norm"][-1] for record in layers)


def test_gradients_explode(tmp_path: Path) -> None:
    run(tmp_path, "exploding", steps=240)
    records = read(tmp_path / "train_diagnostics.jsonl")
    norms = [float(record["grad_norm"]) for record in records if "grad_norm" in record]
    assert any(norm > 100 or norm != norm for norm in norms)


def test_the_list_is_quick_and_says_what_is_planted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(FAULTS)


@pytest.mark.parametrize("arguments", [[], ["--fault", "gremlins", "x"], ["x", "--pace"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_a_directory_with_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train_diagnostics.jsonl").touch()
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "holds a run already" in capsys.readouterr().err


def test_it_ends_cleanly_when_told_to(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "traintop.demo", str(tmp_path), "--pace", "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "step 0/" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "stopped at step" in rest
    note, end = read(tmp_path / "events.jsonl")[-2:]
    assert (note["event"], end["event"], end["action"]) == ("note", "control", "finished")
    assert (tmp_path / "train.log").read_text().count("\n") >= 2
