"""Checks one run for `traintop check`: a path in, what is to be printed and the exit code out."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from traintop import report, sarif
from traintop.baseline import Baseline, Comparison, compare, read_baseline
from traintop.errors import TraintopError
from traintop.opening import read_whole
from traintop.records import SEVERITIES, Severity
from traintop.report import CheckReport, Verdict
from traintop.session import Session
from traintop.settings import load_settings
from traintop.sources.text import clean
from traintop.triage import Triage

EXIT_FOUND, EXIT_UNREADABLE = 1, 2
Format = Literal["text", "markdown", "json", "sarif"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for every run of one command."""

    format: Format = "text"
    fail_on: Severity = "critical"
    until: int | None = None
    """Judge as if the run ended at this step."""
    baseline: str | None = None
    """A good run to compare with."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of one run came to."""

    path: str
    verdict: Verdict | None = None
    """None where it could not be read."""
    printed: str | None = None
    """The report, for text, Markdown and JSON."""
    results: tuple[str, ...] = ()
    """SARIF results, each as JSON."""
    notices: tuple[str, ...] = ()
    """SARIF notifications, each as JSON."""
    errors: tuple[str, ...] = ()
    """For standard error."""
    code: int = 0
    """The exit code if this were the only run."""


def check_run(options: Options, path: str) -> Outcome:
    """Read and judge one run. It raises nothing: one run must not stop the others."""
    try:
        settings, _ = load_settings(Path(path))
        session = read_whole(path, settings, until=options.until)
        return outcome(options, session, path)
    except TraintopError as error:
        return failure(path, str(error))
    except Exception as error:  # noqa: BLE001 - said of this run, and the others go on
        return failure(
            path, f"{path}: could not be checked: {type(error).__name__}: {error}; please report it"
        )


def outcome(options: Options, session: Session, path: str) -> Outcome:
    """Report on a session that has been read."""
    made = judged(options, session)
    unjudged = made.verdict == "not judged"
    errors = (f"{path}: nothing that could be judged was read",) if unjudged else ()
    code = EXIT_UNREADABLE if unjudged else 0
    limit = SEVERITIES.index(options.fail_on)
    if any(SEVERITIES.index(finding.severity) >= limit for finding in made.findings):
        code = max(code, EXIT_FOUND)
    if options.format == "sarif":
        files = [source.path for source in session.reports()]
        results, notices = sarif.results(made, files), sarif.notices(made)
        return Outcome(
            path=path,
            verdict=made.verdict,
            results=tuple(results),
            notices=tuple(notices),
            errors=errors,
            code=code,
        )
    written = _WRITE[options.format](made)
    return Outcome(path=path, verdict=made.verdict, printed=written, errors=errors, code=code)


def judged(options: Options, session: Session) -> CheckReport:
    """Make the report of a session, with the comparison with the baseline where there is one."""
    compared = Comparison()
    if options.baseline is not None:
        compared = compare(session, baseline_of(options.baseline))
    triage = Triage.load(session.folder, session.settings.mutes)
    return report.check(session, time.time(), compared.findings, compared.not_judged, triage)


@lru_cache(maxsize=1)
def baseline_of(path: str) -> Baseline:
    """Read the baseline, once in each process.

    Raises:
        TraintopError: It cannot be read, or holds nothing to compare with.
    """
    settings, _ = load_settings(Path(path))
    return read_baseline(path, settings)


def failure(path: str, why: str) -> Outcome:
    """Make the outcome of a run that could not be checked."""
    return Outcome(
        path=path, errors=(why,), notices=(sarif.failure(path, why),), code=EXIT_UNREADABLE
    )


def crash(path: str) -> Outcome:
    """Make the outcome of a run whose check ended the process that did it."""
    return failure(
        path,
        f"{path}: the process that checked it was ended: killed, or out of memory; "
        "try it alone, or with a smaller --jobs",
    )


def safe(text: str) -> str:
    """Take control sequences, which names in a log may hold, out of what a terminal will show."""
    return "\n".join(clean(line) for line in text.split("\n"))


_WRITE: dict[str, Callable[[CheckReport], str]] = {
    "text": lambda made: safe(report.to_text(made)),
    "markdown": lambda made: safe(report.to_markdown(made)),
    "json": report.to_json,
}
