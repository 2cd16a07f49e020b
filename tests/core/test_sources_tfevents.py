from __future__ import annotations

import itertools
import math
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_files import crc32c, event, event_file, field, masked, record, simple, tensor
from traintop.errors import PathError
from traintop.opening import open_run
from traintop.records import Item, Reset, Rows
from traintop.run_paths import runs_in
from traintop.sources.newest import newest_run
from traintop.sources.registry import format_of, open_source
from traintop.sources.scalars import Placer
from traintop.sources.tfevents.crc32c import checksum
from traintop.sources.tfevents.decoder import EventFile
from traintop.sources.tfevents.folder import EventFolder

Curve = list[tuple[float, float]]


def curves(items: Sequence[Item]) -> dict[str, Curve]:
    """`table:series` -> (step, value) of each point."""
    found: dict[str, Curve] = {}
    for rows in items:
        assert isinstance(rows, Rows)
        for name, column in rows.columns.items():
            at = np.arange(len(rows.step)) if column.rows is None else column.rows
            pairs = zip(rows.step[at].tolist(), column.values.tolist(), strict=True)
            found.setdefault(f"{rows.table}:{name}", []).extend(pairs)
    return found


def decode(data: bytes, cuts: Sequence[int] = ()) -> tuple[EventFile, list[Item]]:
    decoder = EventFile(Placer("t"))
    items: list[Item] = []
    edges = [0, *sorted(cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        items += decoder.feed(data[begin:end])
    return decoder, items + decoder.finish()


def float32(value: float) -> float:
    return float(np.float32(value))


def training(steps: int, every: int = 7) -> bytes:
    """Two tags each step, one of another length now and then."""
    events: list[bytes] = []
    for step in range(steps):
        events.append(event(step, simple("loss", 1 / (step + 1)), time=1.7e9 + step))
        events.append(event(step, simple("lr", 1e-3), time=1.7e9 + step))
        if step % every == 0:
            events.append(event(step, simple("val/accuracy", step / steps), time=1.7e9 + step))
    return event_file(events)


def test_checksums_are_those_of_the_definition() -> None:
    assert checksum(b"123456789") == 0xE3069283  # RFC 3720 B.4 names the polynomial
    for size in (0, 1, 3, 4, 5, 12, 1023, 1024, 1025, 3000):
        data = random.Random(size).randbytes(size)  # noqa: S311
        assert checksum(data) == crc32c(data)


def test_scalars_become_rows_of_their_steps() -> None:
    _, items = decode(training(300))
    found = curves(items)
    assert found["t:loss"] == [(step, float32(1 / (step + 1))) for step in range(300)]
    assert found["t:lr"] == [(step, float32(1e-3)) for step in range(300)]
    assert found["t:val/accuracy"] == [(s, float32(s / 300)) for s in range(0, 300, 7)]
    assert sum(len(rows.step) for rows in items if isinstance(rows, Rows)) == 300
    times = np.concatenate([rows.time for rows in items if isinstance(rows, Rows)])
    assert times.tolist() == [1.7e9 + step for step in range(300)]


def test_tensors_of_one_element_are_scalars() -> None:
    data = event_file(
        event(
            step,
            tensor("f", 1, struct.pack("<f", step / 2)),
            tensor("d", 2, struct.pack("<d", step / 3)),
            tensor("h", 19, struct.pack("<e", step / 4)),
            tensor("i", 3, struct.pack("<i", -step)),
            tensor("q", 9, struct.pack("<q", step)),
        )
        for step in range(40)
    )
    found = curves(decode(data)[1])
    assert found["t:f"] == [(step, float32(step / 2)) for step in range(40)]
    assert found["t:d"] == [(step, step / 3) for step in range(40)]
    assert found["t:h"] == [(step, float(np.float16(step / 4))) for step in range(40)]
    assert found["t:i"] == [(step, -step) for step in range(40)]
    assert found["t:q"] == [(step, step) for step in range(40)]


def test_numbers_that_are_listed_are_read_as_well() -> None:
    def listed(tag: str, dtype: int, number: int, content: bytes | int | float) -> bytes:
        return field(1, tag.encode()) + field(8, field(1, dtype) + field(number, content))

    half = int.from_bytes(struct.pack("<e", 1.5), "little")
    values = (
        listed("float", 1, 5, struct.pack("<f", 2.5)),
        listed("double", 2, 6, struct.pack("<d", 0.1)),
        listed("unpacked", 2, 6, 0.25),
        listed("int", 3, 7, b"\x05"),
        listed("long", 9, 10, -3),
        listed("half", 19, 13, half),
        listed("two", 1, 5, struct.pack("<ff", 1, 2)),
    )
    decoder, items = decode(event_file([event(4, *values)]))
    assert curves(items) == {
        "t:float": [(4, 2.5)],
        "t:double": [(4, 0.1)],
        "t:unpacked": [(4, 0.25)],
        "t:int": [(4, 5)],
        "t:long": [(4, -3)],
        "t:half": [(4, 1.5)],
    }
    assert decoder.tally.ignored == {"tensor": 1}


def test_what_is_no_scalar_is_counted_by_kind() -> None:
    image = field(1, b"picture") + field(4, field(1, 4) + field(4, bytes(9000)))
    histogram = field(1, b"weights") + field(5, field(1, 0.5))
    text = tensor("notes", 7, b"", plugin="text")
    graph = field(1, 1.7e9) + field(4, bytes(5000))
    events = [event(1, simple("loss", 1.0)), event(1, image), event(1, histogram), event(1, text)]
    decoder, items = decode(event_file([*events, graph, event(2, simple("loss", 0.5))]))
    assert curves(items) == {"t:loss": [(1, 1.0), (2, 0.5)]}
    assert decoder.tally.ignored == {"image": 1, "histogram": 1, "text": 1, "graph": 1}
    assert not decoder.tally.skipped_total


def test_an_overflow_of_float32_stays_infinite() -> None:
    values = (math.inf, -math.inf, math.nan, 1.0)
    _, items = decode(event_file(event(s, simple("fid", v)) for s, v in enumerate(values)))
    found = [value for _, value in curves(items)["t:fid"]]
    assert found[:2] == [math.inf, -math.inf]
    assert math.isnan(found[2])


def test_long_steps_negative_ones_and_missing_ones() -> None:
    steps = (0, 1, 127, 128, 16383, 16384, 2**21, 2**28, 2**34, 2**40)
    _, items = decode(event_file(event(step, simple("loss", 1.0)) for step in steps))
    assert [step for step, _ in curves(items)["t:loss"]] == list(steps)
    _, items = decode(event_file([event(-1, simple("loss", 1.0)), event(5, simple("loss", 2.0))]))
    assert curves(items)["t:loss"] == [(-1, 1.0), (5, 2.0)]


def test_a_tag_that_comes_twice_at_a_step_has_two_rows() -> None:
    _, items = decode(event_file(event(0, simple("loss", value)) for value in (3.0, 2.0, 1.0)))
    assert curves(items)["t:loss"] == [(0, 3.0), (0, 2.0), (0, 1.0)]


def test_tags_that_count_in_epochs_have_a_table_of_their_own() -> None:
    events: list[bytes] = []
    for epoch in range(4):
        steps = range(epoch * 50, epoch * 50 + 50)
        events += [event(step, simple("train/loss", 1.0)) for step in steps]
        events.append(event(epoch, simple("val/loss", 2.0)))
        events.append(event(epoch, simple("val/accuracy", 0.5)))
    _, items = decode(event_file(events))
    found = curves(items)
    assert [step for step, _ in found["t:train/loss"]] == list(range(200))
    assert [step for step, _ in found["t.2:val/loss"]] == [0, 1, 2, 3]
    assert [step for step, _ in found["t.2:val/accuracy"]] == [0, 1, 2, 3]


def test_a_run_that_goes_back_stays_in_its_table() -> None:
    steps = [*range(100), *range(60, 120)]
    data = event_file(
        event(step, simple(tag, float(step))) for step in steps for tag in ("loss", "lr")
    )
    found = curves(decode(data)[1])
    assert set(found) == {"t:loss", "t:lr"}
    assert [step for step, _ in found["t:loss"]] == steps


def test_an_epoch_among_the_scalars_places_the_rows() -> None:
    events = [
        event(step, simple("loss", 1.0), *([simple("epoch", step // 2)] if step % 2 == 0 else []))
        for step in range(6)
    ]
    _, items = decode(event_file(events))
    epochs = np.concatenate([rows.epoch for rows in items if isinstance(rows, Rows)])
    assert epochs.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_torn_record_is_waited_for() -> None:
    data = training(5)
    decoder = EventFile(Placer("t"))
    items = decoder.feed(data[:-5])
    assert not decoder.tally.skipped_total
    items += decoder.feed(data[-5:])
    assert curves(items) == curves(decode(data)[1])


def test_scalars_of_a_step_are_seen_at_once_where_all_records_are_whole() -> None:
    decoder = EventFile(Placer("t"))
    whole = training(5)
    assert curves(decoder.feed(whole))["t:loss"][-1][0] == 4


@pytest.mark.parametrize("part", ["length", "checksum of the length", "payload", "checksum"])
def test_a_damaged_record_is_counted_and_the_others_are_read(part: str) -> None:
    events = [event(step, simple("loss", float(step))) for step in range(50)]
    data = bytearray(event_file(events))
    at = len(event_file(events[:20]))
    place = {"length": 0, "checksum of the length": 9, "payload": 30, "checksum": -1}[part]
    data[at + place if place >= 0 else len(event_file(events[:21])) - 1] ^= 0x40
    decoder, items = decode(bytes(data))
    steps = [step for step, _ in curves(items)["t:loss"]]
    assert steps == [step for step in range(50) if step != 20]
    assert decoder.tally.skipped_total == 1
    assert f"byte {at}" in decoder.tally.skipped[0].why


def test_an_absurd_length_is_damage_and_nothing_is_held_for_it() -> None:
    head = struct.pack("<Q", 1 << 60)
    start = event_file([event(1, simple("loss", 1.0))])
    rest = record(event(2, simple("loss", 2.0)))
    decoder, items = decode(start + head + masked(head) + rest)
    assert curves(items) == {"t:loss": [(1, 1.0), (2, 2.0)]}
    assert decoder.tally.skipped_total == 1


def test_a_long_record_is_passed_over_without_being_held() -> None:
    size = 40 << 20
    head = struct.pack("<Q", size)
    decoder = EventFile(Placer("t"))
    items = decoder.feed(event_file([event(1, simple("loss", 1.0))]) + head + masked(head))
    for _ in range(40):
        items += decoder.feed(bytes(1 << 20))
    items += decoder.feed(bytes(4) + record(event(2, simple("loss", 2.0))))
    assert curves(items + decoder.finish()) == {"t:loss": [(1, 1.0), (2, 2.0)]}
    assert decoder.tally.ignored == {"record of more than 16 MiB": 1}


SAMPLE = training(60)


@given(st.lists(st.integers(0, len(SAMPLE)), max_size=12))
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
    # Checksums let nothing through that was not written.
    assert all(pair in whole for curve in curves(items).values() for pair in curve)
    if not changes:
        assert not decoder.tally.skipped_total


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    decode(data)
    decode(event_file([data, event(1, simple("loss", 1.0))]))


def test_files_of_real_writers_are_read(tmp_path: Path) -> None:
    writing = pytest.importorskip("tensorboardX")
    writer = writing.SummaryWriter(str(tmp_path / "run"))
    for step in range(150):
        writer.add_scalar("train/loss", 2 / (step + 1), step)
        if step % 10 == 0:
            writer.add_scalar("val/loss", 3 / (step + 1), step)
            writer.add_text("notes", f"step {step}", step)
            writer.add_histogram("weights", np.arange(20.0), step)
    writer.close()
    source = EventFolder(tmp_path / "run", "events")
    items: list[Item] = []
    while source.pending:
        items += source.read(4096)
    items += source.finish()
    found = curves(items)
    assert found["events:train/loss"] == [(s, float32(2 / (s + 1))) for s in range(150)]
    assert found["events:val/loss"] == [(s, float32(3 / (s + 1))) for s in range(0, 150, 10)]
    report = source.report()
    assert report.ignored == {"text": 15, "histogram": 15}
    assert (report.skipped_total, report.records) == (0, 165)


def test_the_files_of_a_folder_follow_each_other(tmp_path: Path) -> None:
    def write(started: int, steps: range, value: float) -> None:
        data = event_file(event(step, simple("loss", value)) for step in steps)
        (tmp_path / f"events.out.tfevents.{started}.host").write_bytes(data)

    write(1_700_000_000, range(100), 1.0)
    source = EventFolder(tmp_path, "events")
    items = source.read(1 << 20)
    assert not source.pending
    # The run is resumed from a checkpoint at step 80; the clock has one more digit by then.
    write(10_700_000_000, range(80, 120), 2.0)
    items += source.read(1 << 20)
    steps = [step for step, _ in curves(items)["events:loss"]]
    assert steps == [*range(100), *range(80, 120)]
    assert source.path.name == "events.out.tfevents.10700000000.host"
    # And a file that is replaced by a shorter one is read anew.
    write(10_700_000_000, range(2), 2.0)
    news = source.read(1 << 20)
    assert isinstance(news[0], Reset)


def test_event_files_are_told_by_their_content(tmp_path: Path) -> None:
    data = training(3)
    assert format_of(Path("whatever"), data[:4096]) == "tfevents"
    example = field(1, b"a tf.train.Example")
    assert format_of(Path("train.tfrecord"), record(example)) != "tfevents"
    path = tmp_path / "events.out.tfevents.1.host.profile-empty"
    path.write_bytes(event_file([]))
    source = open_source(path)
    assert list(source.read(1 << 20)) == []
    assert source.report().error is None


def test_folders_for_training_and_validation_are_one_run(tmp_path: Path) -> None:
    for part, level in (("train", 1.0), ("validation", 2.0)):
        (tmp_path / "logs" / part).mkdir(parents=True)
        content = struct.pack("<f", level)
        data = event_file(event(epoch, tensor("epoch_loss", 1, content)) for epoch in range(5))
        (tmp_path / "logs" / part / "events.out.tfevents.1.host.2.v2").write_bytes(data)
    session = open_run(tmp_path / "logs")
    run = session.run()
    assert run is not None
    assert set(run.tables) == {"train", "val"}
    assert session.catalogue.by_role(run, "loss/val") is not None
    assert session.catalogue.by_role(run, "loss/train") is not None


def test_several_runs_are_told_from_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "events.out.tfevents.1.host"
        file.write_bytes(training(10))
    with pytest.raises(PathError, match="holds 2 runs"):
        open_run(tmp_path)
    assert {path.name for path in runs_in(tmp_path)} == {"a", "b"}
    newest = newest_run(tmp_path)
    assert newest is not None
    assert newest.parent == tmp_path
    (tmp_path / "events.out.tfevents.2.host").write_bytes(training(10))
    run = open_run(tmp_path).run()  # what is below a run is a part of it, as `add_scalars` makes
    assert run is not None
    assert set(run.tables) == {"events", "a", "b"}
