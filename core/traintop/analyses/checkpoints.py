"""Checkpoints: finding weights, optimizer and step in one, and loading it into a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses.checkpoint_files import read_content
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.ranks import laid_out_as

if TYPE_CHECKING:
    import torch

WEIGHT_KEYS = ("model", "state_dict", "model_state_dict", "model_state", "module", "net", "weights")
OPTIMIZER_KEYS = (
    "optimizer",
    "optimizer_state_dict",
    "optimizer_states",
    "optim",
    "optimizer_state",
)
STEP_KEYS = ("step", "global_step", "global_steps", "iteration", "iter", "iter_num", "steps")
PREFIXES = ("module.", "_orig_mod.", "model.")
NAMES_LISTED = 5

_STEP_IN_NAME = (
    re.compile(r"^checkpoint_\d+_(\d+)\."),  # fairseq: epoch and updates
    re.compile(r"(?:^|[^a-z])(?:global_?)?(?:steps?|iter(?:ation)?s?)[=_-]?(\d+)", re.IGNORECASE),
    re.compile(r"(?:^|[^a-z])(?:ckpt|checkpoint|model|weights|state)[=_-]?(\d+)", re.IGNORECASE),
    re.compile(r"^(\d+)(?:\.|$)"),
)


@dataclass(frozen=True, kw_only=True)
class CheckpointState:
    """What a checkpoint holds."""

    weights: Mapping[str, torch.Tensor]
    """By the names that the file gives."""
    optimizer: Mapping[str, Any] | None
    """The optimizer's `state_dict`, where there is one."""
    step: int | None
    """From the checkpoint, else from its name."""


def step_from_name(path: Path) -> int | None:
    """The step that a checkpoint's name, or its folder's, tells: `ckpt-400.pt`, `step-000400.pt`.

    The number of an epoch is no step.
    """
    for name in (path.name, path.parent.name):
        if name.endswith(".pth.tar"):
            continue  # timm numbers these by epoch
        for pattern in _STEP_IN_NAME:
            found = pattern.search(name)
            if found:
                return int(found[1])
    return None


def read_checkpoint(path: Path) -> CheckpointState:
    """Read a checkpoint into memory, on the CPU.

    Raises:
        AnalysisFailedError: It cannot be read (see `read_content`), or holds no weights.
    """
    content = read_content(path)
    weights = _weights(content)
    if weights is None:
        keys = ", ".join(str(key) for key in list(content)[:NAMES_LISTED])
        raise AnalysisFailedError(
            f"checkpoint {path} holds no weights that are known (its keys: {keys}): save "
            "model.state_dict() under the key model"
        )
    step = _step(content)
    return CheckpointState(
        weights=weights,
        optimizer=_optimizer(content),
        step=step if step is not None else step_from_name(path),
    )


def load_into(model: torch.nn.Module, state: CheckpointState, path: Path) -> list[str]:
    """Copy the checkpoint's weights into the model.

    A prefix that a wrapper put before the names (`module.`, `_orig_mod.`, `model.`) is left off.

    Returns:
        Names of the checkpoint that lie outside the model (beside its prefix) and were left alone.

    Raises:
        AnalysisFailedError: Names or shapes differ; the text lists them.
    """
    wanted = {name.replace("_orig_mod.", ""): name for name in model.state_dict()}
    given = {name.replace("_orig_mod.", ""): value for name, value in state.weights.items()}
    prefix = _best_prefix(given, wanted)
    inside = {
        name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)
    }
    _refuse_mismatch(model, inside, wanted, path)
    own = model.state_dict()
    values = {wanted[name]: laid_out_as(own[wanted[name]], v) for name, v in inside.items()}
    # What is missing is tied to what is there, or it would have been refused.
    model.load_state_dict(values, strict=False)
    return [name for name in given if not name.startswith(prefix)]


def _refuse_mismatch(
    model: torch.nn.Module, inside: Mapping[str, Any], wanted: Mapping[str, str], path: Path
) -> None:
    own = model.state_dict()
    loaded = {_storage(own[full]) for name, full in wanted.items() if name in inside}
    missing = [
        name
        for name, full in wanted.items()
        # Of tied weights formats such as safetensors keep one name.
        if name not in inside and _storage(own[full]) not in loaded
    ]
    unexpected = [name for name in inside if name not in wanted]
    reshaped = [
        f"{name} {_shape(inside[name])} (the model has {_shape(own[full])})"
        for name, full in wanted.items()
        if name in inside and _shape(inside[name]) != _shape(own[full])
    ]
    parts = [
        f"{len(names)} {what}: {', '.join(names[:NAMES_LISTED])}"
        + (" ..." if len(names) > NAMES_LISTED else "")
        for names, what in (
            (missing, "missing"),
            (unexpected, "unexpected"),
            (reshaped, "of another shape"),
        )
        if names
    ]
    if parts:
        raise AnalysisFailedError(
            f"checkpoint {path} does not fit the target's model ({len(wanted)} names); "
            + "; ".join(parts)
            + ": let the target build the model that was saved"
        )


def _storage(tensor: torch.Tensor) -> Any:
    """What tied weights have in common, and no others: where they begin, and how long they are."""
    pointer = getattr(tensor, "data_ptr", None)  # a module's extra state is no tensor
    return (pointer(), tensor.numel()) if pointer and tensor.numel() else object()


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))


def _best_prefix(given: Mapping[str, Any], wanted: Mapping[str, str]) -> str:
    """The stack of wrappers' prefixes under which the most of the model's names are found."""
    tried = [""]
    for base in tried:  # grows while it is gone through
        for more in PREFIXES:
            if len(tried) < 20 and any(name.startswith(base + more) for name in given):
                tried.append(base + more)
    return max(tried, key=lambda prefix: sum(prefix + name in given for name in wanted))


def _weights(content: Mapping[str, Any], depth: int = 0) -> Mapping[str, torch.Tensor] | None:
    if _is_state_dict(content):
        return content
    for key in WEIGHT_KEYS:
        inner = content.get(key)
        if isinstance(inner, Mapping) and depth < 2:
            found = _weights(cast("Mapping[str, Any]", inner), depth + 1)
            if found is not None:
                return found
    return None


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    import torch

    tensors = sum(isinstance(value, torch.Tensor) for value in content.values())
    # A module's extra state may be anything, so a state dict need not be tensors throughout.
    return (
        bool(tensors)
        and all(isinstance(key, str) for key in content)
        and not any(isinstance(content.get(key), Mapping) for key in WEIGHT_KEYS)
    )


def _optimizer(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for key in OPTIMIZER_KEYS:
        inner = content.get(key)
        if isinstance(inner, list) and inner:  # Lightning keeps a list of them
            inner = cast("list[object]", inner)[0]
        if isinstance(inner, Mapping) and "param_groups" in inner:
            return cast("Mapping[str, Any]", inner)
    return None


def _step(content: Mapping[str, Any]) -> int | None:
    import torch

    for key in STEP_KEYS:
        value = content.get(key)
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
