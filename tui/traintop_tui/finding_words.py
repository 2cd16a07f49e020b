"""What the screens say of findings beyond the report: which comes first, which test answers it."""

from __future__ import annotations

from pathlib import Path

from traintop.analyses import ANALYSES
from traintop.records import SEVERITIES, Finding, NextTest


def urgency(finding: Finding) -> tuple[bool, int, int]:
    """Sort open before ended, severe before mild, new before old."""
    return (
        finding.resolved_step is not None,
        -SEVERITIES.index(finding.severity),
        -finding.detected_step,
    )


def runnable(finding: Finding) -> NextTest | None:
    """Return the test that Enter starts: the first that this program can run."""
    return next((test for test in finding.next if test.analysis in ANALYSES), None)


def test_words(test: NextTest) -> str:
    """Write a test with the name of its checkpoint; its whole path would bury the rest."""
    return test.do + (f" ({Path(test.checkpoint).name})" if test.checkpoint else "")
