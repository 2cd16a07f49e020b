"""What tests of several folders share: runs on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from run_files import write_run


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of 300 steps with layers, a log and a checkpoint."""
    folder = write_run(tmp_path / "run")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-000200.pt").write_bytes(b"not really a checkpoint")
    return folder


@pytest.fixture
def nan_folder(tmp_path: Path) -> Path:
    """A run of 500 steps whose loss is NaN from step 400 on."""
    return write_run(tmp_path / "nan-run", 500)
