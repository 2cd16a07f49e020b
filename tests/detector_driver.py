"""Feeds series to an engine as a session would, for the tests of detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from traintop.detectors.engine import Engine
from traintop.records import Finding, LayerNames, LayerStats, Row, RunInfo

Series = Sequence[float] | NDArray[np.float64]


def watch(
    train: Mapping[str, Series],
    info: RunInfo | None = None,
    evals: Mapping[int, Mapping[str, float]] | None = None,
    layers: Mapping[int, LayerStats] | None = None,
    names: LayerNames | None = None,
    *,
    stride: int = 1,
    epochs: Sequence[float] | None = None,
) -> Engine:
    """Feed columns of training metrics, with what comes between them.

    Args:
        train: Role -> a value a record.
        info: `run.json`.
        evals: Record -> the evaluation after it.
        layers: Record -> the layer statistics after it.
        names: Names of the layers.
        stride: Steps from one record to the next.
        epochs: The epoch of each record.
    """
    engine = Engine(info)
    if names is not None:
        engine.feed_layer_names(names)
    columns = {name: [float(value) for value in values] for name, values in train.items()}
    for index, values in enumerate(zip(*columns.values(), strict=True)):
        step = index * stride
        epoch = None if epochs is None else epochs[index]
        given = dict(zip(columns, values, strict=True))
        engine.feed_train(Row(step=step, epoch=epoch, time=None, values=given))
        if layers and index in layers:
            engine.feed_layers(layers[index])
        if evals and index in evals:
            row = Row(step=step, epoch=epoch, time=None, values=dict(evals[index]))
            engine.feed_eval(row)
    assert engine.failures == []
    return engine


def of(engine: Engine, detector: str, *, least: str = "warning") -> list[Finding]:
    """The findings of one detector, of a severity or worse."""
    wanted = ("warning", "critical") if least == "warning" else ("info", "warning", "critical")
    return [each for each in engine.findings if each.id == detector and each.severity in wanted]


def blind(engine: Engine, detector: str) -> bool:
    """Whether a detector says that it could not judge."""
    return detector in {each.id for each in engine.not_judged()}


def noise(count: int, scale: float, seed: int = 0) -> NDArray[np.float64]:
    """Factors around 1, log-normal."""
    return np.exp(scale * np.random.default_rng(seed).normal(size=count))


def learning(
    count: int = 400, floor: float = 0.05, scale: float = 0.1, seed: int = 0
) -> NDArray[np.float64]:
    """The losses of a classifier of ten classes that learns."""
    time = np.arange(count)
    return np.asarray((2.3 * np.exp(-time / (0.12 * count)) + floor) * noise(count, scale, seed))
