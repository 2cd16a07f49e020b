"""Reading a file from its end gives what reading it from its start gives."""

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traintop.records import Item, LayerBlock, LayerNames, LayerStats, Rows
from traintop.sources.backwards import Backwards
from traintop.sources.decoder import Decoder, Forkable
from traintop.sources.layers import Layers
from traintop.sources.registry import choose
from traintop.sources.tail import Jump
from traintop.store.layers import as_block

NAMES = LayerNames(names=("a", "b"), act_names=("c", "d"))
UNKNOWN = "[nan, nan]"
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
        elif isinstance(item, LayerStats | LayerBlock):
            block = as_block(item)
            for row, step in enumerate(block.step.tolist()):
                stats = {name: repr(values[row].tolist()) for name, values in block.stats.items()}
                known = sorted((name, text) for name, text in stats.items() if text != UNKNOWN)
                mode = int(block.train_mode[row])
                found.setdefault("layers", []).append((step, mode, tuple(known)))
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


VALUES = st.lists(
    st.sampled_from([1, 0.25, -3e-9, math.nan, math.inf, -math.inf, None, "NaN", "-Infinity"]),
    min_size=2,
    max_size=2,
)
LAYERS = st.fixed_dictionaries(
    {"step": st.one_of(st.integers(0, 9), st.sampled_from([2.5, "7"]))},
    optional={
        "train_mode": st.sampled_from([True, False, None]),
        "epoch": st.sampled_from([0, 1.5]),
        "grad_norm": VALUES,
        "act_mean": st.lists(st.sampled_from([1.5, None]), min_size=2, max_size=2),
    },
)
ODD_LAYERS = st.sampled_from(
    [b"", b"{broken", b'{"step": NaN, "grad_norm": [1, 2]}', b'{"step": 1, "grad_norm": [1]}',
     b'{"grad_norm": [1, 2]}', b'{"step": 1, "grad_norm": [true, "x"]}',
     b'{"step": 1, "grad_norm": [[1], 2]}', b'{"step": 4, "grad_norm": 3, "loss": [1, 2]}']
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(LAYERS, LAYERS, LAYERS, ODD_LAYERS), min_size=1, max_size=40))
def test_layers_are_read_alike_in_blocks_and_line_by_line(
    lines: list[dict[str, object] | bytes],
) -> None:
    written = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    whole, single = Layers(NAMES), Layers(NAMES)
    items = whole.feed(b"".join(line + b"\n" for line in written[:2]))
    items += whole.feed(b"".join(line + b"\n" for line in written[2:]))
    one_by_one = [item for line in written for item in single.feed(line + b"\n")]
    assert seen(items) == seen(one_by_one)
    assert tally_of(whole) == tally_of(single)
