"""Checkpoints in a run's folders: which files they are, and at which step each was written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os

SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors", ".pth.tar", ".pt.tar")

_FOLDER = re.compile(
    r"(?:(?:checkpoint|ckpt|model|state)[-_])?"
    r"(?:checkpoint|ckpt|global_?step|iter|iteration|step|epoch)[-_=]?\d+",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"(?:optimizer|optim|scheduler|lr_scheduler|scaler|rng_state(?:_\d+)?|random_states_\d+"
    r"|training_args|batch-\d+|.*-\d{5}-of-\d{5})\.\w+|.*_optim_states\.pt",
    re.IGNORECASE,
)
"""Files with the suffix of a checkpoint that are a part of one, or none: what trainers leave beside
the weights, shards of a larger whole, and batches that the recorder kept."""
_WEIGHTS = re.compile(r"(?:diffusion_)?pytorch_model(?:_\w+)?\.bin|consolidated\.\d+\.pth")
_FAIRSEQ = re.compile(r"checkpoint_\d+_(\d+)")
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
    name = entry.name
    if _BESIDE.fullmatch(name):
        return False
    if name.lower().endswith(SUFFIXES) or _WEIGHTS.fullmatch(name):
        return True  # a Lightning or DeepSpeed .ckpt may be a folder
    return is_checkpoint_folder(name) and entry.is_dir()


def step_of(path: Path) -> int | None:
    """The step that the name of a checkpoint tells: `epoch=3-step=500.ckpt`, `checkpoint-500`.

    An epoch is no step, and neither is a number in the name of a model.
    """
    name = path.name
    if name.endswith(".tar"):
        return None  # timm numbers these by epoch
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    found = _FAIRSEQ.fullmatch(name) or _STEP.search(name)
    if found is None and not _EPOCH.search(name):
        found = _PLAIN.search(name)
    if found is None and name.isdigit():
        found = _LAST_NUMBER.search(name)
    return int(found[1]) if found else None


def order(checkpoints: list[CheckpointFile]) -> list[CheckpointFile]:
    """By step; those without one by time, after the others."""
    return sorted(
        checkpoints,
        key=lambda one: (one.step is None, one.step or 0, one.modified, str(one.path)),
    )
