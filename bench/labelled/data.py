"""What the families learn from: made on the spot, nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from bench.labelled.recipe import Recipe
from bench.labelled.text import make_language, write_text
from torch import Tensor

from traintop.demo import digits

TEXT_LENGTH = 32
BUFFER = 8
"""Batches in the shuffle buffer of a pipeline that shuffles too little."""


@dataclass(frozen=True)
class Split:
    """Samples and their targets, and what they would be sorted by."""

    inputs: Tensor
    targets: Tensor
    group: Tensor


@dataclass(frozen=True)
class Data:
    """A training and a validation set.

    Attributes:
        outputs: Size of a network's output: classes, tokens, or 1.
        classification: Whether targets are classes or tokens.
    """

    train: Split
    val: Split
    outputs: int
    classification: bool


def make_data(recipe: Recipe) -> Data:
    """The data of a recipe, with what is planted in it."""
    make = {
        "lm": _text,
        "regression": _regression,
        "mixture": _mixture,
        "cnn": _images,
        "tabular": _table,
    }[recipe.family]
    count = recipe.train_samples + recipe.val_samples
    random = np.random.default_rng([recipe.seed, 4])
    # Where one of ten classes is to be in the majority, ten times as many are drawn, and some more.
    split, outputs = make(recipe.world, 12 * count if recipe.majority else count, random)
    classification = split.targets.dtype == torch.int64
    if recipe.majority:
        split = _with_majority(split, count, recipe.majority)
    clean = split.inputs.is_floating_point()
    if clean:
        inputs = split.inputs + recipe.input_noise * torch.as_tensor(
            random.standard_normal(split.inputs.shape), dtype=torch.float32
        )
        split = Split(inputs * recipe.input_scale + recipe.input_shift, split.targets, split.group)
    targets = _noisy_targets(recipe, split.targets, outputs, random)
    if recipe.random_labels:
        targets = (
            torch.as_tensor(random.integers(0, outputs, targets.shape))
            if recipe.family == "lm"
            else targets[torch.as_tensor(random.permutation(len(targets)))]
        )
    cut = recipe.train_samples
    # Only the training labels are spoiled by a broken pipeline: validation has its own.
    train = Split(split.inputs[:cut], targets[:cut], split.group[:cut])
    val_targets = split.targets if recipe.random_labels else targets
    val = Split(split.inputs[cut:], val_targets[cut:], split.group[cut:])
    return Data(train, val, outputs, classification)


def epoch_order(recipe: Recipe, split: Split, random: np.random.Generator) -> np.ndarray:
    """The order of the samples in an epoch, shape (samples,)."""
    count = len(split.inputs)
    if recipe.order == "shuffled":
        return random.permutation(count)
    order = np.argsort(split.group.numpy(), kind="stable")
    if recipe.order == "buffered":
        # As a shuffle buffer does: a sample leaves from a random place of what is in the buffer.
        size = BUFFER * recipe.batch_size
        order = order[np.argsort(np.arange(count) + random.uniform(0, size, count))]
    return order


def _noisy_targets(
    recipe: Recipe, targets: Tensor, outputs: int, random: np.random.Generator
) -> Tensor:
    if not recipe.label_noise:
        return targets
    if targets.is_floating_point():
        noise = torch.as_tensor(random.standard_normal(targets.shape), dtype=torch.float32)
        return targets + recipe.label_noise * noise
    wrong = torch.as_tensor(random.random(targets.shape) < recipe.label_noise)
    return torch.where(wrong, torch.as_tensor(random.integers(0, outputs, targets.shape)), targets)


def _with_majority(split: Split, count: int, share: float) -> Split:
    """The first samples such that class 0 has its share, in their order."""
    first = split.targets == 0
    wanted = round(share * count)
    kept = torch.cat([first.nonzero()[:wanted, 0], (~first).nonzero()[: count - wanted, 0]])
    assert len(kept) == count, "too few samples were drawn"
    # Spread evenly, so that both splits have the share.
    kept = kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(0))]
    return Split(split.inputs[kept], split.targets[kept], split.group[kept])


def _text(world: int, count: int, random: np.random.Generator) -> tuple[Split, int]:
    language = make_language(world)
    text, topics = write_text(language, count, TEXT_LENGTH + 1, random)
    tokens = torch.as_tensor(text)
    split = Split(tokens[:, :-1], tokens[:, 1:].contiguous(), torch.as_tensor(topics))
    return split, language.vocabulary


def _regression(world: int, count: int, random: np.random.Generator) -> tuple[Split, int]:
    """A smooth function: a random network with one hidden layer of sines, of deviation 1."""
    fixed = np.random.default_rng([world, 5])
    size = int(fixed.integers(5, 11))
    first = fixed.standard_normal((size, 24)) * fixed.uniform(0.5, 0.8) / np.sqrt(size / 2)
    phase, second = fixed.uniform(0, 6.28, 24), fixed.standard_normal(24)
    noise = float(fixed.uniform(0.1, 0.3))
    probe = np.sin(fixed.standard_normal((4000, size)) @ first + phase) @ second
    inputs = random.standard_normal((count, size))
    clean = (np.sin(inputs @ first + phase) @ second - probe.mean()) / probe.std()
    targets = torch.as_tensor(clean + noise * random.standard_normal(count), dtype=torch.float32)
    return Split(torch.as_tensor(inputs, dtype=torch.float32), targets, targets), 1


def _mixture(world: int, count: int, random: np.random.Generator) -> tuple[Split, int]:
    """Two Gaussians a class, so that no plane parts the classes."""
    fixed = np.random.default_rng([world, 6])
    size, classes = int(fixed.integers(10, 25)), int(fixed.integers(4, 10))
    centres = fixed.standard_normal((classes, 2, size)) * fixed.uniform(0.85, 1.05)
    labels = random.integers(0, classes, count)
    which = random.integers(0, 2, count)
    inputs = centres[labels, which] + random.standard_normal((count, size))
    return _classes(inputs / np.sqrt(2), labels), classes


def _images(_world: int, count: int, random: np.random.Generator) -> tuple[Split, int]:
    images, labels = digits.make_digits(count, int(random.integers(2**31)))
    return Split(images, labels, labels), digits.CLASSES


def _table(world: int, count: int, random: np.random.Generator) -> tuple[Split, int]:
    """Numbers, heavy-tailed numbers and categories, of which some matter; noisy labels."""
    fixed = np.random.default_rng([world, 7])
    numbers, tails, levels = 8, 4, 5
    plain = random.standard_normal((count, numbers))
    tailed = np.arcsinh(2 * random.standard_t(3, (count, tails))) / 1.5
    category = np.eye(levels)[random.integers(0, levels, count)]
    inputs = np.concatenate([plain, tailed, category * 2 - 0.4], axis=1)
    weights = fixed.standard_normal(inputs.shape[1]) * (fixed.random(inputs.shape[1]) < 0.7)
    score = inputs @ weights + 1.5 * plain[:, 0] * plain[:, 1] + 1.2 * np.abs(tailed[:, 0])
    score = 2.2 * (score - np.median(score)) / score.std() + fixed.uniform(-0.5, 0.5)
    labels = (random.random(count) < 1 / (1 + np.exp(-2 * score))).astype(np.int64)
    return _classes(inputs, labels), 2


def _classes(inputs: np.ndarray, labels: np.ndarray) -> Split:
    targets = torch.as_tensor(labels)
    return Split(torch.as_tensor(inputs, dtype=torch.float32), targets, targets)
