"""What an analysis is launched with: the request, the interpreter and its environment."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from traintop.analyses import ANALYSES
from traintop.analyses.request import Request
from traintop.errors import AnalysisError


class _RunJson(msgspec.Struct, frozen=True):
    python: str | None = None
    target: str | None = None


def make_request(
    name: str,
    *,
    target: str,
    checkpoint: str | Path | None = None,
    compare: Sequence[str | Path] = (),
    device: str = "auto",
    seed: int = 0,
    options: Mapping[str, float] | None = None,
) -> Request:
    """A request with absolute paths and a device that is decided; `auto` is the CPU."""
    where, colon, function = target.rpartition(":")
    if colon and (where.endswith(".py") or os.sep in where):
        target = f"{Path(where).absolute()}:{function}"
    return Request(
        analysis=name,
        target=target,
        checkpoint=None if checkpoint is None else str(Path(checkpoint).absolute()),
        compare=[str(Path(each).absolute()) for each in compare],
        device="cpu" if device == "auto" else device,
        seed=seed,
        options=dict(options or {}),
    )


def interpreter(python: str | Path | None, run_dir: Path | None) -> Path:
    """The interpreter to run an analysis with: the one named, else `run.json`'s, else this one.

    An interpreter that `run.json` names is taken only where it is an absolute path to a program of
    this machine: the run may have been copied from another.

    Raises:
        AnalysisError: The one named does not exist.
    """
    if python is not None:
        found = shutil.which(str(python))
        if found is None:
            raise AnalysisError(f"there is no interpreter {python}: name one with --python")
        return Path(found)
    recorded = _recorded_python(run_dir)
    return recorded if recorded is not None else Path(sys.executable)


def recorded_target(run_dir: Path | None) -> str | None:
    """The target that the run recorded, None where it recorded none.

    Raises:
        AnalysisError: `run.json` names one, but was written by another user: opening a run must not
            let its writer choose what is executed here.
    """
    recorded = _recorded(run_dir)
    if recorded.target is not None and not _written_by_us(run_dir):
        raise AnalysisError(
            f"{run_dir}/run.json belongs to another user, so the target that it names is not run: "
            "name it with --target FILE.py:FUNCTION if you trust it"
        )
    return recorded.target


def _recorded_python(run_dir: Path | None) -> Path | None:
    named = _recorded(run_dir).python
    if named is None or "\0" in named or not _written_by_us(run_dir):
        return None
    python = Path(named)
    usable = python.is_absolute() and python.is_file() and os.access(python, os.X_OK)
    return python if usable else None


def _recorded(run_dir: Path | None) -> _RunJson:
    if run_dir is None:
        return _RunJson()
    try:
        return msgspec.json.decode((run_dir / "run.json").read_bytes(), type=_RunJson)
    except (OSError, ValueError, RecursionError):
        return _RunJson()


def _written_by_us(run_dir: Path | None) -> bool:
    """Whether `run.json` is this user's or the system's."""
    if run_dir is None:
        return False
    try:
        return (run_dir / "run.json").stat().st_uid in (os.getuid(), 0)
    except OSError:
        return False


def check_request(request: Request) -> None:
    """Refuse what cannot work before a process is started for it.

    Raises:
        AnalysisError: No such analysis or option, no such file for the target, no checkpoint.
    """
    if request.analysis not in ANALYSES:
        raise AnalysisError(f"there is no analysis {request.analysis!r}: {', '.join(ANALYSES)}")
    options = [option.name for option in ANALYSES[request.analysis].options]
    unknown = sorted(set(request.options) - set(options))
    if unknown:
        raise AnalysisError(
            f"{request.analysis} has no option {unknown[0]!r}: {', '.join(options)}"
        )
    where, colon, function = request.target.rpartition(":")
    if not colon or not where or not function:
        raise AnalysisError(f"target {request.target!r} must read FILE.py:FUNCTION")
    if where.endswith(".py") and not Path(where).is_file():
        raise AnalysisError(f"the target's file {where} does not exist")
    if request.checkpoint is not None and not Path(request.checkpoint).exists():
        raise AnalysisError(f"checkpoint {request.checkpoint} does not exist")
    if request.compare and not ANALYSES[request.analysis].compares:
        names = ", ".join(each.id for each in ANALYSES.values() if each.compares)
        raise AnalysisError(f"{request.analysis} looks at one checkpoint; {names} compare several")
    if request.compare and request.checkpoint is None:
        raise AnalysisError("--compare needs a --checkpoint that the others are set beside")
    for each in request.compare:
        if not Path(each).exists():
            raise AnalysisError(f"checkpoint {each} does not exist")


def environment(device: str) -> dict[str, str]:
    """The worker's environment.

    On the CPU it sees no GPU, so that a target that says `.cuda()` cannot take memory from the live
    run; and it compiles nothing, which would cost minutes and hide what an analysis watches.
    """
    env = dict(os.environ)
    env["TORCHDYNAMO_DISABLE"] = "1"
    if device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
    return env
