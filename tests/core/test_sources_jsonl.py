from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traintop.records import Item, Rows
from traintop.sources.jsonl import JsonLines

Row = tuple[float, float, float, dict[str, float]]


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def decoder(table: str = "metrics") -> JsonLines:
    return JsonLines(table, lambda split: split)


def by_table(items: list[Item]) -> dict[str, list[Row]]:
    """The rows that were handed over: step, epoch, time and the values that are there."""
    tables: dict[str, list[Row]] = defaultdict(list)
    for rows in items:
        assert isinstance(rows, Rows)
        values: list[dict[str, float]] = [{} for _ in rows.step]
        for name, column in rows.columns.items():
            assert column.values.dtype == np.float64
            where = range(len(rows.step)) if column.rows is None else column.rows.tolist()
            assert list(where) == sorted(set(where))
            for row, value in zip(where, column.values.tolist(), strict=True):
                values[row][name] = value
        places = zip(rows.step.tolist(), rows.epoch.tolist(), rows.time.tolist(), strict=True)
        tables[rows.table] += [(*place, row) for place, row in zip(places, values, strict=True)]
    return tables


def decode(data: bytes) -> dict[str, list[Row]]:
    reader = decoder()
    return by_table(reader.feed(data) + reader.finish())


def shown(tables: dict[str, list[Row]]) -> str:
    """As text, in which NaN equals NaN; tables of one burst come in no order."""
    return repr(
        {
            table: [(*row[:3], sorted(row[3].items())) for row in rows]
            for table, rows in sorted(tables.items())
        }
    )


def values(data: bytes, table: str = "metrics") -> list[tuple[float, dict[str, float]]]:
    return [(step, row) for step, _, _, row in decode(data)[table]]


def test_plain_records() -> None:
    data = lines(
        {"step": 1, "epoch": 0, "loss": 2.5, "ok": True}, {"step": 2, "loss": 2, "ok": False}
    )
    rows = decode(data)["metrics"]
    assert [row[0] for row in rows] == [1, 2]
    assert rows[0][1] == 0
    assert math.isnan(rows[1][1])
    assert rows[0][3] == {"loss": 2.5, "ok": 1.0}
    assert rows[1][3] == {"loss": 2.0, "ok": 0.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("-3", -3.0),
        ("true", 1.0),
        ('"1.784"', 1.784),
        ('"2.4e+06"', 2.4e6),
        ('"NaN"', math.nan),
        ('"nan"', math.nan),
        ('"Infinity"', math.inf),
        ('"-Infinity"', -math.inf),
        ('"inf"', math.inf),
        ('"-inf"', -math.inf),
        ("NaN", math.nan),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("nan", math.nan),
        ("-inf", -math.inf),
        ("1e400", math.inf),
        ("-1e400", -math.inf),
        ('"1,234"', 1234.0),
        ('"1,234.5"', 1234.5),
        ("1" + "0" * 400, math.inf),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("12345678901234567890", 12345678901234567890.0),
        ("null", None),
        ('"abc"', None),
        ('""', None),
        ('"1_000"', None),
        ('"12 %"', None),
        ('"1,23"', None),
        ("[1,2]", None),
        ("[]", None),
        ('"9 days, 21:39:23"', None),
    ],
)
@pytest.mark.parametrize("place", ["first", "later", "amid"])
def test_every_spelling_of_a_number(text: str, value: float | None, place: str) -> None:
    odd = f'{{"step": 5, "loss": {text}, "lr": 0.5}}\n'.encode()
    plain = b'{"step": 1, "loss": 1.0, "lr": 0.25}\n'
    data = {"first": odd + plain, "later": plain + odd, "amid": plain * 3 + odd + plain * 500}[
        place
    ]
    found = [row for step, row in values(data) if step == 5]
    assert len(found) == 1
    assert found[0].pop("lr") == 0.5
    assert repr(found[0]) == repr({} if value is None else {"loss": value})
    assert len(values(data)) == data.count(b"\n")


def test_absent_null_and_nan_are_told_apart() -> None:
    data = lines({"step": 0, "a": 1.0, "b": 1.0})
    data += b'{"step": 1, "a": NaN}\n{"step": 2, "a": null, "b": "NaN"}\n{"step": 3}\n'
    assert repr(values(data)) == repr(
        [(0.0, {"a": 1.0, "b": 1.0}), (1.0, {"a": math.nan}), (2.0, {"b": math.nan}), (3.0, {})]
    )


def test_text_that_speaks_of_nan_does_no_harm() -> None:
    data = b'{"step": 1, "num_NaN": 3, "note": "NaN or Infinity", "loss": NaN}\n' * 3
    assert repr(values(data)) == repr([(1.0, {"loss": math.nan, "num_NaN": 3.0})] * 3) or repr(
        values(data)
    ) == repr([(1.0, {"num_NaN": 3.0, "loss": math.nan})] * 3)


def test_nested_objects() -> None:
    data = lines(
        {"step": 1, "loss": {"train": 1.0, "val": {"a": 2}}, "config": {"lr": 1}, "hist": [1, 2]},
        {"step": 2, "loss": 3.0, "config": {"lr": 1}, "hist": [1]},
    )
    assert values(data) == [(1.0, {"loss/train": 1.0, "loss/val/a": 2.0}), (2.0, {"loss": 3.0})]
    reader = decoder()
    reader.feed(data)
    assert reader.tally.ignored == {"config": 2, "hist": 2}
    assert reader.tally.skipped_total == 0


def test_too_deep_is_left_aside() -> None:
    deep: Any = 1.0
    for _ in range(10):
        deep = {"a": deep}
    assert values(lines({"step": 1, "x": deep, "y": 2})) == [(1.0, {"y": 2.0})]
    reader = decoder()
    reader.feed(b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"\n" + lines({"step": 1, "y": 1}))
    assert [skip.line for skip in reader.tally.skipped] == [1]


@pytest.mark.parametrize(
    "key",
    [
        "step",
        "global_step",
        "iteration",
        "iter",
        "_step",
        "current_steps",
        "num_updates",
        "Step",
        "train/global_step",
        "trainer/global_step",
        "total_timesteps",
        "global_steps",
    ],
)
def test_names_of_the_step(key: str) -> None:
    data = lines({"loss": 1.0, key: 10}, {"loss": 0.5, key: 20})
    assert values(data) == [(10.0, {"loss": 1.0}), (20.0, {"loss": 0.5})]


def test_step_in_an_object() -> None:
    rows = (
        {"msg": "train", "fields": {"loss": 1.0, "step": 10}},
        {"msg": "train", "fields": {"loss": 0.5, "step": 20}},
    )
    assert values(lines(*rows)) == [(10.0, {"fields/loss": 1.0}), (20.0, {"fields/loss": 0.5})]


def test_part_of_the_data_under_any_key() -> None:
    rows = (
        {"step": 1, "loss": 2.0, "dataset": "train"},
        {"step": 1, "loss": 3.0, "dataset": "val"},
    )
    assert {table: len(found) for table, found in decode(lines(*rows)).items()} == {
        "train": 1,
        "val": 1,
    }


def axes(data: bytes) -> list[tuple[str, list[float]]]:
    reader = decoder()
    items = reader.feed(data) + reader.finish()
    return [(item.axis, item.step.tolist()) for item in items if isinstance(item, Rows)]


def test_without_a_step() -> None:
    merged = [step for _, steps in axes(lines(*[{"loss": 1}] * 3)) for step in steps]
    assert merged == [0, 1, 2]
    assert {axis for axis, _ in axes(lines({"loss": 1}, {"loss": 1}))} == {"record"}


def test_one_record_an_epoch() -> None:
    assert axes(lines({"epoch": 1, "l": 1}, {"epoch": 2, "l": 1}, {"epoch": 5, "l": 1})) == [
        ("epoch", [1, 2, 5])
    ]


def test_epochs_that_repeat_are_no_steps() -> None:
    found = axes(lines({"epoch": 0, "l": 1}, {"epoch": 0, "l": 1}, {"epoch": 1, "l": 1}))
    assert found == [("epoch", [0]), ("record", [1, 2])]
    assert axes(lines({"epoch": 0.1, "l": 1}, {"epoch": 0.2, "l": 1}))[0][0] == "record"


def test_train_and_val_of_one_epoch() -> None:
    tables = decode(
        lines(*({"epoch": e, "split": s, "loss": 1} for e in range(3) for s in ("train", "val")))
    )
    assert [row[0] for row in tables["train"]] == [row[0] for row in tables["val"]] == [0, 1, 2]


def test_a_first_record_that_describes_the_run() -> None:
    data = lines({"lr": 0.1, "model": "mlp"}, {"step": 1, "loss": 2}, {"step": 2, "loss": 1})
    assert values(data) == [(1.0, {"loss": 2.0}), (2.0, {"loss": 1.0})]
    reader = decoder()
    assert reader.feed(lines({"lr": 0.1, "model": "mlp"})) == []
    assert len(reader.feed(lines({"step": 1, "loss": 2}))) == 1
    assert reader.tally.ignored == {"lr": 1, "model": 1}
    assert reader.tally.records == 1


def test_a_lone_record_is_handed_over_at_the_end() -> None:
    reader = decoder()
    assert reader.feed(lines({"loss": 1})) == []
    assert by_table(reader.finish())["metrics"][0][3] == {"loss": 1.0}


def test_a_later_record_without_a_step_stands_at_the_last() -> None:
    assert values(lines({"step": 5, "loss": 1}, {"train_runtime": 9}, {"step": 6, "loss": 1})) == [
        (5.0, {"loss": 1.0}),
        (5.0, {"train_runtime": 9.0}),
        (6.0, {"loss": 1.0}),
    ]


@pytest.mark.parametrize(
    ("word", "table"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("val", "val"),
        ("valid", "val"),
        ("eval", "val"),
        ("test", "test"),
        ("warmup", "metrics"),
        (3, "metrics"),
        (None, "metrics"),
    ],
)
@pytest.mark.parametrize("key", ["mode", "split", "phase"])
def test_split(key: str, word: object, table: str) -> None:
    tables = decode(lines({"step": 0, key: "train", "loss": 5}, {"step": 1, key: word, "loss": 1}))
    assert tables[table][-1][0] == 1


def test_mmcv_counts_anew_in_each_epoch() -> None:
    records: list[dict[str, Any]] = [{"env_info": "text", "seed": None}]
    for epoch in (1, 2, 3):
        records += [{"mode": "train", "epoch": epoch, "iter": i, "loss": 1.0} for i in (50, 100)]
        records.append({"mode": "val", "epoch": epoch, "iter": 120, "mAP": 0.1})
    whole = decode(lines(*records))
    assert [row[0] for row in whole["train"]] == [50, 100, 170, 220, 290, 340]
    assert [row[0] for row in whole["val"]] == [120, 240, 360]
    reader = decoder()
    apart = [item for record in records for item in reader.feed(lines(record))]
    assert shown(by_table(apart)) == shown(whole)


def test_mmcv_val_that_counts_its_own_batches() -> None:
    records = [{"mode": "train", "epoch": 1, "iter": i, "loss": 1.0} for i in (50, 100)]
    records += [{"mode": "val", "epoch": 1, "iter": 20, "mAP": 0.1}]
    records += [{"mode": "train", "epoch": 2, "iter": i, "loss": 1.0} for i in (50, 100)]
    assert [row[0] for row in decode(lines(*records))["val"]] == [100]


def test_mmcv_val_with_more_batches_than_an_epoch_has_steps() -> None:
    records: list[dict[str, Any]] = []
    for epoch in (1, 2, 3):
        records += [{"mode": "train", "epoch": epoch, "iter": i, "loss": 1.0} for i in (50, 100)]
        records.append({"mode": "val", "epoch": epoch, "iter": 1875, "mAP": 0.1})
    whole = decode(lines(*records))
    assert [row[0] for row in whole["train"]] == [50, 100, 150, 200, 250, 300]
    assert [row[0] for row in whole["val"]] == [100, 200, 300]
    reader = decoder()
    apart = [item for record in records for item in reader.feed(lines(record))]
    assert shown(by_table(apart)) == shown(whole)


def test_mmengine_writes_the_epoch_as_the_step_of_a_validation() -> None:
    records: list[dict[str, Any]] = []
    for epoch in (1, 2):
        records += [{"loss": 2.0, "epoch": epoch, "step": 100 * (epoch - 1) + i} for i in (50, 100)]
        records.append({"accuracy/top1": 24.0, "step": epoch})
    tables = decode(lines(*records))
    assert [row[0] for row in tables["metrics"]] == [50, 100, 150, 200]
    assert [row[0] for row in tables["val"]] == [100, 200]


def test_a_resumed_run_is_left_as_it_is() -> None:
    steps = [0, 10, 20, 30, 20, 30, 40]
    epochs = [0, 0, 1, 1, 1, 1, 2]
    data = lines(*({"step": s, "epoch": e, "l": 1} for s, e in zip(steps, epochs, strict=True)))
    assert [step for step, _ in values(data)] == steps


@pytest.mark.parametrize(
    ("key", "value", "seconds"),
    [
        ("time", 1.7e9, 1.7e9),
        ("_timestamp", 1.7e9, 1.7e9),
        ("timestamp", 1700000000000, 1.7e9),
        ("wall_time", 1700000000000000, 1.7e9),
        ("timestamp", "2023-11-14T22:13:20+00:00", 1.7e9),
        ("time", "2023-11-14T22:13:20Z", 1.7e9),
        ("date", "2023-11-14 22:13:20+00:00", 1.7e9),
    ],
)
def test_times(key: str, value: object, seconds: float) -> None:
    rows = decode(
        lines({"step": 1, key: value, "l": 1}, {"step": 2, key: value, "l": 1}, {"step": 3})
    )
    assert [row[2] for row in rows["metrics"][:2]] == [seconds, seconds]
    assert math.isnan(rows["metrics"][2][2])
    assert rows["metrics"][0][3] == {"l": 1.0}


def test_a_duration_is_a_metric() -> None:
    assert values(lines({"step": 1, "time": 0.43})) == [(1.0, {"time": 0.43})]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"garbage", "not JSON: does not begin with {"),
        (b'{"step": 1', "not JSON: Expecting"),
        (b"[1, 2]", "not an object"),
        (b"17", "not an object"),
        (b"\0\0\0", "not JSON: nothing but NUL"),
        (b'{"a": 1}garbage', "not JSON: Expecting"),
    ],
)
def test_broken_lines_are_counted_with_their_number(line: bytes, why: str) -> None:
    reader = decoder()
    good = lines({"step": 1, "l": 1})
    items = reader.feed(good + b"\n" + line + b"\n" + good + line + b"\n" + good)
    assert sum(len(rows) for rows in by_table(items).values()) == 3
    assert [skip.line for skip in reader.tally.skipped] == [3, 5]
    assert reader.tally.skipped[0].why.startswith(why)
    assert reader.tally.skipped_total == 2


def test_what_other_writers_leave_is_read() -> None:
    data = b'\xef\xbb\xbf{"step": 1, "l": 1}\r\n{"step": 2, "l": 2}{"step": 3, "l": 3}\n'
    data += b'{"step": 4, "l": 4, "t": "\xff\xfe"}\n\0\0{"step": 5, "l": 5}\0\n'
    assert values(data) == [(float(step), {"l": float(step)}) for step in range(1, 6)]


def test_broken_lines_take_bounded_memory() -> None:
    reader = decoder()
    for _ in range(200):
        reader.feed(b"{broken\n" * 1000)
    assert reader.tally.skipped_total == 200_000
    assert len(reader.tally.skipped) == 100
    assert [skip.line for skip in reader.tally.skipped] == list(range(1, 101))


def test_a_schema_that_changes_half_way_loses_nothing() -> None:
    first = [{"step": i, "loss": 1.0, "a": i} for i in range(1000)]
    second = [{"step": 1000 + i, "loss": 0.5, "b": i, "a": "off"} for i in range(1000)]
    found = values(lines(*first, *second))
    assert [row.get("a") for _, row in found[:1000]] == [float(i) for i in range(1000)]
    assert [row.get("b") for _, row in found[1000:]] == [float(i) for i in range(1000)]
    assert all("a" not in row for _, row in found[1000:])


def test_every_line_with_a_key_of_its_own() -> None:
    found = values(lines(*({"step": i, f"loss_{i}": i} for i in range(700))))
    assert [row for _, row in found] == [{f"loss_{i}": float(i)} for i in range(700)]


def test_odd_names() -> None:
    record = {"step": 1, 'a"b': 1.0, "c\\d": 2.0, "e\nf": 3.0, "": 4.0, "ä": 5.0, "\ud800": 6.0}
    expected = {key: value for key, value in record.items() if key != "step"}
    (found,) = values(lines(record))
    assert sorted(found[1].values()) == sorted(expected.values())
    assert set(found[1]) >= set(expected) - {"\ud800"}


NUMBERS = st.one_of(
    st.floats(width=64),
    st.integers(-(10**20), 10**20),
    st.booleans(),
    st.none(),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "0.5", "text", "1,000"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["x", "y"]), st.floats(), max_size=2),
)
RECORDS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c/x", "d", "loss"]), NUMBERS, max_size=5),
    max_size=25,
)
SPELT = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "0.5": 0.5, "1,000": 1000.0}


def slowly(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a record, the obvious way."""
    found: dict[str, float] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            found |= {f"{key}/{inner}": number for inner, number in value.items()}
        elif isinstance(value, str) and value in SPELT:
            found[key] = SPELT[value]
        elif isinstance(value, int | float):
            found[key] = float(value)
    return found


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.lists(st.integers(0, 2000), max_size=6))
def test_against_the_obvious_way(records: list[dict[str, Any]], cuts: list[int]) -> None:
    numbered = [{"step": number, **record} for number, record in enumerate(records)]
    data = lines(*numbered)
    expected = [(float(step), sorted(slowly(row).items())) for step, row in enumerate(records)]
    assert (
        repr([(s, sorted(row.items())) for s, row in values(data)]) == repr(expected)
        if data
        else True
    )
    reader = decoder()
    items: list[Item] = []
    for chunk in whole_lines(data, cuts):
        items += reader.feed(chunk)
    assert shown(by_table(items + reader.finish())) == shown(decode(data))


def whole_lines(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data in chunks that end with a line."""
    ends = sorted({data.rfind(b"\n", 0, cut) + 1 for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(ends)]


BYTES = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from(
            [
                b'{"step": 1, ',
                b'"loss": 2}',
                b"\n",
                b'"epoch": 3, ',
                b"NaN",
                b"{",
                b"}",
                b'"mode": "val", ',
                b'{"a": 1}',
                b'{"step": 7, "b": "x"}\n',
                b'{"epoch": 2}\n',
                b"[1]",
                b"\r",
                b"\0",
                b"\xff",
                b'{"loss": NaN, "iter": 3, "epoch": 1}\n',
                b'{"iter": 1, "epoch": 2, "mode": "val"}\n',
                b'{"time": 1.7e9, "loss": Infinity}\n',
                b'{"split": 3, "config": {"a": 1}}\n',
                b" ",
            ]
        ),
        max_size=30,
    ).map(b"".join),
)


@settings(max_examples=300, deadline=None)
@given(BYTES, st.lists(st.integers(0, 300), max_size=8))
def test_arbitrary_bytes_in_arbitrary_chunks(data: bytes, cuts: list[int]) -> None:
    whole = decoder()
    expected = shown(by_table(whole.feed(data) + whole.finish()))
    reader = decoder()
    items: list[Item] = []
    for chunk in whole_lines(data, cuts):
        items += reader.feed(chunk)
    assert shown(by_table(items + reader.finish())) == expected
    assert reader.tally.skipped == whole.tally.skipped
    assert reader.tally.ignored == whole.tally.ignored
