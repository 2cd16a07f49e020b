"""`traintop demo`: a real training in the background, and where it is written."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from traintop.demo.faults import FAULTS
from traintop.errors import TraintopError
from traintop_tui.hangup import at_hangup

GRACE = 5.0
"""Seconds that the training has to end."""


def list_faults() -> int:
    """Print the faults that can be planted."""
    print("\n".join(f"{name:<12} {fault.says}" for name, fault in FAULTS.items()))
    return 0


@contextlib.contextmanager
def training(fault: str | None, directory: str | None) -> Generator[Path]:
    """Train in the background while the block runs; end the training after it.

    Args:
        fault: The fault to plant; None: a healthy run.
        directory: Where the run is written; None: a new temporary folder, which is kept.

    Yields:
        The folder of the run.

    Raises:
        TraintopError: There is no such fault, PyTorch is not installed, or the training ended at
            once.
    """
    if fault is not None and fault not in FAULTS:
        raise TraintopError(f"there is no fault {fault!r}; there are {', '.join(FAULTS)}")
    if importlib.util.find_spec("torch") is None:
        raise TraintopError(
            f"the demo trains with PyTorch, which {sys.executable} does not have: "
            "pip install 'traintop[torch]'"
        )
    folder = Path(directory or tempfile.mkdtemp(prefix="traintop-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "traintop.demo", str(folder)]
    if fault is not None:
        command += ["--fault", fault]
    with (folder / "demo.err").open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    at_hangup(lambda: _end(process))
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A folder that cannot be written to ends it at once; a training goes on.
            if process.wait(0.3):
                said = (folder / "demo.err").read_text(errors="replace").strip()
                raise TraintopError(f"the demo could not start: {said.splitlines()[-1]}")
        yield folder
    finally:
        _end(process)
    print(f"The run is kept in {folder}: open it again with `traintop {folder}`")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
