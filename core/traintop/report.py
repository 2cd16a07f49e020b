"""The Training Debug Report: what a session found, as text, Markdown or JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Literal

import msgspec

from traintop import strict_json
from traintop.diagnosis import Episode, episodes
from traintop.finding_text import Section, next_lines, sections, told_once
from traintop.records import (
    SEVERITIES,
    DetectorFailure,
    Finding,
    NotJudged,
    Severity,
    State,
)
from traintop.session import Session
from traintop.summary import Topic, summarise
from traintop.triage import Triage

LISTED_BLIND_SPOTS = 8
"""With more that could not be judged the text names them only: most runs record little."""
WHAT_EACH_NEEDS = (
    "What each needs, and how to record it: --format markdown, or screen 3 of the app."
)
PARAGRAPH = 100
"""Characters of a line of running text."""

Verdict = Literal["healthy", "not judged", "info", "warning", "critical"]


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """One episode, without its findings, which the report holds already."""

    root: str
    severity: Severity
    onset_step: int
    resolved_step: int | None
    findings: tuple[str, ...]
    """Ids, the root first."""
    story: str


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
    muted: tuple[Finding, ...] = ()
    """Findings that a person has muted: they are no part of the verdict, or of what follows."""
    not_judged: tuple[NotJudged, ...]
    episodes: tuple[Story, ...] = ()
    """The findings as stories, the worst first."""
    summary: tuple[Topic, ...] = ()
    """What the curves say."""
    failures: tuple[DetectorFailure, ...] = ()
    """Detectors that failed and were switched off."""
    problems: tuple[str, ...] = ()
    """Files that could not be read, and lines that were passed over."""


def check(
    session: Session,
    now: float,
    further: Sequence[Finding] = (),
    not_judged: Sequence[NotJudged] = (),
    triage: Triage | None = None,
) -> CheckReport:
    """Report on the newest run of a session that has been read.

    Args:
        session: What was read.
        now: Seconds since 1970.
        further: Findings of somebody else than the session, such as a comparison of runs.
        not_judged: What that could not judge.
        triage: What a person has decided of findings.
    """
    every = (*session.findings(), *further)
    muted = () if triage is None else tuple(filter(triage.is_muted, every))
    findings = tuple(each for each in every if each not in muted)
    judge = session.judge()
    run = session.run()
    state = session.state(now)
    last_step = session.judged_until()
    return CheckReport(
        path=str(session.path),
        state="unknown" if state == "waiting" else state,
        run=0 if run is None else run.index,
        last_step=last_step,
        verdict=_verdict(session, findings),
        findings=findings,
        muted=muted,
        not_judged=(*(() if judge is None else judge.not_judged), *not_judged),
        episodes=tuple(map(_story, episodes(findings))),
        summary=(
            ()
            if run is None
            else summarise(run, session.catalogue, session.store.info, until=last_step)
        ),
        failures=() if judge is None else tuple(judge.failures),
        problems=(
            *session.problems(),
            *_without_records(session),
            *((triage.problem,) if triage is not None and triage.problem else ()),
        ),
    )


def to_json(report: CheckReport) -> str:
    """Encode as one line of JSON."""
    return strict_json.encode(report)


def to_text(report: CheckReport) -> str:
    """Write the report for a person, in plain text."""
    lines = [f"{report.path}: {_headline(report)}"]
    if report.summary:
        lines.append("")
    for topic in report.summary:
        for index, text in enumerate(topic.lines):
            lines.append(f"  {'' if index else topic.name:15} {text}")
    for story, told in _told(report):
        if story:
            lines += ["", f"{SEVERITIES[max(map(_rank, told))].upper()}: {story}."]
        for section in told:
            lines += ["", f"{section.severity.upper():8} {section.title}  [{section.id}]"]
            lines += [f"  {label + ':':9} {text}" for label, text in section.lines]
    if recommended := _recommendations(report):
        lines += ["", "What to do, in this order:"]
        for number, (first, *rest) in enumerate(recommended, 1):
            lines += [f"  {number}. {first}", *(f"     {text}" for text in rest)]
    if report.muted:
        lines += ["", f"Muted: {_muted(report)}"]
    if report.verdict == "not judged" and report.not_judged:
        lines += ["", f"Not judged: {_nothing_known(report)}"]
    elif len(report.not_judged) > LISTED_BLIND_SPOTS:
        ids = ", ".join(sorted(each.id for each in report.not_judged))
        says = f"Not judged for want of what is not recorded ({len(report.not_judged)}): {ids}."
        lines += ["", *textwrap.wrap(f"{says} {WHAT_EACH_NEEDS}", PARAGRAPH)]
    elif report.not_judged:
        lines += ["", "Not judged:"]
        lines += [f"  {text}" for text in map(_blind, report.not_judged)]
    for failure in report.failures:
        lines += ["", f"The detector {failure.id} failed and was switched off: {failure.error}"]
    lines += [""] * bool(report.problems) + [f"  {problem}" for problem in report.problems]
    return "\n".join(lines)


def to_markdown(report: CheckReport) -> str:
    """Write the report as Markdown."""
    lines = ["# Training Debug Report", "", f"`{report.path}`: **{_headline(report)}**"]
    if report.summary:
        lines.append("")
    lines += [f"- **{topic.name}**: {'; '.join(topic.lines)}" for topic in report.summary]
    for story, told in _told(report):
        if story:
            lines += ["", f"**{story}.**"]
        for section in told:
            lines += ["", f"## {section.severity}: {section.title} (`{section.id}`)", ""]
            lines += [f"- {label}: {text}" for label, text in section.lines]
    if recommended := _recommendations(report):
        lines += ["", "## What to do", ""]
        for number, (first, *rest) in enumerate(recommended, 1):
            lines += [f"{number}. {first}", *(f"   - {text}" for text in rest)]
    if report.muted:
        lines += ["", f"Muted: {_muted(report)}"]
    if report.verdict == "not judged" and report.not_judged:
        lines += ["", f"Not judged: {_nothing_known(report)}"]
    elif report.not_judged:
        lines += [
            "",
            "## Not judged",
            "",
            *(f"- {text}" for text in map(_blind, report.not_judged)),
        ]
    for failure in report.failures:
        lines += ["", f"The detector `{failure.id}` failed and was switched off: {failure.error}"]
    if report.problems:
        lines += ["", "## Could not be read", "", *(f"- {problem}" for problem in report.problems)]
    return "\n".join(lines) + "\n"


def _verdict(session: Session, findings: Sequence[Finding]) -> Verdict:
    if findings:
        worst = max(SEVERITIES.index(finding.severity) for finding in findings)
        return SEVERITIES[worst]
    run = session.run()
    refs = () if run is None else session.catalogue.refs(run)
    known = any(ref.role is not None for ref in refs) or (run is not None and run.layers)
    return "healthy" if known and session.store.records else "not judged"


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
                f"{source.path}: a text log in which no line of names and numbers repeats while a"
                " counter grows; give the run's folder, or the file that its metrics are written to"
            )
        elif source.error is None and not source.skipped_total and source.path.name != "run.json":
            lines.append(f"{source.path}: holds no record so far, only what comes before the first")
    return lines


def _headline(report: CheckReport) -> str:
    last = "no step yet" if report.last_step is None else f"step {report.last_step}"
    words = {"info": "HEALTHY, with advice"}.get(report.verdict, report.verdict.upper())
    return f"{words} ({report.state}, {last})"


def _story(episode: Episode) -> Story:
    return Story(
        root=episode.root,
        severity=episode.severity,
        onset_step=episode.onset_step,
        resolved_step=episode.resolved_step,
        findings=tuple(dict.fromkeys(finding.id for finding in episode.findings)),
        story=episode.story,
    )


def _told(report: CheckReport) -> list[tuple[str, list[Section]]]:
    """Each story with its findings in words, the worst first; alone, a finding has no story.

    What stands alone, is over and alike is summed up.
    """
    found = episodes(report.findings)
    stories = [each for each in found if len(each.findings) > 1]
    alone = sections([each.findings[0] for each in found if len(each.findings) == 1])
    told = [(each.story, sections(told_once(each.findings))) for each in stories]
    told += [("", [section]) for section in alone]
    return sorted(told, key=lambda each: -max(_rank(section) for section in each[1]))


def _rank(section: Section) -> int:
    return SEVERITIES.index(section.severity)


def _recommendations(report: CheckReport) -> list[list[str]]:
    """The first test and the fixes of each episode that is no mere advice, the open ones first."""
    found: dict[tuple[str, ...], None] = {}
    worth = (each for each in episodes(report.findings) if each.severity != "info")
    for episode in sorted(worth, key=lambda each: each.resolved_step is not None):
        root = episode.findings[0]
        lines = next_lines(root)[:1]
        if lines and episode.resolved_step is not None:
            lines[0] += f" (over at step {episode.resolved_step})"
        begins = "if that confirms it: " if lines else ""
        for fix in root.fixes:
            lines.append(begins + fix.removeprefix("or "))
            begins = "or: "
        if lines:
            found[tuple(lines)] = None
    return [list(lines) for lines in found]


def _nothing_known(report: CheckReport) -> str:
    """Say why nothing is judged, rather than what every single detector lacks."""
    return (
        "there is no loss, metric or layer here that traintop knows; "
        f"`traintop describe {report.path}` shows what was read"
    )


def _muted(report: CheckReport) -> str:
    return ", ".join(f"{each.id} (step {each.onset_step})" for each in report.muted)


def _blind(blind: NotJudged) -> str:
    how = f"; to record it: {blind.record}" if blind.record else ""
    return f"{blind.id}: needs {blind.needs}{how}"
