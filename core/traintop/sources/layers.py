"""Per-layer statistics: `layers.jsonl` of traintop's own run directories."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from traintop.records import Floats, Item, LayerBlock, LayerNames, LayerStats
from traintop.sources.decoder import Tally
from traintop.sources.diagnostics import FORMAT, json_object
from traintop.sources.keys import as_number
from traintop.sources.schema import PACKED_FLOAT, pack, put_stand_ins, restore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOT_STATS = frozenset({"step", "epoch", "train_mode", "time", "rank"})
BLOCK = 1 << 18
"""Bytes decoded at once."""
NO_LIST = float | str | None
"""The type of a key that is no statistic: one that has a list after all is."""
FEW = 4
"""Lines that are decoded one by one."""
MOST_KEYS = 200
LARGEST_STEP = 1e15
"""Beyond it a step may stand for a bare NaN or Infinity."""
_MODE = {None: -1, False: 0, True: 1}
_NAMES = re.compile(rb"\s*\{\s*\"names\"\s*:\s*\[")


def holds_layers(_path: Path, head: bytes) -> bool:
    """Whether a file that begins with these bytes has the names of layers first."""
    return _NAMES.match(head) is not None


class Layers:
    """Decodes `layers.jsonl`: a line with the names of the layers, then a line a step."""

    format = FORMAT
    by_lines = True
    rewritten = False

    def __init__(self, names: LayerNames | None = None) -> None:
        self.tally = Tally()
        self.tables: tuple[str, ...] = ()
        self._names = self._first_names = names
        self._keys: dict[str, bool] = {}
        self._layout: Layout | None = None

    def fork(self) -> Layers | None:
        """A decoder for lines further on; None before the line with the names."""
        if self._names is None:
            return None
        fork = Layers(self._names)
        fork._keys, fork._layout = dict(self._keys), self._layout
        return fork

    def join(self, older: Layers) -> bool:
        """Become the decoder that would have been fed the lines of `older` first."""
        if older._names != self._first_names:
            return False
        self._first_names = older._first_names
        self.tally.join(older.tally)
        return True

    def state(self) -> dict[str, Any] | None:
        """What is needed to go on, in plain values."""
        names, first = msgspec.to_builtins((self._names, self._first_names))
        return {"tally": self.tally.state(), "names": names, "first": first}

    def restore(self, state: dict[str, Any]) -> None:
        """Become the decoder that `state` was asked of."""
        self.tally.restore(state["tally"])
        self._names = msgspec.convert(state["names"], LayerNames | None)
        self._first_names = msgspec.convert(state["first"], LayerNames | None)

    def feed(self, data: bytes) -> list[Item]:
        """Take whole lines."""
        items: list[Item] = []
        at = 0
        while at < len(data):
            end = data.rfind(b"\n", at, at + BLOCK) + 1 or data.find(b"\n", at) + 1 or len(data)
            block = self._block(data[at:end])
            items += self._lines(data[at:end]) if block is None else [block]
            at = end
        return items

    def _block(self, data: bytes) -> LayerBlock | None:
        """Many records of the usual layout at once; None where they are not all of it."""
        lines = data.count(b"\n")
        if self._layout is None or self._names is None or lines < FEW or not data.endswith(b"\n"):
            return None
        block = self._layout.decode(data, self._names)
        if block is None or len(block.step) != lines:
            return None
        self.tally.lines += lines
        self.tally.records += lines
        return block

    def _lines(self, data: bytes) -> list[Item]:
        items: list[Item] = []
        for number, line in self.tally.number(data):
            try:
                record = json_object(line)
                items.append(self._item(record))
            except (ValueError, TypeError, RecursionError) as error:
                self.tally.skip(number, str(error))
                continue
            if "names" not in record:
                self._learn(record)
        return items

    def _learn(self, record: dict[str, Any]) -> None:
        lists = {key: self._keys.get(key, False) or _is_list(record[key]) for key in record}
        if not lists.items() <= self._keys.items():
            self._keys |= lists
            self._layout = Layout.of(self._keys)

    def finish(self) -> list[Item]:
        """Nothing is held back."""
        return []

    def _item(self, record: dict[str, Any]) -> Item:
        if "names" in record:
            try:
                self._names = msgspec.convert(record, LayerNames, strict=False)
            except msgspec.ValidationError as error:
                raise ValueError(f"layer names: {error}") from error
            return self._names
        if self._names is None:
            raise ValueError("statistics before the line with the names of the layers")
        step = as_number(record.get("step"))
        if step is None or not np.isfinite(step):
            raise ValueError("no step")
        stats = {
            name: self._array(name, values)
            for name, values in record.items()
            if name not in NOT_STATS and _is_list(values)
        }
        mode = record.get("train_mode")
        self.tally.records += 1
        return LayerStats(
            step=int(step),
            epoch=as_number(record.get("epoch")),
            train_mode=None if mode is None else bool(mode),
            stats=stats,
        )

    def _array(self, name: str, values: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The values of a statistic; `null` is NaN, and strings spell non-finite numbers."""
        assert self._names is not None  # noqa: S101 - the caller has looked
        expected = len(self._names.act_names if name.startswith("act_") else self._names.names)
        if len(values) != expected:
            raise ValueError(f"{name} has {len(values)} values for {expected} layers")
        try:
            return np.array(values, np.float64)
        except (ValueError, TypeError, OverflowError):
            raise ValueError(f"{name} holds something that is no number") from None


class Layout:
    """The keys of the records, as the fields of a struct that is decoded at the speed of C.

    Args:
        keys: Key -> whether it holds a list, a value a layer.
        kind: The struct.
    """

    def __init__(self, keys: dict[str, bool], kind: type[msgspec.Struct]) -> None:
        self._keys = keys
        self._mode = f"f{list(keys).index('train_mode')}" if "train_mode" in keys else None
        self._stats = [(f"f{at}", key) for at, key in enumerate(keys) if _is_stat(key, keys)]
        self._decoder = msgspec.json.Decoder(kind, strict=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Make it again: classes that are nowhere by name cannot be pickled."""
        return Layout.of, (self._keys,)

    @classmethod
    def of(cls, keys: dict[str, bool]) -> Layout | None:
        """The layout of these keys; None where they cannot be fields."""
        types: dict[str, Any] = {"step": float, "train_mode": bool | None} | dict.fromkeys(
            ("epoch", "time", "rank"), Any
        )
        fields: list[tuple[str, Any, Any]] = []
        for at, key in enumerate(keys):
            kind = list[float | None] | None if _is_stat(key, keys) else types.get(key, NO_LIST)
            fields.append(("step" if key == "step" else f"f{at}", kind, None))
        names = {f"f{at}": key for at, key in enumerate(keys) if key != "step"}
        if "step" not in keys or len(keys) > MOST_KEYS:
            return None
        try:
            kind = msgspec.defstruct(
                "Record", fields, rename=names, gc=False, forbid_unknown_fields=True
            )
        except ValueError:  # quotes, backslashes, control characters, lone surrogates
            return None
        return cls(keys, kind)

    def decode(self, data: bytes, names: LayerNames) -> LayerBlock | None:
        """Records of this layout; None where one of them is not, or lacks what it must have."""
        records: Sequence[Any] | None = self._records(data)
        stand_ins = records is None and (b"NaN" in data or b"Inf" in data)
        if stand_ins:
            records = self._records(put_stand_ins(data))
        if not records:
            return None
        steps = [record.step for record in records]
        if None in steps:
            return None
        step = np.trunc(np.array(steps, np.float64))
        stats: dict[str, Floats] = {}
        for field, key in self._stats:
            width = len(names.act_names if key.startswith("act_") else names.names)
            lists = [getattr(record, field) for record in records]
            if all(values is None for values in lists):
                continue
            if not all(values is None or len(values) == width for values in lists):
                return None
            stats[key] = _matrix(lists, width)
            if stand_ins:
                restore(stats[key])
        if not np.isfinite(step).all() or (stand_ins and (step > LARGEST_STEP).any()):
            return None
        mode = self._mode
        modes = [_MODE[None if mode is None else getattr(each, mode)] for each in records]
        return LayerBlock(step=step, train_mode=np.array(modes, np.int8), stats=stats)

    def _records(self, data: bytes) -> Sequence[Any] | None:
        try:
            return self._decoder.decode_lines(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None


def _matrix(lists: list[list[float | None] | None], width: int) -> Floats:
    """Shape (records, layers), NaN for what is absent."""
    whole = [values for values in lists if values is not None]
    packed = pack(whole)
    # A list of floats takes as many bytes as any other of its length: see `Schema`.
    header = 1 if width < 16 else 3 if width < 1 << 16 else 5
    length = header + width * (1 + PACKED_FLOAT)
    start = len(packed) - len(whole) * length
    if 1 <= start <= 5:
        cell = np.dtype(
            {"names": ["value"], "formats": [">f8"], "offsets": [1], "itemsize": 1 + PACKED_FLOAT}
        )
        row = np.dtype(
            {
                "names": ["cells"],
                "formats": [(cell, (width,))],
                "offsets": [header],
                "itemsize": length,
            }
        )
        values = np.frombuffer(packed, row, len(whole), start)["cells"]["value"].astype(np.float64)
    else:
        values = np.array(whole, np.float64)
    if len(whole) == len(lists):
        return values
    matrix = np.full((len(lists), width), np.nan)
    matrix[[values is not None for values in lists]] = values
    return matrix


def _is_stat(key: str, keys: dict[str, bool]) -> bool:
    return keys[key] and key not in NOT_STATS


def _is_list(value: object) -> bool:
    return isinstance(value, list)
