"""Findings of the run's state: that it has stalled, that it has crashed.

They are beside the detectors because a detector has no clock. They hold for a run that is watched
or whose process is known: a log that was copied from elsewhere is never stalled for its age.
"""

from __future__ import annotations

import msgspec

from traintop.last_words import LastWord
from traintop.records import Cause, Evidence, Finding, NextTest, State

TITLES = {
    "stalled": "The run has written nothing for longer than is normal for it",
    "crashed": "The run has died before its end",
}


class StateFindings:
    """Opens and ends the findings `stalled` and `crashed` of one run."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], Finding] = {}
        self._open: Finding | None = None
        self._episodes = {"stalled": 0, "crashed": 0}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All so far, in the order in which they opened."""
        return tuple(self._found.values())

    def look(
        self,
        state: State,
        step: int,
        silence: float,
        allowed: float,
        word: LastWord | None = None,
    ) -> list[Finding]:
        """Take the run's state; return what opened or ended.

        Args:
            state: How the run stands.
            step: Its last step.
            silence: Seconds since it last wrote.
            allowed: Seconds of silence that are normal for it.
            word: Why it died, as its log says.
        """
        news: list[Finding] = []
        now_open = self._open
        if now_open is not None and now_open.id != state:
            news.append(self._keep(_over(now_open, step)))
            self._open = None
        if self._open is None and state in ("stalled", "crashed"):
            self._episodes[state] += 1
            episode = self._episodes[state]
            if state == "stalled":
                self._open = _stalled(step, silence, allowed, episode)
            else:
                self._open = _crashed(step, silence, word, episode)
            news.append(self._keep(self._open))
        return news

    def _keep(self, finding: Finding) -> Finding:
        self._found[finding.key] = finding
        return finding


def _over(finding: Finding, step: int) -> Finding:
    return msgspec.structs.replace(finding, resolved_step=step)


def _stalled(step: int, silence: float, allowed: float, episode: int) -> Finding:
    return Finding(
        id="stalled",
        severity="warning",
        title=f"No record for {silence:.0f} s",
        onset_step=step,
        detected_step=step,
        episode=episode,
        evidence=(
            Evidence(
                what="seconds since the last record", value=silence, threshold=allowed, step=step
            ),
        ),
        causes=(
            Cause(
                cause="a hanging collective or data loader, a full disk, or a very long evaluation",
                because="the process is there and has written nothing",
            ),
        ),
        next=(
            NextTest(do="See where it hangs: py-spy dump --pid PID, on the machine that trains"),
        ),
    )


def _crashed(step: int, silence: float, word: LastWord | None, episode: int) -> Finding:
    causes: tuple[Cause, ...] = ()
    fixes: tuple[str, ...] = ()
    tests: tuple[NextTest, ...] = ()
    if word is not None:
        causes = (Cause(cause=word.text, because="its last word", basis="measured"),)
    if word is not None and word.out_of_memory:
        tests = (NextTest(do="Find the largest batch that fits", analysis="batch_size"),)
        fixes = ("half the batch size, with gradient accumulation for the same total",)
    return Finding(
        id="crashed",
        severity="critical",
        title="The run has died" if word is None else f"The run has died: {word.text}",
        onset_step=step,
        detected_step=step,
        episode=episode,
        evidence=(Evidence(what="seconds since the last record", value=silence, step=step),),
        causes=causes,
        next=tests,
        fixes=fixes,
    )
