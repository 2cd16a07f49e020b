from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import pytest

from traintop.records import Item, LayerStats, LogLines, Rows
from traintop.sources.discovery import discover
from traintop.sources.registry import open_source
from traintop.sources.roles import choose

SHARED = Path(os.environ.get("TRAINTOP_SHARED", Path(__file__).parents[2].parent / "shared"))
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder is not there"),
]


def read(path: Path, table: str | None = None) -> list[Item]:
    source = open_source(path, table)
    items = source.read(100_000)
    while source.pending:
        items += source.read(100_000)
    items += source.finish()
    assert source.report().error is None
    assert source.report().skipped_total == 0
    source.close()
    return items


def manifest(number: str) -> dict[str, str]:
    with (SHARED / "corpus" / "manifest.tsv").open(encoding="utf-8") as file:
        return next(row for row in csv.DictReader(file, delimiter="\t") if row["id"] == number)


@pytest.mark.parametrize(
    ("number", "steps_are_iterations"),
    [
        ("094", False),
        ("112", False),
        ("030", True),
        ("031", True),
        ("032", True),
        ("034", True),
        ("037", True),
    ],
)
def test_json_lines(number: str, steps_are_iterations: bool) -> None:
    row = manifest(number)
    tables: dict[str, list[float]] = {}
    names: dict[tuple[str, str], None] = {}
    for item in read(SHARED / "corpus" / "files" / row["file"]):
        assert isinstance(item, Rows)
        tables.setdefault(item.table, []).extend(item.step.tolist())
        names |= {(item.table, name): None for name in item.columns}
    steps = tables.get("train") or next(iter(tables.values()))
    assert len(steps) == int(row["records"])
    assert steps == sorted(set(steps))
    if steps_are_iterations:  # the manifest counts these records, written every 50 iterations
        assert steps[0] == 50
        assert steps[-1] >= 50 * (int(row["records"]) - 12)
    else:
        assert (steps[0], steps[-1]) == (int(row["first_step"]), int(row["last_step"]))
    raw = {name.strip() for name in row["metrics (raw keys)"].split(",") if "..." not in name}
    own = {"current_steps", "epoch"}
    for name in raw - own:
        if name.endswith(".mean"):
            name = name.removesuffix(".mean") + "/mean"
        table, _, key = name.rpartition("/") if name.startswith("val/") else ("", "", name)
        assert any(key == known and (not table or table == of) for of, known in names), name


def test_nan_of_a_real_run_is_kept() -> None:
    row = manifest("030")
    losses = [
        value
        for item in read(SHARED / "corpus" / "files" / row["file"])
        if isinstance(item, Rows) and "loss" in item.columns
        for value in item.columns["loss"].values.tolist()
    ]
    assert len(losses) == 7200
    assert sum(map(math.isnan, losses)) == 7193
    assert not any(map(math.isnan, losses[:7]))


@pytest.mark.parametrize("number", ["001", "002", "006", "140", "146", "178"])
def test_text_logs(number: str) -> None:
    row = manifest(number)
    steps: list[int] = []
    for item in read(SHARED / "corpus" / "files" / row["file"]):
        if isinstance(item, LogLines):
            steps += item.steps
    if number in {"001", "002", "006"}:
        assert max(steps) == int(row["last_step"])
    if number == "178":
        assert set(steps) == {-1}


def test_labelled_runs() -> None:
    for run in sorted((SHARED / "runs").glob("*__s*"))[::10]:
        names: dict[tuple[str, str], None] = {}
        layers = 0
        for file in discover(run).files:
            assert file.path.name != "label.json"
            for item in read(file.path, file.table):
                layers += isinstance(item, LayerStats)
                if isinstance(item, Rows):
                    assert item.table in {"train", "val"}
                    names |= {(item.table, name): None for name in item.columns}
        roles = choose(names)
        assert roles["loss/train"] == ("train", "loss")
        lines = (run / "layers.jsonl").read_bytes().count(b"\n")
        assert layers == max(0, lines - 1)
