"""Training beside validation data: samples in both, drift of features, shift of labels."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from traintop.analyses.split_scan import Split
from traintop.analyses.split_statistics import (
    Ints,
    kolmogorov_smirnov,
    label_shift,
    near_copies,
    neighbour_agreement,
)

MANY_VALUES = 16
"""Samples of so many values agree by being copies; shorter ones of few distinct values agree by
chance, as often as training samples agree with each other."""
MOST_COMPARED = 2000
"""Validation samples, and five times as many training samples, that near copies are sought in."""
PAIRS_LISTED = 20


def overlap(train: Split, val: Split) -> dict[str, Any]:
    """Samples of the validation data that are in the training data, too.

    Returns:
        `exact`: how many have the same rounded content; `near`: how many more are all but the same;
        `fraction` of the samples; `expected`: exact ones that chance explains; `pairs`
        [validation sample, training sample, what], in the order in which they were drawn;
        `complete`: whether all of the training data was compared.
    """
    first: dict[bytes, int] = {}
    for at, key in enumerate(train.keys):
        first.setdefault(key, at)
    pairs: list[list[Any]] = []
    others: list[int] = []
    for at, key in enumerate(val.keys):
        if key in first and not val.blank[at]:
            pairs.append([at, first[key], "exact"])
        else:
            others.append(at)
    exact = len(pairs)
    near, dimension = _near(train, val, others)
    pairs += [[a, b, "near"] for a, b in near]
    compared = max(len(val.keys), 1)
    return {
        "exact": exact,
        "near": len(near),
        "fraction": (exact + len(near)) / compared,
        "expected": _expected(train, val),
        "pairs": pairs[:PAIRS_LISTED],
        "dimension": dimension,
        "complete": train.complete,
    }


def duplicates(split: Split) -> int:
    """How many samples of a split are copies of another of it."""
    counts = Counter(key for key, blank in zip(split.keys, split.blank, strict=True) if not blank)
    return sum(count - 1 for count in counts.values())


def _expected(train: Split, val: Split) -> float:
    if not train.sizes or float(np.median(train.sizes)) >= MANY_VALUES:
        return 0.0
    counts = Counter(train.keys)
    agree = sum(count for count in counts.values() if count > 1)
    return len(val.keys) * agree / len(train.keys)


def _near(train: Split, val: Split, others: list[int]) -> tuple[list[tuple[int, int]], float]:
    if len(train.signatures) != len(train.keys) or len(val.signatures) != len(val.keys):
        return [], 0.0  # samples of several shapes have no common signature
    others = [at for at in others if not val.blank[at]]
    others = others[:: max(-(-len(others) // MOST_COMPARED), 1)]
    kept = list(range(0, len(train.keys), max(-(-len(train.keys) // (5 * MOST_COMPARED)), 1)))
    if not others or not kept or train.signatures[0].shape != val.signatures[0].shape:
        return [], 0.0
    among = np.stack([train.signatures[at] for at in kept])
    of = np.stack([val.signatures[at] for at in others])
    # Columns in units of their own, as far as they vary at all.
    mean, std = among.mean(0), among.std(0)
    scale = np.where(std > 0, std, 1.0)
    found = near_copies((of - mean) / scale, (among - mean) / scale)
    return [(others[a], kept[b]) for a, b in found.pairs], found.dimension


def drift(train: Split, val: Split) -> list[dict[str, Any]]:
    """The distance of the distributions of each feature, greatest first.

    Returns:
        `feature`, `ks` (0 to 1) and `p`, the p-value for a single comparison.
    """
    if train.feature_names != val.feature_names or not train.features or not val.features:
        return []
    a, b = np.stack(train.features), np.stack(val.features)
    found: list[dict[str, Any]] = []
    for at, name in enumerate(train.feature_names):
        left, right = a[:, at], b[:, at]
        distance, p = kolmogorov_smirnov(left[np.isfinite(left)], right[np.isfinite(right)])
        found.append({"feature": name, "ks": distance, "p": p})
    return sorted(found, key=lambda each: (-each["ks"], each["feature"]))


def class_counts(split: Split) -> dict[str, int] | None:
    """How often each class is the label."""
    if split.label_kind != "classes":
        return None
    labels = np.concatenate(split.labels)
    values, counts = np.unique(labels[np.isfinite(labels)].astype(np.int64), return_counts=True)
    return {str(v): int(c) for v, c in zip(values.tolist(), counts.tolist(), strict=True)}


def shift(train: Split, val: Split) -> tuple[float, float] | None:
    """How far the labels differ: 0 to 1, and in standard deviations of chance; None without labels.

    It is the total variation of classes, the Kolmogorov-Smirnov distance of numbers.
    """
    if train.label_kind is None or train.label_kind != val.label_kind:
        return None
    if train.label_kind == "classes":
        one, other = class_counts(train) or {}, class_counts(val) or {}
        names = sorted({*one, *other})
        counts: list[Ints] = [
            np.array([each.get(name, 0) for name in names], dtype=np.int64) for each in (one, other)
        ]
        return label_shift(*counts)
    a, b = np.concatenate(train.labels), np.concatenate(val.labels)
    distance, p = kolmogorov_smirnov(a[np.isfinite(a)], b[np.isfinite(b)])
    # The same scale for both: p = exp(-z^2 / 2) is the bound of the normal tail.
    return distance, math.sqrt(-2.0 * math.log(max(p, 1e-300)))


def alignment(split: Split) -> dict[str, Any] | None:
    """Whether labels go with inputs: how often the nearest sample has the same label.

    Returns:
        `agreement`, `chance` and of how many `samples`; None where labels are no classes.
    """
    if split.label_kind != "classes" or len(split.signatures) != split.samples or not split.samples:
        return None
    labels = np.concatenate(split.labels)
    if not np.isfinite(labels).all():
        return None
    kept = np.arange(0, len(labels), max(-(-len(labels) // (5 * MOST_COMPARED)), 1))
    rows = np.stack([split.signatures[at] for at in kept.tolist()])
    std = rows.std(0)
    rows = (rows - rows.mean(0)) / np.where(std > 0, std, 1.0)
    share, chance, samples = neighbour_agreement(rows, labels[kept].astype(np.int64))
    return {"agreement": share, "chance": chance, "samples": samples}
