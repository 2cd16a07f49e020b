"""Runs an analysis in this process, on a target made in a test."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch

from traintop.analyses import ANALYSES
from traintop.analyses.context import Context, Outcome
from traintop.analyses.target import Target


def analyse(
    name: str, target: Target, *, context: dict[str, Any] | None = None, **options: float
) -> Outcome:
    """Run an analysis; `context` replaces fields of the `Context`, the rest are its options."""
    defaults: dict[str, float | None] = {o.name: o.default for o in ANALYSES[name].options}
    fields: dict[str, Any] = {
        "target": target,
        "model": target.model,
        "device": torch.device("cpu"),
        "seed": 0,
        "options": defaults | options,
        "step": 300,
        "progress": lambda _done, _total, _what: None,
        "point": lambda _x, _y, _series: None,
        "log": lambda _text: None,
    }
    made = Context(**(fields | (context or {})))
    outcome: Outcome = import_module(f"traintop.analyses.{name}").run(made)
    return outcome


def ids(outcome: Outcome) -> list[str]:
    """The ids of the findings."""
    return [found["id"] for found in outcome.findings]
