"""`traintop analyze`: one offline analysis, the same as the app's key starts."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from traintop.analyses import ANALYSES
from traintop.analyses.request import Request
from traintop.errors import AnalysisError, PathError
from traintop.job_events import JobEvent, Log, Progress
from traintop.jobs import TIME_LIMIT, run, summary
from traintop.launch import is_hugging_face, make_request, recorded_target
from traintop.live_throughput import LiveThroughput, followed
from traintop.opening import read_whole
from traintop.settings import Settings
from traintop.sources.text import clean
from traintop.target_file import write_target


def analyze(arguments: Sequence[str]) -> int:
    """Run the analysis; return 0 if it ended well, 1 if it failed."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.list:
        print("\n".join(_listing()))
        return 0
    if parsed.init:
        written = write_target(Path.cwd(), parsed.out)
        print(f"{written} is written: look its guesses through")
        return 0
    if parsed.name is None:
        parser.error(f"which analysis? {', '.join(ANALYSES)}")
    request = _request(parsed)
    result, path = run(
        request,
        python=parsed.python,
        run_dir=parsed.run,
        out=parsed.out,
        time_limit=parsed.time_limit,
        beside=None if parsed.run is None else LiveThroughput(followed(parsed.run)).check,
        on_event=_say,
    )
    if parsed.format == "json":
        print(result.to_json().decode())
    else:
        print("\n".join(map(clean, summary(result))))
        if path is not None:
            print(f"kept in {path}")
    return 0 if result.status == "ok" else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="traintop analyze", description=__doc__)
    parser.add_argument("name", nargs="?", choices=[*ANALYSES], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="list the analyses and their options")
    parser.add_argument(
        "--init",
        action="store_true",
        help="write a target file for the project in this folder; --out names the file",
    )
    what = parser.add_argument_group("what is analysed")
    what.add_argument(
        "--target",
        metavar="FILE:FUNCTION",
        help="what builds model and data; not needed for a Hugging Face checkpoint folder",
    )
    which = what.add_mutually_exclusive_group()
    which.add_argument(
        "--checkpoint",
        metavar="CKPT",
        help="weights to load into it; default: the newest checkpoint of --run",
    )
    which.add_argument(
        "--no-checkpoint", action="store_true", help="the target's own weights, also with --run"
    )
    what.add_argument(
        "--compare",
        metavar="CKPT",
        action="append",
        default=[],
        help="a further checkpoint, set beside it; may be repeated",
    )
    what.add_argument(
        "--data",
        metavar="PATH",
        help="batches instead of the target's: a folder that the recorder kept them in, or for a "
        "Hugging Face folder a text or jsonl file",
    )
    what.add_argument("--run", metavar="DIR", type=Path, help="the run that it belongs to")
    what.add_argument(
        "--set", metavar="OPTION=NUMBER", action="append", default=[], help="an option; see --list"
    )
    what.add_argument("--seed", type=int, default=0)
    where = parser.add_argument_group("where it runs")
    where.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto (default)")
    where.add_argument("--python", metavar="PY", help="interpreter of the training environment")
    where.add_argument("--nproc", metavar="N", type=int, default=1, help="processes, by torchrun")
    where.add_argument("--nnodes", metavar="N", type=int, default=1, help="machines")
    where.add_argument("--rdzv-endpoint", metavar="HOST:PORT", help="where the machines meet")
    where.add_argument(
        "--shard", action="store_true", help="shard the weights over the processes (FSDP2)"
    )
    where.add_argument(
        "--time-limit", metavar="SECONDS", type=float, default=TIME_LIMIT, help="default 1 hour"
    )
    where.add_argument(
        "--memory-limit",
        metavar="GIB",
        type=float,
        help="of the host, for all processes (default: four fifths of what is available)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where the result file goes")
    return parser


def _request(parsed: argparse.Namespace) -> Request:
    if parsed.run is not None and not parsed.run.is_dir():
        raise AnalysisError(f"--run {parsed.run} is not the folder of a run")
    checkpoint, target = parsed.checkpoint, parsed.target
    if checkpoint is None and parsed.run is not None and not parsed.no_checkpoint:
        checkpoint = _newest_checkpoint(parsed.run)
    if target is None and not is_hugging_face(checkpoint):
        target = recorded_target(parsed.run)
    limit = parsed.memory_limit
    if not all(0 < each < math.inf for each in (parsed.time_limit, 1 if limit is None else limit)):
        raise AnalysisError("--time-limit and --memory-limit must be above 0")
    return make_request(
        parsed.name,
        target=target,
        checkpoint=checkpoint,
        compare=parsed.compare,
        device=parsed.device,
        seed=parsed.seed,
        options=_options(parsed.set),
        data=parsed.data,
        run_dir=parsed.run,
        nproc=parsed.nproc,
        nnodes=parsed.nnodes,
        rdzv_endpoint=parsed.rdzv_endpoint,
        shard=parsed.shard,
        memory_limit=None if limit is None else int(limit * 2**30),
    )


def _newest_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint that a run named, or that lies in its folder."""
    try:
        found = read_whole(run, Settings(), judge=False).checkpoints()
    except PathError:
        return None  # Nothing of it can be read: a folder that is still empty, for instance.
    newest = max(found, key=lambda each: -1 if each.step is None else each.step, default=None)
    return None if newest is None else newest.path


def _listing() -> list[str]:
    lines: list[str] = []
    for analysis in ANALYSES.values():
        lines.append(f"{analysis.id:18}{analysis.title}: {analysis.description}")
        needs = ("model", *analysis.needs)
        lines.append(f"{'':18}needs {', '.join(needs)} of the target")
        for option in analysis.options:
            value = "..." if option.default is None else f"{option.default:g}"
            given = f"--set {option.name}={value}"
            lines.append(f"{'':18}  {given:24}  {option.help}")
    return lines


def _options(pairs: Sequence[str]) -> dict[str, float]:
    options: dict[str, float] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            options[name] = float(value)
        except ValueError:
            options[name] = math.nan
        if not equals or not math.isfinite(options[name]):
            raise AnalysisError(f"--set {pair}: write OPTION=NUMBER")
    return options


def _say(event: JobEvent) -> None:
    """Show progress on standard error, where it is a terminal."""
    if isinstance(event, Log):
        print(clean(event.text), file=sys.stderr)
    elif isinstance(event, Progress) and sys.stderr.isatty():
        line = clean(f"{event.done}/{event.total} {event.what}")
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        if event.done == event.total:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
