"""What analyses have found of a run, as findings beside those that its log gave.

The newest result of each analysis at each checkpoint counts. A finding begins at the checkpoint
that showed it first and is over at the first later one that the same analysis found without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from traintop.analyses import ANALYSES
from traintop.analysis_results import AnalysisResult, folders_of, load_results
from traintop.records import SEVERITIES, Finding, NextTest

LOOK_SECONDS = 2.0
"""Seconds between two looks for new results."""


class AnalysisFindings:
    """The findings of a run's results, read again when one has been added."""

    def __init__(self) -> None:
        self.findings: tuple[Finding, ...] = ()
        self._due = 0.0
        self._seen: object = None

    def look(self, run_dir: Path | None, now: float) -> list[Finding]:
        """Read results that are new; return the findings that opened or changed.

        Args:
            run_dir: The run's folder; None: it has none.
            now: Seconds since 1970.
        """
        if run_dir is None or 0 < self._due - now <= LOOK_SECONDS:
            return []
        self._due = now + LOOK_SECONDS
        seen = [_stamp(folder) for folder in folders_of(run_dir)]
        if seen == self._seen:
            return []
        self._seen = seen
        before = self.findings
        stored, _ = load_results(run_dir)  # Who lists results says which are damaged.
        self.findings = findings_of(each.result for each in stored)
        return [found for found in self.findings if found not in before]


def findings_of(results: Iterable[AnalysisResult]) -> tuple[Finding, ...]:
    """Join the findings of results, given oldest first, by what they are and where they begin.

    Their episodes count downwards from -1, as `-1 - step`: those of detectors count upwards.
    """
    newest: dict[str, dict[int, AnalysisResult]] = {}
    for result in results:
        if result.status == "ok" and result.error is None:
            newest.setdefault(result.analysis, {})[result.step or 0] = result
    joined: dict[tuple[str, int], Finding] = {}
    for of_one in newest.values():
        for found in _of_one_analysis([of_one[step] for step in sorted(of_one)]):
            other = joined.get(found.key)
            joined[found.key] = found if other is None else _both(other, found)
    return tuple(sorted(joined.values(), key=lambda each: (each.onset_step, each.id)))


def _of_one_analysis(results: Sequence[AnalysisResult]) -> list[Finding]:
    """The findings along the checkpoints, in the order of steps."""
    done: list[Finding] = []
    still: dict[str, Finding] = {}
    for result in results:
        here: dict[str, Finding] = {}
        for fields in result.findings:
            found = _finding(fields, result)
            if found is None:
                continue
            other = here.get(found.id)
            here[found.id] = found if other is None else _both(other, found)
        step = result.step or 0
        done += [
            msgspec.structs.replace(found, resolved_step=step)
            for name, found in still.items()
            if name not in here
        ]
        still = {
            name: found if name not in still else _later(still[name], found)
            for name, found in here.items()
        }
    return done + list(still.values())


def _finding(fields: Mapping[str, Any], result: AnalysisResult) -> Finding | None:
    """A finding of a result file; None where that is damaged."""
    try:
        found = msgspec.convert(fields, Finding)
    except (msgspec.ValidationError, TypeError):
        return None
    known = ANALYSES.get(result.analysis)
    title = result.analysis if known is None else known.title
    return msgspec.structs.replace(
        found,
        episode=-1 - found.onset_step,
        evidence=tuple(
            msgspec.structs.replace(each, what=f"{title}: {each.what}") for each in found.evidence
        ),
        causes=tuple(msgspec.structs.replace(each, basis="measured") for each in found.causes),
        next=tuple(_on_checkpoint(test, result.checkpoint) for test in found.next),
    )


def _on_checkpoint(test: NextTest, checkpoint: str | None) -> NextTest:
    """A further test is of the same checkpoint, unless it names one."""
    if test.analysis is None or test.checkpoint is not None:
        return test
    return msgspec.structs.replace(test, checkpoint=checkpoint)


def _later(first: Finding, now: Finding) -> Finding:
    """What a later checkpoint shows of a finding that an earlier one has begun."""
    return msgspec.structs.replace(
        now, onset_step=first.onset_step, detected_step=first.detected_step, episode=first.episode
    )


def _both(one: Finding, other: Finding) -> Finding:
    """One finding of two that say the same of one step: the worse one's words, all evidence."""
    worse, milder = sorted((one, other), key=lambda each: -SEVERITIES.index(each.severity))
    over = [each.resolved_step for each in (one, other)]
    steps = [step for step in over if step is not None]
    return msgspec.structs.replace(
        worse,
        resolved_step=max(steps) if len(steps) == len(over) else None,
        layers=tuple(dict.fromkeys((*worse.layers, *milder.layers))),
        evidence=tuple(dict.fromkeys((*worse.evidence, *milder.evidence))),
        causes=tuple(dict.fromkeys((*worse.causes, *milder.causes))),
        next=tuple(dict.fromkeys((*worse.next, *milder.next))),
    )


def _stamp(folder: Path) -> object:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
