"""What the screens say of findings beyond the report: which comes first, which test answers it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from traintop.analyses import ANALYSES
from traintop.records import SEVERITIES, Finding, NextTest
from traintop.report import LISTED_EPISODES


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
