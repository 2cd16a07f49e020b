"""Which keys of a record say where it stands: its step, epoch, time, and part of the data."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, cast

STEP_KEYS = (
    "step", "global_step", "trainer/global_step", "train/global_step", "_step", "global_steps",
    "current_steps", "current_step", "train_step", "num_updates", "train_num_updates",
    "valid_num_updates", "iteration", "iter", "iterations", "it", "update", "n_updates",
    "total_timesteps", "time/total_timesteps", "total/steps", "misc/total_timesteps", "timesteps",
    "timestep", "env_steps", "training_step", "batches_done", "round",
    "training_iteration", "episode", "steps",
)  # fmt: skip
"""Names of the step counter, the better first."""

PER_EPOCH_KEYS = frozenset({"iter", "iteration", "it"})
"""Counters that many writers start anew in each epoch."""

EPOCH_KEYS = (
    "epoch",
    "epochs",
    "_epoch",
    "train/epoch",
    "trainer/epoch",
    "train_epoch",
    "current_epoch",
)
TIME_KEYS = ("_timestamp", "timestamp", "wall_time", "time", "datetime", "date", "created_at")
SPLIT_KEYS = ("split", "mode", "phase", "stage", "subset", "dataset", "data")

SPLITS = {
    "train": "train", "training": "train", "train_inner": "train", "fit": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "eval": "val",
    "evaluation": "val", "evaluate": "val", "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
"""What writers call the part of the data that a record speaks of -> the table it goes to."""

SETTINGS_KEYS = frozenset(
    {"config", "cfg", "args", "hparams", "hyperparameters", "hyper_parameters", "env_info"}
)
"""Keys that hold the settings of a run, not measurements."""

FIRST_WALL_CLOCK = 1e8
"""Seconds since 1970 (1973): smaller numbers under `time` are durations."""

_UNIT = re.compile(r"\s*[\[(][^\[\]()]*[\])]\s*$|\s*#\s*$")
_GAPS = re.compile(r"[\s_-]+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")


class Keys:
    """The special keys of one file. A choice once made stays, so that a series keeps its axis."""

    def __init__(self) -> None:
        self.step: str | None = None
        self.other_steps: tuple[str, ...] = ()
        """Further step counters, which stand in where a record lacks the first."""
        self.epoch: str | None = None
        self.time: str | None = None
        self.time_unit = 1.0
        """Seconds in a unit of the time key."""
        self.split: str | None = None

    def copy(self) -> Keys:
        """The same choices, to go on from."""
        same = Keys()
        vars(same).update(vars(self))
        return same

    def state(self) -> dict[str, Any]:
        """The choices, in plain values."""
        return dict(vars(self))

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from choices made before."""
        vars(self).update(state, other_steps=tuple(state["other_steps"]))

    @property
    def chosen(self) -> set[str]:
        """The keys that say where a record stands."""
        named = (self.step, *self.other_steps, self.epoch, self.time, self.split)
        return {key for key in named if key is not None}

    def __eq__(self, other: object) -> bool:
        """Whether the same was chosen."""
        return isinstance(other, Keys) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # choices change

    def learn(self, new: dict[str, object]) -> None:
        """Look at the keys that a record brings for the first time, with their values."""
        new = new | {
            f"{key}/mean": value["mean"]
            for key, value in new.items()
            if isinstance(value, dict) and "mean" in value
        }
        names = {plain(key): key for key in reversed(list(new))}
        steps = [names[name] for name in STEP_KEYS if name in names and _counts(new[names[name]])]
        if self.step is None and not steps:
            steps = _nested_step(new)
        if self.step is None and steps:
            self.step = steps.pop(0)
        self.other_steps += tuple(steps)
        if self.epoch is None:
            self.epoch = next((names[name] for name in EPOCH_KEYS if name in names), None)
        if self.split is None:
            found = (names[name] for name in SPLIT_KEYS if name in names)
            self.split = next((key for key in found if split_of(new[key])), None)
        if self.time is None:
            for key in (names[name] for name in TIME_KEYS if name in names):
                unit = _time_unit(new[key])
                if unit:
                    self.time, self.time_unit = key, unit
                    break


def plain(key: str) -> str:
    """A key as it is looked up: `Global Step` is `global_step`, `epoch [n]` is `epoch`."""
    lower = key.strip().lower()
    found = _GAPS.sub("_", _UNIT.sub("", lower))
    return f"_{found.strip('_')}" if lower.startswith("_") else found.strip("_")


def split_of(value: object) -> str | None:
    """The table that a value of a split key stands for; None if it is no such value."""
    return SPLITS.get(value.strip().lower()) if isinstance(value, str) else None


def as_number(value: object) -> float | None:
    """The number that a JSON value is, or spells; None if it is none.

    Takes `"1.784"`, `"NaN"`, `"-inf"`, `"1,234.5"`; refuses `"1_000"`, `"12 %"`, `""`.
    """
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    if not isinstance(value, str) or len(value) > 64 or "_" in value:
        return None
    text = value.strip()
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        return float(text)
    except ValueError:
        return None


def seconds(value: object, unit: float) -> float:
    """A time as seconds since 1970; NaN if it is none. A date without a zone is in local time."""
    number = as_number(value)
    if number is not None:
        return number * unit
    if isinstance(value, str):
        try:
            return dt.datetime.fromisoformat(value.strip()).timestamp()
        except (ValueError, OverflowError, OSError):
            pass
    return float("nan")


def _time_unit(value: object) -> float | None:
    """Seconds in a unit of this time; None if it is no time of day."""
    number = as_number(value)
    if number is None:
        return 1.0 if seconds(value, 1.0) > FIRST_WALL_CLOCK else None
    if not FIRST_WALL_CLOCK < number < 1e21:
        return None
    return next(unit for unit in (1.0, 1e-3, 1e-6, 1e-9) if number * unit < 1e11 or unit == 1e-9)


def _counts(value: object) -> bool:
    return value is None or as_number(value) is not None


def _nested_step(new: dict[str, object]) -> list[str]:
    """The step in an object of a record that has none of its own: `{"fields": {"step": 3}}`."""
    for key, value in new.items():
        if isinstance(value, dict) and key.lower() not in SETTINGS_KEYS | {"time", "timing"}:
            inside = cast("dict[str, object]", value)
            for name in ("global_step", "step", "iteration"):
                if isinstance(inside.get(name), int):
                    return [f"{key}/{name}"]
    return []
