"""Reading a file from its end gives what reading it from its start gives."""

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traintop.records import Item, LayerNames, LayerStats, Rows
from traintop.sources.backwards import Backwards
from traintop.sources.decoder import Decoder, Forkable
from traintop.sources.registry import choose
from traintop.sources.tail import Jump

Seen = dict[str, list[tuple[object, ...]]]


def seen(items: list[Item]) -> Seen:
    """What the items hold, record by record, by table."""
    found: Seen = {}
    for item in items:
        if isinstance(item, Rows):
            for row, step in enumerate(item.step.tolist()):
                values: dict[str, str] = {}
                for name, column in item.columns.items():
                    rows = range(len(item.step)) if column.rows is None else column.rows.tolist()
                    at = dict(zip(rows, column.values.tolist(), strict=True))
                    if row in at:
                        values[name] = repr(at[row])
                axes = (item.axis, repr(step), repr(item.epoch[row]), repr(item.time[row]))
                found.setdefault(item.table, []).append((*axes, tuple(sorted(values.items()))))
        elif isinstance(item, LayerStats):
            stats = tuple((name, tuple(values)) for name, values in sorted(item.stats.items()))
            found.setdefault("layers", []).append((item.step, item.train_mode, stats))
        elif not isinstance(item, LayerNames):
            found.setdefault(type(item).__name__, []).append((item,))
    return found


def tally_of(decoder: Decoder) -> tuple[object, ...]:
    tally = decoder.tally
    skipped = tuple(tally.skipped)
    return (
        tally.records,
        tally.lines,
        skipped,
        tally.skipped_total,
        tally.ignored,
        {*decoder.tables},
    )


def fresh(path: Path, head: bytes) -> Decoder:
    chosen = choose(path, head[:4096], "run", True)
    assert not isinstance(chosen, str)
    return chosen


def forwards(path: Path, data: bytes) -> tuple[Seen, tuple[object, ...]]:
    decoder = fresh(path, data)
    return seen(decoder.feed(data) + decoder.finish()), tally_of(decoder)


def backwards(
    path: Path, data: bytes, head: int, size: int
) -> tuple[Seen, tuple[object, ...]] | None:
    """The same, from the end; None where it cannot be read in this way."""
    learnt = fresh(path, data)
    learnt.feed(data[: data.find(b"\n", head) + 1])
    if not isinstance(learnt, Forkable) or learnt.fork() is None:
        return None
    path.write_bytes(data)
    jump = Jump(os.open(path, os.O_RDONLY), data[:head], len(data))
    reader = Backwards(jump, lambda: fresh(path, data), learnt, size)
    pieces: list[list[Item]] = []
    while reader.left and reader.failed is None:
        pieces.append(reader.read())
    reader.close()
    if reader.failed is not None:
        return None
    items = [item for piece in reversed(pieces) for item in piece]
    return seen(items), tally_of(reader.decoder)


def lines_of(records: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def test_a_plain_run_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    data = lines_of(
        [{"step": step, "loss": 1 / (step + 1), "time": 1.7e9 + step} for step in range(500)]
    )
    assert backwards(path, data, head=200, size=1000) == forwards(path, data)


def test_broken_lines_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = lines_of([{"step": step, "loss": 1.0} for step in range(300)]).splitlines(keepends=True)
    lines[7] = b"{broken\n"
    lines[150] = b"\n"
    lines[222] = b'{"step": 222, "loss": NaN}\n'
    lines[290] = b"torn }\n"
    data = b"".join(lines)
    found = backwards(path, data, head=100, size=700)
    assert found == forwards(path, data)
    assert found is not None
    assert [each.line for each in found[1][2]] == [8, 291]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "records",
    [
        [{"loss": 1.0} for _ in range(100)],
        [{"epoch": at // 20, "iter": at % 20, "loss": 1.0} for at in range(100)],
    ],
    ids=["records are numbered", "the step begins anew in each epoch"],
)
def test_what_depends_on_what_was_before_is_not(
    tmp_path: Path, records: list[dict[str, object]]
) -> None:
    assert backwards(tmp_path / "run.jsonl", lines_of(records), head=100, size=300) is None


def test_a_time_that_begins_later_is_seen_or_the_file_refused(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [{"step": at, "loss": 1.0} for at in range(100)]
    for at in range(50, 100):
        records[at]["time"] = 1.7e9 + at
    data = lines_of(records)
    assert backwards(tmp_path / "run.jsonl", data, head=100, size=300) in (
        None,
        forwards(tmp_path / "run.jsonl", data),
    )


RECORD = st.fixed_dictionaries(
    {},
    optional={
        "step": st.integers(0, 3),
        "loss": st.sampled_from([1.0, math.nan, math.inf, None, "1,234.5", True, [1]]),
        "epoch": st.sampled_from([0, 1, 1.5, 2]),
        "iter": st.integers(0, 5),
        "time": st.sampled_from([0.5, 1.7e9, "2024-01-01T00:00:00"]),
        "split": st.sampled_from(["train", "val", "other"]),
        "extra": st.floats(-1, 1),
        "nested": st.just({"a": 1, "b": {"c": 2.5}}),
    },
)
LINE = st.one_of(
    st.tuples(st.integers(0, 2), RECORD),
    st.sampled_from([b"", b"{broken", b"[1]", b'{"step": 1} {"step": 2}']),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(LINE, min_size=3, max_size=40),
    st.booleans(),
    st.booleans(),
    st.integers(0, 200),
    st.integers(20, 400),
)
def test_any_lines_are_read_alike_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[int, dict[str, object]] | bytes],
    rising: bool,
    epochs: bool,
    head: int,
    size: int,
) -> None:
    written: list[bytes] = []
    step = 0
    for line in lines:
        if isinstance(line, bytes):
            written.append(line)
            continue
        more, record = line
        step += more
        record = record | {"step": step} if rising else record
        if not epochs:
            record = {key: value for key, value in record.items() if key != "epoch"}
        written.append(json.dumps(record).encode())
    data = b"\n".join(written) + b"\n"
    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    found = backwards(path, data, head, size)
    assert found is None or found == forwards(path, data)


def test_layers_are_read_from_their_end(tmp_path: Path) -> None:
    path = tmp_path / "layers.jsonl"
    records: list[dict[str, object]] = [{"names": ["a", "b"]}]
    records.extend({"step": step, "grad_norm": [step, 1.0]} for step in range(200))
    data = lines_of(records).replace(b'"step": 50,', b'"nostep": 50,')
    assert backwards(path, data, head=150, size=900) == forwards(path, data)
