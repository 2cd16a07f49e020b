from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_files import (
    BLOCK,
    WANDB_MAGIC,
    ending,
    field,
    history,
    item,
    output,
    row,
    stats,
    summary,
    wandb_file,
)
from event_files import settings as run_settings
from traintop.opening import open_run
from traintop.records import Event, Item, LogLines, Rows, RunInfo
from traintop.sources.registry import format_of
from traintop.sources.wandb.decoder import WandbFile

Curve = list[tuple[float, float]]


def curves(items: Sequence[Item]) -> dict[str, Curve]:
    """`table:series` -> (step, value) of each point."""
    found: dict[str, Curve] = {}
    for rows in items:
        if not isinstance(rows, Rows):
            continue
        for name, column in rows.columns.items():
            at = np.arange(len(rows.step)) if column.rows is None else column.rows
            pairs = zip(rows.step[at].tolist(), column.values.tolist(), strict=True)
            found.setdefault(f"{rows.table}:{name}", []).extend(pairs)
    return found


def decode(data: bytes, cuts: Sequence[int] = ()) -> tuple[WandbFile, list[Item]]:
    decoder = WandbFile("history")
    items: list[Item] = []
    edges = [0, *sorted(cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        items += decoder.feed(data[begin:end])
    return decoder, items + decoder.finish()


def logged(step: int) -> dict[str, Any]:
    return {
        "_step": step,
        "_runtime": step * 0.5,
        "_timestamp": 1.7e9 + step,
        "loss": 1 / (step + 1),
    }


def run(steps: int, *, old: bool = False) -> list[bytes]:
    """The records of a run that logs an evaluation now and then, in ever another order."""
    records = [run_settings(1, {"batch_size": 64, "nested": {"optimizer": "adamw"}})]
    for step in range(steps):
        values = logged(step) | {"lr": 1e-3}
        if step % 10 == 0:
            values["val/accuracy"] = step / steps
        shuffled = dict(sorted(values.items(), key=lambda pair: hash((pair[0], step % 7))))
        records += [summary(2 * step + 2, values), row(2 * step + 3, shuffled, old=old)]
        if step % 25 == 0:
            records.append(stats(9, 1_700_000_000 + step, {"cpu": 12.5, "gpu.0.temp": step}))
        records.append(output(9, f"step {step} done\n"))
    return [*records, ending(9, 0)]


@pytest.mark.parametrize("old", [False, True])
def test_rows_of_old_and_new_clients(old: bool) -> None:
    decoder, items = decode(wandb_file(run(400, old=old)))
    found = curves(items)
    assert found["history:loss"] == [(step, 1 / (step + 1)) for step in range(400)]
    assert found["history:lr"] == [(step, 1e-3) for step in range(400)]
    assert found["history:val/accuracy"] == [(s, s / 400) for s in range(0, 400, 10)]
    assert {name for name in found if name.startswith("history:_")} == set()
    times = np.concatenate(
        [one.time for one in items if isinstance(one, Rows) and one.table == "history"]
    )
    assert times.tolist() == [1.7e9 + step for step in range(400)]
    assert (decoder.tally.records, decoder.tally.skipped_total) == (400, 0)


def test_metrics_of_the_machine_stand_at_the_step_of_their_time() -> None:
    decoder, items = decode(wandb_file(run(60)))
    found = curves(items)
    assert decoder.tally.units == {"system.cpu": "%"}
    assert found["system:system.gpu.0.temp"] == [(0, 0), (25, 25), (50, 50)]
    assert [value for _, value in found["system:system.cpu"]] == [12.5] * 3


def test_output_settings_and_end_are_told() -> None:
    items = decode(wandb_file(run(30)))[1]
    lines = [line for one in items if isinstance(one, LogLines) for line in one.lines]
    assert lines == [f"step {step} done" for step in range(30)]
    info = next(one for one in items if isinstance(one, RunInfo))
    assert (info.batch_size, info.optimizer) == (64, "adamw")
    assert [one.fields for one in items if isinstance(one, Event)] == [
        {"action": "finished", "exit_code": 0}
    ]
    failed = decode(wandb_file([ending(1, 255)]))[1]
    assert [one.fields["action"] for one in failed if isinstance(one, Event)] == ["failed"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"NaN", math.nan),
        (b'"NaN"', math.nan),
        (b"Infinity", math.inf),
        (b"-Infinity", -math.inf),
        (b'"-Infinity"', -math.inf),
        (b"true", 1.0),
        (b"false", 0.0),
        (b"1.1805916207174113e+21", 2.0**70),
        (b"0.1000000000000000055511151231257827", 0.1),
        (b'"1,234.5"', 1234.5),
    ],
)
def test_spellings_of_numbers(text: bytes, value: float) -> None:
    found = curves(decode(wandb_file([row(1, {"_step": 3, "loss": text, "lr": 0.5})]))[1])
    assert found["history:lr"] == [(3, 0.5)]
    np.testing.assert_equal(found["history:loss"], [(3.0, value)])


def test_nested_keys_and_values_are_joined() -> None:
    rows = [
        history(n, item("_step", n), item(["train", "loss"], n / 2), item("deep", {"a": {"b": n}}))
        for n in range(3)
    ]
    found = curves(decode(wandb_file(rows))[1])
    assert found["history:train.loss"] == [(0, 0), (1, 0.5), (2, 1)]
    assert found["history:deep/a/b"] == [(0, 0), (1, 1), (2, 2)]


def test_media_and_text_are_left_aside_and_counted() -> None:
    rows = [
        history(
            n,
            item("_step", n),
            item(["table", "nrows"], 5),
            item(["table", "_type"], "table-file"),
            item("note", "good"),
            item("picture", {"_type": "image-file", "width": 3}),
            item("empty", None),
            item("loss", n),
        )
        for n in range(3)
    ]
    decoder, items = decode(wandb_file(rows))
    assert set(curves(items)) == {"history:loss"}
    assert decoder.tally.ignored == {"table": 3, "note": 3, "picture": 3}


def test_numbers_of_other_kinds_of_fields() -> None:
    items = [
        field(2, b"_step") + field(5, 8),  # zigzag: 4
        field(2, b"loss") + field(6, 0.25),
        field(2, b"flag") + field(4, 1),
        field(2, b"note") + field(7, b"text"),
    ]
    decoder, found = decode(wandb_file([history(1, *items)]))
    assert curves(found) == {"history:loss": [(4, 0.25)], "history:flag": [(4, 1.0)]}
    assert decoder.tally.ignored == {"note": 1}


def test_a_row_may_be_numbered_beside_its_items() -> None:
    rows = [
        field(1, n) + field(2, field(1, item("loss", n)) + field(2, field(1, n + 5)))
        for n in range(3)
    ]
    assert curves(decode(wandb_file(rows))[1])["history:loss"] == [(5, 0), (6, 1), (7, 2)]


def test_items_of_any_length_are_read() -> None:
    # 130 is the byte that marks a value; lengths around it and above 127 have two bytes.
    rows: list[bytes] = []
    for n in range(260):
        key = "k" * (n + 1)
        rows.append(row(n, {"_step": n, key: n, "loss": n / 2}))
    found = curves(decode(wandb_file(rows))[1])
    assert found["history:loss"] == [(n, n / 2) for n in range(260)]
    assert all(found["history:" + "k" * (n + 1)] == [(n, n)] for n in range(260))


def test_the_output_gives_the_metrics_where_there_is_no_history() -> None:
    lines = [output(n, f"step {n} loss {1 / (n + 1):.4f} lr 0.001\n") for n in range(40)]
    found = curves(decode(wandb_file(lines))[1])
    assert [step for step, _ in found["console:loss"]] == list(range(40))
    both = [*lines, *(row(n, logged(n)) for n in range(40))]
    assert "console:loss" not in curves(decode(wandb_file(both))[1])


def test_a_file_that_is_cut_is_waited_for() -> None:
    data = wandb_file(run(700))
    assert len(data) > 3 * BLOCK
    for end in (5, 7, BLOCK, 2 * BLOCK, 2 * BLOCK + 7, len(data) - 3):
        decoder = WandbFile("history")
        items = decoder.feed(data[:end])
        assert not decoder.tally.skipped_total
        items += decoder.feed(data[end:]) + decoder.finish()
        assert curves(items) == curves(decode(data)[1])


def test_a_damaged_row_is_counted_and_the_others_are_read() -> None:
    rows = [row(n, logged(n)) for n in range(40)]
    data = bytearray(wandb_file(rows))
    data[len(wandb_file(rows[:20])) + 40] ^= 1
    decoder, items = decode(bytes(data))
    steps = [step for step, _ in curves(items)["history:loss"]]
    assert steps == [step for step in range(40) if step != 20]
    assert decoder.tally.skipped_total == 1


def test_after_a_damaged_block_reading_goes_on_at_the_next() -> None:
    rows = [row(n, logged(n)) for n in range(2000)]
    data = bytearray(wandb_file(rows))
    data[BLOCK : BLOCK + 4000] = bytes(4000)
    decoder, items = decode(bytes(data))
    steps = [step for step, _ in curves(items)["history:loss"]]
    assert steps[-1] == 1999
    assert len(steps) > 1500
    assert decoder.tally.skipped_total >= 1
    assert f"byte {BLOCK}" in decoder.tally.skipped[0].why


SAMPLE = wandb_file(run(250))


@given(st.lists(st.integers(0, len(SAMPLE)), max_size=12))
@settings(max_examples=30, deadline=None)
def test_how_the_bytes_are_cut_changes_nothing(cuts: list[int]) -> None:
    assert curves(decode(SAMPLE, cuts)[1]) == curves(decode(SAMPLE)[1])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, len(SAMPLE)),
    st.lists(st.integers(0, len(SAMPLE)), max_size=3),
)
def test_damage_never_raises(changes: list[tuple[int, int]], end: int, cuts: list[int]) -> None:
    data = bytearray(SAMPLE)
    for place, value in changes:
        data[place] = value
    decoder, items = decode(bytes(data[:end]), [cut for cut in cuts if cut <= end])
    whole = {pair for curve in curves(decode(SAMPLE)[1]).values() for pair in curve}
    assert all(
        pair in whole
        for name, curve in curves(items).items()
        if not name.startswith("system")  # whose steps are those of the row before
        for pair in curve
    )
    if not changes:
        assert not decoder.tally.skipped_total


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    decode(data)
    decode(WANDB_MAGIC + data)
    decode(wandb_file([data, field(1, 7) + data, field(2, data), field(1, 7) + field(2, data)]))


def test_a_run_folder_is_opened_and_what_is_beside_the_run_file_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "wandb" / "run-20240101_000000-abc123"
    (folder / "files").mkdir(parents=True)
    (folder / "run-abc123.wandb").write_bytes(wandb_file(run(30)))
    (folder / "files" / "output.log").write_text("step 0 done\n")
    (folder / "files" / "wandb-summary.json").write_text('{"loss": 1}')
    (tmp_path / "wandb" / "latest-run").symlink_to(folder.name)
    (tmp_path / "wandb" / "debug.log").write_text("something of the client's\n")
    for path in (tmp_path, tmp_path / "wandb", folder, tmp_path / "wandb" / "latest-run"):
        session = open_run(path)
        assert [report.format for report in session.reports()] == ["wandb"]
        found = session.run()
        assert found is not None
        assert found.last_step == 29
    assert format_of(Path("x"), wandb_file(run(1))[:4096]) == "wandb"


def test_of_several_runs_beside_a_log_the_newest_is_read(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text("step 1 loss 2.0\n")
    for number, steps in ((1, 10), (2, 20)):
        folder = tmp_path / "wandb" / f"run-2024010{number}_000000-abc12{number}"
        folder.mkdir(parents=True)
        file = folder / f"run-abc12{number}.wandb"
        file.write_bytes(wandb_file(run(steps)))
    session = open_run(tmp_path)
    assert sorted(report.format for report in session.reports()) == ["text", "wandb"]
    assert any("another run" in problem for problem in session.problems())
