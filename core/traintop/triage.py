"""Findings that a person has acknowledged or muted, kept in a small file beside the run.

A mute is for a rule, or for a rule on some layers: a finding that names a further layer is said.
An acknowledgement is for one episode, and holds until that gets worse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from traintop.kept_file import KeptFile
from traintop.records import SEVERITIES, Finding, Severity

FILE = "traintop-triage.json"


class Mute(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A rule that is not to be told of."""

    id: str
    layer: str = ""
    """Only where it speaks of this layer; empty: everywhere."""


class Acknowledged(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """An episode that somebody has seen."""

    id: str
    episode: int
    file: str = ""
    """Name of the file of the run, where it is a single file in a folder of several."""
    run: int = 0
    """Index of the run in its files."""
    severity: Severity = "critical"
    """How bad it was then."""


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds."""

    schema: Literal["traintop.triage/1"] = "traintop.triage/1"
    mutes: frozenset[Mute] = frozenset()
    acknowledged: frozenset[Acknowledged] = frozenset()


class Triage:
    """What a person has decided of a run's findings.

    Args:
        folder: Where the run lies; None: decisions are forgotten at the end.
        mutes: Rule ids that the settings mute.

    Attributes:
        changes: How often the decisions have changed.
        problem: Why a file could not be read or written, for a person; None where all went well.
    """

    def __init__(self, folder: Path | None, mutes: Iterable[str] = ()) -> None:
        self._file = KeptFile(folder, FILE, "triage")
        self._from_settings = frozenset(mutes)
        self._now = Decisions()
        self._before: list[Decisions] = []
        self.problem: str | None = None
        self.changes = 0

    @classmethod
    def load(cls, folder: Path | None, mutes: Iterable[str] = ()) -> Triage:
        """Read the decisions on a run; a damaged file holds none, and `problem` says so."""
        triage = cls(folder, mutes)
        triage._read()
        return triage

    # --- what holds --------------------------------------------------------------------------

    def is_muted(self, finding: Finding) -> bool:
        """Tell whether a finding is not to be told of."""
        if finding.id in self._from_settings or Mute(id=finding.id) in self._now.mutes:
            return True
        return bool(finding.layers) and self._now.mutes.issuperset(_mutes_of(finding))

    def is_acknowledged(self, finding: Finding, run: int = 0, file: str = "") -> bool:
        """Tell whether a finding was seen when it was as bad as it is now."""
        worse = SEVERITIES[SEVERITIES.index(finding.severity) :]
        return any(
            replace(_seen(finding, run, file), severity=severity) in self._now.acknowledged
            for severity in worse
        )

    # --- what is decided ---------------------------------------------------------------------

    def toggle_mute(self, finding: Finding) -> bool | None:
        """Mute the rule of a finding, on its layers if it names some, or unmute it.

        Returns:
            Whether it is muted now; None where the settings mute it, which this cannot change.
        """
        if finding.id in self._from_settings:
            return None
        mutes = _mutes_of(finding)
        if self.is_muted(finding):
            gone = mutes | {Mute(id=finding.id)}
            self._change(lambda now: replace(now, mutes=now.mutes - gone))
            return False
        self._change(lambda now: replace(now, mutes=now.mutes | mutes))
        return True

    def toggle_acknowledged(self, finding: Finding, run: int = 0, file: str = "") -> bool:
        """Mark an episode as seen, or unmark it; return whether it is marked now."""
        all_of_it = {
            replace(_seen(finding, run, file), severity=severity) for severity in SEVERITIES
        }
        if self.is_acknowledged(finding, run, file):
            self._change(lambda now: replace(now, acknowledged=now.acknowledged - all_of_it))
            return False
        mark = {_seen(finding, run, file)}
        self._change(lambda now: replace(now, acknowledged=now.acknowledged - all_of_it | mark))
        return True

    def undo(self) -> bool:
        """Take back the last decision of this session; return whether there was one."""
        if not self._before:
            return False
        before = self._before.pop()
        self._now = before
        self._write()
        return True

    def _change(self, how: Callable[[Decisions], Decisions]) -> None:
        self._read()  # Somebody else may have decided something meanwhile.
        self._before.append(self._now)
        self._now = how(self._now)
        self._write()

    # --- the file ----------------------------------------------------------------------------

    def _read(self) -> None:
        file = self._file.beside
        try:
            found = self._file.read()
            if found is not None:
                file, text = found
                self._now = msgspec.json.decode(text, type=Decisions)
        except (ValueError, OSError) as error:  # A damaged file is a ValueError of msgspec.
            reason = getattr(error, "strerror", None) or str(error)
            self.problem = f"{file}: cannot be read, so nothing is muted by it: {reason}"

    def _write(self) -> None:
        self.changes += 1
        text = msgspec.json.format(msgspec.json.encode(self._now, order="deterministic")) + b"\n"
        self.problem = self._file.write(text)


def not_muted(
    findings: Sequence[Finding], folder: Path | None, mutes: Iterable[str]
) -> Sequence[Finding]:
    """Return those findings that are to be told of, by the decisions as they are now."""
    if not findings:
        return findings
    triage = Triage.load(folder, mutes)
    return [finding for finding in findings if not triage.is_muted(finding)]


def _mutes_of(finding: Finding) -> frozenset[Mute]:
    if not finding.layers:
        return frozenset((Mute(id=finding.id),))
    return frozenset(Mute(id=finding.id, layer=layer) for layer in finding.layers)


def _seen(finding: Finding, run: int, file: str) -> Acknowledged:
    return Acknowledged(
        id=finding.id, episode=finding.episode, file=file, run=run, severity=finding.severity
    )
