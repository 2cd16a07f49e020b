"""Checkpoints in a run's folders: which files they are, and at which step each was written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os

SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")

_FOLDER = re.compile(r"(checkpoint|ckpt|global_?step|iter|step|epoch)[-_=]?\d+", re.IGNORECASE)
_STEP = re.compile(
    r"(?:^|[^a-z])(?:global_?step|step|steps|iter|iteration|it|s)[-_=]?(\d{1,12})(?!\d)",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    r"(?:checkpoint|ckpt|model|state|weights|snapshot)[-_=]?(\d{1,12})(?!\d|-of-)", re.IGNORECASE
)
_LAST_NUMBER = re.compile(r"(\d{1,12})(?=\D*$)")
_EPOCH = re.compile(r"epoch|ep\d", re.IGNORECASE)


class CheckpointFile(NamedTuple):
    """A checkpoint that was found."""

    path: Path
    step: int | None
    """After its name; None where the name tells none."""
    modified: float
    """Seconds since 1970."""


def is_checkpoint_folder(name: str) -> bool:
    """Whether a folder of this name is one checkpoint: `checkpoint-500`, `global_step1000`."""
    return _FOLDER.fullmatch(name) is not None


def is_checkpoint(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a checkpoint."""
    if entry.name.lower().endswith(SUFFIXES):
        return True  # a Lightning or DeepSpeed .ckpt may be a folder
    return is_checkpoint_folder(entry.name) and entry.is_dir()


def step_of(path: Path) -> int | None:
    """The step that the name of a checkpoint tells: `epoch=3-step=500.ckpt`, `checkpoint-500`.

    An epoch is no step, and neither is a number in the name of a model.
    """
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    found = _STEP.search(name) or (None if _EPOCH.search(name) else _PLAIN.search(name))
    if found is None and name.isdigit():
        found = _LAST_NUMBER.search(name)
    return int(found[1]) if found else None


def order(checkpoints: list[CheckpointFile]) -> list[CheckpointFile]:
    """By step; those without one by time, after the others."""
    return sorted(
        checkpoints,
        key=lambda one: (one.step is None, one.step or 0, one.modified, str(one.path)),
    )
