"""Writes findings as SARIF 2.1.0, which code scanning of CI systems reads.

One log for any number of runs, written as they come: what precedes the results is known at the
start, and no run is kept. The format: "Static Analysis Results Interchange Format (SARIF) Version
2.1.0", OASIS Standard, sections 3.13 (log), 3.20 (invocation), 3.27 (result), 3.49 (rule).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from traintop import __version__, strict_json
from traintop.finding_text import evidence_lines, next_lines
from traintop.records import Finding
from traintop.report import CheckReport
from traintop.rules import Rule, every_rule

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
LEVELS = {"critical": "error", "warning": "warning", "info": "note"}
FINGERPRINT = "traintopEpisode/v1"
LARGEST_SEARCHED = 1 << 25
"""Bytes of a file in which the line of a record is looked for: some milliseconds."""

Object = dict[str, Any]


class SarifWriter:
    """Writes a log piece by piece; a context, so that it is whole whatever ends it.

    Args:
        write: Takes pieces of the text.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._separator = ""
        self._notices: list[str] = []

    def __enter__(self) -> Self:
        """Write what comes before the results."""
        driver = {"name": "traintop", "version": __version__, "rules": rules()}
        head = {"tool": {"driver": driver}, "columnKind": "utf16CodeUnits"}
        self._write(
            f'{{"$schema":"{SCHEMA}","version":"2.1.0","runs":[{strict_json.encode(head)[:-1]}'
        )
        self._write(',"results":[')
        return self

    def add(self, results: Sequence[str], notices: Sequence[str]) -> None:
        """Write results, each a JSON object, and keep notices for the end."""
        for result in results:
            self._write(f"{self._separator}\n{result}")
            self._separator = ","
        self._notices += notices

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what comes after the results; whoever reads may be gone already."""
        if isinstance(error, BrokenPipeError):
            return
        whole = "true" if error is None else "false"
        notices = ",".join(self._notices)
        self._write(f'],"invocations":[{{"executionSuccessful":{whole}')
        self._write(f',"toolExecutionNotifications":[{notices}]}}]}}]}}\n')


@cache
def _rule_index() -> dict[str, int]:
    return {rule["id"]: index for index, rule in enumerate(rules())}


def rules() -> list[Object]:
    """Describe every finding that there may be: SARIF reportingDescriptor objects."""
    return [_rule(rule) for rule in every_rule()]


def _rule(rule: Rule) -> Object:
    # A docstring that describes arguments goes on with them after its prose.
    prose = re.split(r"\n\n(?:Args|Attributes|Raises):", rule.words)[0]
    paragraphs = [" ".join(paragraph.split()) for paragraph in prose.split("\n\n")]
    return {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.id.split("_")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": paragraphs[0]},
        "help": {"text": "\n\n".join([*paragraphs, f"Needs {rule.needs}."])},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": ["training"]},
    }


def results(report: CheckReport, files: Sequence[Path]) -> list[str]:
    """Write each finding of a report as a SARIF result.

    Args:
        report: What was found.
        files: The run's files; a finding is placed in the one that it was read from.

    Returns:
        JSON objects.
    """
    return [strict_json.encode(_result(finding, report, files)) for finding in report.findings]


def notices(report: CheckReport) -> list[str]:
    """Write what could not be judged or read as SARIF notifications: JSON objects."""
    made = [("error", f"the detector {each.id} failed: {each.error}") for each in report.failures]
    made += [("warning", problem) for problem in report.problems]
    if report.not_judged:
        missing = "; ".join(f"{blind.id} needs {blind.needs}" for blind in report.not_judged)
        made.append(("note", f"not judged: {missing}"))
    return [_notice(report.path, level, text) for level, text in made]


def failure(path: str, why: str) -> str:
    """Write that a run could not be read as a SARIF notification: a JSON object."""
    return _notice(path, "error", why)


def _notice(path: str, level: str, text: str) -> str:
    place = {"physicalLocation": {"artifactLocation": {"uri": uri(Path(path))}}}
    return strict_json.encode({"level": level, "message": {"text": text}, "locations": [place]})


def _result(finding: Finding, report: CheckReport, files: Sequence[Path]) -> Object:
    file = _file_of(finding, files) or Path(report.path)
    place: Object = {"artifactLocation": {"uri": uri(file)}}
    line = line_of(file, finding.onset_step)
    if line is not None:
        place["region"] = {"startLine": line}
    # What names the episode, and not what is measured of it, which a run that goes on changes.
    identity = f"{Path(report.path).absolute().name}/{report.run}/{finding.id}/{finding.episode}"
    result: Object = {
        "ruleId": finding.id,
        "level": LEVELS[finding.severity],
        "message": {"text": _message(finding)},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {FINGERPRINT: hashlib.sha256(identity.encode()).hexdigest()[:32]},
        "properties": {
            "path": report.path,
            "onsetStep": finding.onset_step,
            "detectedStep": finding.detected_step,
            "resolvedStep": finding.resolved_step,
            "series": finding.series,
            "layers": finding.layers,
            "ranks": finding.ranks,
            "evidence": finding.evidence,
        },
    }
    index = _rule_index().get(finding.id)
    return result if index is None else {**result, "ruleIndex": index}


def _message(finding: Finding) -> str:
    over = "" if finding.resolved_step is None else f", over at step {finding.resolved_step}"
    lines = [f"{finding.title}, since step {finding.onset_step}{over}."]
    lines += [f"Layers: {', '.join(finding.layers)}."] * bool(finding.layers)
    lines += [f"Measured: {line}." for line in evidence_lines(finding)]
    lines += [f"Likely: {cause.cause} ({cause.because})." for cause in finding.causes]
    lines += [f"Next: {line}." for line in next_lines(finding)]
    lines += [f"Fix: {fix}." for fix in finding.fixes]
    return "\n".join(lines)


def _file_of(finding: Finding, files: Sequence[Path]) -> Path | None:
    """Return the file of a run that a finding is about: layers, evaluations or training."""
    records = [file for file in files if file.name not in ("run.json", "events.jsonl")]
    wanted = "train"
    if finding.layers:
        wanted = "layers"
    elif finding.series and all(series.endswith("/val") for series in finding.series):
        wanted = "val"
    named = [file for file in records if file.name.startswith(wanted)]
    return next(iter(named or records), None)


def uri(path: Path) -> str:
    """Return a path as a URI: relative below the present directory, as code scanning wants it."""
    absolute = path.absolute()
    here = Path.cwd()
    if absolute.is_relative_to(here):
        return quote(absolute.relative_to(here).as_posix())
    return "file://" + quote(absolute.as_posix())


def line_of(file: Path, step: int) -> int | None:
    """Return the line of the record of a step, counted from 1, where it is cheaply found.

    A run that was resumed has repeated its steps: the last such record is the one that counts.
    """
    try:
        if file.stat().st_size > LARGEST_SEARCHED or not file.is_file():
            return None
        data = file.read_bytes()
    except OSError:
        return None
    named = rb'"(?:global_)?(?:step|iter|iteration)"\s*:\s*%d(?:\.0*)?\s*[,}]' % step
    starts = [found.start() for found in re.finditer(named, data)]
    return data.count(b"\n", 0, starts[-1]) + 1 if starts else None
