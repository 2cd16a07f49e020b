"""A program's output, read while it comes."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from traintop import process_group
from traintop.process_group import run_group


def test_a_line_without_an_end_is_handed_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_group, "LONGEST_LINE", 1 << 16)
    said: list[str] = []
    program = "import sys; sys.stderr.write('x' * 1000000)"
    ended = run_group(
        [sys.executable, "-S", "-c", program],
        env=os.environ,
        on_stdout=said.append,
        on_stderr=said.append,
        on_tick=lambda: None,
        stop=threading.Event(),
        time_limit=60,
    )
    assert ended.code == 0
    assert "".join(said) == "x" * 1_000_000
    assert max(map(len, said)) <= 2 << 16
