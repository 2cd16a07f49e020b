"""`traintop check`: what is wrong with runs, with no terminal, for people, scripts and CI."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TextIO

from traintop.checking import (
    Options,
    Outcome,
    baseline_of,
    check_run,
    crash,
    safe,
)
from traintop.parallel import cores, ordered_map
from traintop.run_paths import expand
from traintop.sarif import SarifWriter
from traintop.sources.remote_path import is_remote

DESCRIPTION = """\
The Training Debug Report of runs, with no terminal.

PATH is a run's folder or file, a folder that holds many runs, a glob, or - for standard input.
Exit code: 0 nothing at or over --fail-on, 1 findings, 2 a run could not be judged or read."""

VERDICTS = ("critical", "warning", "info", "healthy", "not judged", "not read")
"""The order in which they are counted up."""

ALONE = 8
"""So many runs are checked before worker processes are worth starting, unless --jobs asks."""


def check(arguments: Sequence[str]) -> int:
    """Check runs; return the exit code.

    Raises:
        TraintopError: The baseline cannot be read, or a setting is wrong.
    """
    parser = _parser()
    parsed = parser.parse_args(arguments)
    options = Options(
        format=parsed.format,
        fail_on=parsed.fail_on,
        until=parsed.until,
        baseline=parsed.baseline,
    )
    # Read now, so that an error in it is said once.
    if options.baseline is not None and (flaws := baseline_of(options.baseline).flaws):
        _say(f"the baseline {options.baseline} is no good run itself: {', '.join(flaws)}")
    if parsed.follow:
        if parsed.format not in ("text", "json") or parsed.until is not None:
            parser.error("--follow writes text or json, and goes to the end: no --until")
        from traintop_tui.check_follow import follow

        return follow(parsed, list(expand(parsed.paths, _say)), options)
    for flag in ("on_finding", "webhook", "bell", "notify"):
        if getattr(parsed, flag) is not None:
            parser.error(f"--{flag.replace('_', '-')} needs --follow")
    paths = list(expand(parsed.paths, _say))
    if parsed.engine == "ray" and "-" in paths:
        parser.error("--engine ray reads files; standard input is here alone")
    if parsed.engine == "ray":
        from traintop import ray_engine

        run = partial(check_run, options)
        outcomes = ray_engine.ordered_map(run, _absolute(paths), crash, parsed.address)
        # Ray prints what happens to its workers, and reports are for machines, too.
        reports = sys.stdout
        with redirect_stdout(sys.stderr):
            return _print_all(options, outcomes, reports, many=len(paths) > 1)
    several = len(paths) > 1
    return _print_all(options, _outcomes(options, paths, parsed.jobs), sys.stdout, many=several)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traintop check",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--format", choices=("text", "markdown", "json", "sarif"), default="text")
    parser.add_argument(
        "--fail-on",
        choices=("info", "warning", "critical"),
        default="critical",
        help="exit with 1 if a finding is at least so severe (default: critical)",
    )
    parser.add_argument(
        "--until", type=_step, metavar="STEP", help="judge as if the run ended there"
    )
    parser.add_argument(
        "--baseline", metavar="RUN", help="a good run of the same set-up to compare with"
    )
    parser.add_argument(
        "--jobs", type=_jobs, metavar="N", help="worker processes (default: all cores)"
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where runs are checked: this machine, or a Ray cluster that sees the same paths",
    )
    parser.add_argument(
        "--address", metavar="ADDRESS", help="of the Ray cluster (default: $RAY_ADDRESS, or here)"
    )
    following = parser.add_argument_group("watching runs that are going on")
    following.add_argument(
        "--follow",
        action="store_true",
        help="print findings as they open, change or end, until the runs end or Ctrl-C",
    )
    following.add_argument(
        "--on-finding",
        metavar="CMD",
        help="run a program, without a shell, for each new finding from warning up; it is given "
        "the finding as JSON on standard input and in TRAINTOP_* environment variables",
    )
    following.add_argument("--webhook", metavar="URL", help="post each of them to a web address")
    following.add_argument(
        "--bell", action="store_true", default=None, help="ring the terminal's bell"
    )
    following.add_argument(
        "--notify",
        nargs="?",
        const="auto",
        choices=("off", "auto", "osc9", "osc777"),
        help="have the terminal show a notification (OSC 9 or OSC 777; default: as it is known)",
    )
    return parser


def _jobs(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _step(text: str) -> int:
    step = int(text)
    if step < 0:
        raise argparse.ArgumentTypeError("steps are counted from 0")
    return step


def _say(text: str) -> None:
    print(f"traintop: {safe(text)}", file=sys.stderr)


def _outcomes(options: Options, paths: Sequence[str], jobs: int | None) -> Iterator[Outcome]:
    """Check runs in this process, or, where they are many, in several."""
    run = partial(check_run, options)
    if "-" in paths:
        jobs = 1  # Only this process has the standard input.
    elif jobs is None:
        jobs = cores() if len(paths) > ALONE else 1
    jobs = min(jobs, len(paths))
    if jobs == 1:
        return map(run, paths)
    return ordered_map(run, paths, jobs, crash)


def _absolute(paths: Sequence[str]) -> list[str]:
    """Return paths that mean the same in another process."""
    return [path if is_remote(path) else str(Path(path).absolute()) for path in paths]


def _print_all(
    options: Options, outcomes: Iterator[Outcome], reports: TextIO, *, many: bool
) -> int:
    code = 0
    verdicts: Counter[str] = Counter()
    with ExitStack() as stack:
        log = None
        if options.format == "sarif":
            log = stack.enter_context(SarifWriter(reports.write))
        for number, outcome in enumerate(outcomes):
            if log is not None:
                log.add(outcome.results, outcome.notices)
            elif outcome.printed is not None:
                between = "\n" if number and options.format == "text" else ""
                print(between + outcome.printed, flush=True, file=reports)
            for error in outcome.errors:
                _say(error)
            code = max(code, outcome.code)
            verdicts[outcome.verdict or "not read"] += 1
    if many and options.format == "text":
        words = {"info": "healthy with advice"}
        counted = ", ".join(
            f"{verdicts[verdict]} {words.get(verdict, verdict)}"
            for verdict in sorted(verdicts, key=VERDICTS.index)
        )
        print(f"\n{verdicts.total()} runs: {counted}", file=reports)
    reports.flush()
    return code
