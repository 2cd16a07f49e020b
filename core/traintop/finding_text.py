"""Findings in words: evidence, causes, tests and fixes, a labelled line each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from traintop.records import Finding, Severity

LISTED_EPISODES = 3
"""Episodes of one ailment that are over and are written one by one; more are summed up."""


WHOLE = 1e6
"""Whole numbers below this are written in full."""


class Section(NamedTuple):
    """What a person reads of one finding, or of many that are over and alike."""

    severity: Severity
    title: str
    id: str
    lines: list[tuple[str, str]]
    """Labels and texts."""


def sections(findings: Sequence[Finding]) -> list[Section]:
    """Write each finding, those of one ailment that are over together where they are many."""
    kinds = Counter(_kind(finding) for finding in findings)
    many = {kind for kind, count in kinds.items() if count > LISTED_EPISODES and kind.over}
    found: list[Section] = []
    for finding in findings:
        kind = _kind(finding)
        if kind not in many:
            found.append(_one(finding))
        elif kinds.pop(kind, 0):
            found.append(_sum([each for each in findings if _kind(each) == kind]))
    return found


def told_once(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out of the findings of one story the tests and fixes that an earlier one has."""
    told: set[str] = set()
    found: list[Finding] = []
    for finding in findings:
        tests = {test: test.analysis or test.do for test in finding.next}
        # What comes after the values says why: `lr 0.1 -> 0.01, as before step 9`.
        fixes = {fix: re.split(r"[,:] ", fix, maxsplit=1)[0] for fix in finding.fixes}
        found.append(
            msgspec.structs.replace(
                finding,
                next=tuple(test for test, key in tests.items() if key not in told),
                fixes=tuple(fix for fix, key in fixes.items() if key not in told),
            )
        )
        told.update(tests.values(), fixes.values())
    return found


def evidence_lines(finding: Finding) -> list[str]:
    """Write each piece of evidence with its threshold in one line."""
    lines: list[str] = []
    for evidence in finding.evidence:
        line = f"{evidence.what}: {_number(evidence.value)}"
        if evidence.threshold is not None:
            line += f" (threshold {_number(evidence.threshold)})"
        if evidence.step is not None:
            line += f" at step {evidence.step}"
        lines.append(line)
    return lines


def next_lines(finding: Finding) -> list[str]:
    """Write each next test in one line."""
    return [
        test.do
        + (f" [{test.analysis} {test.checkpoint or ''}".rstrip() + "]" if test.analysis else "")
        for test in finding.next
    ]


def _number(value: float) -> str:
    """Four digits, but whole numbers, of records or of a loss scale, in full."""
    whole = float(value).is_integer() and abs(value) < WHOLE
    return f"{value:.0f}" if whole else f"{value:.4g}"


class _Kind(NamedTuple):
    id: str
    severity: Severity
    over: bool


def _kind(finding: Finding) -> _Kind:
    return _Kind(finding.id, finding.severity, finding.resolved_step is not None)


def _one(finding: Finding) -> Section:
    when = f"since step {finding.onset_step}, seen at step {finding.detected_step}"
    if finding.resolved_step is not None:
        when += f", over at step {finding.resolved_step}"
    lines = [("when", when)]
    lines += [("layers", ", ".join(finding.layers))] * bool(finding.layers)
    lines += [("ranks", ", ".join(map(str, finding.ranks)))] * bool(finding.ranks)
    lines += [("measured", line) for line in evidence_lines(finding)]
    for cause in finding.causes:
        label = "cause" if cause.basis == "measured" else "likely"
        lines.append((label, f"{cause.cause} ({cause.because})"))
    lines += [("test", test) for test in next_lines(finding)]
    lines += [("fix", fix) for fix in finding.fixes]
    return Section(finding.severity, finding.title, finding.id, lines)


def _sum(episodes: Sequence[Finding]) -> Section:
    """Sum up episodes that are over; the longest one speaks for them."""
    longest = max(episodes, key=lambda each: (each.resolved_step or 0) - each.onset_step)
    last = max(each.resolved_step or 0 for each in episodes)
    when = (
        f"between steps {episodes[0].onset_step} and {last}, all over; "
        f"the longest from step {longest.onset_step} to {longest.resolved_step}"
    )
    lines = [("when", when), *(("measured", line) for line in evidence_lines(longest)[:1])]
    title = f"{longest.title}, {len(episodes)} times"
    return Section(longest.severity, title, longest.id, lines)
