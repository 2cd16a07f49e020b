"""`traintop analyze`: one offline analysis, the same as the app's key starts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from traintop.analyses import ANALYSES
from traintop.errors import AnalysisError
from traintop.jobs import JobEvent, Log, Progress, run, summary
from traintop.launch import recorded_target


def analyze(arguments: Sequence[str]) -> int:
    """Run the analysis; return 0 if it ended well, else 2."""
    parser = argparse.ArgumentParser(prog="traintop analyze", description=__doc__)
    parser.add_argument("name", nargs="?", choices=[*ANALYSES], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="list the analyses and their options")
    parser.add_argument("--target", metavar="FILE:FUNCTION", help="what builds model and data")
    parser.add_argument("--checkpoint", metavar="CKPT", help="weights to load into it")
    parser.add_argument(
        "--compare",
        metavar="CKPT",
        action="append",
        default=[],
        help="a further checkpoint, set beside it; may be repeated",
    )
    parser.add_argument("--run", metavar="DIR", type=Path, help="the run that it belongs to")
    parser.add_argument("--device", default="auto", help="cpu, cuda:N or auto (default)")
    parser.add_argument("--python", metavar="PY", help="interpreter of the training environment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where the result file goes")
    parser.add_argument(
        "--set", metavar="OPTION=NUMBER", action="append", default=[], help="an option; see --list"
    )
    parsed = parser.parse_args(arguments)
    if parsed.list:
        print("\n".join(_listing()))
        return 0
    if parsed.name is None:
        parser.error(f"which analysis? {', '.join(ANALYSES)}")
    target = parsed.target or recorded_target(parsed.run)
    if target is None:
        raise AnalysisError("--target FILE.py:FUNCTION is needed: what builds model and data")
    result, path = run(
        parsed.name,
        target=target,
        checkpoint=parsed.checkpoint,
        compare=parsed.compare,
        device=parsed.device,
        seed=parsed.seed,
        options=_options(parsed.set),
        python=parsed.python,
        run_dir=parsed.run,
        out=parsed.out,
        on_event=_say,
    )
    if parsed.format == "json":
        print(result.to_json().decode())
    else:
        print("\n".join(summary(result)))
        if path is not None:
            print(f"kept in {path}")
    return 0 if result.status == "ok" else 2


def _listing() -> list[str]:
    lines: list[str] = []
    for analysis in ANALYSES.values():
        lines.append(f"{analysis.id:16} {analysis.title}: {analysis.description}")
        lines.append(f"{'':16} needs {', '.join(analysis.needs)} of the target")
        lines += [
            f"{'':18} --set {option.name}={option.default}  {option.help}"
            for option in analysis.options
        ]
    return lines


def _options(pairs: Sequence[str]) -> dict[str, float]:
    options: dict[str, float] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            options[name] = float(value)
        except ValueError:
            raise AnalysisError(f"--set {pair}: write OPTION=NUMBER") from None
        if not equals:
            raise AnalysisError(f"--set {pair}: write OPTION=NUMBER")
    return options


def _say(event: JobEvent) -> None:
    """Show progress on standard error, where it is a terminal."""
    if isinstance(event, Log):
        print(event.text, file=sys.stderr)
    elif isinstance(event, Progress) and sys.stderr.isatty():
        print(
            f"\r\x1b[K{event.done}/{event.total} {event.what}", end="", file=sys.stderr, flush=True
        )
        if event.done == event.total:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
