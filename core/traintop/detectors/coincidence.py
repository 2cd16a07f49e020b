"""What happened in the run just when something began: resume, batch size, epoch, checkpoint."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from traintop.records import Cause

NEAR = 2.0
"""Records after something that regular (an epoch, an evaluation) that count as just then."""

NEAR_REGIME = 20.0
"""The same after a resume or a changed batch size, which have consequences for longer."""

RARE = 20.0
"""Records from one to the next that something must lie apart: what happens all the time is near
everything."""


class Happening(NamedTuple):
    """Something that happened at a step."""

    step: int
    words: str


class Happenings:
    """The latest resumes, epoch starts, checkpoints and evaluations of a run."""

    def __init__(self) -> None:
        self._of: dict[str, deque[Happening]] = {}

    def add(self, kind: str, step: int, words: str) -> None:
        """Note one; `kind` is `regime` for what changes the run, else what is regular in it."""
        self._of.setdefault(kind, deque(maxlen=8)).append(Happening(step, words))

    def near(self, onset: int, stride: float) -> tuple[Cause, ...]:
        """What may stand behind something that began at `onset`, what changed the run first.

        Args:
            onset: The step at which it began.
            stride: Steps from one record to the next.
        """
        found: list[Cause] = []
        for kind, past in sorted(self._of.items(), key=lambda item: item[0] != "regime"):
            within = (NEAR_REGIME if kind == "regime" else NEAR) * stride
            last = next((each for each in reversed(past) if each.step <= onset), None)
            if last is None or onset - last.step > within:
                continue
            if kind != "regime" and not self._rare(past, stride):
                continue
            found.append(
                Cause(
                    cause=f"it began with {last.words}",
                    because=f"{last.words} at step {last.step}, {ago(onset - last.step)}",
                )
            )
        return tuple(found)

    def _rare(self, past: deque[Happening], stride: float) -> bool:
        if len(past) < 2:
            return False
        apart = (past[-1].step - past[0].step) / (len(past) - 1)
        return apart >= RARE * stride


def ago(steps: int) -> str:
    """How long before its onset a cause lay, in words."""
    if not steps:
        return "the very step of the onset"
    words = "1 step" if abs(steps) == 1 else f"{abs(steps)} steps"
    return f"{words} {'before' if steps > 0 else 'after'} the onset"
