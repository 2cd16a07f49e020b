"""The memory of this machine's GPUs while a run is watched, at the steps that it reached then."""

from __future__ import annotations

import numpy as np

from traintop.gpu import GpuSample
from traintop.records import Column, Rows
from traintop.store import Table

MIB = 1 << 20


class GpuHistory:
    """A table with a series a device, in MiB, as the recorder writes `gpu_memory_mb`."""

    def __init__(self) -> None:
        self.table = Table("gpu")
        self._newest = 0.0

    def add(self, samples: list[GpuSample], step: float) -> None:
        """Take the newest sample of each device, if it is new.

        Args:
            samples: One a device, all of one moment.
            step: The newest step of the run at that moment.
        """
        if not samples or samples[0].time <= self._newest:
            return
        self._newest = samples[0].time
        if len(self.table) and step < self.table.step[-1]:
            self.table.rewind(step)
        self.table.append(
            Rows(
                table="gpu",
                step=np.array([step]),
                epoch=np.array([np.nan]),
                time=np.array([self._newest]),
                columns={
                    series_name(sample): Column(values=np.array([sample.memory_used / MIB]))
                    for sample in samples
                },
            )
        )


def series_name(sample: GpuSample) -> str:
    """Return what the series of a device is called."""
    total = sample.memory_total / MIB
    return f"GPU {sample.index} memory of {total:.0f} MiB"
