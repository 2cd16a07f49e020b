"""The files that analyses leave with a run: `<run dir>/analyses/<name>-<step>-<n>.json`."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any, Literal

import msgspec

SCHEMA = "traintop.analysis/1"
FOLDER = "analyses"
LARGEST_FILE = 1 << 28


class AnalysisResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `traintop analyze --format json` prints."""

    schema: str = SCHEMA
    analysis: str
    status: Literal["ok", "failed", "cancelled"]
    checkpoint: str | None
    step: int | None
    seconds: float
    device: str
    device_reason: str | None = None
    """Why it is that device, where the request left it open."""
    result: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """Empty where it failed or was cancelled."""
    findings: list[dict[str, Any]] = msgspec.field(default_factory=list[dict[str, Any]])
    error: str | None = None
    """Where it failed: the reason in its first line, then the last lines of a traceback or of
    standard error."""

    def to_json(self) -> bytes:
        """One line of JSON, without its end; `error` and `device_reason` only where they are."""
        found = msgspec.to_builtins(self)
        for name in ("error", "device_reason"):
            if found[name] is None:
                del found[name]
        return msgspec.json.encode(found)


class StoredResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result and the file that it was read from."""

    path: Path
    result: AnalysisResult


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A result file that was passed over."""

    path: Path
    why: str


def write_result(result: AnalysisResult, *, run_dir: Path | None, out: Path | None = None) -> Path:
    """Leave a result in a file of its own; no file that is there is touched.

    Args:
        result: What to write.
        run_dir: The run; where it cannot be written to, the user's cache folder takes its place.
        out: The folder, instead.

    Raises:
        OSError: There is no folder that it can be written to.
    """
    if out is not None:
        return _write(result, out)
    if run_dir is None:
        raise FileNotFoundError("neither a run nor a folder was named")
    try:
        return _write(result, run_dir / FOLDER)
    except OSError:
        return _write(result, cache_folder(run_dir))


def load_results(run_dir: Path) -> tuple[list[StoredResult], list[Unreadable]]:
    """The results of earlier analyses of a run, oldest first, and the files that are damaged."""
    found: list[StoredResult] = []
    damaged: list[Unreadable] = []
    files = [
        path for folder in folders_of(run_dir) if folder.is_dir() for path in folder.glob("*.json")
    ]
    for path in sorted(files, key=_age):
        try:
            found.append(StoredResult(path=path, result=_read(path)))
        except (OSError, ValueError, RecursionError) as error:
            damaged.append(Unreadable(path=path, why=str(error) or type(error).__name__))
    return found, damaged


def folders_of(run_dir: Path) -> tuple[Path, Path]:
    """Where the results of a run may lie."""
    return run_dir / FOLDER, cache_folder(run_dir)


def cache_folder(run_dir: Path) -> Path:
    """Where results of a run go that itself cannot be written to."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    from hashlib import sha256  # With OpenSSL behind it: not at every start.

    key = sha256(str(run_dir.resolve()).encode()).hexdigest()[:12]
    return Path(base) / "traintop" / FOLDER / f"{run_dir.resolve().name}-{key}"


def _write(result: AnalysisResult, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    step = "nostep" if result.step is None else str(result.step)
    for n in itertools.count(1):
        path = folder / f"{result.analysis}-{step}-{n}.json"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            path.touch(exist_ok=False)  # the name is ours now
        except FileExistsError:
            continue
        try:
            temporary.write_bytes(result.to_json() + b"\n")
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        return path
    raise AssertionError("count() has no end")


def _read(path: Path) -> AnalysisResult:
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE} bytes")
    result = msgspec.json.decode(path.read_bytes(), type=AnalysisResult)
    if result.schema != SCHEMA:
        raise ValueError(f"its schema is {result.schema!r}, not {SCHEMA}")
    return result


def _age(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except OSError:
        return 0.0, path.name
