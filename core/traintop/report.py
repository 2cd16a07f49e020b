"""The Training Debug Report: what a session found, as text, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec

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
Format = Literal["text", "markdown", "json"]


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
    records = session.store.records
    severities: list[Severity] = [finding.severity for finding in findings]
    worst: Verdict = "healthy" if records else "not judged"
    for severity in SEVERITIES:
        if severity in severities:
            worst = severity
    run = session.run()
    return CheckReport(
        path=str(session.path),
        state=session.state(now),
        run=0 if run is None else run.index,
        last_step=session.judged_until(),
        verdict=worst,
        findings=findings,
        not_judged=() if judge is None else judge.not_judged,
        failures=() if judge is None else tuple(judge.failures),
        problems=tuple(session.problems()),
    )


def to_json(report: CheckReport) -> str:
    """Encode as one line of JSON; NaN and infinite evidence become strings."""
    return _encode(report)


def _encode(value: object) -> str:
    return msgspec.json.encode(_printable(msgspec.to_builtins(value))).decode()


def _printable(value: Any) -> Any:
    """JSON has no word for NaN and the infinities: they are strings, as in the files."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in cast("Sequence[Any]", value)]
    return value


def to_text(report: CheckReport) -> str:
    """Write the report for a person, in plain text."""
    lines = [f"{report.path}: {_headline(report)}"]
    for finding in report.findings:
        lines += [
            "",
            f"{finding.severity.upper():8} {finding.title}  [{finding.id}]",
            *_when(finding),
        ]
        lines += [f"  measured: {line}" for line in evidence_lines(finding)]
        lines += [f"  likely:   {cause.cause} ({cause.because})" for cause in finding.causes]
        lines += [f"  next:     {test}" for test in next_lines(finding)]
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
    for finding in report.findings:
        lines += ["", f"## {finding.severity}: {finding.title} (`{finding.id}`)", ""]
        lines += [f"- {line.strip()}" for line in _when(finding)]
        lines += [f"- measured: {line}" for line in evidence_lines(finding)]
        lines += [f"- likely: {cause.cause} ({cause.because})" for cause in finding.causes]
        lines += [f"- next: {test}" for test in next_lines(finding)]
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


def _when(finding: Finding) -> list[str]:
    when = f"  since step {finding.onset_step}, seen at step {finding.detected_step}"
    if finding.resolved_step is not None:
        when += f", over at step {finding.resolved_step}"
    return [when] + [f"  layers:   {', '.join(finding.layers)}"] * bool(finding.layers)


def evidence_lines(finding: Finding) -> list[str]:
    """Write each piece of evidence with its threshold in one line."""
    lines: list[str] = []
    for evidence in finding.evidence:
        line = f"{evidence.what} {evidence.value:.4g}"
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
