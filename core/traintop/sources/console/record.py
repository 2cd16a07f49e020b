"""A record on its way from a line to a row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from traintop.sources.console.numbers import as_float
from traintop.sources.console.vocabulary import is_result

if TYPE_CHECKING:
    from traintop.sources.console.plan import Plan


class Record:
    """What one line, or the lines of one block, say.

    Args:
        plan: Of the line, or of the line that opens the block.
        parts: Of that line.
        line: Its number.
        values: The measurements of a block; None: they are in the line.
    """

    __slots__ = (
        "advances", "broken", "certain", "count", "end", "epoch", "family", "inner", "line",
        "metric", "over_run", "parts", "plan", "rank", "replaces", "secondary", "split", "total",
        "values",
    )  # fmt: skip

    def __init__(
        self, plan: Plan, parts: list[str], line: int, values: dict[str, float] | None = None
    ) -> None:
        self.plan = plan
        self.parts = parts
        self.line = self.end = line
        self.certain = False
        """Whether its make alone says that it is a measurement."""
        self.replaces = plan.bar or plan.meter
        """Whether it is a state of something that is drawn again and again."""
        self.values = values
        self.family = plan.family
        self.metric = plan.metric
        self.split = plan.split
        self.secondary = False
        self.advances = 1.0
        """By how much the number of the record rises where nothing else counts."""
        step, epoch = plan.step, plan.epoch
        self.count: float | None = None
        self.total = 0.0
        self.inner = self.over_run = False
        if step is not None:
            self.count = as_float(parts[step.part])
            self.total = as_float(parts[step.total]) if step.total else 0.0
            self.inner, self.over_run = step.inner, step.over_run
        self.broken = (
            not math.isnan(self.total) and self.count is not None and not self.count.is_integer()
        )
        """Whether its counter is none: two writers that wrote at once."""
        self.epoch = None if epoch is None else as_float(parts[epoch.part])
        rank = plan.rank
        self.rank = None if rank == 0 else -1 - rank if rank < 0 else int(as_float(parts[rank]))

    def stand_with(self, heading: Record) -> None:
        """Take the place that a heading names."""
        self.count, self.epoch, self.total = heading.count, heading.epoch, heading.total
        self.inner, self.over_run = heading.inner, heading.over_run
        self.broken = heading.broken
        self.family = f"{heading.family}>{self.family}"

    def untag(self) -> None:
        """Read a number alone before the message as the rank that wrote it."""
        if self.plan.tagged and self.count is not None:
            self.rank, self.count = int(self.count), None

    @property
    def counted(self) -> bool:
        """Whether it says where it stands."""
        return self.count is not None or self.epoch is not None

    @property
    def order(self) -> tuple[float, float]:
        """What grows from record to record."""
        return (
            -1.0 if self.epoch is None else self.epoch,
            -1.0 if self.count is None else self.count,
        )

    @property
    def result(self) -> bool:
        """Whether one of its names is that of what a training is judged by: a loss, a score."""
        return any(is_result(name) for name in self.names())

    @property
    def evaluates(self) -> bool:
        """Whether it is of an evaluation, or sums up the whole training, as `Trainer` prints it."""
        return not any(name in ("loss", "grad_norm", "learning_rate") for name in self.names())

    def names(self) -> list[str]:
        """The names of its measurements."""
        if self.values is not None:
            return list(self.values)
        return [value.name for value in self.plan.values]

    def numbers(self) -> tuple[str, ...]:
        """Its measurements as they are written."""
        if self.values is not None:
            return tuple(map(repr, self.values.values()))
        return tuple(self.parts[value.part].replace(",", "") for value in self.plan.values)


class Block:
    """A heading and the measurements on the lines below it."""

    def __init__(self, plan: Plan, parts: list[str], line: int, split: str | None) -> None:
        self.plan, self.parts, self.line, self.split = plan, parts, line, split
        self.values: dict[str, float] = {}
        self.metric = False
