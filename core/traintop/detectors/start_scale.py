"""How large activations are before the first steps: what a bad start comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from traintop.detectors.context import Context
from traintop.detectors.layer_state import LayerState
from traintop.detectors.loss_level import ABSURD
from traintop.records import Cause

FIRST_RECORDS = 3
"""Records of the run by which the first layer statistics must have come to be of the start."""

GROWTH = 4.0
"""Growth of the activations' spread from the first layer to the largest that is one. A good
initialisation keeps it (He et al. 2015), the defaults of PyTorch let it shrink; SageMaker takes a
variance ratio of 10, 3.2 in standard deviations, for poor."""

GAIN = 3.0
"""Median gain of the layers' weights that is too large: the root mean square of a layer's weights
times the square root of its inputs, which a log does not hold and which the fourth root of its
weights, exact for square matrices, stands in for. He et al. 2015 set the gain to 1.4, which reads
as 2 where a layer is four times as wide as the one before. Norms inside the model hide such weights
from its activations."""

INPUT_SPREAD = 12.0
"""Standard deviation of the first activations that only inputs far from unit scale have; a
prototype's value. Standardised inputs and common initialisations give 0.2 to 2."""

SATURATED = 0.8
"""Share of saturated outputs of a tanh or sigmoid layer that is one."""


@dataclass(frozen=True, slots=True)
class StartScale:
    """The activations of the first layer record, of a run at its start."""

    first: float
    """Standard deviation of the first activations, and the layer's `first_name`."""
    last: float
    """The largest standard deviation of a later layer, and the layer's `last_name`."""
    least: float
    """The smallest that is not 0, and the layer's `least_name`."""
    behind: float
    """The largest of those behind the first; 0 of none."""
    first_name: str
    last_name: str
    least_name: str
    gain: float
    """Median gain of the weights, before any update; NaN where it was not measured."""
    saturated: tuple[float, ...]
    """Share of saturated outputs, a value a layer that can saturate and was measured."""

    @property
    def growth(self) -> float:
        """How much the spread grows through the layers."""
        return self.last / self.first

    @property
    def words(self) -> str:
        """What was measured of an initialisation that is too large."""
        if self.growth > GROWTH:
            return (
                f"activations grow {self.growth:.3g}x from {self.first_name} ({self.first:.3g}) to "
                f"{self.last_name} ({self.last:.3g}) before any training"
            )
        if self.gain > GAIN:
            return (
                f"the weights have a gain of {self.gain:.3g} before any training, 1 to 2 is usual"
            )
        return "the outputs of all tanh and sigmoid layers are saturated before any training"

    @property
    def grows(self) -> bool:
        """Whether the initialisation is too large, by activations that grow or by the weights."""
        return (
            self.growth > GROWTH
            or self.gain > GAIN
            or (len(self.saturated) > 1 and min(self.saturated) > SATURATED)
        )

    @property
    def large_input(self) -> bool:
        """Whether the input is too large: the first layer is, and those behind it do not add."""
        if self.grows or self.growth > 2.0:
            return False
        return self.first > INPUT_SPREAD or (
            len(self.saturated) > 1
            and self.saturated[0] > SATURATED
            and max(self.saturated[1:]) < 0.5
        )


def start_scale(context: Context) -> StartScale | None:
    """What the first layer record says, while it is of the run's first steps; else None.

    Later records have been changed by training, and those of an epoch log come after an epoch.
    """
    layers = context.layers
    if layers.records != 1 or context.records > FIRST_RECORDS or context.averaged:
        return None
    spread = layers.last.get("act_std")
    if spread is None:
        return None
    usable = np.flatnonzero((spread > 0) & (spread < ABSURD))
    if not len(usable):
        return None
    names, kinds = layers.names.act_names, layers.names.act_kinds
    largest = int(usable[np.argmax(spread[usable])])
    smallest = int(usable[np.argmin(spread[usable])])
    first = int(usable[0])
    share = layers.last.get("act_sat_frac")
    saturated: tuple[float, ...] = ()
    if share is not None and share.shape == spread.shape and len(kinds) == len(share):
        saturated = tuple(
            float(value)
            for value, kind in zip(share, kinds, strict=True)
            if kind in ("tanh", "sigmoid") and value == value
        )
    return StartScale(
        first=float(spread[first]),
        last=float(spread[largest]),
        least=float(spread[smallest]),
        behind=float(spread[usable[1:]].max(initial=0.0)),
        first_name=_name(names, first),
        last_name=_name(names, largest),
        least_name=_name(names, smallest),
        gain=_gain(layers),
        saturated=saturated,
    )


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"activation {index}"


def _gain(layers: LayerState) -> float:
    sizes = np.array(layers.names.numel, float)
    norms = layers.last.get("weight_norm")
    if norms is None or norms.shape != sizes.shape:
        return math.nan
    # The record is of after the step, whose update the weights before it are cleared of.
    updates = layers.last.get("update_ratio", np.zeros(norms.shape))
    if updates.shape != norms.shape:
        return math.nan
    usable = (sizes > 1) & (norms > 0) & (norms < ABSURD) & ~(updates > ABSURD)
    if not usable.any():
        return math.nan
    before = norms[usable] / (1.0 + np.nan_to_num(updates[usable]))
    return float(np.median(before / sizes[usable] ** 0.25))


def initialisation_fixes(scale: StartScale, context: Context) -> tuple[str, ...]:
    """How to keep the variance of activations through the layers (He et al. 2015)."""
    kinds = context.layers.names.act_kinds
    saturating = any(kind in ("tanh", "sigmoid") for kind in kinds)
    rule = "xavier_uniform_(weight)" if saturating else "kaiming_normal_(weight)"
    fixes = [f"initialise with torch.nn.init.{rule}: the same spread in all layers"]
    depth = max(1, len(kinds) - 1)
    step = max(scale.growth ** (1.0 / depth), scale.gain / 1.4 if scale.gain > GAIN else 0.0)
    if step > 1.2:
        fixes.append(f"or divide the standard deviation of each layer's weights by {step:.2g}")
    return tuple(fixes)


def cause_of_start(
    scale: StartScale | None, first: float, context: Context
) -> tuple[Cause, tuple[str, ...]]:
    """Tell weights that are too large from inputs that are, by the activations where there are."""
    if scale is not None and scale.grows:
        cause = Cause(cause="initial weights too large", because=scale.words, basis="measured")
        return cause, initialisation_fixes(scale, context)
    if scale is not None and scale.large_input:
        because = f"{scale.first_name} has a standard deviation of {scale.first:.3g} before any "
        because += "training, those behind it none that is larger"
        cause = Cause(cause="inputs are not normalised", because=because)
        return cause, ("standardise the inputs: (x - mean) / std of the training set",)
    because = f"the first loss was {first:.3g}, guessing would be {context.loss.chance:.3g}"
    cause = Cause(cause="initialisation or input scale far too large", because=because)
    return cause, (
        "standardise the inputs, and initialise with torch.nn.init.kaiming_normal_",
        "initialise the output layer with zeros: the first loss is then that of guessing",
    )
