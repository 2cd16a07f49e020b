"""Memory leak: memory that goes on growing at a steady rate, long after the first steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.windows import MAD_TO_SIGMA, median
from traintop.records import Cause, Evidence, NextTest, NotJudged, Row

BLOCKS = 6
"""Blocks that must rise one after the other."""

SCALES = 16
"""Each scale has blocks twice as long as the one before: a leak too slow for one shows in a later
one. The longest block is 330,000 records."""


class MemoryLeakThresholds(Thresholds, frozen=True):
    """Thresholds of `memory_leak`.

    Steady growth is what tells a leak from an allocator, which climbs a staircase in the first
    epoch or whenever a longer batch comes, and then levels off. The form and the values are a
    prototype's; runmedic's (last quartile 1.2 times the first) waits for a fifth of the memory.
    """

    block: float = 10
    """Records whose median is one block of the shortest scale."""
    block_averaged: float = 1
    """The same where a record is a mean over many steps."""
    rise: float = 0.0015
    """Share of the level by which each block must exceed the one before."""
    total: float = 0.012
    """Share of the level by which the last must exceed the first."""
    total_averaged: float = 0.03
    """The same where a block is a single mean."""
    errors: float = 8.0
    """Standard errors of a block that the whole rise must exceed."""
    steady: float = 0.75
    """Growth over the last two blocks, over that of the first two: below it is levelling off. The
    longest batch so far, in a stream of lengths, grows like a logarithm: 0.5."""
    times: float = 2
    """Blocks in a row with which all of that must hold: an allocator that levels off slowly passes
    once where noise helps it."""
    warm_up: float = 0.05
    """Share of the planned steps in which the allocator warms up; the first epoch counts too."""
    warm_up_records: float = 40
    """Records of warm-up at least, or steps where a record is a mean over many."""


class Scale:
    """The latest blocks of one length."""

    __slots__ = ("_half", "blocks", "grown", "highest", "steps")

    def __init__(self) -> None:
        self.blocks: list[float] = []
        self.steps: list[int] = []
        self.highest = 0.0
        """The highest block before these."""
        self.grown = 0
        """How many times in a row these blocks have passed for a leak."""
        self._half = math.nan

    def add(self, value: float, step: int) -> float | None:
        """Take a block; return the mean of two, which is a block of the next scale."""
        self.blocks.append(value)
        self.steps.append(step)
        if len(self.blocks) > BLOCKS:
            self.highest = max(self.highest, self.blocks.pop(0))
            del self.steps[0]
        if self._half != self._half:
            self._half = value
            return None
        pair, self._half = 0.5 * (self._half + value), math.nan
        return pair


class MemoryLeak(Detector[MemoryLeakThresholds]):
    """Six blocks of memory in a row, each above the one before, and no slowing down."""

    id = "memory_leak"
    title = "Memory grows steadily"
    needs = "GPU memory over a longer time"
    record = "the recorder writes gpu_memory_mb on CUDA by itself; else write that key"
    thresholds_type: ClassVar[type[Thresholds]] = MemoryLeakThresholds

    def __init__(self, context: Context, thresholds: MemoryLeakThresholds) -> None:
        super().__init__(context, thresholds)
        self._records = 0
        """Records of the warm-up."""
        self._first_step = -1
        self._is_warm = False
        self._block: list[float] = []
        self._noise = 0.0
        self._scales = [Scale() for _ in range(SCALES)]
        self._growing_until = 0.0
        self._rescaled = 0
        self._judged = False
        self._calm = 0

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Gather blocks; judge when one is full."""
        context = self.context
        if context.rescaled != self._rescaled:
            # Another batch size or a new process has other memory.
            self._rescaled = context.rescaled
            self._records = 0
            self._first_step = -1
            self._is_warm = False
            self._scales = [Scale() for _ in range(SCALES)]
            self._block.clear()
        length = self.thresholds.block_averaged if context.averaged else self.thresholds.block
        found: Findings = ()
        block = self._block
        for row in rows:
            value = row.values.get("gpu_memory")
            if value is None or not 0.0 < value < math.inf:
                continue
            if not self._is_warm and self._warming_up(row.step):
                continue
            self._is_warm = True
            block.append(value)
            if len(block) >= length:
                found += self._end_block(row.step)
        return found

    def not_judged(self) -> NotJudged | None:
        """A run without memory, or one that is too short."""
        return None if self._judged else self.missing()

    def _end_block(self, step: int) -> Findings:
        block = self._block
        level = median(block)
        if len(block) > 2:
            deviation = MAD_TO_SIGMA * median(abs(each - level) for each in block)
            # 1.25: standard error of a median over that of a mean.
            error = 1.25 * deviation / math.sqrt(len(block))
            self._noise += 0.1 * (error - self._noise) if self._noise else error
        block.clear()
        found: Findings = ()
        carried: float | None = level
        for index, scale in enumerate(self._scales):
            if carried is None:
                break
            carried = scale.add(carried, step)
            if len(scale.blocks) == BLOCKS:
                self._judged = True
                found += self._judge(scale, index, step)
        return found

    def _warming_up(self, step: int) -> bool:
        info = self.context.info
        if self._first_step < 0:
            self._first_step = step
        self._records += 1
        if self._records <= 2:
            return True
        since = step - self._first_step
        steps = max(info.steps_per_epoch or 0, self.thresholds.warm_up * (info.planned_steps or 0))
        # An epoch of a large run is no yardstick for an allocator.
        if since < min(steps, 2000):
            return True
        # Where a record is a mean, it is steps that count.
        passed = since if self.context.averaged else self._records
        return passed <= self.thresholds.warm_up_records

    def _judge(self, scale: Scale, index: int, step: int) -> Findings:
        thresholds = self.thresholds
        blocks = scale.blocks
        level = blocks[0]
        rises = [after - before for before, after in pairwise(blocks)]
        total = blocks[-1] - level
        share = thresholds.total_averaged if self.context.averaged else thresholds.total
        error = self._noise / math.sqrt(2.0**index)
        least = max(share * level, thresholds.errors * error)
        grows = (
            min(rises) > thresholds.rise * level
            and total > least
            and sum(rises[-2:]) >= thresholds.steady * sum(rises[:2])
            # Memory that comes and goes with the length of the batches reaches no new height.
            and blocks[BLOCKS // 2] > scale.highest
            and not self._slows_down(index)
        )
        if self.current is not None:
            return self._judge_open(step, blocks[-1], level, grows=grows)
        scale.grown = scale.grown + 1 if grows else 0
        if scale.grown < thresholds.times:
            return ()
        self._growing_until = blocks[-1]
        self._calm = 0
        span = scale.steps[-1] - scale.steps[0]
        per_step = total / span if span > 0 else 0.0
        length = span / (BLOCKS - 1)
        onset = max(self._first_step, round(scale.steps[0] - length))
        return self.open(
            "warning",
            onset,
            (
                Evidence(
                    what=f"relative growth of memory over {span} steps",
                    value=total / level,
                    threshold=least / level,
                    step=step,
                ),
                Evidence(what="growth a 1000 steps, in the log's unit", value=1000.0 * per_step),
                Evidence(
                    what="growth of the last part over the first (1: steady)",
                    value=sum(rises[-2:]) / sum(rises[:2]),
                    threshold=thresholds.steady,
                ),
                Evidence(what="memory, in the log's unit", value=blocks[-1], step=step),
            ),
            series=("gpu_memory",),
            causes=(
                Cause(
                    cause="something that holds a graph or a tensor is kept every step",
                    because="memory grows by about the same amount a step, and does not level off",
                ),
            ),
            next=(
                NextTest(
                    do="Compare two snapshots of torch.cuda.memory some hundred steps apart: what"
                    " is allocated where"
                ),
            ),
            fixes=(
                "keep numbers, not tensors: total_loss += loss.item() instead of += loss",
                "append metrics to lists as .detach().cpu(), and clear the lists each epoch",
            ),
        )

    def _slows_down(self, index: int) -> bool:
        """Whether larger blocks, where noise hides it less, rise ever less: an allocator fills."""
        for scale in self._scales[index + 1 :]:
            rises = [after - before for before, after in pairwise(scale.blocks)]
            full = len(scale.blocks) == BLOCKS
            if full and sum(rises[-2:]) < self.thresholds.steady * sum(rises[:2]):
                return True
        return False

    def _judge_open(self, step: int, now: float, before: float, *, grows: bool) -> Findings:
        """It is over when memory falls back, or has stood still for as long as it was judged."""
        if grows or now > self._growing_until * (1.0 + self.thresholds.total):
            self._growing_until = max(now, self._growing_until)
            self._calm = 0
            return ()
        self._calm += 1
        fallen = now < before * (1.0 - self.thresholds.total)
        if fallen or self._calm >= 4 * BLOCKS:
            self._calm = 0
            return self.resolve(step)
        return ()
