"""Feeds series to an engine, for the tests of detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from traintop.detectors.engine import Engine
from traintop.records import Finding, LayerNames, LayerStats, Row, RunInfo

Series = Sequence[float] | NDArray[np.float64]
Layers = Mapping[int, Mapping[str, Sequence[float]]]

CLASSES = RunInfo(task="classification", num_classes=10, batch_size=64, planned_steps=400)


def watch(
    train: Mapping[str, Series],
    info: RunInfo | None = None,
    evals: Mapping[int, Mapping[str, float]] | None = None,
    layers: Layers | None = None,
    stride: int = 1,
    names: LayerNames | None = None,
    start: int = 0,
) -> Engine:
    """Feed columns of training metrics by role, one record every `stride` steps from `start`.

    Args:
        train: Role -> one value a record.
        info: `run.json`.
        evals: Evaluations, by the number of the record after which they come.
        layers: Layer statistics, by the number of the record after which they come.
        stride: Steps from one record to the next.
        names: The layers; without it they are called `layer 0` and so on.
        start: The first step.
    """
    engine = Engine(info)
    if names is not None:
        engine.feed_layer_names(names)
    columns = {name: list(map(float, values)) for name, values in train.items()}
    for index, values in enumerate(zip(*columns.values(), strict=True)):
        step = start + index * stride
        engine.feed_train(
            Row(step=step, epoch=None, time=None, values=dict(zip(columns, values, strict=True)))
        )
        if layers and index in layers:
            stats = {name: np.array(each, float) for name, each in layers[index].items()}
            engine.feed_layers(LayerStats(step=step, stats=stats))
        if evals and index in evals:
            engine.feed_eval(Row(step=step, epoch=None, time=None, values=dict(evals[index])))
    assert engine.failures == []
    return engine


def of(engine: Engine, detector: str, *, least: str = "warning") -> list[Finding]:
    """The findings of one detector, of severity `warning` or worse, or of all with `info`."""
    wanted = ("warning", "critical") if least == "warning" else ("info", "warning", "critical")
    return [each for each in engine.findings if each.id == detector and each.severity in wanted]


def noise(count: int, scale: float, seed: int = 0) -> NDArray[np.float64]:
    """Log-normal factors around 1."""
    return np.exp(scale * np.random.default_rng(seed).normal(size=count))


def learning(
    count: int = 400, floor: float = 0.05, scale: float = 0.1, seed: int = 0
) -> NDArray[np.float64]:
    """The loss of a classifier of ten classes that learns."""
    time = np.arange(count)
    return np.asarray((2.3 * np.exp(-time / (0.12 * count)) + floor) * noise(count, scale, seed))
