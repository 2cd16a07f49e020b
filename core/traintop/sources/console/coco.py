"""The summary that COCO's evaluation prints: twelve lines that differ in what they average over."""

from __future__ import annotations

import re

from traintop.sources.console.plan import Plan
from traintop.sources.console.record import Record

MARK = "@[ IoU="
_LINE = re.compile(
    r"\((A[PR])\)\s*@\[ IoU=([\d.:]+)\s*\|\s*area=\s*(\w+)\s*\|\s*maxDets=\s*(\d+)"
    r"\s*\]\s*=\s*(-?[\d.]+)"
)
_TYPE = re.compile(r"annotation type \*(\w+)\*|Evaluat\w+ (bbox|segm|keypoints)")
_AREAS = {"all": "", "small": "s", "medium": "m", "large": "l"}


class CocoSummary:
    """Collects the lines of one summary."""

    def __init__(self) -> None:
        self._type = ""
        self._values: dict[str, float] = {}
        self._line = 0

    def see_type(self, line: str) -> None:
        """Notice what kind of results is being judged."""
        found = _TYPE.search(line)
        if found is not None:
            self._type = f"{found[1] or found[2]}/"

    def take(self, line: str, number: int) -> bool:
        """Take a line in; False if it is none of a summary, or one that begins another."""
        found = _LINE.search(line)
        if found is None:
            return False
        kind, iou, area, most, value = found.groups()
        size = _AREAS.get(area, area)
        name = kind + size
        if not size and kind == "AP" and ":" not in iou:
            name += iou.partition(".")[2].ljust(2, "0")
        elif not size and kind == "AR":
            name += most
        name = self._type + name
        if name in self._values:
            return False
        if not self._values:
            self._line = number
        self._values[name] = float(value) if value.count(".") < 2 else 0.0
        return True

    def close(self) -> Record | None:
        """The record that the summary is, if there is one."""
        values, self._values = self._values, {}
        if not values:
            return None
        plan = Plan()
        plan.family = "coco " + ",".join(values)
        plan.split, plan.metric = "val", True
        record = Record(plan, [], self._line, values)
        record.certain = True
        return record
