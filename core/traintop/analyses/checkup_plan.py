"""What a checkup looks at, in which order, and what is not worth a look once something is broken.

The order is that in which one debugs by hand: data, model, one batch, training, hyperparameters
(Karpathy, "A Recipe for Training Neural Networks", 2019; Google's "Deep Learning Tuning Playbook").
A later test says nothing where what it stands on is broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Ground = Literal["model", "loss", "numbers", "gradients", "signal"]
"""The model runs; its loss can be computed; that is finite; `backward` is right; the output depends
on the input."""
Status = Literal["healthy", "info", "warning", "critical", "failed", "skipped", "blocked"]
"""`failed`: it could not be told; `skipped`: the target lacks what it needs."""

BROKEN_BY: dict[str, Ground] = {
    "shape_mismatch": "model",
    "wrong_loss": "loss",
    "labels_broken": "loss",
    "nan_inf": "numbers",
    "wrong_gradients": "gradients",
    "class_collapse": "signal",
    "not_learning": "signal",
}
"""What a critical finding breaks."""
SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One analysis of the checkup, with a budget that is small beside that of its own."""

    id: str
    section: str
    stands_on: tuple[Ground, ...] = ()
    budget: Mapping[str, float] = field(default_factory=dict[str, float])
    vital: Ground | None = None
    """What is broken where it cannot be told."""


PARTS = (
    Part(id="data", section="data", budget={"samples": 5000}),
    Part(id="shapes", section="model", vital="loss"),
    Part(id="weights", section="model"),
    Part(
        id="loss_function",
        section="model",
        stands_on=("model", "loss"),
        budget={"batches": 4, "labels": 5000},
        vital="loss",
    ),
    Part(
        id="overfit_one_batch",
        section="one batch",
        stands_on=("model", "loss", "numbers"),
        budget={"steps": 300},
    ),
    Part(
        id="gradient_check",
        section="one batch",
        stands_on=("model", "loss", "numbers"),
        budget={"elements": 2},
    ),
    Part(
        id="gradient_flow",
        section="one batch",
        stands_on=("model", "loss", "numbers"),
        budget={"batches": 4},
    ),
    Part(id="nan_source", section="one batch", stands_on=("model", "loss"), budget={"batches": 20}),
    Part(
        id="dead_neurons",
        section="training",
        stands_on=("model", "numbers"),
        budget={"samples": 1000},
    ),
    Part(
        id="predictions",
        section="training",
        stands_on=("model", "numbers"),
        budget={"samples": 2000},
    ),
    Part(
        id="lr_find",
        section="hyperparameters",
        stands_on=("model", "loss", "numbers", "gradients", "signal"),
        budget={"num_it": 60},
    ),
    Part(
        id="batch_size",
        section="hyperparameters",
        stands_on=("model", "loss", "numbers", "signal"),
        budget={"most": 256, "step_seconds": 1, "noise_batches": 16},
    ),
)
"""In the order in which they are run."""
SECTIONS = tuple(dict.fromkeys(part.section for part in PARTS))


def status_of(findings: Iterable[Mapping[str, Any]]) -> Status:
    """How bad the worst of some findings is."""
    ranks = [SEVERITIES.index(found["severity"]) for found in findings]
    worst: tuple[Status, ...] = ("info", "warning", "critical")
    return worst[max(ranks)] if ranks else "healthy"


def grounds_broken(
    part: Part, status: Status, findings: Sequence[Mapping[str, Any]], result: Mapping[str, Any]
) -> set[Ground]:
    """What the answer of a part says is broken."""
    if status == "failed" and part.vital is not None:
        return {part.vital}
    if not findings:
        return set()
    # Numbers that were finite until it had trained on a while may be the learning rate's doing,
    # which is for the range test to tell.
    late = part.id == "nan_source" and result["trained"] and result["looked"] > 1
    return {
        BROKEN_BY[found["id"]]
        for found in findings
        if found["severity"] == "critical" and found["id"] in BROKEN_BY and not late
    }


def verdict_of(rows: Sequence[Mapping[str, Any]]) -> Status | Literal["not judged"]:
    """The verdict on some parts: the worst that was found, `healthy` where that is nothing."""
    judged = [row for row in rows if row["status"] in ("healthy", *SEVERITIES)]
    broken = any(row["status"] == "failed" and row["vital"] for row in rows)
    if broken or any(row["status"] == "critical" for row in judged):
        return "critical"
    if any(row["status"] == "warning" for row in judged):
        return "warning"
    return "healthy" if judged else "not judged"


def first_of(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first part that something is wrong with, in the order in which one debugs."""
    return next((row for row in rows if _is_bad(row)), None)


def worst_of(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The part that is worst, the first of them."""
    bad = [row for row in rows if _is_bad(row)]
    return min(bad, key=lambda row: row["status"] == "warning", default=None)


def _is_bad(row: Mapping[str, Any]) -> bool:
    return row["status"] in ("warning", "critical") or (row["status"] == "failed" and row["vital"])
