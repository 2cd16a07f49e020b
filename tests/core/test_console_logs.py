from __future__ import annotations

import io
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from console_logs import (
    boosting_rl_speech,
    details,
    language,
    own,
    progress_bars,
    tutorials,
    vision,
)
from console_logs.log import LOGS
from console_logs.read import points

MODULES = (details, language, vision, progress_bars, boosting_rl_speech, own, tutorials)


@pytest.mark.parametrize("name", LOGS)
def test_log(name: str) -> None:
    lines, expected = LOGS[name]()
    found, _ = points("\n".join(lines).encode() + b"\n")
    for series, (count, last) in expected.items():
        table, _, key = series.partition(":")
        of_series = found[(table, key) if key and table in ("val", "test") else ("train", series)]
        assert len(of_series) == count, series
        assert last is None or of_series[-1][1] == last, series


@pytest.mark.parametrize("name", LOGS)
def test_steps_of_a_table_do_not_fall(name: str) -> None:
    if name == "two_runs":
        return
    lines, _ = LOGS[name]()
    found, _ = points("\n".join(lines).encode() + b"\n")
    for series, of_series in found.items():
        steps = [(axis, step) for axis, step, _ in of_series]
        assert all(a[0] != b[0] or a[1] <= b[1] for a, b in itertools.pairwise(steps)), series


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(LOGS)), st.lists(st.integers(1, 40), max_size=30))
def test_any_cut_gives_the_same(name: str, sizes: list[int]) -> None:
    lines = "\n".join(LOGS[name]()[0]).split("\n")
    chunks: list[bytes] = []
    at = 0
    for size in [*sizes, len(lines)]:
        if lines[at : at + size]:
            chunks.append(("\n".join(lines[at : at + size]) + "\n").encode())
        at += size
    found, steps = points(*chunks)
    whole, same_steps = points(b"".join(chunks))
    assert repr(sorted(found.items())) == repr(sorted(whole.items()))
    assert steps == same_steps


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mutated_logs_never_raise(data: st.DataObject) -> None:
    lines, _ = LOGS[data.draw(st.sampled_from(list(LOGS)))]()
    text = bytearray("\n".join(lines).encode())
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(
            st.binary(max_size=4)
            | st.sampled_from([b"nan", b"\r", b"1e999", b"|", b"[", b"{", b"\0", b"-", b"9" * 400])
        )
        text[at : at + data.draw(st.integers(0, 8))] = piece
    points(bytes(text))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_never_raise(data: bytes) -> None:
    points(data)


@pytest.mark.parametrize(
    "piece",
    ["a b ", " ", "1", "1.", "a=1 ", "1, ", "a[", '"a": {', "| ", "1/", "1-", "1:", "nan ", "1%|"],
)
def test_long_lines_cost_no_more_than_their_length(piece: str) -> None:
    line = piece * (19_000 // len(piece))
    points(*(f"{line}{end} 1\n".encode() for end in ("", "x", "step", "loss:")))


def test_progress_bar_of_tqdm_tells_the_step_of_the_record_beside_it() -> None:
    """As Hugging Face's trainer prints: a dictionary is written above a bar that goes on."""
    console = io.StringIO()
    with tqdm(total=60, file=console, mininterval=0) as bar:
        for step in range(1, 61):
            bar.update(1)
            if step % 5 == 0:
                logs = {"loss": 2 / step, "grad_norm": float("nan"), "epoch": round(step / 20, 2)}
                bar.write(str(logs), file=console)
    found, _ = points(console.getvalue().encode())
    losses = found["train", "loss"]
    assert losses == [("step", step, 2 / step) for step in range(5, 61, 5)]
    assert all(math.isnan(value) for _, _, value in found["train", "grad_norm"])


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_epochs_of_tqdm_with_measurements_behind_the_bar(newline: str) -> None:
    console = io.StringIO()
    for epoch in range(2):
        with tqdm(total=30, file=console, mininterval=0, desc=f"Epoch {epoch}") as bar:
            for step in range(30):
                bar.set_postfix(loss=f"{1 / (1 + step + 30 * epoch):.5f}", refresh=False)
                bar.update(1)
    found, _ = points(console.getvalue().replace("\n", newline).encode())
    losses = found["train", "loss"]
    assert [step for _, step, _ in losses] == list(range(1, 61))
    assert [value for _, _, value in losses] == [round(1 / step, 5) for step in range(1, 61)]
