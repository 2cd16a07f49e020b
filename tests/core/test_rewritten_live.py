"""Files that writers rewrite whole while they are followed: nothing twice, nothing lost."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from traintop.session import Session
from traintop.settings import Settings
from traintop.sources.discovery import discover

NOW = 1_800_000_000.0


class Clock:
    """The time of a session that is pumped every two seconds."""

    def __init__(self, path: Path) -> None:
        self.session = Session(path, Settings(), judge=False)
        self.now = NOW

    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """All series after everything was read: (step, value) of each point."""
        quiet = 0
        while quiet < 2:
            self.now += 2.0
            update = self.session.pump(self.now)
            quiet = 0 if update.more or update.records else quiet + 1
        found: dict[str, list[tuple[float, float]]] = {}
        for table in self.session.run().tables.values() if self.session.run() else ():
            for name, series in table.series.items():
                found[name] = [
                    (float(table.step[series.row_of(at)]), series.value(at))
                    for at in range(len(series))
                ]
        return found


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """As Lightning's CSVLogger writes all rows again when a key is new."""
    names = sorted({name: None for row in rows for name in row})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)


def test_a_header_that_grows_doubles_no_points(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    rows: list[dict[str, Any]] = [{"epoch": 0, "step": at, "loss": 1 / (at + 1)} for at in range(9)]
    write_table(path, rows[:5])
    clock = Clock(tmp_path)
    assert len(clock.curves()["loss"]) == 5
    write_table(path, rows)
    assert [step for step, _ in clock.curves()["loss"]] == [*range(9)]
    rows += [{"epoch": 0, "step": 9, "acc": 0.5}, {"epoch": 1, "step": 10, "loss": 0.01}]
    write_table(path, rows)
    curves = clock.curves()
    assert curves["acc"] == [(9, 0.5)]
    assert [step for step, _ in curves["loss"]] == [*range(9), 10]


def test_a_table_rewritten_in_place_with_padded_rows(tmp_path: Path) -> None:
    path = tmp_path / "progress.csv"
    path.write_text("time/total_timesteps,rollout/ep_rew_mean\n64,20\n128,21\n")
    clock = Clock(tmp_path)
    assert len(clock.curves()["rollout/ep_rew_mean"]) == 2
    with path.open("r+") as file:  # not cut off before it is written anew
        file.write(
            "time/total_timesteps,rollout/ep_rew_mean,train/loss\n64,20,\n128,21,\n192,22,0.5\n"
        )
    curves = clock.curves()
    assert curves["rollout/ep_rew_mean"] == [(64, 20), (128, 21), (192, 22)]
    assert curves["train/loss"] == [(192, 0.5)]


def state(steps: int) -> str:
    history = [{"epoch": at / 10, "loss": 1 / at, "step": at} for at in range(1, steps + 1)]
    beside = {"global_step": steps, "max_steps": 900, "num_train_epochs": 3}
    return json.dumps({**beside, "log_history": history}, indent=2)


def test_a_document_is_shown_while_it_is_half_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(state(5))
    clock = Clock(tmp_path)
    assert len(clock.curves()["loss"]) == 5
    whole = state(8)
    path.write_text(whole[: len(whole) // 2])
    assert len(clock.curves()["loss"]) == 5
    path.write_text(whole)
    assert [step for step, _ in clock.curves()["loss"]] == [*range(1, 9)]


def test_the_newest_checkpoint_has_the_history(tmp_path: Path) -> None:
    for steps in (5, 10):
        (tmp_path / f"checkpoint-{steps}").mkdir()
        (tmp_path / f"checkpoint-{steps}" / "trainer_state.json").write_text(state(steps))
    clock = Clock(tmp_path)
    assert [step for step, _ in clock.curves()["loss"]] == [*range(1, 11)]
    (tmp_path / "checkpoint-15").mkdir()
    assert len(clock.curves()["loss"]) == 10
    (tmp_path / "checkpoint-15" / "trainer_state.json").write_text(state(15))
    assert [step for step, _ in clock.curves()["loss"]] == [*range(1, 16)]
    (tmp_path / "trainer_state.json").write_text(state(16))
    assert [step for step, _ in clock.curves()["loss"]] == [*range(1, 17)]
    assert [report.path.name for report in clock.session.reports()] == ["trainer_state.json"]
    info = clock.session.store.info
    assert (info.planned_steps, info.planned_epochs) == (900, 3)


def test_a_checkpoint_that_is_named_is_what_is_read(tmp_path: Path) -> None:
    for steps in (5, 10):
        (tmp_path / f"checkpoint-{steps}").mkdir()
        (tmp_path / f"checkpoint-{steps}" / "trainer_state.json").write_text(state(steps))
    older = tmp_path / "checkpoint-5"
    for path in (older, older / "trainer_state.json"):
        assert len(Clock(path).curves()["loss"]) == 5


@pytest.mark.parametrize(
    ("there", "read"),
    [
        (["progress.csv", "progress.json"], ["progress.csv"]),
        (["metrics.csv", "metrics.jsonl", "other.csv"], ["metrics.csv", "other.csv"]),
        (["a/metrics.csv", "b/metrics.jsonl"], ["a/metrics.csv", "b/metrics.jsonl"]),
    ],
)
def test_curves_that_are_there_twice_are_read_once(
    tmp_path: Path, there: list[str], read: list[str]
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = '{"step": 1, "loss": 2}\n' if "json" in name else "step,loss\n1,2\n"
        (tmp_path / name).write_text(text)
    found = discover(tmp_path)
    assert [str(file.path.relative_to(tmp_path)) for file in found.files] == read
    assert all("same curves" in what for _, what in found.same_curves)
    assert len(found.same_curves) == len(there) - len(read)


def test_of_a_log_beside_a_history_the_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n" + "".join(f"{at},2\n" for at in range(9)))
    (tmp_path / "train.log").write_text("".join(f"step {at} loss: 2.0\n" for at in range(9)))
    clock = Clock(tmp_path)
    assert len(clock.curves()["loss"]) == 9
    assert [list(table.series) for table in clock.session.run().tables.values()] == [["loss"]]
    assert len(clock.session.store.log) == 9
    [(path, what)] = clock.session.same_curves().items()
    assert path.name == "train.log"
    assert "metrics.csv" in what


def test_tables_that_are_none_of_a_training_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n")
    (tmp_path / "train.csv").write_text("image,label\na.png,3\nb.png,4\n")
    (tmp_path / "config.json").write_text(json.dumps({"hidden": [128, 256]}, indent=1))
    (tmp_path / "LICENSE").write_text("Some words, and more of them\n")
    assert [file.path.name for file in discover(tmp_path).files] == ["metrics.csv"]
