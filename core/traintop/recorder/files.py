"""The files of one rank's run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from traintop.recorder.guard import Guarded
from traintop.recorder.writer import LineWriter, encode, last_step, replace


class RunFiles:
    """Writes the diagnostics format into a directory. Nothing here raises.

    Attributes:
        directory: Where they are.
        resumed_from: The last step that an earlier process has recorded here, if one has.
        last_step: The last step that was recorded.
    """

    def __init__(self, directory: Path, info: Mapping[str, object]) -> None:
        self.directory = directory
        self.resumed_from: int | None = None
        self.last_step: object = 0
        self._guarded = Guarded(f"the run is not (wholly) recorded in {directory}")
        self._train = LineWriter(directory / "train_diagnostics.jsonl")
        self._val = LineWriter(directory / "val_diagnostics.jsonl")
        self._layers = LineWriter(directory / "layers.jsonl")
        self._events = LineWriter(directory / "events.jsonl")
        self._header: Mapping[str, Any] | None = None
        with self._guarded:
            directory.mkdir(parents=True, exist_ok=True)
            self.resumed_from = last_step(self._train.path)
            self._header = _first_record(self._layers.path)
            replace(directory / "run.json", encode(self._keep_start(info)) + b"\n")

    def train(self, record: Mapping[str, object]) -> None:
        """Append a training record."""
        self.last_step = record.get("step", self.last_step)
        self._append(self._train, record)

    def val(self, record: Mapping[str, object]) -> None:
        """Append the record of an evaluation."""
        self._append(self._val, record)

    def layers(self, header: Mapping[str, Any], record: Mapping[str, object]) -> None:
        """Append a record of the layers, and before it their names where those are new."""
        if header != self._header:
            self._header = header
            self._append(self._layers, header)
        self._append(self._layers, record)

    def event(self, record: Mapping[str, object]) -> None:
        """Append an event."""
        self._append(self._events, record)

    def tell(self, problem: str) -> None:
        """Say once that something could not be recorded."""
        self._guarded.tell(problem)

    def close(self) -> None:
        """Close the files."""
        for writer in (self._train, self._val, self._layers, self._events):
            with self._guarded:
                writer.close()

    def _append(self, writer: LineWriter, record: Mapping[str, object]) -> None:
        with self._guarded:
            writer.write(encode(record))

    def _keep_start(self, info: Mapping[str, object]) -> Mapping[str, object]:
        """A run that is resumed began when it first began."""
        if self.resumed_from is None:
            return info
        before = _first_record(self.directory / "run.json")
        return {**info, "started": before["started"]} if before and "started" in before else info


def _first_record(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            record: Any = json.loads(file.readline())
    except (FileNotFoundError, ValueError):
        return None
    return cast("dict[str, Any]", record) if isinstance(record, dict) else None
