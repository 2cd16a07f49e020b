"""What is wrong with the data, from what was measured of its splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from traintop.analyses.context import finding
from traintop.analyses.transforms import normalisation

LEAK = 0.01
"""Share of the validation samples in the training data, from which on it is a warning; CIFAR holds
some copies, too (Barz and Denzler, "Do we train on test data?", 2020)."""
SCALE = 10.0
"""|mean| or deviation of the inputs up to which the first layer copes: ten times what it is made
for; bytes of images, 0 to 255, have 60 to 130."""
SMALL = 0.01
"""Deviation of the inputs below which biases drown them."""
DRIFT = 0.2
"""Kolmogorov-Smirnov distance: a fifth of the samples has moved. Chance and augmentation make less
of it."""
SURE = 0.01
"""p-value of the drift, times the number of features (Bonferroni)."""
SHIFT = 0.1
"""A tenth of the labels would have to be others."""
SHIFT_SURE = 4.0
"""Standard deviations of chance."""
IMBALANCE = 10.0
"""SageMaker Debugger's ClassImbalance."""
AGREEMENT_SURE = 3.0
"""Standard errors above chance that neighbours must agree in their labels."""
FEW = 30
"""Samples below which distributions are not compared."""

Finding = dict[str, Any]


def judge(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    """Turn a result of the analysis `data` into findings, the gravest first."""
    checks: tuple[Callable[[Mapping[str, Any], int | None], list[Finding]], ...] = (
        _nonfinite,
        _constant,
        _classes,
        _leak,
        _scale,
        _forms,
        _transforms,
        _drift,
        _shift,
        _aligned,
    )
    order = ("critical", "warning", "info")
    found = [each for check in checks for each in check(result, step)]
    return sorted(found, key=lambda each: order.index(each["severity"]))


def unscaled(scale: Mapping[str, Any] | None) -> bool:
    """Whether inputs of this mean and deviation are not normalised."""
    if scale is None:
        return False
    mean, deviation = abs(scale["mean"]), scale["deviation"]
    return bool(max(mean, deviation) > SCALE or deviation < SMALL)


def _one(
    name: str,
    severity: str,
    title: str,
    step: int | None,
    evidence: tuple[str, float, float | None],
    cause: str,
    because: str,
    do: str,
    analysis: str | None = None,
) -> list[Finding]:
    what, value, threshold = evidence
    return [
        finding(
            name,
            severity,
            title,
            step=step,
            evidence=[{"what": what, "value": value, "threshold": threshold, "step": step}],
            causes=[{"cause": cause, "because": because}],
            next=[{"do": do} | ({"analysis": analysis} if analysis is not None else {})],
        )
    ]


def _nonfinite(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    found: list[Finding] = []
    for name, split in result["splits"].items():
        for part in split["parts"]:
            if not part["nonfinite"]:
                continue
            at = part["first_bad"]
            found += _one(
                "nan_inf" if part["role"] == "input" else "labels_broken",
                "critical",
                f"{part['nonfinite']} NaN or infinite values in the {part['role']} "
                f"{part['name']} of {name}, first in sample {at}",
                step,
                ("NaN or infinite values", part["nonfinite"], 0),
                "missing values, or a division by a deviation of zero",
                f"sample {at} of {name} holds the first",
                "fill or drop them where the data is read",
            )
    return found


def _constant(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    found: list[Finding] = []
    for name, split in result["splits"].items():
        inputs = [part for part in split["parts"] if part["role"] == "input"]
        known = [part for part in inputs if part["min"] is not None]
        if split["samples"] < 2 or not known or any(p["min"] < p["max"] for p in known):
            continue
        found += _one(
            "constant_input",
            "critical",
            f"All inputs of {name} are {known[0]['min']:g}",
            step,
            ("range of the inputs", 0.0, 0.0),
            "what is loaded is overwritten, or scaled to nothing",
            f"all values of {split['samples']} samples are the same",
            "look at one sample before and after each transform",
        )
    return found


def _classes(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    train = result["splits"]["train"]
    counts = train["class_counts"]
    if not counts or train["samples"] < FEW:
        return []
    if len(counts) == 1:
        return _one(
            "labels_broken",
            "critical",
            f"All labels are {next(iter(counts))}",
            step,
            ("classes among the labels", 1, 2),
            "the labels are lost on their way",
            f"{train['samples']} samples have one label",
            "compare the labels with their source",
        )
    found: list[Finding] = []
    most, least = max(counts.values()), min(counts.values())
    if most >= IMBALANCE * least:
        found += _one(
            "class_imbalance",
            "info",
            f"The commonest class has {most / least:.0f} times as many samples as the rarest",
            step,
            ("samples of the commonest class over the rarest", most / least, IMBALANCE),
            "skewed classes",
            f"{most} and {least} of {train['samples']} samples",
            "look at balanced accuracy; weigh the loss or the sampling by class",
            "predictions",
        )
    val = result["splits"].get("val")
    unknown = sorted(set(val["class_counts"] or {}) - set(counts)) if val else []
    if unknown and train["complete"]:
        found += _one(
            "labels_broken",
            "warning",
            f"Validation has classes that training has not: {', '.join(unknown[:5])}",
            step,
            ("classes of the validation data only", len(unknown), 0),
            "labels are numbered in another way, or the split is by class",
            f"{len(unknown)} classes have no training sample",
            "number the classes once for both, and split at random within each",
        )
    return found


def _leak(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    overlap = result["overlap"]
    if overlap is None:
        return []
    chance = overlap["expected"]
    surplus = overlap["exact"] - chance - 3.0 * math.sqrt(chance)
    near = overlap["near"] if overlap["near"] > 1 else 0
    samples = max(result["splits"]["val"]["samples"], 1)
    share = (max(surplus, 0.0) + near) / samples
    if share <= 0:
        return []
    at_least = "" if overlap["complete"] else "at least "
    return _one(
        "val_leakage",
        "info" if share < LEAK else "critical" if share > 0.5 else "warning",
        f"{at_least}{share:.1%} of the validation samples are in the training data".capitalize(),
        step,
        ("share of the validation samples in the training data", share, LEAK),
        "the splits overlap",
        f"{overlap['exact']} are the same, {overlap['near']} all but the same, of {samples}",
        "split by a key of the samples, once, before any copy is made of them",
    )


def _scale(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    first = result["first_layer"]
    scale = first if first is not None else result["scale"]
    if result["normalised"] is not False or scale is None:
        return []
    where = scale["where"]
    small = scale["deviation"] < SMALL and abs(scale["mean"]) <= SCALE
    what = "deviation" if small or scale["deviation"] > SCALE else "mean"
    return _one(
        "input_not_normalized",
        "warning",
        f"Inputs of {where} have mean {scale['mean']:.3g} and deviation {scale['deviation']:.3g}",
        step,
        (f"{what} of the inputs", scale[what], SMALL if small else SCALE),
        "inputs far from zero mean and unit variance",
        f"this is what {where} is given, over a batch",
        "standardise the inputs, (x - mean) / std, with the training data's mean and std",
    )


def _forms(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    """Types and shapes of the inputs of both splits."""
    train, val = result["splits"]["train"], result["splits"].get("val")
    theirs = {part["name"]: part for part in val["parts"]} if val is not None else {}
    found: list[Finding] = []
    for part in train["parts"]:
        other = theirs.get(part["name"])
        if other is None:
            continue
        # Networks that take any size are tested on larger inputs than they are trained on.
        for key, severity in (("dtype", "warning"), ("shape", "info")):
            if part[key] == other[key] or None in [*part["shape"], *other["shape"]]:
                continue
            found += _one(
                "train_val_mismatch",
                severity,
                f"The {part['role']} {part['name']} has {key} {part[key]}, {other[key]} in val",
                step,
                (f"{key}s of the {part['role']} {part['name']}", 2, 1),
                "splits that are read or prepared in different ways",
                f"{part[key]} in train, {other[key]} in val",
                "compare how both are read and transformed",
            )
    return found


def _transforms(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    transforms = result["transforms"]
    if transforms is None:
        return []
    ours, theirs = normalisation(transforms["train"]), normalisation(transforms["val"])
    found: list[Finding] = []
    if ours != theirs:
        found += _one(
            "train_val_mismatch",
            "warning",
            "Training and validation data are normalised in different ways",
            step,
            ("steps of the normalisation that differ", len({*ours} ^ {*theirs}), 0),
            "transforms that differ",
            f"training: {', '.join(ours) or 'none'}; validation: {', '.join(theirs) or 'none'}",
            "build both transforms from one normalisation",
        )
    if transforms["augmented_val"]:
        found += _one(
            "train_val_mismatch",
            "info",
            "Validation data is augmented",
            step,
            ("random transforms of the validation data", len(transforms["augmented_val"]), 0),
            "one dataset with one transform was split",
            ", ".join(transforms["augmented_val"]),
            "give the validation data a dataset with a transform of its own",
        )
    return found


def _drift(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    drift = result["drift"]
    moved = [row for row in drift if row["ks"] >= DRIFT and row["p"] * len(drift) < SURE]
    if not moved or not _enough(result):
        return []
    names = ", ".join(row["feature"] for row in moved[:3])
    return _one(
        "train_val_mismatch",
        "warning",
        f"{len(moved)} of {len(drift)} features are distributed otherwise in validation: {names}",
        step,
        (f"Kolmogorov-Smirnov distance of {moved[0]['feature']}", moved[0]["ks"], DRIFT),
        "another source, another time, or another preparation (augmentation changes some, too)",
        f"p {moved[0]['p'] * len(drift):.1g} over {len(drift)} features",
        "compare how both are read and transformed",
    )


def _shift(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    distance, sure = result["label_shift"], result["label_shift_sigma"]
    if distance is None or distance < SHIFT or sure < SHIFT_SURE or not _enough(result):
        return []
    return _one(
        "train_val_mismatch",
        "warning",
        f"Labels are distributed otherwise in validation, by {distance:.0%}",
        step,
        ("distance of the labels' distributions", distance, SHIFT),
        "a split that is not at random, or a sampler that balances the classes of training",
        f"{sure:.1f} standard deviations of chance",
        "split at random within each class",
    )


def _aligned(result: Mapping[str, Any], step: int | None) -> list[Finding]:
    found = result["alignment"]
    if found is None or found["samples"] < 10 * FEW or found["chance"] > 0.9:
        return []
    chance = found["chance"]
    error = math.sqrt(chance * (1 - chance) / found["samples"])
    limit = chance + AGREEMENT_SURE * error
    if found["agreement"] > limit:
        return []
    return _one(
        "labels_broken",
        "info",
        "Samples that look alike share their label no more often than by chance",
        step,
        ("share of samples whose nearest neighbour has the same label", found["agreement"], limit),
        "labels that do not belong to their inputs; or inputs that raw values say little of",
        f"chance is {chance:.1%}",
        "look at some samples beside their labels, in the preview",
        "overfit_one_batch",
    )


def _enough(result: Mapping[str, Any]) -> bool:
    splits = result["splits"].values()
    return all(split["samples"] >= FEW and split["fair"] for split in splits)
