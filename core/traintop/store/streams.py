"""What one file fed of a run, as it was at one moment: how an index is written of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from traintop.store.image import ImageWriter
from traintop.store.layers import LayersImage
from traintop.store.run import Rewind, Run
from traintop.store.table import TableImage

SplitterState = tuple[float, float, int]


class StreamsImage(msgspec.Struct, frozen=True, kw_only=True):
    """The streams of one file, in another one."""

    tables: list[TableImage]
    layers: LayersImage | None
    rewinds: list[Rewind]
    splitters: dict[str, SplitterState]


class Streams:
    """Tables, or the layers, of a run as they are now; the run may go on to grow.

    Args:
        run: The run.
        names: The tables, or `layers`.
        splitters: What each stream would go on from.
    """

    def __init__(self, run: Run, names: Sequence[str], splitters: dict[str, SplitterState]) -> None:
        self._run = run
        self._rewinds = list(run.rewinds)
        self._names = names
        self._splitters = splitters
        self._tables = [run.tables[name].until(np.inf) for name in run.tables if name in names]
        layers = run.layers if "layers" in names else None
        self._layers = None if layers is None else layers.until(np.inf)

    @property
    def unchanged(self) -> bool:
        """Whether nothing of it was overwritten since: a resumed run repeats its steps."""
        return len(self._run.rewinds) == len(self._rewinds)

    def image(self, writer: ImageWriter) -> StreamsImage:
        """Write them to a file.

        Raises:
            OSError: There is no room on the disk.
        """
        return StreamsImage(
            tables=[table.image(writer) for table in self._tables],
            layers=None if self._layers is None else self._layers.image(writer),
            rewinds=[rewind for rewind in self._rewinds if rewind.stream in self._names],
            splitters=self._splitters,
        )
