"""Tells what changed in a run that is watched: findings that open, change their severity or end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from traintop import strict_json
from traintop.finding_text import evidence_lines
from traintop.records import Finding, State

Event = Literal["opened", "severity", "ended", "state"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `traintop check --follow --format json`, and what notifications carry."""

    schema: str = "traintop.follow/1"
    time: float
    """Seconds since 1970."""
    path: str
    event: Event
    """A finding that has ended before it was first seen is told once, as `ended`."""
    state: State
    last_step: int | None
    finding: Finding | None = None
    """None where `event` is `state`: the run has begun, stalled, finished ..."""

    def to_json(self) -> str:
        """Encode as one line of JSON."""
        return strict_json.encode(self)

    def to_text(self) -> str:
        """Write in one line for a person, without time and path."""
        step = "no step yet" if self.last_step is None else f"step {self.last_step}"
        finding = self.finding
        if finding is None:
            hint = ", nothing tells whether it goes on" if self.state == "unknown" else ""
            return f"{step}: {self.state}{hint}"
        said = f"{step}: {finding.severity.upper()} {self.event} [{finding.id}] {finding.title}"
        said += f", since step {finding.onset_step}"
        if finding.resolved_step is not None:
            said += f", over at step {finding.resolved_step}"
        evidence = evidence_lines(finding)
        return said + (f"; {evidence[0]}" if evidence else "")


class Watch:
    """Remembers what was told of a run.

    Args:
        path: What to call it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._told: dict[tuple[str, int], Finding] = {}
        self._state: State | None = None
        self._of: object = None

    def take(
        self,
        findings: Sequence[Finding],
        state: State,
        last_step: int | None,
        now: float,
        of: object = None,
    ) -> list[Change]:
        """Return what is new, in the order in which the findings opened.

        Args:
            findings: All findings as they are.
            state: How the run stands.
            last_step: The last step that was judged.
            now: Seconds since 1970.
            of: What they are findings of: where that is another than before, all are new.
        """
        if of is not self._of:
            self._of, self._told = of, {}
        changes: list[Change] = []
        for finding in findings:
            event = _event(self._told.get(finding.key), finding)
            self._told[finding.key] = finding
            if event is not None:
                changes.append(self._change(event, state, last_step, now, finding))
        if state != self._state:
            self._state = state
            changes.append(self._change("state", state, last_step, now))
        return changes

    def _change(
        self,
        event: Event,
        state: State,
        last_step: int | None,
        now: float,
        finding: Finding | None = None,
    ) -> Change:
        return Change(
            time=now,
            path=self._path,
            event=event,
            state=state,
            last_step=last_step,
            finding=finding,
        )


def _event(before: Finding | None, finding: Finding) -> Event | None:
    over = finding.resolved_step is not None
    was_over = before is not None and before.resolved_step is not None
    if over:
        return None if was_over else "ended"
    if before is None or was_over:
        return "opened"
    return "severity" if finding.severity != before.severity else None
