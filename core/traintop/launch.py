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
    target: str | None,
    checkpoint: str | Path | None = None,
    compare: Sequence[str | Path] = (),
    device: str = "auto",
    seed: int = 0,
    options: Mapping[str, float] | None = None,
    data: str | Path | None = None,
    run_dir: Path | None = None,
    nproc: int = 1,
    nnodes: int = 1,
    rdzv_endpoint: str | None = None,
    shard: bool = False,
    memory_limit: int | None = None,
) -> Request:
    """A request with absolute paths.

    Args:
        name: The analysis.
        target: What builds model and data; None: `checkpoint` is a Hugging Face folder.
        checkpoint: Weights to load.
        compare: Further checkpoints.
        device: `cpu`, `cuda`, `cuda:N` or `auto`.
        seed: Of everything random.
        options: Those that differ from their defaults.
        data: Batches instead of the target's: a folder of recorded ones, a text or jsonl file.
        run_dir: The run, whose recorded batches serve a target without data.
        nproc: Processes on each machine.
        nnodes: Machines.
        rdzv_endpoint: `host:port` at which they meet.
        shard: Shard the weights over the processes.
        memory_limit: Bytes that all processes of this machine may take; None: most of what is free.
    """
    where, colon, function = (target or "").rpartition(":")
    if colon and (where.endswith(".py") or os.sep in where):
        target = f"{Path(where).absolute()}:{function}"
    recorded = None if run_dir is None else run_dir.absolute() / "batches"
    return Request(
        analysis=name,
        target=target,
        checkpoint=None if checkpoint is None else str(Path(checkpoint).absolute()),
        compare=[str(Path(each).absolute()) for each in compare],
        device=device,
        seed=seed,
        options=dict(options or {}),
        data=None if data is None else str(Path(data).absolute()),
        recorded=str(recorded) if recorded is not None and recorded.is_dir() else None,
        nproc=nproc,
        nnodes=nnodes,
        rdzv_endpoint=rdzv_endpoint,
        shard=shard,
        memory_limit=memory_limit,
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
        AnalysisError: No such analysis or option, no such file for the target, no checkpoint, or
            processes that do not add up.
    """
    if request.analysis not in ANALYSES:
        raise AnalysisError(f"there is no analysis {request.analysis!r}: {', '.join(ANALYSES)}")
    options = [option.name for option in ANALYSES[request.analysis].options]
    unknown = sorted(set(request.options) - set(options))
    if unknown:
        raise AnalysisError(
            f"{request.analysis} has no option {unknown[0]!r}: {', '.join(options)}"
        )
    _check_target(request)
    _check_processes(request)
    if request.data is not None and not Path(request.data).exists():
        raise AnalysisError(f"the data {request.data} does not exist")
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


def is_hugging_face(checkpoint: str | Path | None) -> bool:
    """Whether a checkpoint is a folder, or a file in one, whose config says the model."""
    if checkpoint is None:
        return False
    path = Path(checkpoint)
    return ((path if path.is_dir() else path.parent) / "config.json").is_file()


def _check_target(request: Request) -> None:
    if request.target is None:
        if not is_hugging_face(request.checkpoint):
            raise AnalysisError(
                "--target FILE.py:FUNCTION is needed: what builds model and data "
                "(`traintop analyze --init` writes one)"
            )
        return
    where, colon, function = request.target.rpartition(":")
    if not colon or not where or not function:
        raise AnalysisError(f"target {request.target!r} must read FILE.py:FUNCTION")
    if where.endswith(".py") and not Path(where).is_file():
        raise AnalysisError(f"the target's file {where} does not exist")


def _check_processes(request: Request) -> None:
    if request.nproc < 1 or request.nnodes < 1:
        raise AnalysisError("--nproc and --nnodes must be at least 1")
    if request.nnodes > 1 and request.rdzv_endpoint is None:
        raise AnalysisError("--nnodes needs --rdzv-endpoint HOST:PORT, the same on all machines")
    many = request.nproc * request.nnodes > 1
    if request.shard and not many:
        raise AnalysisError("--shard needs --nproc of at least 2 to shard the weights over")
    if many and request.device.startswith("cuda:"):
        raise AnalysisError(
            f"--device {request.device} is one GPU: with several processes take --device cuda"
        )
