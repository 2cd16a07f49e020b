"""What is found does not depend on how the files of a run came: in pieces, at different rates."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from run_files import write_run
from traintop.opening import read_whole
from traintop.session import Session
from traintop.settings import Settings


def faulty_run(folder: Path) -> Path:
    """A run with spikes, a jump of the learning rate, a divergence, NaN, in files of each kind."""
    write_run(folder, 460, log=False)
    lines = (folder / "train_diagnostics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        step = record["step"]
        if step in (150, 170):
            record["loss"] = 4.0
        if 250 <= step < 400:
            record |= {"learning_rate": 0.1, "loss": 3.0 + 0.1 * math.sin(step), "grad_norm": 60.0}
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "train_diagnostics.jsonl").write_text(text)
    events: list[dict[str, object]] = [{"event": "note", "text": "begun"}]
    events += [
        {"step": step, "event": "checkpoint", "path": f"{step}.pt"} for step in range(99, 460, 100)
    ]
    # One at an absurd step holds none of the others up.
    events.insert(2, {"step": 10**12, "event": "checkpoint", "path": "never.pt"})
    text = "".join(json.dumps(event) + "\n" for event in events)
    (folder / "events.jsonl").write_text(text)
    return folder


def verdict(session: Session) -> list[str]:
    """All that was found, to the last digit; a NaN in it equals itself."""
    # Whether a run stands still is judged by the clock.
    found = [each for each in session.findings() if each.id not in ("stalled", "crashed")]
    return [repr(each) for each in found]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], list[str]]:
    """The files of a run, and what is found in them."""
    folder = faulty_run(tmp_path_factory.mktemp("whole") / "run")
    found = verdict(read_whole(folder, Settings()))
    assert len(found) >= 3
    return {file.name: file.read_bytes() for file in folder.iterdir()}, found


@given(seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_files_that_grow_at_different_rates_end_as_read_in_one_piece(
    whole: tuple[dict[str, bytes], list[str]], seed: int
) -> None:
    data, expected = whole
    draw = random.Random(seed)  # noqa: S311 - a test's choices, not a secret
    at = dict.fromkeys(data, 0)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file in data:
            (folder / file).touch()
        session, now = Session(folder, Settings()), 1000.0
        while any(at[file] < len(data[file]) for file in data):
            for file in data:
                if draw.random() < 0.4:
                    continue
                size = draw.choice([1, 60, 3000, len(data[file]) // 3 + 1])
                with (folder / file).open("ab") as stream:
                    stream.write(data[file][at[file] : at[file] + size])
                at[file] += size
            now += draw.choice([0.1, 2.0])
            session.pump(now, max_bytes=draw.choice([1, 4096, 1 << 20]))
        while session.pump(now := now + 2.0).more:
            pass
        session.finish()
        assert verdict(session) == expected


@given(seed=st.integers(0, 2**32))
@settings(max_examples=4, deadline=None)
def test_lines_that_come_in_the_order_of_their_steps_need_no_second_look(
    whole: tuple[dict[str, bytes], list[str]], seed: int
) -> None:
    data, expected = whole
    draw = random.Random(seed)  # noqa: S311 - a test's choices, not a secret
    order = ("events.jsonl", "train_diagnostics.jsonl", "layers.jsonl", "val_diagnostics.jsonl")
    lines: list[tuple[int, int, str, str]] = []
    for kind, file in enumerate(order):
        for line in data[file].decode().splitlines(keepends=True):
            step = json.loads(line).get("step", -1)
            lines.append((step, kind, file, line))
    lines.sort(key=lambda line: line[:2])
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.json").write_bytes(data["run.json"])
        for file in order:
            (folder / file).touch()
        session, now, first = Session(folder, Settings()), 1000.0, 0
        while first < len(lines):
            last = first + draw.choice([1, 1, 7, 300])
            for _, _, file, line in lines[first:last]:
                with (folder / file).open("a") as stream:
                    stream.write(line)
            first = last
            while session.pump(now := now + 0.01).more:
                pass
        judge = session.judge()
        assert judge is not None
        assert judge.in_order
        assert verdict(session) == expected


@given(max_bytes=st.integers(1, 1 << 16), rounds=st.integers(1, 3))
@settings(max_examples=5, deadline=None)
def test_a_burst_may_end_anywhere_among_records_of_one_step(max_bytes: int, rounds: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        train = [{"step": n // 100, "loss": 2.0 + math.sin(n)} for n in range(600 * rounds)]
        val = [{"step": n, "loss": 2.0} for n in range(6 * rounds)]
        for file, records in (("train", train), ("val", val)):
            text = "".join(json.dumps(record) + "\n" for record in records)
            (folder / f"{file}_diagnostics.jsonl").write_text(text)
        session, now = Session(folder, Settings()), 0.0
        while session.pump(now := now + 1.0, max_bytes).more:
            pass
        session.finish()
        assert verdict(session) == verdict(read_whole(folder, Settings()))
