"""The vocabulary that the layers share: what sources read, what detectors say, what a pump brings.

Everything here is frozen. Arrays inside are never written to after they are handed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Severity = Literal["info", "warning", "critical"]
State = Literal["waiting", "running", "finished", "stalled", "crashed", "unknown"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

ROLES = (
    "loss/train",
    "loss/val",
    "accuracy/train",
    "accuracy/val",
    "lr",
    "grad_norm",
    "grad_norm_clipped",
    "grad_cos",
    "update_ratio",
    "throughput",
    "step_time",
    "gpu_memory",
    "loss_scale",
    "skipped_step",
    "balanced_accuracy",
    "majority_pred_fraction",
    "compute_time",
    "param_hash",
    "reward",
    "tokens",
)
"""What a series means, whatever its writer calls it. A series without a role is a custom metric.

`tokens` counts what has been trained on so far (tokens, samples, environment steps): an x axis."""


# --- what sources read ------------------------------------------------------------------------


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run before its first step (`run.json`). Every key is optional."""

    task: str | None = None
    num_classes: int | None = None
    model: str | None = None
    parameters: int | None = None
    optimizer: str | None = None
    batch_size: int | None = None
    grad_accumulation: int | None = None
    grad_clip: float | None = None
    weight_decay: float | None = None
    steps_per_epoch: int | None = None
    planned_epochs: int | None = None
    planned_steps: int | None = None
    cadence: str | None = None
    amp: bool | None = None
    world_size: int | None = None
    seed: int | None = None
    averaged_loss: bool | None = None
    """Whether the training loss is a running mean, in which neighbours are alike by themselves."""
    pretrained: bool | str | None = None
    """Whether training began from trained weights, or from which."""
    gpu_memory_total_mb: float | None = None
    """Capacity of the device that `gpu_memory_mb` is of."""
    started: float | str | None = None
    target: str | None = None
    """`FILE:FUNCTION` that rebuilds model and data for analyses."""
    python: str | None = None
    """The interpreter that trains, which analyses are run with."""
    pid: int | None = None
    host: str | None = None


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one metric in a burst of rows."""

    values: Floats
    """Shape (k,). NaN and infinities are kept as they were written."""
    rows: NDArray[np.int64] | None = None
    """Shape (k,): the row of each value, rising; None: every row has one."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """A burst of records of one table, in file order. Every array has a row a record."""

    table: str
    """`train`, `val`, `rank00003/train` ...: records of one table share one step counter."""
    step: Floats
    """Shape (n,). The step written, or the record's number where none is."""
    epoch: Floats
    """Shape (n,), NaN where the writer gives none."""
    time: Floats
    """Shape (n,) in seconds since 1970, NaN where the writer gives none."""
    columns: dict[str, Column]
    axis: Literal["step", "epoch", "record"] = "step"
    """What `step` counts: steps, epochs where one line an epoch is all there is, or records."""

    def part(self, first: int, last: int) -> Rows:
        """Return records [first, last)."""
        columns: dict[str, Column] = {}
        for name, column in self.columns.items():
            if column.rows is None:
                columns[name] = Column(values=column.values[first:last])
                continue
            begin, end = np.searchsorted(column.rows, [first, last])
            if begin < end:
                columns[name] = Column(
                    values=column.values[begin:end], rows=column.rows[begin:end] - first
                )
        return Rows(
            table=self.table,
            step=self.step[first:last],
            epoch=self.epoch[first:last],
            time=self.time[first:last],
            columns=columns,
            axis=self.axis,
        )


class LayerNames(msgspec.Struct, frozen=True, kw_only=True):
    """The layers of a run: what the arrays of every following `LayerStats` are in the order of."""

    names: tuple[str, ...]
    numel: tuple[int, ...] = ()
    requires_grad: tuple[bool, ...] = ()
    act_names: tuple[str, ...] = ()
    act_kinds: tuple[str, ...] = ()


class LayerStats(msgspec.Struct, frozen=True, kw_only=True):
    """Per-layer statistics at one step."""

    step: int
    epoch: float | None = None
    train_mode: bool | None = None
    stats: dict[str, Floats]
    """Statistic (`grad_norm`, `act_dead_frac` ...) -> shape (layers,), NaN where not measured.
    Names that begin with `act_` are in the order of `act_names`, all others of `names`."""


class LayerBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Per-layer statistics at many steps: what a `LayerStats` for each of them would say."""

    step: Floats
    """Shape (n,)."""
    train_mode: NDArray[np.int8]
    """Shape (n,): 1 in training mode, 0 in evaluation mode, -1 where it is not known."""
    stats: dict[str, Floats]
    """Statistic -> shape (n, layers), NaN where not measured; the layers as in `LayerStats`."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in the run: a checkpoint, an epoch, a resume, an analysis ..."""

    event: str
    step: int | None = None
    time: float | None = None
    fields: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """The other keys of the line; a checkpoint has `path`, an analysis `result`."""


class LogLines(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of console text, cleaned of control sequences, oldest first."""

    lines: list[str]
    steps: list[int]
    """The step that each line speaks of, or the last one named before it; -1 before the first."""


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A line that could not be read. It is counted and shown, never dropped in silence."""

    line: int
    """Counted from 1."""
    why: str


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """The file was truncated or replaced: all that was read from it before is to be forgotten."""

    path: Path
    tables: tuple[str, ...] = ()
    """The tables that its rows went to."""


Item = Rows | LayerNames | LayerStats | LayerBlock | Event | LogLines | RunInfo | Reset
"""One thing that was read."""


class Older(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a file that stands before all that was handed over of it."""

    path: Path
    items: tuple[Item, ...]
    """In file order."""


class Reread(msgspec.Struct, frozen=True, kw_only=True):
    """The file cannot be read from its end: all of it is to be read anew from its start."""

    path: Path
    why: str


class Begins(msgspec.Struct, frozen=True, kw_only=True):
    """At which step a file begins whose history is yet to be read."""

    step: float


News = Item | Older | Reread | Begins
"""What a source hands over."""
History = Rows | LayerStats | LayerBlock | Event | LogLines
"""What may also be handed over newest first."""


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one file turned out to be."""

    path: Path
    format: str
    """`traintop/1`, `jsonl`, `text` ..."""
    why: str = ""
    """By what it was recognised, in words; empty where the reader does not say."""
    units: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Series -> the unit that is written behind its values: `ms`, `GiB`, `tok/s`."""
    records: int
    bytes_read: int
    bytes_total: int
    skipped: tuple[Skipped, ...] = ()
    """The first hundred."""
    skipped_total: int = 0
    error: str | None = None
    """Why the file cannot be read at the moment, e.g. permission denied."""
    ignored: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """Keys whose values are no numbers (text, lists, settings) -> how many of them were met."""
    notes: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """What a user should know of how it was read -> how many records it is true of."""


# --- what detectors are fed -------------------------------------------------------------------


class Row(msgspec.Struct):
    """One record as detectors see it: metrics by role. Not frozen, for speed; never changed."""

    step: int
    epoch: float | None
    time: float | None
    values: dict[str, float]


# --- what detectors say -----------------------------------------------------------------------


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was measured, and the threshold that it was held against."""

    what: str
    value: float
    threshold: float | None = None
    step: int | None = None


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A cause that is likely, and the measured fact that speaks for it; the likeliest first."""

    cause: str
    because: str
    basis: Literal["measured", "inferred"] = "inferred"
    """Whether the cause itself was read from the run (a frozen layer, an lr that jumped), or is
    what usually stands behind what was measured."""


class NextTest(msgspec.Struct, frozen=True, kw_only=True):
    """What to do next: a test before a fix."""

    do: str
    analysis: str | None = None
    checkpoint: str | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One episode of one ailment. A later record of the same `id` and `episode` replaces it."""

    id: str
    severity: Severity
    title: str
    onset_step: int
    """When it began."""
    detected_step: int
    """The last step that had been read when it was raised."""
    resolved_step: int | None = None
    episode: int = 1
    series: tuple[str, ...] = ()
    """Roles, or names of series that have none."""
    layers: tuple[str, ...] = ()
    ranks: tuple[int, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    causes: tuple[Cause, ...] = ()
    next: tuple[NextTest, ...] = ()
    fixes: tuple[str, ...] = ()
    """What to change once the test has confirmed it, with values, the likeliest first."""

    @property
    def key(self) -> tuple[str, int]:
        """What identifies the episode."""
        return (self.id, self.episode)


class NotJudged(msgspec.Struct, frozen=True, kw_only=True):
    """An ailment that could not be judged, and the signal that was missing."""

    id: str
    needs: str
    record: str | None = None
    """How to record it: the option of the recorder, or the key to write."""


class DetectorFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A detector that raised. It is switched off and reported; the others go on."""

    id: str
    error: str


# --- what a pump brings -----------------------------------------------------------------------


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that the run has written."""

    path: Path
    step: int | None
    loss: float | None = None
    """Training loss at that step."""
    size: int | None = None
    """Bytes."""


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """The news of one pump: what changed, never the data itself."""

    records: int = 0
    """Records read by this pump."""
    log_lines: int = 0
    changed: bool = False
    """Whether anything that a screen shows may have changed."""
    findings: tuple[Finding, ...] = ()
    """Findings opened, updated or resolved by this pump."""
    state: State = "waiting"
    last_step: int | None = None
    bytes_read: int = 0
    bytes_total: int = 0
    judged: float = 1.0
    """Share of the records read that the detectors have seen."""
    more: bool = False
    """Whether an immediate further pump would find work."""

    @property
    def loading(self) -> bool:
        """Whether history is still being read."""
        return self.bytes_read < self.bytes_total
