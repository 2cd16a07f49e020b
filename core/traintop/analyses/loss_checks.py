"""What is wrong with a call of a loss function: shapes, targets, and what the model puts into it.

Each check takes one call and says nothing of a sound one. They are the mistakes that UMLAUT
(Schoop et al., CHI 2021), TheDeepChecker (Ben Braiek and Khomh, 2022) and the documentation of
`torch.nn.functional` warn of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from traintop.analyses.loss_watch import (
    BINARY_LOSSES,
    CLASS_LOSSES,
    REGRESSION_LOSSES,
    LossCall,
)

SUM_TOLERANCE = 1e-2
"""How far a row of probabilities may be from 1: bfloat16 has three digits."""
BOUNDED_VALUES = 100
"""From so many values on, values that fill [0, 1] to within a tenth of both ends and never leave it
are taken for probabilities although no sigmoid was seen."""
WITH_LOGITS = frozenset(("cross_entropy", "binary_cross_entropy_with_logits"))
"""Losses that apply the softmax or the sigmoid themselves."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One mistake."""

    id: str
    """The finding that it makes."""
    severity: str
    text: str
    fix: str
    what: str
    """The evidence: what was measured, its value and what it must not pass."""
    value: float
    threshold: float

    @property
    def title(self) -> str:
        """The text as a title; names of functions stay as they are."""
        is_name = "_" in self.text.split(maxsplit=1)[0]
        return self.text if is_name else self.text[0].upper() + self.text[1:]


def classes_of(call: LossCall) -> int:
    """The number of classes that a cross-entropy is computed over."""
    return int(call.input.shape[1 if call.input.ndim > 1 else 0]) if call.input.ndim else 1


def rows_of(call: LossCall) -> torch.Tensor:
    """The inputs as float rows of classes, shape (values, C); binary losses have C = 1."""
    given = call.input.float()
    if call.name in CLASS_LOSSES and given.ndim > 1:
        return given.movedim(1, -1).reshape(-1, given.shape[1])
    if call.name in BINARY_LOSSES and not (given.ndim == 2 and given.shape[1] > 1):
        return given.reshape(-1, 1)
    return given.reshape(-1, given.shape[-1] if given.ndim else 1)


def looks_like(rows: torch.Tensor, origin: str | None = None) -> str:
    """Tell `logits`, `probabilities` and `log_probabilities` apart.

    Args:
        rows: Shape (values, C), float.
        origin: The activation that they come from, where that is known.
    """
    if origin in ("sigmoid", "softmax"):
        return "probabilities"
    if not rows.numel() or not bool(rows.isfinite().all()):
        return "log_probabilities" if origin in ("log_softmax", "logsigmoid") else "logits"
    low, high = float(rows.min()), float(rows.max())
    if rows.shape[1] > 1:
        if low >= 0 and high <= 1 + SUM_TOLERANCE and _all_near(rows.sum(1), 1.0):
            return "probabilities"
        if high <= SUM_TOLERANCE and _all_near(rows.logsumexp(1), 0.0):
            return "log_probabilities"
    elif 0 <= low < 0.1 and 0.9 < high <= 1 and rows.numel() >= BOUNDED_VALUES:
        return "probabilities"
    return "logits"


def guess(call: LossCall) -> float | None:
    """The loss of a model that knows nothing, under the same weights, reduction and targets.

    For plain cross-entropy it is ln C, for the binary one ln 2; None for other losses.
    """
    if call.name in WITH_LOGITS:
        neutral = 0.0
    elif call.name == "nll_loss":
        neutral = -math.log(max(classes_of(call), 1))
    elif call.name == "binary_cross_entropy":
        neutral = 0.5
    else:
        return None
    blank = torch.full_like(call.input, neutral, dtype=torch.float32)
    options = {key: _as_float(value) for key, value in call.options.items()}
    target = call.target.float() if call.target.is_floating_point() else call.target
    value = call.function(blank, target, **options)
    return float(value) if value.numel() == 1 else None


def shape_fault(call: LossCall) -> Fault | None:
    """Shapes or types of output and label that do not go together."""
    if call.name in CLASS_LOSSES:
        found = _class_shapes(call)
    elif call.name in BINARY_LOSSES:
        found = _same_shapes(call) or _binary_type(call)
    elif call.name in REGRESSION_LOSSES:
        found = _same_shapes(call)
    else:
        return None
    if found is None:
        return None
    text, fix = found
    given, target = tuple(call.input.shape), tuple(call.target.shape)
    return Fault(
        id="wrong_loss",
        severity="critical",
        text=f"{call.name} of an output {given} and labels {target}: {text}",
        fix=fix,
        what="dimensions of the labels beside those of the output",
        value=float(len(target)),
        threshold=float(len(given)),
    )


def target_fault(call: LossCall) -> Fault | None:
    """Labels that the loss is not defined for."""
    target = call.target
    if not target.numel():
        return None
    if target.is_floating_point():
        bad = int((~target.isfinite()).sum())
        if bad:
            return _target("NaN or infinite labels", bad, 0, "leave these samples out of the data")
        if call.name in BINARY_LOSSES:
            return _outside(target, 0.0, 1.0, "map the two classes to 0 and 1")
        return None
    if call.name not in CLASS_LOSSES:
        return None
    ignored = int(call.options.get("ignore_index", -100))
    kept = target[target != ignored]
    if not kept.numel():
        fix = f"keep batches without any label but ignore_index={ignored} from the loss: it is NaN"
        return _target("a batch without any label that counts", 0, 1, fix)
    classes, low, high = classes_of(call), int(kept.min()), int(kept.max())
    if low == 1 and high == classes:
        return _target(f"labels count from 1 to {classes}", high, classes - 1, "subtract 1")
    if high >= classes:
        text = f"labels go up to {high}, the output has {classes} classes (0 to {classes - 1})"
        fix = f"give the last layer {high + 1} outputs, or find out what the label {high} is"
        return _target(text, high, classes - 1, fix)
    if low < 0:
        fix = f"set ignore_index={low} if these are to be left out (it is {ignored})"
        return _target(f"labels down to {low}", low, 0, fix)
    return None


def input_fault(call: LossCall) -> Fault | None:
    """Logits where the loss wants probabilities, probabilities where it wants logits ..."""
    rows = rows_of(call)
    if not rows.numel() or not bool(rows.isfinite().all()):
        return None
    low, high = float(rows.min()), float(rows.max())
    like = looks_like(rows, call.origin)
    if call.name in WITH_LOGITS:
        if like == "probabilities":
            inside = "softmax" if call.name == "cross_entropy" else "sigmoid"
            by = call.origin or ("softmax" if rows.shape[1] > 1 else "sigmoid")
            return _input(
                f"{call.name} is given probabilities ({by} before it), and applies {inside} itself",
                f"leave the {by} out of the model, and apply it only where probabilities are shown",
                f"largest output after the {by}",
                high,
                1.0,
            )
        if call.origin in ("relu", "tanh"):
            return _input(
                f"{call.name} is given outputs of {call.origin}, which cuts logits off",
                f"leave the {call.origin} out behind the last layer",
                "least output",
                low,
                0.0 if call.origin == "relu" else -1.0,
                severity="warning",
            )
    if call.name == "nll_loss" and like != "log_probabilities":
        fix = "take cross_entropy of the logits, or nll_loss of their log_softmax"
        text = f"nll_loss is given {like}, and wants logarithms of probabilities"
        return _input(text, fix, "largest input, 0 for a logarithm", high, 0.0)
    if call.name == "kl_div" and high > SUM_TOLERANCE:
        text = "kl_div is given values above 0, and wants logarithms of probabilities"
        return _input(text, "give it log_softmax of the output", "largest input", high, 0.0)
    if call.name == "binary_cross_entropy" and (low < 0 or high > 1):
        fix = "take binary_cross_entropy_with_logits, or put a sigmoid behind the last layer"
        text = f"binary_cross_entropy wants probabilities, and is given {low:.3g} to {high:.3g}"
        return _input(text, fix, "largest input", max(high, -low), 1.0)
    return None


def _class_shapes(call: LossCall) -> tuple[str, str] | None:
    given, target, labels = tuple(call.input.shape), tuple(call.target.shape), call.target
    if given == target and labels.is_floating_point():  # probabilities of the classes
        return None
    if len(given) == 0 or (len(given) == 1 and target != ()):
        fix = "give the last layer an output for each class"
        return "one number a sample is no score for each class", fix
    wanted = (given[0], *given[2:]) if len(given) > 1 else ()
    if target != wanted:
        if target == (*wanted, 1):
            return f"labels must be {wanted}", "labels.squeeze(-1)"
        if len(given) > 2 and target == given[:-1]:
            return "classes must lie along axis 1", "output.transpose(1, -1), or flatten both"
        return f"labels must be {wanted}", "compare what the loader and the last layer return"
    if labels.is_floating_point() or labels.dtype == torch.bool:
        return f"labels are {_dtype(labels)}, not class numbers", "labels.long()"
    if len(given) > 1 and given[1] == 1:
        fix = "give the last layer an output for each class, or take BCEWithLogitsLoss"
        return "with one class the loss is always 0", fix
    return None


def _same_shapes(call: LossCall) -> tuple[str, str] | None:
    given, target = tuple(call.input.shape), tuple(call.target.shape)
    if given == target:
        return None
    if call.name in BINARY_LOSSES:
        if len(given) == len(target) + 1 and given[-1] == 2:
            return "two outputs are for cross_entropy", "give the last layer one output"
        text = "both must have one shape"
    else:
        try:
            joint = tuple(torch.broadcast_shapes(given, target))  # type: ignore[no-untyped-call] # torch leaves it untyped
        except RuntimeError:
            text = "both must have one shape"
        else:
            text = f"they are broadcast to {joint}: each output is compared with other labels"
    fix = "output.squeeze(-1)" if len(given) > len(target) else "labels.squeeze(-1)"
    flat = tuple(size for size in given if size != 1) == tuple(size for size in target if size != 1)
    return text, fix if flat else "compare what the loader and the last layer return"


def _binary_type(call: LossCall) -> tuple[str, str] | None:
    if call.target.is_floating_point():
        return None
    return f"labels are {_dtype(call.target)}, not float", "labels.float()"


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _target(text: str, value: float, threshold: float, fix: str) -> Fault:
    return Fault(
        id="labels_broken",
        severity="critical",
        text=text,
        fix=fix,
        what="label",
        value=float(value),
        threshold=float(threshold),
    )


def _outside(target: torch.Tensor, low: float, high: float, fix: str) -> Fault | None:
    least, most = float(target.min()), float(target.max())
    if low <= least and most <= high:
        return None
    text = f"labels lie between {least:g} and {most:g}, not between {low:g} and {high:g}"
    return _target(text, least if least < low else most, low if least < low else high, fix)


def _input(
    text: str,
    fix: str,
    what: str,
    value: float,
    threshold: float,
    severity: str = "critical",
) -> Fault:
    return Fault(
        id="wrong_loss",
        severity=severity,
        text=text,
        fix=fix,
        what=what,
        value=value,
        threshold=threshold,
    )


def _all_near(values: torch.Tensor, wanted: float) -> bool:
    return bool(((values - wanted).abs() <= SUM_TOLERANCE).all())


def _as_float(value: Any) -> Any:
    is_half = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.float() if is_half else value
