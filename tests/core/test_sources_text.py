from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.records import LogLines
from traintop.sources.text import clean, decode, pieces
from traintop.sources.textlog import TextLog


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain text", "plain text"),
        ("  indented: ärger, 損失 ▁▂▃", "  indented: ärger, 損失 ▁▂▃"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[1;38;5;200mbold\x1b[K", "bold"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice string\x1b\\text", "text"),
        ("\x9dtitle\x9ctext", "text"),
        ("\x1b]0;never ended", "0;never ended"),
        ("\x1b7saved\x1b8", "saved"),
        ("\x1b(Btext", "text"),
        ("\x1bcreset", "reset"),
        ("\x1b[31", ""),
        ("a\x00b\x07c\x7fd\x85e", "abcde"),
        ("file\u202egpj.exe", "filegpj.exe"),
        ("a\u2066b\u2069c\u200ed\ufeff", "abcd"),
        ("a\tb", "a       b"),
        ("dos line\r", "dos line"),
        ("10%\r50%\r100%", "100%"),
        ("10%\r50%\r", "50%"),
        ("10%\b\b\b50%", "50%"),
        ("\r\r\r", ""),
        ("3: [rank3]: loss 2", "3: [rank3]: loss 2"),
        ("", ""),
        ("   ", "   "),
    ],
)
def test_clean(line: str, shown: str) -> None:
    assert clean(line) == shown


def test_every_state_of_a_progress_bar() -> None:
    assert pieces(" 1%|\x1b[A\r 2%| \r\r{'loss': 2}") == [" 1%|", " 2%|", "{'loss': 2}"]
    assert pieces("text") == ["text"]
    assert pieces("") == []


@given(st.text(alphabet=st.characters(codec="utf-8")) | st.binary().map(decode))
def test_nothing_that_a_terminal_obeys_is_left(line: str) -> None:
    shown = clean(line)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert not set(shown) & set(
        "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
    assert clean(shown) == shown


def test_unfinished_sequences_cost_no_more_than_their_length() -> None:
    start = time.process_time()
    for introducer in ("\x1b]", "\x1bP", "\x1b[", "\x9d", "\x1b[0;", "\b"):
        clean(introducer * 300_000)
    assert time.process_time() - start < 60  # a search that begins again at each would take hours


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("step 10", 10),
        ("iter 10: loss 3.4410, time 1970.20ms", 10),
        ("step:125/1770 val_loss:4.6", 125),
        ("[step=100/2000,epoch=0,eta=5h11m]", 100),
        ("it 200", 200),
        ("Iteration 20, loss = 6.9", 20),
        ("step    1/19560 | loss 11.010252", 1),
        ("global_step: 32 | reduced_train_loss: 1.4", 32),
        (" iteration        1/    24000 | consumed samples: 1024", 1),
        ("s:250 eval:0.2591", 250),
        ('{"step": 7, "loss": 1}', 7),
        ("Training epoch 0, iteration 32/99 | global_step: 132", 132),
        ("{'global_steps': 335, 'eval_loss': 4.117}", 335),
        ("[step=1,000/2,000]", 1000),
        ("step:  1  loss:  8.0277", 1),
        ("Step #4", 4),
        ("train_step=3", 3),
        ("current_steps: 8", 8),
        ("step_avg:94.84ms", None),
        ("total_steps=1000", None),
        ("max_steps: 500", None),
        ("ms/step: 9", None),
        ("step 0.5", None),
        ("step 10ms", None),
        ("steps: 100", 100),
        ("max steps: 100", None),
        ("commit 1234", None),
        ("step 10%", None),
        ("nothing", None),
        ("10.5it/s", None),
        ("step", None),
        ("", None),
        ("iter 122261222612226122", None),
        ("gist 12", None),
        ("warmup-step 3", None),
    ],
)
def test_step_of(line: str, step: int | None) -> None:
    (item,) = TextLog().feed(line.encode() + b"\n")
    assert isinstance(item, LogLines)
    assert item.steps == [-1 if step is None else step]


def read(*chunks: bytes) -> tuple[list[str], list[int]]:
    log = TextLog()
    items = [item for chunk in chunks for item in log.feed(chunk)] + log.finish()
    lines: list[str] = []
    steps: list[int] = []
    for item in items:
        if isinstance(item, LogLines):
            lines += item.lines
            steps += item.steps
    assert log.tally.lines == len(lines)
    return lines, steps


def test_lines_and_their_steps() -> None:
    data = b"starting\n\nstep 1 loss 2\r\nsaved\n 10%|step 2\r 20%|step 3\r done\nend"
    lines, steps = read(data)
    assert lines == ["starting", "", "step 1 loss 2", "saved", " done", "end"]
    assert steps == [-1, -1, 1, 1, 3, 3]


def test_utf16() -> None:
    text = "step 1\r\nlöss Ċ 2\r\nlast"
    for codec in ("utf-16-le", "utf-16-be"):
        data = "\ufeff".encode(codec) + text.encode(codec)
        cuts = [0, *(i + 1 for i, byte in enumerate(data) if byte == 10), len(data)]
        chunks = [data[a:b] for a, b in itertools.pairwise(cuts)]
        assert read(*chunks) == (["step 1", "löss Ċ 2", "last"], [1, 1, 1])
        assert read(data) == read(*chunks)


@given(st.lists(st.binary(max_size=40)))
def test_any_cut_gives_the_same_text(chunks: list[bytes]) -> None:
    whole = [chunk + b"\n" for chunk in chunks]
    assert read(b"".join(whole)) == read(*whole)
