"""Plain text: the lines of a log, and the step that each of them speaks of."""

from __future__ import annotations

import codecs
import re

from traintop.records import Item, LogLines
from traintop.sources.decoder import Tally
from traintop.sources.lines import CUT_MARK
from traintop.sources.text import byte_order_mark, clean, decode, is_clean, pieces

SEARCHED = 2000
"""Characters of a line that are searched for a step."""

# `step 10`, `step:125/1770`, `"step": 7`, `[step=100/2000,`, `iter 10:`, `iteration    1/ 24000`,
# `it 200`, and llm.c's `s:250`. Not `total_steps=1000`, `ms/step: 9`, `step 0.5`, `step 10 ms`.
_NUMBER = r"""["']?\s{0,8}[:=#]?\s{0,12}(\d{1,3}(?:,\d{3}){1,3}|\d{1,10})(?![\d,]*[.%\w])"""
_GLOBAL_STEP = re.compile(rf"(?<![a-z])global[_ -]?steps?{_NUMBER}")
_STEP = re.compile(
    rf"(?<![\w-])(?<!s/)(?:current_steps?|train_step|step|iteration|iter|it){_NUMBER}"
)
_SHORT_STEP = re.compile(r"s:(\d{1,10}) ")


def step_of(text: str) -> int | None:
    """The step that a line of text names; None if it names none."""
    text = text[:SEARCHED].lower()
    found = _SHORT_STEP.match(text)
    # Plain substring tests first: a search by expression costs ten times as much a line.
    if found is None and "global" in text:
        found = _GLOBAL_STEP.search(text)
    if found is None and ("step" in text or "iter" in text or "it " in text):
        found = _STEP.search(text)
    return int(found[1].replace(",", "")) if found else None


class TextLog:
    """Decodes text in UTF-8 or, with a byte order mark, UTF-16. A line is a record."""

    format = "text"
    by_lines = True
    rewritten = False

    def __init__(self) -> None:
        self.tally = Tally()
        self.tables: tuple[str, ...] = ()
        self._step = -1
        self._begun = False
        self._utf16: codecs.IncrementalDecoder | None = None
        self._rest = ""  # of UTF-16 text, whose lines the bytes could not be cut into

    def feed(self, data: bytes) -> list[Item]:
        """Take whole lines."""
        if not self._begun and byte_order_mark(data):
            self._utf16 = codecs.getincrementaldecoder("utf-16")("replace")
        self._begun = True
        if self._utf16 is None:
            text = decode(data)
        else:
            text = self._rest + self._utf16.decode(data)
            end = text.rfind("\n") + 1
            text, self._rest = text[:end], text[end:]
        if not text:
            return []
        return self._take(text)

    def finish(self) -> list[Item]:
        """Hand over an unfinished line of UTF-16 text."""
        rest, self._rest = self._rest, ""
        return self._take(rest) if rest else []

    def _take(self, text: str) -> list[Item]:
        raw = text.removesuffix("\n").split("\n")
        steps: list[int] = []
        for number, line in enumerate(raw, start=self.tally.lines + 1):
            if line.endswith(_CUT_MARK):
                self.tally.skip(number, "line too long")
            self._step = self._step_of(line)
            steps.append(self._step)
        lines = raw if is_clean(text) else [clean(line) for line in raw]
        self.tally.lines += len(lines)
        self.tally.records += len(lines)
        return [LogLines(lines=lines, steps=steps)]

    def _step_of(self, line: str) -> int:
        """The step of the last state of the line that names one, or of the lines before."""
        if "\r" not in line:
            found = step_of(line)
            return self._step if found is None else found
        for state in reversed(pieces(line)):
            found = step_of(state)
            if found is not None:
                return found
        return self._step


_CUT_MARK = CUT_MARK.decode()
