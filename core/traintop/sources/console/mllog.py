"""MLPerf's log lines: `:::MLLOG {"key": .., "value": .., "metadata": {"step": ..}}`."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from traintop.sources.console.plan import Count, Plan
from traintop.sources.console.record import Record
from traintop.sources.console.vocabulary import is_metric
from traintop.sources.keys import as_number

MARK = ":::MLLOG "
MAX_DEPTH = 4


def mllog_records(text: str, line: int) -> list[Record]:
    """The record of one line; none where it names no step or measures nothing.

    Args:
        text: What stands behind the mark.
        line: The number of the line.
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return []
    if not isinstance(found, dict):
        return []
    entry = cast("dict[str, Any]", found)
    key, metadata = entry.get("key"), entry.get("metadata")
    if not isinstance(key, str) or not isinstance(metadata, dict):
        return []
    step, epoch = _place(cast("dict[str, Any]", metadata))
    values: dict[str, float] = {}
    _collect(key, entry.get("value"), values, 0)
    if not values or (step is None and epoch is None):
        return []
    plan = Plan()
    plan.family = f"MLLOG {key}"
    parts = ["", "", ""]
    if step is not None:
        plan.step = Count(1, "step", over_run=epoch is None)
        parts[1] = repr(step)
    if epoch is not None:
        plan.epoch = Count(2, "epoch_num")
        parts[2] = repr(epoch)
    plan.metric = any(map(is_metric, values))
    return [Record(plan, parts, line, values)]


def _place(metadata: dict[str, Any]) -> tuple[float | None, float | None]:
    """The step and the epoch: `step` may be a number, or epoch and iteration."""
    step: object = metadata.get("step")
    epoch = as_number(metadata.get("epoch_num"))
    if isinstance(step, list):
        pair = [as_number(part) for part in cast("list[object]", step)]
        if len(pair) != 2:
            return None, epoch
        return pair[1], pair[0] if epoch is None else epoch
    if step is None:
        step = metadata.get("iteration_num", metadata.get("step_num"))
    return as_number(step), epoch


def _collect(name: str, value: object, values: dict[str, float], depth: int) -> None:
    if isinstance(value, dict):
        if depth < MAX_DEPTH:
            for key, part in cast("dict[str, object]", value).items():
                _collect(f"{name}/{key}", part, values, depth + 1)
        return
    number = None if isinstance(value, bool | list) else as_number(value)
    if number is not None:
        values[name] = number
