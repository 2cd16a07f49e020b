"""The first half of the report: what the curves say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from traintop.opening import read_whole
from traintop.settings import Settings
from traintop.summary import summarise


def topics(folder: Path, records: list[dict[str, object]], **info: object) -> dict[str, str]:
    (folder / "run.json").write_text(json.dumps(info))
    lines = "".join(
        json.dumps({"step": step} | record) + "\n" for step, record in enumerate(records)
    )
    (folder / "train_diagnostics.jsonl").write_text(lines)
    session = read_whole(folder, Settings())
    run = session.run()
    assert run is not None
    found = summarise(run, session.catalogue, session.store.info)
    return {topic.name: "; ".join(topic.lines) for topic in found}


def test_a_topic_of_which_nothing_was_logged_is_left_out(tmp_path: Path) -> None:
    assert list(topics(tmp_path, [{"loss": 1.0}])) == ["Loss"]


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ([3e-4] * 10, "0.0003, constant over 10 records"),
        ([1e-4, 2e-4, 3e-4, 3e-4, 1.5e-4], "rises from 0.0001 to 0.0003 until step 2"),
        (
            [1e-2] * 5 + [1e-3] * 5,
            "jumps from 0.01 to 0.001 at step 5, is 0.001 now (0.1 of its peak)",
        ),
    ],
)
def test_the_shape_of_the_schedule(tmp_path: Path, rates: list[float], words: str) -> None:
    said = topics(tmp_path, [{"loss": 1.0, "learning_rate": rate} for rate in rates])
    assert words in said["Learning rate"]


def test_the_end_of_the_loss_and_what_was_not_finite(tmp_path: Path) -> None:
    falling = [{"loss": 2.0 * 0.95**step} for step in range(60)]
    assert "still falling at the end" in topics(tmp_path, [*falling, {"loss": "NaN"}])["Loss"]
    assert "1 values not finite" in topics(tmp_path, [*falling, {"loss": "NaN"}])["Loss"]
    assert "flat at the end" in topics(tmp_path, [*falling, *[{"loss": 0.1}] * 60])["Loss"]


def test_clipping_updates_and_resources(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {
            "grad_norm": 0.5 if step % 4 else 2.0,
            "weight_update": 0.0 if step % 2 else 1e-3,
            "samples_per_sec": 100.0,
            "gpu_memory_mb": 500.0 + step,
        }
        for step in range(40)
    ]
    said = topics(tmp_path, records, grad_clip=1.0)
    assert "25% of the steps are clipped at 1" in said["Gradients"]
    assert "50% of the steps did not change the weights" in said["Weight updates"]
    assert "at most 539 MB" in said["Resources"]


def test_what_is_lost_has_no_trend_and_a_huge_one_is_a_factor(tmp_path: Path) -> None:
    falling = [{"loss": 2.0 * 0.95**step} for step in range(60)]
    said = topics(tmp_path, [*falling, *[{"loss": "NaN"}] * 5])["Loss"]
    assert "not finite since step 60 (5 values)" in said
    assert "at the end" not in said
    rising = [{"loss": 2.0 * 1.5**step} for step in range(60)]
    assert "times within the last third)" in topics(tmp_path, rising)["Loss"]


def test_a_jump_to_the_peak_is_no_rise(tmp_path: Path) -> None:
    rates = [1e-3] * 10 + [0.1] * 10
    said = topics(tmp_path, [{"loss": 1.0, "learning_rate": rate} for rate in rates])
    assert said["Learning rate"] == "begins at 0.001, jumps from 0.001 to 0.1 at step 10"
