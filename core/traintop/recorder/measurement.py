"""What is measured of gradients, weights and activations around one optimizer step, and when.

Gradients are read at the end of the backward pass, before anything clips them, and divided by the
loss scale; again when the optimizer is about to step, if they were written to in between, which is
what clipping is. Weights are sampled right before the optimizer's step and after it. Of several
backward passes (gradient accumulation) the last one counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from traintop.recorder import quantities
from traintop.recorder.activations import ActivationProbes
from traintop.recorder.backward import BackwardWatch
from traintop.recorder.cadence import Cadence
from traintop.recorder.guard import Guarded
from traintop.recorder.layers import norms
from traintop.recorder.parameters import Parameters
from traintop.recorder.quantities import Decoder, Floats, Measured
from traintop.recorder.readback import Packet
from traintop.recorder.sampling import Sample, Sampler
from traintop.recorder.torch_internals import loss_scale, versions

NORM_INTERVALS = (1, 2, 5)
SAMPLE_INTERVALS = (1, 2, 5, 10, 20)
LAYER_INTERVALS = (10, 20, 50, 100, 200, 500, 1000)
NORM_SHARE, SAMPLE_SHARE, LAYER_SHARE = 0.4, 0.3, 0.3
"""How the time allowed is divided between the global norms, the sampled update, and the layers."""


@dataclass(slots=True)
class _Step:
    """What one step is to measure, and what it has gathered so far."""

    norms_due: bool
    sample_due: bool
    layers_due: bool
    packet: Packet = field(default_factory=Packet)
    decoders: list[Decoder] = field(default_factory=list[Decoder])
    backwards: int = 0
    measured: bool = False
    optimized: bool = False
    train_mode: bool = True
    scale: Tensor | float | None = None
    found_inf: Tensor | None = None
    versions: int = 0
    gradient: Sample | None = None
    before: Sample | None = None
    norm_seconds: float = 0.0
    sample_seconds: float = 0.0
    layer_seconds: float = 0.0


class Measurement:
    """Measures a model around every step of its optimizer.

    Args:
        model: The model that is trained.
        optimizer: Its optimizer; where it takes no hooks, updates and clipped norms are not known.
        scaler: The `torch.amp.GradScaler` that scales the loss, if one does.
        layers_every: Steps between two measurements of the layers; None: what the budget allows.
        every_parameter: Layers are biases and norm scales too, not only matrices and filters.
        accumulation: Backward passes a step, as far as known.
        clips: Whether gradients are known to be clipped.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        scaler: Any,
        *,
        layers_every: int | None,
        every_parameter: bool,
        accumulation: int,
        clips: bool,
    ) -> None:
        self._model = model
        self._scaler = scaler
        self._accumulation = accumulation
        self._expected = accumulation
        self._clips = clips
        self._guarded = Guarded("gradient statistics are no longer recorded")
        self._parameters = Parameters((), every_parameter)
        with self._guarded:
            self._parameters = Parameters(model.named_parameters(), every_parameter)
        self._sampler = Sampler()
        self._previous: tuple[int, Sample] | None = None
        self._norm_cadence = Cadence(NORM_INTERVALS)
        # A cosine needs two steps in a row.
        self._sample_cadence = Cadence(SAMPLE_INTERVALS, in_a_row=2)
        self._layer_cadence = Cadence(LAYER_INTERVALS, layers_every)
        self._activations = ActivationProbes(
            model, Guarded("activation statistics are no longer recorded")
        )
        self._watch = BackwardWatch(self._parameters.all, self._backward_ended)
        self._handle: Any = None
        with self._guarded:
            self._watch.watch_all()
            if hasattr(optimizer, "register_step_pre_hook"):
                self._handle = optimizer.register_step_pre_hook(self._before_update)
        self._hooked = self._handle is not None
        self._step = _Step(norms_due=True, sample_due=True, layers_due=False)
        self._count = 0
        self.seconds = 0.0
        """What the hooks have cost since `prepare`."""

    # --- around a step --------------------------------------------------------------------------

    def prepare(self, count: int, *, first: bool = False) -> None:
        """Get ready for the next record.

        Args:
            count: Its number, one more than the last; not the step's, which a script may choose.
            first: Whether no step was seen before it.
        """
        self._count = count
        self._step = _Step(
            norms_due=first or self._norm_cadence.due(count),
            sample_due=first or self._sample_cadence.due(count),
            layers_due=self._layer_cadence.due(count),
        )
        self.seconds = 0.0
        self._watch.reset()
        # Not in the very first step: a compiler may be reading the model then, would read the hooks
        # with it, and start over when they are gone.
        if self._step.layers_due and not first:
            self._activations.arm()

    def finish(self) -> tuple[Packet, Callable[[Floats], Measured]]:
        """Gather what can be known after the optimizer's step.

        Returns:
            The packet of numbers, to which more may be added, and what makes sense of its floats.
        """
        state = self._step
        if not self._hooked and not state.measured:
            self._measure_gradients(None, before_clipping=not self._clips)
        self._activations.disarm()
        if not self._guarded.failed:
            with self._guarded:
                self._finish(state)
        decoders = state.decoders

        def decode(floats: Floats) -> Measured:
            measured = Measured()
            with self._guarded:
                for decoder in decoders:
                    decoder(floats, measured)
            return measured

        return state.packet, decode

    @property
    def backwards(self) -> int:
        """Backward passes seen in this step."""
        return self._step.backwards

    def pay(self, allowed: float, writing: float) -> None:
        """Let the cadences learn what this step's measurements have cost.

        Args:
            allowed: Seconds a step that may be spent, writing its record included.
            writing: Seconds that writing this step's record took.
        """
        state = self._step
        if state.layers_due:
            state.layer_seconds += writing
        else:
            # Something must stay for measurements where steps are as short as writing a line.
            allowed = max(allowed - writing, allowed / 4)
        if state.norm_seconds:
            self._norm_cadence.paid(state.norm_seconds, allowed * NORM_SHARE)
        if state.sample_seconds:
            self._sample_cadence.paid(state.sample_seconds, allowed * SAMPLE_SHARE)
        if state.layer_seconds:
            cost = state.layer_seconds + self._activations.seconds
            self._layer_cadence.paid(cost, allowed * LAYER_SHARE)

    def interrupted(self) -> None:
        """Forget the activations seen so far in this step: an evaluation was among them."""
        if self._activations.armed:
            self._activations.arm()

    def close(self) -> None:
        """Take every hook away."""
        self._activations.disarm()
        self._watch.close()
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def layer_header(self) -> dict[str, list[Any]]:
        """The first line of the layers' file: what the arrays are in the order of."""
        return {
            **self._parameters.header(),
            "act_names": self._activations.names,
            "act_kinds": self._activations.kinds,
        }

    def non_finite_gradients(self) -> list[str]:
        """Names of the parameters whose gradient is not finite now. This waits for the device."""
        names: list[str] = []
        with self._guarded, torch.no_grad():
            found = self._parameters.gradients()
            if found:
                sizes = cast("list[float]", norms([gradient for _, gradient in found]).tolist())
                names = [
                    self._parameters.names[place]
                    for (place, _), size in zip(found, sizes, strict=True)
                    if not math.isfinite(size)
                ]
        return names

    # --- hooks ----------------------------------------------------------------------------------

    def _backward_ended(self) -> None:
        start = time.perf_counter()
        self._step.backwards += 1
        if self._step.backwards >= self._expected:
            with self._guarded:
                scale = None if self._scaler is None else loss_scale(self._scaler)
                self._measure_gradients(scale, before_clipping=True)
        self.seconds += time.perf_counter() - start

    def _before_update(self, optimizer: Any, *_: object) -> None:
        start = time.perf_counter()
        state = self._step
        state.optimized = True
        with self._guarded:
            # Optimizers that unscale by themselves are given both by the scaler, for this one step.
            scale = getattr(optimizer, "grad_scale", None)
            state.found_inf = getattr(optimizer, "found_inf", None)
            if not state.measured:
                # The end of the backward pass was not seen, and gradients may be clipped by now.
                if state.backwards == 0:
                    self._watch.watch_all()
                self._measure_gradients(scale, before_clipping=not self._clips)
            elif state.norms_due and not self._guarded.failed:
                self._measure_clipped(state, scale)
            if state.backwards:
                self._expected = state.backwards
            if (state.sample_due or state.layers_due) and not self._guarded.failed:
                sampling = time.perf_counter()
                with torch.no_grad():
                    state.before = self._sampler.take(self._parameters.dense())
                state.sample_seconds += time.perf_counter() - sampling
        self.seconds += time.perf_counter() - start

    # --- what is measured -----------------------------------------------------------------------

    def _measure_gradients(self, scale: Tensor | float | None, *, before_clipping: bool) -> None:
        state = self._step
        state.scale = scale
        due = state.norms_due or state.sample_due or state.layers_due
        if self._guarded.failed or not due:
            state.measured = True
            return
        with self._guarded, torch.no_grad():
            found = self._parameters.gradients()
            if not found or _is_capturing(found[0][1]):
                return
            gradients = [gradient for _, gradient in found]
            state.packet, state.decoders = Packet(), []
            state.measured = True
            state.train_mode = self._model.training
            state.versions = versions(gradients)
            scaled = quantities.add_scale(state.packet, scale)
            start = time.perf_counter()
            if state.norms_due and before_clipping:
                names = [self._parameters.names[place] for place, _ in found]
                state.decoders.append(
                    quantities.gradient_norm(state.packet, gradients, names, scaled)
                )
            elif state.norms_due:
                state.decoders.append(quantities.clipped_norm(state.packet, gradients, scaled))
            normed = time.perf_counter()
            if state.sample_due:
                # A sparse gradient has other rows at each step, which cannot be compared.
                numels = self._parameters.numels
                whole = [(place, each) for place, each in found if each.numel() == numels[place]]
                state.gradient = self._sampler.take(whole)
            sampled = time.perf_counter()
            if state.layers_due:
                rows = self._parameters.rows
                shown = [(rows[place], gradient) for place, gradient in found if place in rows]
                if shown:
                    state.decoders.append(
                        quantities.layer_gradients(
                            state.packet,
                            [gradient for _, gradient in shown],
                            [row for row, _ in shown],
                            len(rows),
                            scaled,
                        )
                    )
            state.norm_seconds += normed - start
            state.sample_seconds += sampled - normed
            if state.layers_due:
                state.layer_seconds += time.perf_counter() - sampled

    def _measure_clipped(self, state: _Step, scale: Tensor | float | None) -> None:
        start = time.perf_counter()
        gradients = [gradient for _, gradient in self._parameters.gradients()]
        if gradients and versions(gradients) != state.versions:
            self._clips = True
            with torch.no_grad():
                scaled = quantities.add_scale(state.packet, scale)
                state.decoders.append(quantities.clipped_norm(state.packet, gradients, scaled))
        state.norm_seconds += time.perf_counter() - start

    def _finish(self, state: _Step) -> None:
        if state.sample_due or state.layers_due:
            with torch.no_grad():
                self._finish_measuring(state)
        elif self._missed_update(state):
            state.decoders.append(_no_update)
        if self._scaler is not None and self._scaler.is_enabled():
            state.decoders.append(self._scaler_state(state))

    def _missed_update(self, state: _Step) -> bool:
        """Whether the optimizer has not stepped where it should have."""
        return self._hooked and not state.optimized and self._accumulation == 1

    def _finish_measuring(self, state: _Step) -> None:
        packet, decoders = state.packet, state.decoders
        start = time.perf_counter()
        numels = self._parameters.numels
        if state.gradient is not None:
            now, before = state.gradient, self._previous
            self._previous = (self._count, now)
            if before and before[0] == self._count - 1 and before[1].key == now.key:
                weights = self._sampler.weights(now, numels)
                decoders.append(quantities.gradient_cosine(packet, now, before[1], weights))
        after = None
        if state.before is not None:
            after = self._sampler.take(self._parameters.dense())
            if after is not None and after.key == state.before.key:
                weights = self._sampler.weights(after, numels)
                decoders.append(quantities.weight_update(packet, state.before, after, weights))
        elif self._missed_update(state):
            decoders.append(_no_update)
        sampled = time.perf_counter()
        if state.layers_due:
            self._finish_layers(state, after)
        if state.sample_due:
            state.sample_seconds += sampled - start
        if state.layers_due:
            state.layer_seconds += time.perf_counter() - sampled

    def _finish_layers(self, state: _Step, after: Sample | None) -> None:
        packet, decoders, rows = state.packet, state.decoders, self._parameters.rows
        decoders.append(quantities.layer_weights(packet, self._parameters.shown()))
        if state.before is not None and after is not None and after.key == state.before.key:
            decoders.append(quantities.layer_updates(packet, state.before, after, rows, len(rows)))
        activations = self._activations.add_statistics(packet)
        train_mode = state.train_mode

        def decode(floats: Floats, measured: Measured) -> None:
            measured.layers.update(activations(floats))
            measured.train_mode = train_mode

        decoders.append(decode)

    def _scaler_state(self, state: _Step) -> Decoder:
        scale = quantities.add_scale(state.packet, state.scale)
        found_inf = quantities.add_scale(state.packet, state.found_inf)
        optimized, known = state.optimized, state.scale is not None
        judged = state.found_inf is not None

        def decode(floats: Floats, measured: Measured) -> None:
            if known:
                measured.row["loss_scale"] = scale(floats)
            measured.row["skipped_step"] = not optimized or (judged and found_inf(floats) > 0)

        return decode


def _no_update(_: Floats, measured: Measured) -> None:
    measured.row["weight_update"] = 0.0


def _is_capturing(tensor: Tensor) -> bool:
    """Whether a CUDA graph is being captured, into which nothing of ours may come."""
    return tensor.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
