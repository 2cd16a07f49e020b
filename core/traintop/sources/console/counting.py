"""Whether a number of a line counts, by its name or by how it is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from traintop.sources.console.numbers import is_count
from traintop.sources.console.vocabulary import (
    EPOCHS,
    INNER,
    NOT_COUNTED,
    PLURAL,
    STEPS,
    is_metric,
    normal,
    split_in,
)
from traintop.sources.languages import counted_behind

if TYPE_CHECKING:
    from traintop.sources.console.field import Field

COUNTERS = frozenset(STEPS) | EPOCHS | INNER
_AFTER = re.compile(r"\s*(?:[Aa]fter|[Aa]t|[Ii]n)?\s*$")
_COUNTED = re.compile(r"\s(iteration|step|epoch|update|batch)(?:s|es)?\b")
_VALUE = re.compile(r"\s+-?\d+\.\d")
_NUMBERED = re.compile(r":\s+-?\d+\.\d")
_NAME_NEXT = re.compile(r"\s+[\[(]?([A-Za-z][A-Za-z_/ -]{0,40})\.?(?:\s*[:=]\s*| )-?\d")
_PIPED = re.compile(r"\|\d+\|[A-Za-z]")
_DARKNET = re.compile(r":\s-?[\d.]+,\s-?[\d.]+ [a-z]")


def count(field: Field, opener: str, after: str, previous: Field | None, line_after: str) -> None:
    """Say whether a number counts, by its name or by how it is written."""
    if field.explicit and normal(field.name) in EPOCHS and not is_count(field.text):
        field.counter = "epoch"  # Hugging Face counts parts of epochs.
        return
    listed = opener and after[:1] == "," and not field.leads
    if not is_count(field.text) or (listed and normal(field.name) not in COUNTERS):
        return
    name = (
        re.sub(r"\s?[(\[].*$", "", field.name)
        if "(" in field.name or "[" in field.name
        else field.name
    )
    if name != field.name:
        field.before += field.name[len(name) :]
    whole = normal(name).strip("#_-")
    last = normal(name.replace("-", " ").replace(".", " ").rpartition(" ")[2]).strip("#")
    words = normal(name).replace("-", "_").split("_")
    if whole in COUNTERS or (last in COUNTERS and "/" not in last):
        counted = whole if whole in COUNTERS else last
        amount = (
            len(words) > 1
            and whole not in COUNTERS
            and words[-2] in NOT_COUNTED
            and words[-3:-1] != ["end", "of"]
        )
        if last in PLURAL and not (field.leads or not field.before.strip()):
            beside_epoch = previous is not None and previous.counter in EPOCHS
            named = (whole == counted == "steps" or words[-2:-1] == ["learner"]) and field.explicit
            amount = amount or not (beside_epoch or named)
        if field.glued and field.unit not in ("it", "e"):
            amount = True
        if not amount:
            field.counter = counted
            if whole not in COUNTERS:
                field.before += " " + name[: len(name) - len(last)]
            field.epoch_of = (
                counted == "batch"
                and field.total >= 0
                and field.before.rstrip().endswith(("TRAIN", "CV"))
            )
            return
    behind = counted_behind(after)
    if behind is None and field.glued and field.unit in ("epoch", "iter", "batch", "step"):
        behind = field.unit
    if behind is None and previous is None and _AFTER.match(field.before) and not field.name:
        spelled = _COUNTED.match(after)
        behind = spelled and spelled[1]
        field.unit = spelled[0].strip() if spelled else field.unit
    if behind is not None:
        field.counter, field.name = behind, ""
        return
    numbered = _VALUE.match(line_after) or ("loss" in field.name and _NUMBERED.match(line_after))
    if numbered and is_metric(field.name) and not field.explicit and field.total < 0:
        field.counter = "step"
        return
    bracketed = opener.endswith(("[", "("))
    if field.leads and field.name == "s" and field.explicit:
        field.counter = "step"  # llm.c
        return
    if field.total >= 0:
        epoch_before = previous is not None and bool(previous.counter)
        named = re.match(r"\s*(?:batches|steps|iters|iterations|it\b|\[)", after) is not None
        passes = field.glued and field.unit in ("it", "it/")
        if not field.name or passes or (bracketed and not is_metric(field.name)):
            leads = field.leads or split_in(field.name) is not None
            pair = leads and re.match(r"\]\s?\[\d", line_after) is not None
            field.counter = "epoch" if pair else "#"
            field.before += " " + field.name
        elif named and epoch_before:
            field.counter = "#"
        if field.counter:
            field.name = ""
        return
    if normal(field.name) in ("train", "training") and re.match(r"\s*\[\s*$", after):
        field.counter, field.before = "epoch", field.name
        return
    if not field.name:
        bare = field.leads and not opener
        if bare and re.match(r":(?:\t|\s{2,})[A-Za-z]", after):
            field.counter = "step"  # CatBoost
        elif bare and (_DARKNET.match(line_after) or _leads_metric(line_after)):
            field.counter = "step"
        elif bare and _PIPED.match(line_after):
            field.counter = "epoch"  # torchtune: `1|120|Loss: 0.53`
        elif (
            previous is not None
            and previous.leads
            and previous.counter == "epoch"
            and field.before == after[:1] == "|"
        ):
            field.counter = "step"
        elif previous is not None and previous.counter and bracketed and after[:1] in ("]", ")"):
            field.counter = "#"
        elif field.leads and opener == "[" and re.match(r"\]", after):
            field.counter = "step"
        elif field.leads and opener == "[" and re.match(r",\s*\d*", after):
            field.counter = "epoch"
        elif (
            previous is not None
            and previous.leads
            and previous.counter == "epoch"
            and after[:1] == "]"
        ):
            field.counter = "#"


def _leads_metric(after: str) -> bool:
    """Whether the name of a measurement comes next: `120 [D loss: 0.53]`, `120 loss 0.53`."""
    found = _NAME_NEXT.match(after)
    return found is not None and is_metric(found[1].strip())
