"""What a series means, told by the name that its writer gave it.

A name is cut into words. The word for the part of the data (`train`, `val`, `eval`), words for an
average and a unit are taken away; what remains is looked up in the table of `role_names`. Names
that are not in it are custom metrics, or parts of a loss (`loss_cls`), one of which stands in for
the whole where a run logs no total.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from traintop.sources.keys import SPLITS
from traintop.sources.languages import in_english
from traintop.sources.role_names import (
    AVERAGES,
    AVERAGING_WRITERS,
    BOTH,
    GROUPS,
    MONITOR,
    MOST_WORDS,
    NAMES,
    NOT_A_LOSS,
    RATE_WORDS,
    RATES,
    SPLIT_ROLES,
    UNITS,
    WHOLE_NAMES,
    WITH_UNIT,
)
from traintop.sources.table_names import RANK_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["NAMES", "SPLIT_ROLES", "Choice", "Match", "choose", "choose_all", "role_of", "unit_of"]

_LOOKUP = {
    name: (role, rank) for role, names in NAMES.items() for rank, name in enumerate(names.split())
}
_WORDS = re.compile(r"[^0-9a-z]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_IN_BRACKETS = re.compile(r"\(([^()]{1,20})\)\s*$")
_OUTPUT = re.compile(r"\bnet output #?\d+:?")
"""Caffe numbers the outputs of the net."""

AVERAGED = 300
OF_TEST = 1000
"""What is added to the preference of an average, and of the test data, which stand in where a run
has no validation."""

OF_MONITOR = 2000
"""The preference of a monitor's returns, which stand in where the training says none."""


class Match(NamedTuple):
    """The role of a name."""

    role: str
    preference: int
    """Smaller is better, among the names that a run has for one role."""
    word: str = ""
    """The part of the name that gave it away."""
    averaged: str | None = None
    """The word that says that it is a mean over some past."""


class Choice(NamedTuple):
    """The role of a series, and why it has that."""

    role: str | None
    why: str
    """In words."""


class _Name(NamedTuple):
    """A name in words."""

    words: tuple[str, ...]
    split: str | None
    averaged: str | None = None
    unit: bool = False
    """Whether a unit was taken away."""


@lru_cache(maxsize=4096)
def role_of(name: str, table: str = "") -> Match | None:
    """The role of a series, None for a custom metric.

    Args:
        name: As the writer has it: `train/loss`, `eval_accuracy`, `lr-AdamW`.
        table: Of its rows: `val` makes a plain `loss` the validation loss.
    """
    for spelling in _spellings(name):
        words = _cut(spelling)
        whole = WHOLE_NAMES.get("_".join(words))
        if whole is not None:
            return Match(whole, 0, "_".join(words))
        for parts in chain(_readings(words), _without_group(words)):
            found = _LOOKUP.get("_".join(parts.words))
            if found is not None and (not parts.unit or found[0] in WITH_UNIT):
                split = parts.split or _split_of_table(table)
                return _match(*found, split, "_".join(parts.words), parts.averaged)
    return None


def averaged_word(name: str, beside: frozenset[str] = frozenset()) -> str | None:
    """The word for the average that the values of a series are, None where nothing says so.

    Args:
        name: Of the series.
        beside: The names of its table, by which a writer of averages is known.
    """
    words = _cut(_CAMEL.sub("_", name))
    for known, of, average in AVERAGING_WRITERS:
        if known.issubset(beside) and of.intersection((words or [""])[-1:] + words[:1]):
            return average
    return next((word for word in words if word in AVERAGES), None)


def unit_of(name: str, role: str | None = None) -> str | None:
    """The unit that a name gives: `ms`, `GiB`, `%`, `tokens/s`; None where it gives none."""
    bracket = _IN_BRACKETS.search(name)
    if bracket is not None:
        inside = bracket[1].strip()
        if len(inside) == 1 and inside.isupper() and role != "gpu_memory":
            return None  # ultralytics: precision of boxes (B), masks (M), poses (P)
        return UNITS.get(inside.lower(), inside if "/" in inside or inside == "%" else None)
    words = _cut(_CAMEL.sub("_", name))
    if role == "throughput":
        return _rate(words)
    if role == "step_time" and "ms" in words:
        return "ms"
    if "%" in name:
        return "%"
    if len(words) > 1 and words[-1] in ("sec", "s", "second") and words[-2].rstrip("s") in RATES:
        return _rate(words)
    if len(words) < 2 or "loss" in words or (len(words[-1]) == 1 and words[-2] != "in"):
        return None
    return UNITS.get(words[-1])


def unit_in_words(written: str) -> str:
    """A unit that is written behind a value: `MB` is `MiB`, `tok/s` is `tokens/s`."""
    counted, _, per = written.partition("/")
    if per and (kind := {"it": "steps"}.get(counted.lower()) or RATES.get(counted.lower())):
        return f"{kind}/{per}"
    return UNITS.get(written.lower(), written)


def _rate(words: list[str]) -> str | None:
    """What a throughput counts, a second."""
    joined = "_".join(words)
    kind = next((of for word, of in RATES.items() if word in joined), None)
    if kind is not None:
        return f"{kind}/s"
    return next((RATE_WORDS[word] for word in reversed(words) if word in RATE_WORDS), None)


def _spellings(name: str) -> tuple[str, ...]:
    plain = _OUTPUT.sub("", name) if "net output" in name else name
    plain = plain.replace("'s ", " ")  # LightGBM: `valid_0's l2`
    plain = in_english(plain)
    bracket = _IN_BRACKETS.search(plain)
    if bracket is not None and "/" in bracket[1]:
        plain = plain[: bracket.start()]
    return plain, _CAMEL.sub("_", plain)


def _cut(name: str) -> list[str]:
    return [word for word in _WORDS.split(name.lower()) if word]


def _readings(words: list[str]) -> Iterable[_Name]:
    """Ways to read a name, from all of its words to what is left without average and unit."""
    rest = list(words)
    split = _take_split(rest)
    yield _Name(tuple(rest), split)
    if "gpu" in rest[:-1] and rest[rest.index("gpu") + 1].isdigit():  # W&B numbers the devices
        device = rest.index("gpu") + 1
        rest = rest[:device] + rest[device + 1 :]
        yield _Name(tuple(rest), split)
    if len(rest) > 1 and rest[0].isdigit():  # XGBoost numbers its sets: `validation_0-logloss`
        yield _Name(tuple(rest[1:]), split)
    without = _without_unit(rest)
    yield _Name(without, split, unit=True)
    average = next((word for word in rest if word in AVERAGES), None)
    if average is not None:
        left = [word for word in rest if word not in AVERAGES]
        yield _Name(tuple(left), split, average)
        if len(left) > 1 and left[0].isdigit():  # `mean 100 episode reward`
            yield _Name(tuple(left[1:]), split, average)
        yield _Name(_without_unit(left), split, average, unit=True)
    # A part of the data may be said twice: `train/train_loss`, `eval/val_loss`.
    if split is not None and _take_split(rest) is not None:
        yield _Name(tuple(rest), split)


def _without_group(words: list[str]) -> Iterable[_Name]:
    return _readings(words[1:]) if len(words) > 1 and words[0] in GROUPS else ()


def _without_unit(words: list[str]) -> tuple[str, ...]:
    if len(words) < 2 or words[-1] not in UNITS:
        return tuple(words)
    return tuple(words[:-2] if len(words) > 2 and words[-2] == "in" else words[:-1])


def _match(
    role: str, preference: int, split: str | None, word: str, averaged: str | None
) -> Match | None:
    """The role in a part of the data: a learning rate of the validation is none."""
    if split == "test":
        preference += OF_TEST
    if averaged is not None:
        preference += AVERAGED
    if role in SPLIT_ROLES:
        role = f"{role}/{'train' if split in (None, 'train') else 'val'}"
        return Match(role, preference, word, averaged)
    if split in (None, "train") or role in BOTH:
        return Match(role, preference, word, averaged)
    return None


def _take_split(words: list[str]) -> str | None:
    """Take the word away that says which part of the data is meant: the first, last or second."""
    for place in (0, -1, 1):
        if 1 < len(words) > place and words[place] in SPLITS:
            return SPLITS[words.pop(place)]
    return None


def _split_of_table(table: str) -> str | None:
    """`val` for `val`, `rank00003/val`, `eval_metrics`; None where the name says nothing."""
    words = _WORDS.split(RANK_TABLE.sub("", table).rpartition("/")[2].lower())
    return SPLITS.get(words[0]) or SPLITS.get(words[-1])


def part_of_loss(name: str, table: str = "") -> tuple[str, str] | None:
    """Which part of a loss a series is, of which part of the data; None if it is none.

    Returns:
        `train`, `val` or `test`; and what distinguishes it from the other parts: `cls` of
        `train/loss_cls`.
    """
    words = _cut(_CAMEL.sub("_", name))
    split = _take_split(words) or _split_of_table(table) or "train"
    words = [word for word in words if word not in AVERAGES]
    others = [word for word in words if word not in ("loss", "losses")]
    if len(words) > MOST_WORDS or len(others) in (0, len(words)):
        return None
    if NOT_A_LOSS.intersection(others):
        return None
    return split, "_".join(others)


def choose(series: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The one series that has each role: the best name, and among equals the first.

    Args:
        series: Table and name of each series, in the order in which they turned up. Those of other
            ranks than 0 have no part in this.

    Returns:
        Role -> table and name.
    """
    chosen = choose_all(series)
    return {choice.role: each for each, choice in chosen.items() if choice.role is not None}


def choose_all(
    series: Iterable[tuple[str, str]], given: Mapping[tuple[str, str], str] | None = None
) -> dict[tuple[str, str], Choice]:
    """The same, with the reason, by series.

    Args:
        series: Table and name of each series, as for `choose`.
        given: Roles that a person has given to series; `none`: it has none, whatever its name.
    """
    given = given or {}
    series = [each for each in series if not RANK_TABLE.search(each[0])]
    chosen = {each: Choice(given[each], "") for each in series if given.get(each, "none") != "none"}
    taken = {choice.role for choice in chosen.values()}
    candidates = [each for each in series if each not in given]
    best: dict[str, tuple[tuple[int, bool], tuple[str, str], Match]] = {}
    matches = [(*each, match) for each in candidates if (match := role_of(each[1], each[0]))]
    letters = [each for each in candidates if each[1] in MONITOR]
    matches += [
        (table, "r", Match("reward", OF_MONITOR, "r"))
        for table in dict.fromkeys(table for table, _ in letters)
        if MONITOR.issubset(name for of, name in letters if of == table)
    ]
    evaluated = {table for table, _, match in matches if match.role.endswith("/val")}
    for table, name, match in matches:
        if match.role in taken:
            continue
        # `balanced_accuracy` is worth more on data that was not trained on.
        of_val = match.role in BOTH and table.rpartition("/")[2] == "val"
        # nanoGPT evaluates on training data too: `train loss` and `val loss` beside `loss`.
        estimated = table in evaluated and _says_train(name)
        preference = match.preference - of_val, estimated
        if match.role not in best or preference < best[match.role][0]:
            best[match.role] = (preference, (table, name), match)
    for role, (_, each, match) in best.items():
        average = f", an average ({match.averaged})" if match.averaged else ""
        chosen[each] = Choice(role, f"`{match.word}` in its name{average}")
    total = "loss/train" in taken or "loss/train" in best
    for role, each, why in _parts(candidates, total=total):
        if role not in taken and role not in best and each not in chosen:
            chosen[each] = Choice(role, why)
    return chosen


def _says_train(name: str) -> bool:
    """Whether the name of a series itself says that it is of the training data."""
    return _take_split(_cut(_CAMEL.sub("_", name))) == "train"


def _parts(
    series: list[tuple[str, str]], *, total: bool
) -> Iterable[tuple[str, tuple[str, str], str]]:
    """Let a part of the loss stand for the whole, where no total is logged.

    In training that is the first part. In validation it is the same part; beside a total in
    training, the first that is no part of that: a loss on one of several sets of data.
    """
    parts: dict[str, dict[str, tuple[str, str]]] = {"train": {}, "val": {}, "test": {}}
    for table, name in series:
        if role_of(name, table) is None and (part := part_of_loss(name, table)) is not None:
            parts[part[0]].setdefault(part[1], (table, name))
    train, val = parts["train"], parts["val"] or parts["test"]
    first = next(iter(train), None)
    if first is not None and not total:
        yield "loss/train", train[first], _first_of(train, "parts of the loss, no total")
        if first in val:
            yield "loss/val", val[first], "the part of the loss that is taken in training"
            return
        if val:
            return
    other = next((part for part in val if part not in train), None)
    if other is not None:
        yield "loss/val", val[other], _first_of(val, "validation losses")


def _first_of(parts: Mapping[str, object], what: str) -> str:
    if len(parts) == 1:
        return f"the only one of the {what}" if "validation" not in what else "a validation loss"
    return f"the first of {len(parts)} {what}: {', '.join(list(parts)[:4])}"
