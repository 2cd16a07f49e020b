"""Checkup: every analysis that applies, one after the other, as a report on the code of a training.

Where `traintop check` reads what a run has recorded, this looks at the data, the model, one batch,
the training and the hyperparameters themselves, each with a small budget, and stops what would only
repeat that something earlier is broken (`checkup_plan`). Each part begins with the model as it was
loaded, so that none spoils the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from traintop.analyses.batches import seed_everything
from traintop.analyses.checkup_plan import (
    PARTS,
    SECTIONS,
    SEVERITIES,
    Ground,
    Part,
    first_of,
    grounds_broken,
    status_of,
    verdict_of,
    worst_of,
)
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.saved_weights import SavedWeights
from traintop.analyses.target import describe

if TYPE_CHECKING:
    import torch

SHARE = 100
"""Units of progress that each part counts for."""
ADVICE = 3
"""Things to do that the report names; more would hide the first."""
WORDS = {
    "healthy": "ok",
    "info": "advice",
    "warning": "WARNING",
    "critical": "CRITICAL",
    "failed": "not told",
    "skipped": "skipped",
    "blocked": "blocked",
}


class _OutOfTimeError(AnalysisFailedError):
    """A part has used up its seconds."""


class _Pristine:
    """A model as it was loaded: weights, buffers, attributes, modes, and what is to be trained."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._saved = SavedWeights(model)
        self._trained = [(each, each.requires_grad) for each in model.parameters()]
        self._modes = [(module, module.training) for module in model.modules()]

    def restore(self) -> None:
        """Put everything back; gradients are dropped."""
        self._saved.restore()
        for parameter, trained in self._trained:
            parameter.requires_grad_(trained)
        for module, mode in self._modes:
            module.training = mode


def run(context: Context) -> Outcome:
    """Run all parts.

    Raises:
        AnalysisFailedError: A bad option, or sharded weights.
    """
    if context.ranks.sharded:
        raise AnalysisFailedError("checkup cannot look at sharded weights: leave --shard out")
    seconds = context.number("seconds")
    if not seconds > 0:
        raise AnalysisFailedError(f"seconds must be above 0, not {seconds:g}")
    pristine = _Pristine(context.model)
    broken: dict[Ground, str] = {}
    """By what is broken: the part that found it so."""
    rows: list[dict[str, Any]] = []
    findings: list[dict[str, Any]] = []
    for number, part in enumerate(PARTS):
        row, found, result = _part(context, part, number, broken, seconds)
        pristine.restore()
        rows.append(row)
        findings += found
        for ground in grounds_broken(part, row["status"], found, result):
            broken.setdefault(ground, part.id)
    context.progress(len(PARTS) * SHARE, len(PARTS) * SHARE, "all parts")
    return Outcome(result=_result(rows, findings), findings=findings)


def _part(
    context: Context, part: Part, number: int, broken: Mapping[Ground, str], seconds: float
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Run one part, if there is any use in it: its row of the report, findings and result."""
    from traintop.analyses import ANALYSES

    analysis = ANALYSES[part.id]
    row: dict[str, Any] = {
        "analysis": part.id,
        "title": analysis.title,
        "section": part.section,
        "vital": part.vital is not None,
        "seconds": 0.0,
    }
    context.progress(number * SHARE, len(PARTS) * SHARE, analysis.title)
    by = next((broken[ground] for ground in part.stands_on if ground in broken), None)
    if by is not None:
        line = f"says nothing while what the {ANALYSES[by].title.lower()} found stands"
        return row | {"status": "blocked", "by": by, "line": line}, [], {}
    lacking = [name for name in analysis.needs if getattr(context.target, name) is None]
    if lacking:
        line = f"needs {' and '.join(lacking)} in the Target"
        return row | {"status": "skipped", "line": line}, [], {}
    began = time.monotonic()
    options: dict[str, float | None] = {each.name: each.default for each in analysis.options}
    mine = replace(
        context,
        options=options | dict(part.budget),
        initial=context.initial if analysis.keeps_initial else None,
        progress=_progress(context, analysis.title, number, began + seconds),
        point=_no_point,
        log=_log(context, analysis.title),
    )
    seed_everything(context.seed)
    module = import_module(f"traintop.analyses.{part.id}")
    try:
        outcome: Outcome = module.run(mine)
        line = module.summary(outcome.result)[0]
    except _OutOfTimeError:
        line = f"not done within {seconds:g} s: run it by itself"
        return row | {"status": "failed", "line": line, "vital": False}, [], {}
    except AnalysisFailedError as error:
        return row | {"status": "failed", "line": _first_line(str(error))}, [], {}
    except Exception as error:  # noqa: BLE001 - the user's code may fail in any way; the rest goes on
        return row | {"status": "failed", "line": _first_line(describe(error))}, [], {}
    found = sorted(outcome.findings, key=lambda each: -_rank(each))
    row["status"] = status_of(found)
    row["seconds"] = round(time.monotonic() - began, 3)
    # What is only advice must not hide what was measured.
    row["line"] = found[0]["title"] if row["status"] in ("warning", "critical") else line
    return row, found, outcome.result


def _progress(
    context: Context, title: str, number: int, deadline: float
) -> Callable[[int, int, str], None]:
    """The progress of a part as that of the whole; it ends a part that takes too long."""
    reached = 0

    def tell(done: int, total: int, what: str) -> None:
        nonlocal reached
        if time.monotonic() > deadline:
            raise _OutOfTimeError
        # An analysis that counts several things one after the other begins anew with each.
        reached = max(reached, SHARE * done // total if total else 0)
        context.progress(number * SHARE + reached, len(PARTS) * SHARE, f"{title}: {what}")

    return tell


def _no_point(_x: float, _y: float, _series: str) -> None:
    """The parts have no axis in common for a live chart."""


def _log(context: Context, title: str) -> Callable[[str], None]:
    return lambda text: context.log(f"{title}: {text}")


def _result(rows: Sequence[dict[str, Any]], findings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    sections = [
        {"name": name, "verdict": verdict_of(mine), "parts": mine}
        for name in SECTIONS
        if (mine := [row for row in rows if row["section"] == name])
    ]
    serious = [found for found in findings if found["severity"] != "info"]
    serious.sort(key=_rank, reverse=True)
    done = {row["analysis"] for row in rows}
    steps = [step for found in serious for step in found["next"]]
    advice = [step["do"] for step in steps if step.get("analysis") not in done]
    return {
        "verdict": verdict_of(rows),
        "first": first_of(rows),
        "worst": worst_of(rows),
        "blocked": [
            {"analysis": row["analysis"], "title": row["title"], "by": row["by"]}
            for row in rows
            if row["status"] == "blocked"
        ],
        "advice": list(dict.fromkeys(advice))[:ADVICE],
        "sections": sections,
    }


def summary(result: Mapping[str, Any]) -> list[str]:
    """The report in lines of text: the verdict, what to do, then a line a part."""
    verdict, first, worst = result["verdict"], result["first"], result["worst"]
    parts = [part for section in result["sections"] for part in section["parts"]]
    told = sum(part["status"] in ("healthy", "info", "warning", "critical") for part in parts)
    if worst is not None:
        lines = [f"{verdict.upper()}: {worst['title']}: {worst['line']}"]
        if first != worst:
            lines.append(f"It begins with {first['title']}: {first['line']}")
    elif verdict == "healthy":
        far = "" if told == len(parts) else " as far as could be told"
        lines = [f"HEALTHY{far}: {told} of {len(parts)} checks found nothing wrong"]
    else:
        lines = [f"{verdict.upper()}: none of {len(parts)} checks could tell anything"]
    if result["blocked"]:
        names = ", ".join(each["title"].lower() for each in result["blocked"])
        lines.append(f"That blocks: {names}. Mend it, then run the checkup again.")
    lines += [f"{number}. {text}" for number, text in enumerate(result["advice"], 1)]
    width = max((len(part["title"]) for part in parts), default=0)
    for section in result["sections"]:
        lines += ["", f"{section['name']}: {section['verdict'].upper()}"]
        lines += [
            f"  {WORDS[part['status']]:<8} {part['title']:<{width}}  {part['line']}"
            for part in section["parts"]
        ]
    return lines


def _rank(found: Mapping[str, Any]) -> int:
    return SEVERITIES.index(found["severity"])


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else "no reason given"
