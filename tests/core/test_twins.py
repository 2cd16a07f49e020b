"""Files of a run that hold the same curves: told by their values, whatever their format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from event_files import event, event_file, row, simple, wandb_file
from traintop.sources.discovery import Discovery, discover

EVENTS = "events.out.tfevents.1700000000.host"
WANDB = "wandb/run-20260101_000000-abc/run-abc.wandb"


def loss(step: int, seed: float = 1.0) -> float:
    return seed / (step + 3)


def write(path: Path, steps: int, seed: float = 1.0) -> None:
    """Losses and accuracies as the writer of such a file has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = [(step, loss(step, seed), 0.1 * step) for step in range(1, steps + 1)]
    if "tfevents" in path.name:
        data = event_file(
            event(step, simple("train/loss", one), simple("val/accuracy", other))
            for step, one, other in values
        )
    elif path.suffix == ".wandb":
        rows = [
            row(at, {"_step": step, "train/loss": one, "val/accuracy": other, "epoch": 0.5})
            for at, (step, one, other) in enumerate(values)
        ]
        data = wandb_file(rows)
    elif path.suffix == ".json":
        columns = zip(*values, strict=True)
        names = ("step", "loss", "val_accuracy")
        data = json.dumps(dict(zip(names, columns, strict=True)), indent=1).encode()
    elif path.suffix == ".csv":
        lines = (f"{step},{one:.6g},{other:.6g}\n" for step, one, other in values)
        data = ("step,loss,val_accuracy\n" + "".join(lines)).encode()
    elif path.suffix == ".log":
        data = "".join(f"step {step} loss: {one:.4f}\n" for step, one, _ in values).encode()
    else:
        records = ({"step": s, "loss": one, "val_accuracy": other} for s, one, other in values)
        data = "".join(json.dumps(each) + "\n" for each in records).encode()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("kept", "twin"),
    [
        ("metrics.csv", EVENTS),
        ("logs/progress.csv", f"tb/{EVENTS}"),
        ("metrics.jsonl", f"tb/{EVENTS}"),
        (WANDB, f"tb/{EVENTS}"),
        (WANDB, "out/metrics.csv"),
        ("out/metrics.csv", "out/metrics.jsonl"),
        (f"tb/{EVENTS}", "history.json"),
    ],
)
def test_of_two_formats_the_better_is_read(tmp_path: Path, kept: str, twin: str) -> None:
    for name in (kept, twin):
        write(tmp_path / name, 5000 if name.endswith(".json") else 10)
    found = discover(tmp_path)
    [file] = found.files
    assert file.path in ((tmp_path / kept), (tmp_path / kept).parent)
    [(path, what)] = found.same_curves
    assert path in ((tmp_path / twin), (tmp_path / twin).parent)
    assert what == f"not read: {file.path.name} has the same curves"


@pytest.mark.parametrize(
    ("one", "other", "seed"),
    [
        ("metrics.csv", EVENTS, 2.0),  # another run
        ("a/metrics.csv", "b/metrics.csv", 1.0),  # ranks or folds
        ("train.csv", "eval.jsonl", 0.5),
    ],
)
def test_other_curves_are_read_as_well(tmp_path: Path, one: str, other: str, seed: float) -> None:
    write(tmp_path / one, 10)
    write(tmp_path / other, 10, seed)
    found = discover(tmp_path)
    assert len(found.files) == 2
    assert not found.same_curves


def test_a_file_with_more_curves_is_read_as_well(tmp_path: Path) -> None:
    write(tmp_path / "metrics.csv", 10)
    more = [simple(f"more/{number}", 1.0) for number in range(5)]
    data = event_file(event(step, simple("train/loss", loss(step)), *more) for step in range(1, 10))
    (tmp_path / EVENTS).write_bytes(data)
    assert len(discover(tmp_path).files) == 2


def test_what_is_followed_stays_though_a_better_one_comes(tmp_path: Path) -> None:
    write(tmp_path / f"tb/{EVENTS}", 10)
    discovery = Discovery(tmp_path)
    write(tmp_path / "metrics.csv", 10)
    assert discovery.refresh() == []
    assert [file.path.name for file in discovery.paths.files] == ["tb"]
    assert [path.name for path, _ in discovery.paths.same_curves] == ["metrics.csv"]


@pytest.mark.parametrize(("seed", "read"), [(1.0, []), (2.0, ["tb"])])
def test_event_files_wait_for_their_first_value_beside_another_file(
    tmp_path: Path, seed: float, read: list[str]
) -> None:
    write(tmp_path / "metrics.csv", 10)
    write(tmp_path / f"tb/{EVENTS}", 0)
    discovery = Discovery(tmp_path)
    assert [file.path.name for file in discovery.paths.files] == ["metrics.csv"]
    write(tmp_path / f"tb/{EVENTS}", 10, seed)
    assert [file.path.name for file in discovery.refresh()] == read
    assert len(discovery.paths.same_curves) + len(read) == 1


@pytest.mark.parametrize("name", [EVENTS, WANDB])
def test_a_log_beside_a_tracker_is_read_for_its_lines(tmp_path: Path, name: str) -> None:
    write(tmp_path / "train.log", 20)
    write(tmp_path / name, 20)
    found = discover(tmp_path)
    assert [file.only_lines for file in found.files if file.path.name == "train.log"] == [True]
    assert len(found.files) == 2
