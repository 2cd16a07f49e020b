"""The recorder's small parts: lines, cadence, events, the wall."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.recorder.cadence import Cadence, StepClock
from traintop.recorder.events import LearningRateWatch, NonFiniteWatch
from traintop.recorder.guard import Guarded
from traintop.recorder.writer import LineWriter, encode, last_step


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"step": 3, "loss": 2.3456789}, b'{"step":3,"loss":2.34568}'),
        (
            {"a": math.nan, "b": math.inf, "c": -math.inf},
            b'{"a":"NaN","b":"Infinity","c":"-Infinity"}',
        ),
        ({"a": [1.0, None, math.nan], "b": True}, b'{"a":[1,null,"NaN"],"b":true}'),
        (
            {"time": 1795187974.7493, "tokens": 12345678901},
            b'{"time":1795187974.749,"tokens":12345678901}',
        ),
        ({'a "b"': "line\nbreak", "c": 1e-07}, b'{"a \\"b\\"":"line\\nbreak","c":1e-07}'),
    ],
)
def test_a_record_is_one_line_of_strict_json(record: dict[str, object], line: bytes) -> None:
    assert encode(record) == line


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "time"), _values))
def test_every_line_is_read_back_by_a_strict_parser(record: dict[str, object]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    line = encode(record)
    assert b"\n" not in line
    assert _same(json.loads(line, parse_constant=refuse), record)


def _same(read: object, written: object) -> bool:
    if isinstance(written, float):
        if not math.isfinite(written):
            return isinstance(read, str) and str(float(read)) == str(written)
        assert isinstance(read, int | float)
        return math.isclose(read, written, rel_tol=1e-5)
    if isinstance(written, list):
        assert isinstance(read, list)
        return all(map(_same, read, written)) and len(read) == len(written)
    if isinstance(written, dict):
        assert isinstance(read, dict)
        return read.keys() == written.keys() and all(_same(read[k], written[k]) for k in written)
    return read == written


def test_what_is_no_json_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="complex"):
        encode({"a": 1j})


def test_lines_are_appended_and_a_torn_one_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"step":1}\n{"step":2,"lo')
    writer = LineWriter(path)
    writer.write(b'{"step":3}')
    writer.write(b'{"step":4}')
    writer.close()
    assert path.read_bytes() == b'{"step":1}\n{"step":2,"lo\n{"step":3}\n{"step":4}\n'


def test_a_short_write_is_an_error_and_the_next_line_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LineWriter(tmp_path / "a.jsonl")
    write = os.write
    writer.write(b"{}")
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:4]))
    with pytest.raises(OSError, match="only a part") as caught:
        writer.write(b'{"step":1}')
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.setattr(os, "write", write)
    writer.write(b'{"step":2}')
    assert writer.path.read_bytes() == b'{}\n{"st\n{"step":2}\n'
    writer.close()


@pytest.mark.parametrize(
    ("data", "step"),
    [
        (b"", None),
        (b'{"step":1}\n{"step":7}\n', 7),
        (b'{"step":1}\n{"step":7}\n{"step":8', 7),
        (b'{"step":1}\nnot json\n{"loss":1}\n[]\n', 1),
        (b'\xff\xfe\n{"step":null}\n', None),
    ],
)
def test_the_last_step_is_that_of_the_last_whole_record(
    tmp_path: Path, data: bytes, step: int | None
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    assert last_step(path) == step


def test_the_last_step_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert last_step(tmp_path / "none.jsonl") is None


@pytest.mark.parametrize(
    ("cost", "interval"), [(0.0001, 10), (0.0009, 10), (0.0011, 20), (0.009, 100), (1.0, 1000)]
)
def test_the_interval_is_the_smallest_that_the_budget_allows(cost: float, interval: int) -> None:
    cadence = Cadence((10, 20, 50, 100, 1000))
    cadence.paid(5.0, allowed=1e-4)  # the first, with all its warming up, does not count
    for _ in range(5):
        cadence.paid(cost, allowed=1e-4)
    assert cadence.interval == interval


def test_steps_in_a_row_cost_as_many_times() -> None:
    cadence = Cadence((1, 10, 20), in_a_row=2)
    for _ in range(3):
        cadence.paid(0.9e-3, allowed=1e-4)
    assert cadence.interval == 20
    assert [step for step in range(45) if cadence.due(step)] == [0, 1, 20, 21, 40, 41]


def test_a_fixed_interval_stays() -> None:
    cadence = Cadence((10,), fixed=3)
    for _ in range(3):
        cadence.paid(1.0, allowed=1e-9)
    assert [step for step in range(8) if cadence.due(step)] == [0, 3, 6]
    assert not Cadence((10,), fixed=0).due(0)


def test_a_step_is_timed_without_us_and_without_evaluations() -> None:
    clock = StepClock(0.0)
    clock.step_ended(1.0, own_seconds=0.1)
    assert clock.wall == 1.0
    assert clock.seconds == pytest.approx(0.9)
    clock.interrupted()
    clock.step_ended(9.0, own_seconds=0.0)
    assert clock.wall is None
    assert clock.seconds == pytest.approx(0.9)
    clock.step_ended(10.0, own_seconds=0.0)
    assert clock.wall == 1.0


def _jumps(rates: list[float]) -> list[int]:
    watch = LearningRateWatch()
    return [step for step, rate in enumerate(rates) if watch.jump(rate) is not None]


def test_a_schedule_has_no_jumps() -> None:
    warm_up = [0.1 * k / 100 for k in range(101)]
    cosine = [0.05 * (1 + math.cos(math.pi * k / 500)) for k in range(501)]
    assert _jumps(warm_up + cosine) == []


@pytest.mark.parametrize("factor", [10.0, 0.1, 3.0, 0.3])
def test_a_jump_is_one(factor: float) -> None:
    assert _jumps([0.1] * 5 + [0.1 * factor] * 5) == [5]


def test_an_episode_of_non_finite_values_begins_once() -> None:
    watch = NonFiniteWatch()
    bad = {10, 11, 12, 60, 300}
    assert [step for step in range(400) if watch.begins(step, step in bad)] == [10, 300]


def test_an_error_is_told_once_and_goes_no_further(capsys: pytest.CaptureFixture[str]) -> None:
    guarded = Guarded("nothing is recorded")
    for _ in range(3):
        with guarded:
            raise ValueError("of this kind")
    assert guarded.failed
    said = capsys.readouterr().err
    assert said.count("nothing is recorded") == 1
    assert "ValueError: of this kind" in said


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), Guarded("nothing"):
        raise KeyboardInterrupt
