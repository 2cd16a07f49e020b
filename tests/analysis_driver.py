"""Runs an analysis in this process, on a model of the test's own."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import nn

from traintop.analyses import ANALYSES
from traintop.analyses.context import Context, Outcome
from traintop.analyses.target import Target

CONTEXT_FIELDS = ("seed", "step", "checkpoint", "compare", "initial", "optimizer_state")


def analyze(name: str, model: nn.Module, data: Any, **given: Any) -> Outcome:
    """Run the analysis called `name`.

    Args:
        name: Its id.
        model: On the CPU.
        data: The target's `train`.
        given: `options`, `logged` (a list), fields of the context; the others are the target's.
    """
    options: dict[str, float | None] = {each.name: each.default for each in ANALYSES[name].options}
    options |= given.pop("options", {})
    logged: list[str] = given.pop("logged", [])
    fields = {key: given.pop(key) for key in CONTEXT_FIELDS if key in given}
    context = Context(
        target=Target(model=model, train=data, **given),
        model=model,
        device=torch.device("cpu"),
        options=options,
        progress=check_progress,
        point=lambda _x, _y, _series: None,
        log=logged.append,
        **({"seed": 0} | fields),
    )
    outcome: Outcome = import_module(f"traintop.analyses.{name}").run(context)
    return outcome


def check_progress(done: int, total: int, what: str) -> None:
    """Progress is a count within its total, and says of what."""
    assert 0 <= done <= total or total == 0
    assert what


def lines_of(name: str, outcome: Outcome) -> str:
    """The summary as one text."""
    module = import_module(f"traintop.analyses.{name}")
    lines: list[str] = module.summary(outcome.result)
    return "\n".join(lines)
