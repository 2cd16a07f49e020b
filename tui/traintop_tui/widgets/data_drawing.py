"""The result of `data`: classes and drift as bars, and the first samples beside their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Row, Rows, Run, fit, fit_runs
from traintop_tui.charts.heatmap import ASCII_RAMP, UNICODE_RAMP, levels

IMAGE_ROWS = 10
"""A title, a row of labels, and eight rows of pixels."""
LEAST_BARS = 4


class _Split(msgspec.Struct, frozen=True):
    samples: int
    class_counts: dict[str, int] | None = None


class _Overlap(msgspec.Struct, frozen=True):
    exact: int
    near: int
    fraction: float


class _Drift(msgspec.Struct, frozen=True):
    feature: str
    ks: float


class _Sample(msgspec.Struct, frozen=True):
    label: Any = None
    image: list[list[float]] | None = None


class _Result(msgspec.Struct, frozen=True):
    splits: dict[str, _Split]
    overlap: _Overlap | None = None
    drift: list[_Drift] = []
    normalised: bool | None = None
    preview: list[_Sample] = []


def draw_data(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw the shares of the classes, the drift of the features and a preview, as far as they fit.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    rows: list[Row] = [_head(read)]
    images = _images(read.preview, width, braille)
    room = height - 1 - (len(images) if height >= IMAGE_ROWS + 2 * LEAST_BARS else 0)
    classes, drift = _classes(read), [(each.feature, each.ks) for each in read.drift]
    for_drift = min(len(drift) + 1, room // 2 if classes else room) if drift else 0
    for_classes = min(len(classes) + 1, room - for_drift) if classes else 0
    most = max((share for _, share, _ in classes), default=0.0)
    rows += _bars("classes of train (share of val)", classes, most, width, for_classes, braille)
    found = [(name, ks, f"{ks:.3f}") for name, ks in drift]
    rows += _bars("drift between train and val (KS)", found, 1.0, width, for_drift, braille)
    if len(rows) + len(images) <= height:
        rows += images
    rows += [()] * (height - len(rows))
    return tuple(fit_runs(row, width, ascii_only=not braille) for row in rows[:height])


def _head(read: _Result) -> Row:
    sizes = ", ".join(f"{name} {split.samples}" for name, split in read.splits.items())
    scale = {True: "normalised", False: "not normalised", None: "tokens"}[read.normalised]
    parts: list[Run] = [(f"{sizes} samples, {scale}", "title")]
    if read.overlap is not None:
        shared = read.overlap.exact + read.overlap.near
        style = "severity.warning" if shared else "text"
        parts.append((f"  in both: {shared} ({read.overlap.fraction:.1%} of val)", style))
    return tuple(parts)


def _classes(read: _Result) -> list[tuple[str, float, str]]:
    """(class, its share, that share beside the one of the validation data)."""
    train, val = read.splits.get("train"), read.splits.get("val")
    counts = train.class_counts if train is not None else None
    if not counts:
        return []
    total = sum(counts.values()) or 1
    others = (val.class_counts if val is not None else None) or {}
    other_total = sum(others.values()) or 1
    return [
        (
            name,
            count / total,
            f"{count / total:.1%}"
            + (f" ({others.get(name, 0) / other_total:.1%})" if others else ""),
        )
        for name, count in counts.items()
    ]


def _bars(
    title: str,
    bars: Sequence[tuple[str, float, str]],
    largest: float,
    width: int,
    height: int,
    braille: bool,
) -> list[Row]:
    if height < 2:
        return []
    drawn = draw_bars(
        [name for name, _, _ in bars],
        [value for _, value, _ in bars],
        [note for _, _, note in bars],
        width,
        height - 1,
        largest=largest,
        braille=braille,
    )
    return [((title, "title"),), *drawn]


def _images(preview: Sequence[_Sample], width: int, braille: bool) -> list[Row]:
    """The first samples side by side, each under its label."""
    images = [(each.label, np.array(each.image)) for each in preview if each.image]
    images = [(label, pixels) for label, pixels in images if pixels.shape == (8, 8)]
    fits = list(islice(images, max((width + 2) // 18, 0)))
    if not fits:
        return []
    limits = (min(float(p.min()) for _, p in fits), max(float(p.max()) for _, p in fits))
    ramp = UNICODE_RAMP if braille else ASCII_RAMP
    names = "".join(fit(str(label), 16) + "  " for label, _ in fits)
    rows: list[Row] = [(("first samples of train, under their labels", "title"),)]
    rows.append(((names, "label"),))
    for y in range(8):
        row: list[Run] = []
        for _, pixels in fits:
            shades = levels(pixels[y], limits, log=False).tolist()
            # A cell is half as wide as it is high.
            row += [(2 * ramp[shade], f"heat{shade}") for shade in shades]
            row.append(("  ", "background"))
        rows.append(tuple(row))
    return rows
