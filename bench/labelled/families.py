"""The five families of models: what a run of each looks like where nothing is planted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bench.labelled.data import TEXT_LENGTH, Data
from bench.labelled.networks import (
    Embedding,
    Network,
    convolutional_body,
    dense_body,
    transformer_body,
)
from bench.labelled.recipe import Recipe
from torch import nn

from traintop.demo import digits

JITTER = 0.55
"""A run's learning rate is a good one times exp(uniform(-JITTER, JITTER))."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is usual in a family.

    Attributes:
        model: The name of the model in `run.json`.
        rates: Optimizer -> a good learning rate.
        samples: Range of the size of the training set.
        epochs: Range of the epochs.
    """

    task: str
    model: str
    rates: dict[str, float]
    batch_sizes: tuple[int, ...]
    samples: tuple[int, int]
    epochs: tuple[int, int]
    val_samples: int
    width: int
    depth: int
    weight_decay: float = 5e-4
    activations: tuple[str, ...] = ("relu",)


FAMILIES: dict[str, Family] = {
    "lm": Family(
        task="language_modeling",
        model="CharTransformer",
        rates={"adamw": 3e-3},
        batch_sizes=(16, 24),
        samples=(1600, 2200),
        epochs=(4, 6),
        val_samples=128,
        width=32,
        depth=2,
        weight_decay=0.01,
        activations=("relu", "gelu"),
    ),
    "regression": Family(
        task="regression",
        model="MLP",
        rates={"adamw": 2e-3, "sgd": 0.02},
        batch_sizes=(32, 50, 64),
        samples=(2000, 3000),
        epochs=(9, 14),
        val_samples=500,
        width=48,
        depth=2,
        activations=("relu", "relu", "silu"),
    ),
    "mixture": Family(
        task="classification",
        model="MLP",
        rates={"adamw": 1.5e-3, "sgd": 0.02},
        batch_sizes=(32, 50, 64),
        samples=(2400, 3200),
        epochs=(7, 11),
        val_samples=600,
        width=48,
        depth=2,
        activations=("relu", "relu", "gelu"),
    ),
    "cnn": Family(
        task="classification",
        model="CNN",
        rates={"adamw": 1.5e-3, "sgd": 0.03},
        batch_sizes=(48, 64),
        samples=(4800, 6000),
        epochs=(5, 7),
        val_samples=400,
        width=48,
        depth=2,
    ),
    "tabular": Family(
        task="classification",
        model="TabularMLP",
        rates={"adamw": 1.5e-3, "sgd": 0.02},
        batch_sizes=(50, 64, 100),
        samples=(3600, 4800),
        epochs=(6, 10),
        val_samples=800,
        width=32,
        depth=2,
    ),
}


def base_recipe(family: str, world: int, seed: int) -> Recipe:
    """A healthy run of a family, its hyperparameters drawn from the seed."""
    usual = FAMILIES[family]
    random = np.random.default_rng([seed, 8])
    optimizer = str(random.choice(list(usual.rates)))
    batch_size = int(random.choice(usual.batch_sizes))
    samples = int(random.integers(*usual.samples))
    epochs = int(random.integers(usual.epochs[0], usual.epochs[1] + 1))
    return Recipe(
        family=family,
        world=world,
        seed=seed,
        train_samples=samples,
        val_samples=usual.val_samples,
        width=usual.width,
        depth=usual.depth,
        activation=str(random.choice(usual.activations)),
        batch_norm=family == "tabular",
        dropout=0.1 if family == "tabular" else 0.0,
        optimizer=optimizer,
        learning_rate=usual.rates[optimizer] * float(np.exp(random.uniform(-JITTER, JITTER))),
        weight_decay=0.01 if optimizer == "adamw" else usual.weight_decay,
        batch_size=batch_size,
        steps=epochs * (samples // batch_size),
        schedule=str(random.choice(["const", "warmup_cosine"], p=[0.7, 0.3])),
        clip=1.0 if family == "lm" and random.random() < 0.6 else None,
    )


def reference_recipe(recipe: Recipe) -> Recipe:
    """The run that others of its world are compared with: a good learning rate, nothing planted."""
    usual = FAMILIES[recipe.family]
    base = base_recipe(recipe.family, recipe.world, recipe.world)
    optimizer = recipe.optimizer if recipe.optimizer in usual.rates else "adamw"
    return Recipe(
        family=recipe.family,
        world=recipe.world,
        seed=recipe.world,
        train_samples=usual.samples[1],
        val_samples=usual.val_samples,
        width=usual.width,
        depth=usual.depth,
        batch_norm=base.batch_norm,
        dropout=base.dropout,
        optimizer=optimizer,
        learning_rate=usual.rates[optimizer],
        weight_decay=0.01 if optimizer == "adamw" else usual.weight_decay,
        batch_size=usual.batch_sizes[-1],
        steps=usual.epochs[1] * (usual.samples[1] // usual.batch_sizes[-1]),
    )


def make_network(recipe: Recipe, data: Data) -> Network:
    """The network of a recipe, with torch's generator as it stands."""
    if recipe.family == "lm":
        return Network(
            recipe,
            Embedding(data.outputs, TEXT_LENGTH, recipe.width),
            transformer_body(recipe),
            branch_inputs=recipe.width,
            features=recipe.width,
            outputs=data.outputs,
        )
    size = data.train.inputs[0].numel()
    body = (
        convolutional_body(recipe, digits.SIZE)
        if recipe.family == "cnn"
        else dense_body(recipe, size)
    )
    return Network(
        recipe,
        nn.Identity(),
        body,
        branch_inputs=size,
        features=recipe.width,
        outputs=data.outputs,
    )
