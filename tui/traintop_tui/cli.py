"""The composition root: arguments to a session, and that to the app or to a report."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from traintop import __version__
from traintop.errors import TraintopError

EXIT_UNREADABLE = 2

DESCRIPTION = """\
The live training debugger in the terminal.

traintop [PATH ...]     open runs: directories, files, or - for standard input;
                        without PATH the newest run below the current directory
traintop demo           train a small real model in the background and open the app on it
traintop check PATH     what is wrong with a run, with no terminal (for scripts and CI)
traintop describe PATH  what was recognised in a path, and what was not
traintop analyze NAME   run one offline analysis on a checkpoint
traintop config         settings in force, keys, themes

Every command has --help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run traintop.

    Returns:
        The exit code: 0; 1 where `check` found something at or over --fail-on; 2 where something
        could not be read or done.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[list[str]], int]] = {
        "check": _check,
        "describe": _describe,
        "analyze": _analyze,
        "demo": _demo,
        "config": _config,
    }
    command = commands.get(arguments[0]) if arguments else None
    try:
        return _open(arguments) if command is None else command(arguments[1:])
    except TraintopError as error:
        print(f"traintop: {error}", file=sys.stderr)
        return EXIT_UNREADABLE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; nothing is left to be said, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"traintop {command}".strip(),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _open(arguments: list[str]) -> int:
    parser = _parser("", DESCRIPTION)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.add_argument("--version", action="version", version=f"traintop {__version__}")
    _add_screen_flags(parser)
    parsed = parser.parse_args(arguments)
    return _run_app(parsed.paths, parsed)


def _add_screen_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--theme", help="colour theme; `traintop config themes` lists them")
    parser.add_argument("--ascii", action="store_true", default=None, help="ASCII characters only")
    parser.add_argument(
        "--no-mouse", dest="mouse", action="store_false", default=None, help="leave the mouse alone"
    )
    parser.add_argument("--smoothing", type=float, help="0 (none) to 0.999")
    axes = ("step", "epoch", "tokens", "time")
    parser.add_argument("--axis", choices=axes, help="x axis to begin with")
    parser.add_argument("--target", metavar="FILE:FUNCTION", help="what analyses build")
    parser.add_argument("--python", metavar="PY", help="interpreter that analyses run with")


def _flags(parsed: argparse.Namespace) -> dict[str, Any]:
    names = ("theme", "ascii", "mouse", "smoothing", "axis", "target", "python")
    return {name: getattr(parsed, name, None) for name in names}


def _run_app(paths: Sequence[str], parsed: argparse.Namespace) -> int:
    # Nothing that is imported is ever garbage; looking for it would cost a tenth of the start.
    gc.disable()
    from traintop.opening import open_paths
    from traintop.run_paths import holds_runs
    from traintop.settings import load_settings

    if not sys.stdout.isatty():
        raise TraintopError(
            "the app needs a terminal; `traintop check PATH` and `traintop describe PATH` do not"
        )
    flags = _flags(parsed)
    folder = Path(paths[0]) if len(paths) == 1 else None
    if folder is not None and holds_runs(folder):
        return _browse(folder, flags)
    first = next((Path(path) for path in paths if path != "-"), None)
    settings, _ = load_settings(first, flags)
    sessions = open_paths(paths, settings)

    from traintop_tui.app import BACK_TO_RUNS
    from traintop_tui.launch_app import run_app

    if "-" in paths:
        _take_keyboard()
    code = run_app(sessions, settings)
    if code != BACK_TO_RUNS:
        return code
    opened = sessions[0].path.absolute()
    return _browse(opened.parent, flags, opened)


def _browse(folder: Path, flags: dict[str, Any], opened: Path | None = None) -> int:
    from traintop.settings import load_settings
    from traintop_tui.launch_runs import browse

    return browse(folder, lambda path: load_settings(path, flags)[0], opened)


def _take_keyboard() -> None:
    """Let the keys come from the terminal where standard input is what is shown."""
    try:
        keyboard = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        raise TraintopError(
            f"there is no keyboard to be had: /dev/tty: {error.strerror}"
        ) from error
    os.dup2(keyboard, 0)
    os.close(keyboard)


def _check(arguments: list[str]) -> int:
    from traintop_tui.check_command import check

    return check(arguments)


def _describe(arguments: list[str]) -> int:
    parser = _parser("describe", "What was recognised in a path: files, series, roles, layers.")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parsed = parser.parse_args(arguments)

    import time

    from traintop import description, description_text
    from traintop.opening import read_whole
    from traintop.run_paths import expand
    from traintop.settings import load_settings

    code = 0
    for path in expand(parsed.paths, _say, done="described"):
        try:
            settings, _ = load_settings(Path(path))
            session = read_whole(path, settings, judge=False)
        except TraintopError as error:
            print(f"traintop: {error}", file=sys.stderr)
            code = EXIT_UNREADABLE
            continue
        described = description.describe(session, time.time())
        write = description.to_json if parsed.format == "json" else description_text.to_text
        print(write(described))
        if not session.store.records and not described.log_lines:
            print(f"traintop: {path}: no record was read", file=sys.stderr)
            code = EXIT_UNREADABLE
    return code


def _say(text: str) -> None:
    print(f"traintop: {text}", file=sys.stderr)


def _analyze(arguments: list[str]) -> int:
    from traintop_tui.analyze_command import analyze

    return analyze(arguments)


def _demo(arguments: list[str]) -> int:
    parser = _parser("demo", "Train a small real model in the background and watch it.")
    parser.add_argument("--fault", metavar="NAME", help="plant a fault in it; see --list")
    parser.add_argument("--list", action="store_true", help="list the faults")
    parser.add_argument("--directory", metavar="DIR", help="where the run is written")
    _add_screen_flags(parser)
    parsed = parser.parse_args(arguments)

    from traintop_tui.demo_command import list_faults, training

    if parsed.list:
        return list_faults()
    with training(parsed.fault, parsed.directory) as folder:
        return _run_app([str(folder)], parsed)


def _config(arguments: list[str]) -> int:
    from traintop_tui.config_command import config

    return config(arguments)


if __name__ == "__main__":
    sys.exit(main())
