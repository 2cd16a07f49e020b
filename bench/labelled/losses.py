"""Losses, and the mistakes that people make in them."""

from __future__ import annotations

import torch
from bench.labelled.recipe import Recipe
from torch import Tensor
from torch.nn import functional

SHARPENED = 25.0
"""Logits times this, so that a probability soon rounds to 0, whose logarithm is -inf."""
HALF_MAX = 65504.0
"""The largest finite number of 16 bits."""


def loss_of(recipe: Recipe, step: int, outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean loss that a step of the training minimises."""
    struck = bool(recipe.event) and step >= recipe.onset
    if struck and recipe.event == "overflow_forward":
        # Some sum of the forward pass leaves the range of 16 bits.
        outputs = (outputs * HALF_MAX).half().float() / HALF_MAX
        # Where a row has an infinity, its softmax is inf / inf.
        outputs = outputs * torch.where(outputs.isinf().any(-1, keepdim=True), torch.nan, 1.0)
    if outputs.shape[-1] == 1:
        outputs = outputs.squeeze(-1)
        if struck and recipe.event == "log_zero":
            return (outputs - targets * outputs.log()).mean()
        return functional.mse_loss(outputs, targets)
    outputs, targets = outputs.flatten(0, -2), targets.flatten()
    if struck and recipe.event == "log_zero":
        probabilities = torch.softmax(SHARPENED * outputs, dim=1)
        return -probabilities[torch.arange(len(targets)), targets].log().mean()
    if recipe.double_softmax:
        outputs = torch.softmax(outputs, dim=1)
    return functional.cross_entropy(outputs, targets, label_smoothing=recipe.label_smoothing)


@torch.no_grad()
def quality(
    recipe: Recipe, outputs: Tensor, targets: Tensor, *, thorough: bool = False
) -> dict[str, float]:
    """Accuracy, and for an evaluation how it is spread over the classes; nothing for regression."""
    if outputs.shape[-1] == 1:
        return {}
    targets = targets.flatten()
    predicted = outputs.argmax(dim=-1).flatten()
    hits = (predicted == targets).double()
    values = {"accuracy": hits.mean().item()}
    if thorough and recipe.family != "lm":
        present = targets.bincount().nonzero().flatten()
        recalls = torch.stack([hits[targets == each].mean() for each in present])
        values["balanced_accuracy"] = recalls.mean().item()
        values["majority_pred_fraction"] = predicted.bincount().max().item() / len(targets)
    return values
