"""A run's files: what of it is logged, how often, and its label."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.labelled.families import FAMILIES
from bench.labelled.labels import expectation
from bench.labelled.measuring import rounded
from bench.labelled.recipe import Recipe
from bench.labelled.training import Outcome, Record

WINDOW = 10
ROUGH = ("weight_update", "grad_cos", "samples_per_sec")
"""What is written with four digits."""
LOGGED = {
    "minimal": ("step", "epoch", "loss", "learning_rate", "grad_norm"),
    "loss_lr": ("step", "epoch", "loss", "learning_rate"),
}
VAL_LOGGED = {
    "minimal": ("step", "epoch", "loss", "accuracy"),
    "loss_lr": ("step", "epoch", "loss"),
}


def write_run(
    folder: Path, outcome: Outcome, *, fault: str, variant: str, tier: str, visible: int | None
) -> None:
    """Write the files of a run into a folder, which is made."""
    recipe = outcome.recipe
    folder.mkdir(parents=True, exist_ok=True)
    train = _per_record(recipe, outcome.train)
    val = _val_of_train(outcome) if recipe.val_is_train else outcome.val
    if recipe.logged != "all":
        train = [_only(LOGGED[recipe.logged], each) for each in train]
        val = [_only(VAL_LOGGED[recipe.logged], each) for each in val]
    if recipe.family == "lm" and recipe.world % 2:
        # Many trainings of language models count no hits, and do not know their vocabulary.
        train = [{k: v for k, v in each.items() if k != "accuracy"} for each in train]
        val = [{k: v for k, v in each.items() if k != "accuracy"} for each in val]
    first_step = recipe.resumed_after if recipe.keeps_counting else 0
    _write_lines(folder / "train_diagnostics.jsonl", _counted(recipe, first_step, train))
    _write_lines(folder / "val_diagnostics.jsonl", _counted(recipe, first_step, val))
    if recipe.logged == "all":
        layers = _counted(recipe, first_step, outcome.layers)
        _write_lines(folder / "layers.jsonl", [outcome.header, *layers])
    _write_object(folder / "run.json", _run_info(outcome))
    _write_object(folder / "label.json", _label(outcome, fault, variant, tier, visible))


def _label(
    outcome: Outcome, fault: str, variant: str, tier: str, visible: int | None
) -> dict[str, Any]:
    """What was planted, and what is right to say of it."""
    recipe = outcome.recipe
    first_step = recipe.resumed_after if recipe.keeps_counting else 0
    right = expectation(fault, variant)
    label: dict[str, Any] = {
        "fault": fault,
        "variant": variant,
        "family": recipe.family,
        "seed": recipe.seed,
        "onset_step": recipe.onset + (first_step if recipe.onset else 0),
        "visible_step": visible,
        "tier": tier,
        "expected_findings": right.expected,
        "diagnosis": right.diagnosis,
        "acceptable_findings": right.acceptable,
        "forbidden_findings": right.forbidden,
        "last_step": outcome.train[-1]["step"] + first_step,
        "cadence": recipe.cadence,
    }
    if recipe.bad_steps:
        label["bad_steps"] = recipe.bad_steps
    return label


def _run_info(outcome: Outcome) -> dict[str, Any]:
    recipe = outcome.recipe
    family = FAMILIES[recipe.family]
    first = recipe.resumed_after if recipe.keeps_counting else 0
    steps = recipe.steps + first
    info: dict[str, Any] = {
        "family": recipe.family,
        "task": family.task,
        "num_classes": outcome.outputs,
        "model": family.model,
        "parameters": outcome.parameters,
        "optimizer": recipe.optimizer,
        "batch_size": recipe.batch_size,
        "grad_accumulation": recipe.accumulation,
        "grad_clip": recipe.clip,
        "weight_decay": recipe.weight_decay,
        "steps_per_epoch": recipe.steps_per_epoch,
        "planned_epochs": -(-steps // recipe.steps_per_epoch),
        "planned_steps": steps,
        "cadence": recipe.cadence,
        "amp": recipe.amp,
    }
    if outcome.outputs == 1 or (recipe.family == "lm" and recipe.world % 2):
        del info["num_classes"]
    return info


def _only(keys: Sequence[str], record: Record) -> Record:
    return {key: record[key] for key in keys if key in record}


def _per_record(recipe: Recipe, batches: list[Record]) -> list[Record]:
    """The batches joined as the log's cadence has it."""
    if recipe.cadence == "epoch":
        groups = [list(group) for _, group in groupby(batches, key=lambda each: each["epoch"])]
    elif recipe.cadence == "window10":
        groups = _parts(batches, WINDOW)
    elif recipe.per_update:
        return [_update(part) for part in _parts(batches, recipe.accumulation)]
    else:
        return batches
    return [_joined(group) for group in groups]


def _parts(batches: list[Record], size: int) -> list[list[Record]]:
    return [batches[first : first + size] for first in range(0, len(batches), size)]


def _update(part: Sequence[Record]) -> Record:
    """The batches of one update: mean loss, and the gradient as it was at the end."""
    return {**part[-1], **_means(part, ("loss", "accuracy")), "num_batches": len(part)}


def _joined(part: Sequence[Record]) -> Record:
    """A window or an epoch: means, the last gradient norm, and how it was spread."""
    last, norms = part[-1], [each["grad_norm"] for each in part]
    record: Record = {key: last[key] for key in ("step", "epoch")}
    record |= _means(part, ("loss", "accuracy"))
    record["learning_rate"] = last["learning_rate"]
    record["grad_norm"] = last["grad_norm"]
    record["mean_grad_norm"] = sum(norms) / len(norms)
    record["min_grad_norm"], record["max_grad_norm"] = min(norms), max(norms)
    keys = ("grad_norm_clipped", "weight_update", "grad_cos", "samples_per_sec", "gpu_memory_mb")
    record |= _means(part, keys)
    if "loss_scale" in last:
        record["loss_scale"] = last["loss_scale"]
        record["skipped_step"] = any(each["skipped_step"] for each in part)
    record["num_batches"] = len(part)
    return record


def _means(part: Iterable[Record], keys: Sequence[str]) -> Record:
    values = {key: [each[key] for each in part if key in each] for key in keys}
    return {key: sum(found) / len(found) for key, found in values.items() if found}


def _val_of_train(outcome: Outcome) -> list[Record]:
    """Evaluations that are none: the means of the epochs of training."""
    epochs = groupby(outcome.train, key=lambda each: each["epoch"])
    parts = [list(group) for _, group in epochs]
    return [
        {
            "step": part[-1]["step"],
            "epoch": part[-1]["epoch"],
            **_means(part, ("loss", "accuracy")),
            "num_batches": 1,
        }
        for part in parts
    ]


def _counted(recipe: Recipe, first_step: int, records: list[Record]) -> Iterable[Record]:
    epoch = first_step // recipe.steps_per_epoch
    for record in records:
        shifted = {"step": record["step"] + first_step, "epoch": record["epoch"] + epoch}
        yield {**record, **shifted}


def _write_lines(path: Path, records: Iterable[Record]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            short = {key: _short(key, value) for key, value in record.items()}
            file.write(json.dumps(short, separators=(",", ":")) + "\n")


def _short(key: str, value: object) -> object:
    if not isinstance(value, float):
        return value
    if key == "gpu_memory_mb":
        return round(value, 1)
    return rounded(value, 4 if key in ROUGH else 6)


def _write_object(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
