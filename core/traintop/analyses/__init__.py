"""Offline analyses against a checkpoint: the table of those there are.

An analysis is one module of this package, named by its id, with two functions: `run(context)`,
called in a process of its own (see `worker`), and `summary(result)`, which puts its result into
lines of text and needs no torch. Whatever lies here runs in the training environment, where nothing
of ours is installed, so it imports only the standard library, numpy and, late, torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Option:
    """A number that an analysis can be given."""

    name: str
    default: float | None
    """A whole number where only whole numbers make sense; None: found out from the checkpoint."""
    help: str


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What is known of an analysis before it is run."""

    id: str
    title: str
    description: str
    needs: tuple[str, ...]
    """The fields of `Target` that it cannot do without."""
    key: str | None = None
    """The key that starts it from the app."""
    options: tuple[Option, ...] = ()
    compares: bool = False
    """Whether further checkpoints can be set beside the first."""
    keeps_initial: bool = False
    """Whether it compares with the weights that the target built, before the checkpoint's."""


ANALYSES: dict[str, Analysis] = {
    analysis.id: analysis
    for analysis in (
        Analysis(
            id="lr_find",
            title="LR range test",
            description="Trains a copy at a rising learning rate and reads off where it learns",
            needs=("train", "optimizer"),
            key="L",
            options=(
                Option(name="start_lr", default=1e-7, help="learning rate of the first iteration"),
                Option(name="end_lr", default=10.0, help="learning rate of the last iteration"),
                Option(name="num_it", default=100, help="iterations of each seed"),
                Option(
                    name="smoothing", default=0.98, help="weight of the past in the smoothed loss"
                ),
                Option(name="num_seeds", default=2, help="data orders tried, at least 2"),
                Option(
                    name="fresh",
                    default=1,
                    help="0 begins with the optimizer state of the checkpoint",
                ),
                Option(
                    name="current_lr",
                    default=None,
                    help="the run's present learning rate (else of the checkpoint's optimizer)",
                ),
            ),
        ),
        Analysis(
            id="dead_neurons",
            title="Dead-neuron scan",
            description="Counts the units of each layer that no sample activates",
            needs=("train",),
            key="D",
            options=(
                Option(name="samples", default=2000, help="samples to look at, at least 1000"),
                Option(
                    name="tolerance",
                    default=1e-3,
                    help="largest |output| of a silent GELU, SiLU or Mish unit",
                ),
            ),
        ),
        Analysis(
            id="gradient_flow",
            title="Gradient flow",
            description="Which gradient reaches each layer, and how far a step moves it",
            needs=("train",),
            compares=True,
            options=(Option(name="batches", default=8, help="batches to look at"),),
        ),
        Analysis(
            id="gradient_check",
            title="Gradient check",
            description="Compares backward() with central differences, in double precision",
            needs=("train",),
            options=(
                Option(name="elements", default=4, help="elements checked of each parameter"),
                Option(name="samples", default=4, help="samples of the batch that are kept"),
                Option(name="tolerance", default=1e-3, help="largest relative error that passes"),
            ),
        ),
        Analysis(
            id="nan_source",
            title="NaN source",
            description="Finds the weights, input, module or backward operation NaNs come from",
            needs=("train",),
            options=(
                Option(name="batches", default=100, help="batches to look at, at most"),
                Option(
                    name="train",
                    default=1,
                    help="1 trains on with the target's optimizer; 0 leaves the weights alone",
                ),
                Option(name="fp16", default=0, help="1 runs the model under float16 autocast"),
            ),
        ),
        Analysis(
            id="weights",
            title="Weights layer by layer",
            description="Compares each layer with its initialisation and the previous checkpoint",
            needs=(),
            compares=True,
            keeps_initial=True,
        ),
        Analysis(
            id="data",
            title="Data check",
            description="Compares training and validation data: ranges, classes, overlap, drift",
            needs=("train",),
            options=(
                Option(name="samples", default=20_000, help="samples of each split to look at"),
            ),
        ),
        Analysis(
            id="shapes",
            title="Shapes and parameters",
            description="Traces one batch through the modules and explains shapes that do not fit",
            needs=("train",),
        ),
        Analysis(
            id="predictions",
            title="Predictions",
            description="Counts what the model predicts: confusion, collapse, train and eval mode",
            needs=(),
            options=(
                Option(name="samples", default=10_000, help="labels to compare with at most"),
            ),
        ),
        Analysis(
            id="loss_function",
            title="Loss function check",
            description="Checks that loss, output and labels fit, and where the loss starts",
            needs=("train",),
            keeps_initial=True,
            options=(
                Option(name="batches", default=8, help="batches to run through model and loss"),
                Option(name="labels", default=20_000, help="labels to look at besides"),
            ),
        ),
        Analysis(
            id="overfit_one_batch",
            title="Overfit one batch",
            description="Trains on a few samples until the loss is near zero, or says why not",
            needs=("train",),
            keeps_initial=True,
            options=(
                Option(name="steps", default=500, help="steps of each optimizer, at most"),
                Option(name="samples", default=8, help="samples of the batch that are kept"),
                Option(name="fresh", default=0, help="1 begins with the target's fresh weights"),
            ),
        ),
        Analysis(
            id="loss_landscape",
            title="Loss landscape",
            description="Maps the loss around the weights and along the update; how sharp it is",
            needs=("train",),
            options=(
                Option(name="points", default=17, help="points of each side, odd"),
                Option(name="span", default=1.0, help="how far to go, in norms of each filter"),
                Option(name="samples", default=256, help="samples that the loss is the mean of"),
                Option(
                    name="iterations", default=30, help="Hessian products at most; 0: no sharpness"
                ),
            ),
        ),
        Analysis(
            id="batch_size",
            title="Batch size",
            description="Finds the largest batch that fits, the best throughput, the noise scale",
            needs=("train",),
            options=(
                Option(name="most", default=4096, help="largest batch size to try"),
                Option(name="step_seconds", default=5, help="longest step to wait for"),
                Option(
                    name="noise_batches",
                    default=32,
                    help="batches that the noise scale is estimated from; 0: none",
                ),
            ),
        ),
        Analysis(
            id="latency",
            title="Inference latency",
            description="Times the forward pass by batch size and names the slowest operators",
            needs=("train",),
            options=(
                Option(name="most", default=64, help="largest batch size"),
                Option(name="runs", default=200, help="passes timed for each size, at most"),
                Option(name="warmup", default=10, help="passes before that are not counted"),
                Option(name="seconds", default=5, help="time for each size, at most"),
            ),
        ),
        Analysis(
            id="checkup",
            title="Checkup",
            description="All of them that apply, in order: data, model, one batch, training",
            needs=(),
            keeps_initial=True,
            options=(Option(name="seconds", default=120, help="seconds that each part may take"),),
        ),
    )
}
"""By id, in the order in which they are listed."""


def summary(name: str, result: Mapping[str, Any]) -> list[str]:
    """Put the result of the analysis called `name` into lines of text."""
    lines: list[str] = import_module(f"{__name__}.{name}").summary(result)
    return lines
