"""The Training Debug Report: what a session found, as text, Markdown or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from traintop import strict_json
from traintop.records import (
    SEVERITIES,
    DetectorFailure,
    Finding,
    NotJudged,
    Severity,
    State,
)
from traintop.session import Session

Verdict = Literal["healthy", "not judged", "info", "warning", "critical"]
LISTED_EPISODES = 3
"""Episodes of one ailment that are over and are written one by one; more are summed up."""


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `traintop check --format json` prints, one object a path."""

    schema: str = "traintop.check/1"
    path: str
    state: State
    run: int
    """The index of the run in its files, counted from 0."""
    last_step: int | None
    verdict: Verdict
    findings: tuple[Finding, ...]
    not_judged: tuple[NotJudged, ...]
    failures: tuple[DetectorFailure, ...] = ()
    """Detectors that failed and were switched off."""
    problems: tuple[str, ...] = ()
    """Files that could not be read, and lines that were passed over."""


def check(session: Session, now: float) -> CheckReport:
    """Report on the newest run of a session that has been read."""
    findings = tuple(session.findings())
    judge = session.judge()
    run = session.run()
    state = session.state(now)
    return CheckReport(
        path=str(session.path),
        state="unknown" if state == "waiting" else state,
        run=0 if run is None else run.index,
        last_step=session.judged_until(),
        verdict=_verdict(session, findings),
        findings=findings,
        not_judged=() if judge is None else judge.not_judged,
        failures=() if judge is None else tuple(judge.failures),
        problems=(*session.problems(), *_without_records(session)),
    )


def _verdict(session: Session, findings: Sequence[Finding]) -> Verdict:
    from traintop.detectors.registry import IDS  # Screens import this module; they need none.

    if findings:
        worst = max(SEVERITIES.index(finding.severity) for finding in findings)
        return SEVERITIES[worst]
    unjudged = len(session.not_judged()) + len(session.failures())
    return "healthy" if session.store.records and unjudged < len(IDS) else "not judged"


def _without_records(session: Session) -> list[str]:
    """Say of each file why there is nothing in it to judge, where that is so of all of them."""
    if session.store.records:
        return []
    lines: list[str] = []
    for source in session.reports():
        if source.error is None and not source.bytes_total:
            lines.append(f"{source.path}: empty: nothing was written to it so far")
        elif source.format == "text":
            lines.append(
                f"{source.path}: read as a text log, whose numbers are not judged; give the run's"
                " folder, or a file of JSON Lines with a metric a key"
            )
        elif source.error is None and not source.skipped_total and source.path.name != "run.json":
            lines.append(f"{source.path}: holds no record so far, only what comes before the first")
    return lines


def to_json(report: CheckReport) -> str:
    """Encode as one line of JSON."""
    return strict_json.encode(report)


def to_text(report: CheckReport) -> str:
    """Write the report for a person, in plain text."""
    lines = [f"{report.path}: {_headline(report)}"]
    for section in _sections(report.findings):
        lines += ["", f"{section.severity.upper():8} {section.title}  [{section.id}]"]
        lines += [f"  {label + ':':9} {text}" for label, text in section.lines]
    if report.not_judged:
        lines += ["", "Not judged:"]
        lines += [f"  {blind.id}: needs {blind.needs}" for blind in report.not_judged]
    for failure in report.failures:
        lines += ["", f"The detector {failure.id} failed and was switched off: {failure.error}"]
    lines += [""] * bool(report.problems) + [f"  {problem}" for problem in report.problems]
    return "\n".join(lines)


def to_markdown(report: CheckReport) -> str:
    """Write the report as Markdown."""
    lines = ["# Training Debug Report", "", f"`{report.path}`: **{_headline(report)}**"]
    for section in _sections(report.findings):
        lines += ["", f"## {section.severity}: {section.title} (`{section.id}`)", ""]
        lines += [f"- {label}: {text}" for label, text in section.lines]
    if report.not_judged:
        lines += ["", "## Not judged", ""]
        lines += [f"- `{blind.id}` needs {blind.needs}" for blind in report.not_judged]
    for failure in report.failures:
        lines += ["", f"The detector `{failure.id}` failed and was switched off: {failure.error}"]
    if report.problems:
        lines += ["", "## Could not be read", "", *(f"- {problem}" for problem in report.problems)]
    return "\n".join(lines) + "\n"


def _headline(report: CheckReport) -> str:
    last = "no step yet" if report.last_step is None else f"step {report.last_step}"
    return f"{report.verdict.upper()} ({report.state}, {last})"


class _Section(NamedTuple):
    """What a person reads of one finding, or of many that are over and alike."""

    severity: Severity
    title: str
    id: str
    lines: list[tuple[str, str]]
    """Labels and texts."""


def _sections(findings: Sequence[Finding]) -> list[_Section]:
    """Write each finding, those of one ailment that are over together where they are many."""
    kinds = Counter(_kind(finding) for finding in findings)
    many = {kind for kind, count in kinds.items() if count > LISTED_EPISODES and kind.over}
    sections: list[_Section] = []
    for finding in findings:
        kind = _kind(finding)
        if kind not in many:
            sections.append(_one(finding))
        elif kinds.pop(kind, 0):
            sections.append(_sum([each for each in findings if _kind(each) == kind]))
    return sections


class _Kind(NamedTuple):
    id: str
    severity: Severity
    over: bool


def _kind(finding: Finding) -> _Kind:
    return _Kind(finding.id, finding.severity, finding.resolved_step is not None)


def _one(finding: Finding) -> _Section:
    when = f"since step {finding.onset_step}, seen at step {finding.detected_step}"
    if finding.resolved_step is not None:
        when += f", over at step {finding.resolved_step}"
    lines = [("when", when)]
    lines += [("layers", ", ".join(finding.layers))] * bool(finding.layers)
    lines += [("measured", line) for line in evidence_lines(finding)]
    lines += [("likely", f"{cause.cause} ({cause.because})") for cause in finding.causes]
    lines += [("next", test) for test in next_lines(finding)]
    return _Section(finding.severity, finding.title, finding.id, lines)


def _sum(episodes: Sequence[Finding]) -> _Section:
    """Sum up episodes that are over; the longest one speaks for them."""
    longest = max(episodes, key=lambda each: (each.resolved_step or 0) - each.onset_step)
    last = max(each.resolved_step or 0 for each in episodes)
    when = (
        f"between steps {episodes[0].onset_step} and {last}, all over; "
        f"the longest from step {longest.onset_step} to {longest.resolved_step}"
    )
    lines = [("when", when), *(("measured", line) for line in evidence_lines(longest)[:1])]
    title = f"{longest.title}, {len(episodes)} times"
    return _Section(longest.severity, title, longest.id, lines)


def evidence_lines(finding: Finding) -> list[str]:
    """Write each piece of evidence with its threshold in one line."""
    lines: list[str] = []
    for evidence in finding.evidence:
        line = f"{evidence.what}: {evidence.value:.4g}"
        if evidence.threshold is not None:
            line += f" (threshold {evidence.threshold:.4g})"
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
