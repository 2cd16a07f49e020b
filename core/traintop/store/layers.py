"""Per-layer statistics over the steps of a run."""

from __future__ import annotations

import msgspec
import numpy as np

from traintop.records import Floats, LayerBlock, LayerNames, LayerStats
from traintop.store.aggregates import Bounds
from traintop.store.growing import Growing
from traintop.store.image import ColumnImage, ImageReader, ImageWriter
from traintop.store.pyramid import Pyramid, PyramidImage
from traintop.store.series import Reduced
from traintop.store.storage import MEMORY, Storage

FANOUT = 16
"""Records a block of the first level: fewer than of a series, for there are fewer of them."""
_MODES = {1: True, 0: False}


class StatImage(msgspec.Struct, frozen=True, kw_only=True):
    """A statistic in a file."""

    values: ColumnImage
    pyramid: PyramidImage


class LayersImage(msgspec.Struct, frozen=True, kw_only=True):
    """A table of layers in a file."""

    names: LayerNames
    step: ColumnImage
    train_mode: ColumnImage
    stats: dict[str, StatImage]


class _Stat:
    """One statistic: a vector of values, one a layer, for each record."""

    def __init__(self, width: int, start: int, storage: Storage) -> None:
        self.values = Growing(shape=(width,), start=start, storage=storage)
        self.pyramid = Pyramid((width,), FANOUT, storage)

    def before(self, end: int) -> _Stat:
        past = _Stat.__new__(_Stat)
        past.values, past.pyramid = self.values.before(end), self.pyramid.before(end)
        return past


class LayerTable:
    """A matrix (records x layers) a statistic, growing by records.

    Args:
        names: The layers.
        storage: Where the matrices may lie.
    """

    def __init__(self, names: LayerNames, storage: Storage = MEMORY) -> None:
        self.names = names
        self._storage = storage
        self._step = Growing(storage=storage)
        self._train_mode = Growing(np.int8, storage=storage)
        self._stats: dict[str, _Stat] = {}

    def __len__(self) -> int:
        return len(self._step)

    @property
    def step(self) -> Floats:
        """Shape (records,), never falling."""
        return self._step.view()

    @property
    def stats(self) -> list[str]:
        """The statistics that have been recorded."""
        return list(self._stats)

    def layer_names(self, stat: str) -> tuple[str, ...]:
        """Return what the columns of a statistic's matrix are: layers, or activations."""
        return self.names.act_names if stat.startswith("act_") else self.names.names

    def append(self, records: LayerStats | LayerBlock) -> None:
        """Append records; a statistic whose length does not fit the names is left out."""
        block = as_block(records)
        start, end, count = self._step.start, self._step.end, len(block.step)
        for name, values in self._fitting(block).items():
            if name not in self._stats:
                stat = _Stat(values.shape[1], start, self._storage)
                _fill(stat.values, end - start)
                self._stats[name] = stat
            self._stats[name].values.append(values)
        for stat in self._stats.values():
            _fill(stat.values, end + count - stat.values.end)
            stat.pyramid.grow(stat.values)
        self._train_mode.append(block.train_mode)
        self._step.append(block.step)

    def prepend(self, records: LayerStats | LayerBlock) -> None:
        """Put older records, whose steps do not rise above the first one, before all."""
        block = as_block(records)
        start, count = self._step.start, len(block.step)
        fitting = self._fitting(block)
        for name, values in fitting.items():
            if name not in self._stats:
                stat = _Stat(values.shape[1], start, self._storage)
                _fill(stat.values, len(self._step))
                self._stats[name] = stat
        for name, stat in self._stats.items():
            width = len(self.layer_names(name))
            stat.values.prepend(fitting.get(name, np.full((count, width), np.nan)))
            stat.pyramid.grow(stat.values)
        self._train_mode.prepend(block.train_mode)
        self._step.prepend(block.step)

    def image(self, writer: ImageWriter) -> LayersImage:
        """Write the records to a file."""
        return LayersImage(
            names=self.names,
            step=writer.put(self._step),
            train_mode=writer.put(self._train_mode),
            stats={
                name: StatImage(values=writer.put(stat.values), pyramid=stat.pyramid.image(writer))
                for name, stat in self._stats.items()
            },
        )

    @classmethod
    def restored(cls, image: LayersImage, reader: ImageReader, storage: Storage) -> LayerTable:
        """Return a table whose records are in a file."""
        table = cls(image.names, storage)
        table._step = reader.column(image.step)
        table._train_mode = reader.column(image.train_mode)
        for name, each in image.stats.items():
            stat = table._stats[name] = _Stat(len(table.layer_names(name)), 0, storage)
            stat.values = reader.column(each.values)
            stat.pyramid.restore(each.pyramid, reader)
        return table

    def rewind(self, step: float) -> None:
        """Forget the records from `step` on."""
        first, steps = self._step.placed()
        row = first + int(np.searchsorted(steps, step))
        self._step.truncate(row)
        self._train_mode.truncate(row)
        for stat in self._stats.values():
            stat.pyramid.truncate(row)
            stat.values.truncate(row)

    def until(self, step: float) -> LayerTable:
        """Return the records up to a step, without a copy and for reading only."""
        first, steps = self._step.placed()
        row = first + int(np.searchsorted(steps, step, side="right"))
        past = LayerTable(self.names, self._storage)
        past._step = self._step.before(row)
        past._train_mode = self._train_mode.before(row)
        past._stats = {name: stat.before(row) for name, stat in list(self._stats.items())}
        return past

    def matrix(self, stat: str) -> Floats:
        """Return a statistic, shape (records, layers), NaN where it was not measured."""
        first, steps = self._step.placed()
        if stat not in self._stats:
            return np.full((len(steps), len(self.layer_names(stat))), np.nan)
        return self._stats[stat].values.between(first, first + len(steps))

    def record(self, row: int) -> LayerStats:
        """Return one record as it was read, counted from 0."""
        at = self._step.start + row
        return LayerStats(
            step=int(self._step.at(at)),
            train_mode=_MODES.get(int(self._train_mode.at(at))),
            stats={name: stat.values.at(at) for name, stat in self._stats.items()},
        )

    def sample(
        self, stat: str, layer: str, first: float, last: float, most: int
    ) -> tuple[Floats, int]:
        """Return values of one layer from steps [first, last], and how many records these have.

        Of more than `most` records evenly spaced ones are looked at: each lies in a page of its
        own.
        """
        names = self.layer_names(stat)
        start, steps = self._step.placed()
        low = int(np.searchsorted(steps, first))
        high = int(np.searchsorted(steps, last, side="right"))
        count = max(high - low, 0)
        if layer not in names or stat not in self._stats:
            return np.empty(0), 0
        values = self._stats[stat].values.between(start + low, start + high)
        stride = -(-count // most) if count > most else 1
        return values[::stride, names.index(layer)], count

    def reduce_layer(self, stat: str, layer: str, step_edges: Floats) -> Reduced | None:
        """Reduce a statistic of one layer to columns of steps; None where it has none."""
        names = self.layer_names(stat)
        if layer not in names or stat not in self._stats:
            return None
        column, part = self._stats[stat], names.index(layer)
        return column.pyramid.reduce(column.values, self._row_edges(step_edges), part)

    def value_at(self, stat: str, layer: str, step: float) -> tuple[float, float] | None:
        """Return (step, value) of the last record at or before a step."""
        names = self.layer_names(stat)
        first, steps = self._step.placed()
        row = int(np.searchsorted(steps, step, side="right")) - 1
        if row < 0 or layer not in names or stat not in self._stats:
            return None
        value = self._stats[stat].values.at(first + row)[names.index(layer)]
        return float(steps[row]), float(value)

    def reduce(
        self, stat: str, step_edges: Floats, layers: list[int] | slice = slice(None)
    ) -> Floats:
        """Reduce a statistic to columns of steps by its maximum, so that no extreme is lost.

        Args:
            stat: The statistic.
            step_edges: Shape (columns + 1,), rising.
            layers: Which layers, in this order; those in sight are the price of a frame.

        Returns:
            Shape (layers, columns); NaN where nothing was measured, infinite where anything was.
        """
        if stat not in self._stats:
            count = len(np.arange(len(self.layer_names(stat)))[layers])
            return np.full((count, len(step_edges) - 1), np.nan)
        column = self._stats[stat]
        return column.pyramid.maxima(column.values, self._row_edges(step_edges), layers).T

    def _row_edges(self, step_edges: Floats) -> Bounds:
        first, steps = self._step.placed()
        return np.searchsorted(steps, step_edges) + first

    def _fitting(self, block: LayerBlock) -> dict[str, Floats]:
        return {
            name: values
            for name, values in block.stats.items()
            if values.shape[1] and values.shape[1] == len(self.layer_names(name))
        }


def as_block(records: LayerStats | LayerBlock) -> LayerBlock:
    """Return one record as a block."""
    if isinstance(records, LayerBlock):
        return records
    mode = -1 if records.train_mode is None else int(records.train_mode)
    return LayerBlock(
        step=np.array([float(records.step)]),
        train_mode=np.array([mode], np.int8),
        stats={name: values[None] for name, values in records.stats.items()},
    )


def cut_block(block: LayerBlock, first: int, last: int) -> LayerBlock:
    """Return records [first, last) of a block."""
    return LayerBlock(
        step=block.step[first:last],
        train_mode=block.train_mode[first:last],
        stats={name: values[first:last] for name, values in block.stats.items()},
    )


def _fill(values: Growing, count: int) -> None:
    """Append records in which a statistic was not measured."""
    shape = values.view().shape[1:]
    while count > 0:
        step = min(count, 4096)
        values.append(np.full((step, *shape), np.nan))
        count -= step
