"""What the screens say of a finding beyond what the report says: the keys that answer it."""

from __future__ import annotations

from pathlib import Path

from traintop.analyses import ANALYSES
from traintop.records import Finding, NextTest


def runnable(finding: Finding) -> NextTest | None:
    """Return the test that Enter starts: the first that this program can run."""
    return next((test for test in finding.next if test.analysis in ANALYSES), None)


def test_words(test: NextTest) -> str:
    """Write a test with the name of its checkpoint; its whole path would bury the rest."""
    return test.do + (f" ({Path(test.checkpoint).name})" if test.checkpoint else "")
