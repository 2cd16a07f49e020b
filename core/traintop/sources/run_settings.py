"""What the settings of a run, as trackers keep them, say of it before its first step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from traintop.records import RunInfo
from traintop.sources.keys import as_number

_WHOLE = {
    "batch_size": ("batch_size", "per_device_train_batch_size", "train_batch_size", "batch"),
    "grad_accumulation": (
        "gradient_accumulation_steps", "grad_accumulation", "accumulate_grad_batches",
        "accumulation_steps", "grad_accum_steps",
    ),
    "planned_epochs": ("num_train_epochs", "epochs", "num_epochs", "max_epochs", "n_epochs"),
    "planned_steps": ("max_steps", "total_steps", "max_iters", "train_steps", "num_train_steps"),
    "seed": ("seed", "random_seed"),
    "num_classes": ("num_classes", "n_classes"),
    "world_size": ("world_size",),
}  # fmt: skip
_REAL = {
    "weight_decay": ("weight_decay", "wd"),
    "grad_clip": ("max_grad_norm", "grad_clip", "gradient_clip_val", "clip_grad_norm"),
}
_TEXT = {
    "optimizer": ("optimizer", "optim", "optimizer_name", "opt"),
    "model": ("model", "model_name", "model_name_or_path", "arch", "architecture"),
}

MAX_DEPTH = 4
MAX_TEXT = 200


def run_info_of(settings: Mapping[str, Any]) -> RunInfo | None:
    """What settings say of a run; None if nothing.

    Args:
        settings: Names to values, which may be nested; numbers may be spelled as text.
    """
    flat = {name.lower(): value for name, value in reversed([*_flat(settings, 0)])}
    known: dict[str, Any] = {}
    for key, names in (_WHOLE | _REAL).items():
        numbers = (as_number(flat[name]) for name in names if name in flat)
        # -1 stands for `not set` in many a trainer.
        found = next((one for one in numbers if one is not None and 0 <= one < 1e15), None)
        if found is not None and (key in _REAL or found.is_integer()):
            known[key] = int(found) if key in _WHOLE else found
    for key, names in _TEXT.items():
        texts = (flat[name] for name in names if name in flat)
        word = next(
            (one for one in texts if isinstance(one, str) and 0 < len(one) < MAX_TEXT), None
        )
        if word is not None:
            known[key] = word
    if known.get("planned_steps") == 0:
        del known["planned_steps"]
    return RunInfo(**known) if known else None


def _flat(settings: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    """The settings by their last names, the outer ones first."""
    inner: list[Mapping[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            inner.append(cast("Mapping[str, Any]", value))
        else:
            yield name.rpartition(".")[2].rpartition("/")[2], value
    if depth < MAX_DEPTH:
        for each in inner:
            yield from _flat(each, depth + 1)
