"""What is heard of an analysis while it runs: events of its worker, and how it has ended."""

from __future__ import annotations

from pathlib import Path

import msgspec

from traintop.analysis_results import AnalysisResult


class Started(msgspec.Struct, frozen=True, tag_field="event", tag="started"):
    """The target is built and the checkpoint loaded."""

    analysis: str
    checkpoint: str | None
    step: int | None
    device: str


class Progress(msgspec.Struct, frozen=True, tag_field="event", tag="progress"):
    """How far it is; `total` 0: not known."""

    done: int
    total: int
    what: str


class Point(msgspec.Struct, frozen=True, tag_field="event", tag="point"):
    """A point of the live chart: for lr_find the learning rate and the smoothed loss of a seed."""

    x: float
    y: float
    series: str


class Log(msgspec.Struct, frozen=True, tag_field="event", tag="log"):
    """A remark of the analysis."""

    text: str


class Ended(msgspec.Struct, frozen=True, tag_field="event", tag="ended"):
    """The last event of every job."""

    result: AnalysisResult
    path: Path | None
    """The result file, where one was written."""


class ResultSent(msgspec.Struct, frozen=True, tag_field="event", tag="result"):
    """The worker's answer."""

    result: AnalysisResult


class FailureSent(msgspec.Struct, frozen=True, tag_field="event", tag="failed"):
    """Why there is no answer."""

    reason: str
    show_output: bool = False
    """Whether the last lines of the target's output say more."""


JobEvent = Started | Progress | Point | Log | Ended
DECODER = msgspec.json.Decoder(Started | Progress | Point | Log | ResultSent | FailureSent)
"""Decodes a line of the worker."""
