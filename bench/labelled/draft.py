"""A recipe while it is being changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from bench.labelled.recipe import Recipe


@dataclass(frozen=True)
class Draft:
    """A recipe, a generator to draw from, and how strongly a fault is to be planted.

    Attributes:
        dose: 1 as usual; more in a further attempt, after one in which the fault did not show.
    """

    recipe: Recipe
    random: np.random.Generator
    dose: float

    def but(self, **fields: Any) -> Draft:
        """The same with other fields of the recipe."""
        return replace(self, recipe=replace(self.recipe, **fields))

    def rate(self, factor: float) -> Draft:
        """The same with another learning rate."""
        return self.but(learning_rate=self.recipe.learning_rate * factor)

    def longer(self, factor: float) -> Draft:
        """The same with more steps, or fewer."""
        return self.but(steps=round(factor * self.recipe.steps))

    def epochs(self, count: int) -> Draft:
        """The same for so many epochs."""
        return self.but(steps=count * self.recipe.steps_per_epoch)

    def event(self, event: str, **fields: Any) -> Draft:
        """The same with an event in the middle of the run."""
        return self.but(event=event, onset=self.step(0.25, 0.6), **fields)

    def uniform(self, low: float, high: float) -> float:
        """A number drawn between two."""
        return float(self.random.uniform(low, high))

    def step(self, low: float, high: float) -> int:
        """A step drawn between two shares of the run."""
        return int(self.uniform(low, high) * self.recipe.steps)

    @property
    def bounded(self) -> bool:
        """Whether gradients are bounded however wrong an output is: not with squares and SGD."""
        return self.recipe.family != "regression" or self.recipe.optimizer == "adamw"

    @property
    def is_text(self) -> bool:
        """Whether it is a language model."""
        return self.recipe.family == "lm"


Change = Callable[[Draft], Draft]
