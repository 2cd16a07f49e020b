"""What the screens say of findings beyond the report: their order, the tests that answer them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from traintop.analyses import ANALYSES
from traintop.finding_text import LISTED_EPISODES
from traintop.records import SEVERITIES, Finding, NextTest

if TYPE_CHECKING:
    from traintop.diagnosis import Episode

MOST_JOINED = 200
"""Findings: whether more than these belong together is not looked into, it would take too long."""
TEST_KEYS = {"lr_find": "L", "dead_neurons": "D"}
"""By analysis: the key that starts it, as it stands in the table of actions; A lists the others."""


def urgency(finding: Finding) -> tuple[bool, int, int]:
    """Sort open before ended, severe before mild, new before old."""
    return (
        finding.resolved_step is not None,
        -SEVERITIES.index(finding.severity),
        -finding.detected_step,
    )


def by_urgency(findings: Iterable[Finding]) -> list[tuple[Finding, int]]:
    """Sort findings by urgency, and sum up episodes of one ailment that are over.

    Returns:
        Findings, and for how many episodes each stands: more than `LISTED_EPISODES` that are over
        are one, the newest.
    """
    ordered = sorted(findings, key=urgency)
    over = Counter((each.id, each.severity) for each in ordered if each.resolved_step is not None)
    summed: dict[object, tuple[Finding, int]] = {}
    for finding in ordered:
        kind = finding.id, finding.severity
        if finding.resolved_step is not None and over[kind] > LISTED_EPISODES:
            summed.setdefault(kind, (finding, over[kind]))
        else:
            summed[finding.key] = finding, 1
    return list(summed.values())


def runnable(finding: Finding) -> NextTest | None:
    """Return the test that Enter starts: the first that this program can run."""
    return next((test for test in finding.next if test.analysis in ANALYSES), None)


def test_words(test: NextTest) -> str:
    """Write a test with the name of its checkpoint; its whole path would bury the rest."""
    return test.do + (f" ({Path(test.checkpoint).name})" if test.checkpoint else "")


def key_of(test: NextTest, finding: Finding) -> str:
    """Return the key that starts a test; empty where this program has no such analysis."""
    if test is runnable(finding):
        return "Enter"
    if test.analysis not in ANALYSES:
        return ""
    return TEST_KEYS.get(test.analysis or "", "A")


def joined(findings: Sequence[Finding]) -> tuple[Episode, ...]:
    """Join findings into episodes, the worst first; where they are very many, each alone."""
    if not findings:
        return ()
    from traintop.diagnosis import episodes  # It knows detectors, which no picture waits for.

    if len(findings) <= MOST_JOINED:
        return episodes(findings)
    return tuple(story for finding in findings for story in episodes([finding]))
