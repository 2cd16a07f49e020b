"""The training loop: plain, but for the mistakes that a recipe asks for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from bench.labelled import machine
from bench.labelled.data import Data, Split, epoch_order, make_data
from bench.labelled.families import make_network
from bench.labelled.losses import HALF_MAX, loss_of, quality
from bench.labelled.measuring import LayerMeter, flat
from bench.labelled.networks import plant
from bench.labelled.recipe import Recipe
from bench.labelled.schedules import learning_rate
from torch import Tensor

FIRST_SCALE = 65536.0
MOMENTUM = 0.9
AFTER_NAN = 40
"""Steps that a run goes on after everything has become NaN."""
LAYERS_EVERY, SPARSE_LAYERS_EVERY, LONG = 10, 20, 700
"""Steps between layer records, in runs shorter and longer than LONG."""

Record = dict[str, Any]


@dataclass
class Outcome:
    """A run as it was, before anything is left out of its log.

    Attributes:
        baseline: Loss of a prediction that does not look at its input.
        train: A record a batch.
        val: A record an evaluation.
        layers: Layer records; `header` is what comes before them.
    """

    recipe: Recipe
    outputs: int
    parameters: int
    baseline: float
    header: Record
    train: list[Record] = field(default_factory=list)
    val: list[Record] = field(default_factory=list)
    layers: list[Record] = field(default_factory=list)


class Training:
    """One run.

    Args:
        recipe: What to do.
    """

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.data: Data = make_data(recipe)
        self.network = make_network(recipe, self.data)
        self.parameters = list(self.network.parameters())
        trained = plant(recipe, self.network)
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(
                trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=True
            )
            if recipe.optimizer == "adamw"
            else torch.optim.SGD(
                trained,
                lr=recipe.learning_rate,
                momentum=MOMENTUM,
                weight_decay=recipe.weight_decay,
                foreach=True,
            )
        )
        self.random = np.random.default_rng([recipe.seed, 9])
        self.overflows = self.random.random(recipe.steps) < recipe.overflow_share
        self.meter = LayerMeter(self.network)
        self.scale, self.clean_steps = FIRST_SCALE, 0
        self.last_grad: Tensor | None = None
        self.spent = False
        """Whether the gradients have been used, and are to be zeroed before the next batch."""
        self.outcome = Outcome(
            recipe,
            self.data.outputs,
            sum(each.numel() for each in self.parameters),
            _baseline(self.data),
            self.meter.header,
        )

    def run(self) -> Outcome:
        """Train to the end, or until a while after everything has become NaN."""
        recipe, outcome = self.recipe, self.outcome
        batches = self._batches()
        for _ in range(recipe.resumed_after):
            self._step(-1, next(batches))
        throughput, memory = machine.throughput(recipe), machine.memory(recipe)
        every = LAYERS_EVERY if recipe.steps < LONG else SPARSE_LAYERS_EVERY
        lost = 0
        for step in range(recipe.steps):
            self.network.train(not recipe.eval_mode)
            epoch_end = (step + 1) % recipe.steps_per_epoch == 0
            measured = epoch_end if recipe.cadence == "epoch" else step % every == 0
            if measured:
                self.meter.arm()
            record: Record = {"step": step, "epoch": step // recipe.steps_per_epoch}
            record |= self._step(step, next(batches))
            record["samples_per_sec"] = float(throughput[step])
            record["gpu_memory_mb"] = float(memory[step])
            outcome.train.append(record)
            if measured:
                outcome.layers.append(
                    {
                        "step": step,
                        "epoch": record["epoch"],
                        "train_mode": self.network.training,
                        **self.meter.record(),
                    }
                )
            if epoch_end or step + 1 == recipe.steps:
                outcome.val.append(self._evaluate(step))
            lost += not math.isfinite(record["weight_update"])
            if lost > AFTER_NAN:
                break
        return outcome

    def _step(self, step: int, batch: tuple[Tensor, Tensor]) -> Record:
        """One batch; `step` is -1 before the log begins."""
        recipe = self.recipe
        inputs, targets = self._spoiled(*batch) if step in recipe.bad_steps else batch
        rate = learning_rate(recipe, max(step, 0))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.spent and recipe.zero_grad:
            self.optimizer.zero_grad(set_to_none=True)
        outputs = self.network(inputs)
        loss = loss_of(recipe, step, outputs, targets)
        # A gradient that is too large for 16 bits is one of the backward pass: the loss looks good.
        blown = recipe.event == "overflow_gradients" and step >= recipe.onset
        factor = recipe.event_factor if blown else 1.0
        (loss * (factor / recipe.accumulation)).backward()  # type: ignore[no-untyped-call] # torch's own gap
        record: Record = {"loss": loss.item(), **quality(recipe, outputs, targets)}
        record["learning_rate"] = rate
        updates = (step + 1) % recipe.accumulation == 0
        return record | self._update(step, updates=updates and recipe.optimizer_steps)

    def _update(self, step: int, *, updates: bool) -> Record:
        """Measure the gradient and take the optimizer's step."""
        recipe = self.recipe
        grad = flat([each.grad for each in self.parameters if each.grad is not None])
        norm = grad.norm().item()
        record: Record = {"grad_norm": norm}
        skipped = recipe.amp and self._overflows(step, grad)
        if skipped:
            record["grad_norm"] = norm if math.isnan(norm) else math.inf
            self.last_grad = None
        else:
            if self.last_grad is not None:
                lengths = self.last_grad.norm().item() * norm
                record["grad_cos"] = torch.dot(grad, self.last_grad).item() / max(lengths, 1e-30)
            self.last_grad = grad
        before = flat(list(self.parameters))
        if updates and not skipped:
            if recipe.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters, recipe.clip, foreach=True)
                record["grad_norm_clipped"] = min(norm, recipe.clip)
            self.optimizer.step()
        change = (flat(list(self.parameters)) - before).norm() / before.norm()
        record["weight_update"] = change.item()
        if recipe.amp:
            record["loss_scale"] = self.scale
            record["skipped_step"] = bool(skipped)
            self._rescale(skipped=bool(skipped))
        self.spent = updates or not recipe.optimizer_steps
        record["num_batches"] = 1
        return record

    def _overflows(self, step: int, grad: Tensor) -> bool:
        """Whether a gradient times the loss scale would leave the range of 16 bits."""
        largest = grad.abs().max().item() * self.scale
        return not largest <= HALF_MAX or (step >= 0 and bool(self.overflows[step]))

    def _rescale(self, *, skipped: bool) -> None:
        """What a gradient scaler does: halve after an overflow, double after clean steps."""
        self.clean_steps = 0 if skipped else self.clean_steps + 1
        if skipped:
            self.scale /= 2
        elif self.clean_steps == self.recipe.scale_growth:
            self.scale, self.clean_steps = self.scale * 2, 0

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        split, size = self.data.train, self.recipe.batch_size
        while True:
            order = torch.as_tensor(epoch_order(self.recipe, split, self.random))
            for index in range(self.recipe.steps_per_epoch):
                chosen = order[index * size : (index + 1) * size]
                yield split.inputs[chosen], split.targets[chosen]

    def _spoiled(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A batch of which some samples are corrupt: senseless inputs, wrong labels."""
        bad = max(1, round(self.recipe.bad_share * len(inputs)))
        inputs, targets = inputs.clone(), targets.clone()
        scale = self.recipe.bad_scale
        if not inputs.is_floating_point():
            inputs[:bad] = torch.randint(0, self.data.outputs, inputs[:bad].shape)
            targets[:bad] = torch.randint(0, self.data.outputs, targets[:bad].shape)
        elif targets.is_floating_point():
            targets[:bad] *= scale
        else:
            inputs[:bad] *= scale
            targets[:bad] = targets[:bad][torch.randperm(bad)]
        return inputs, targets

    @torch.no_grad()
    def _evaluate(self, step: int) -> Record:
        """An evaluation with the true loss, whatever the training minimises."""
        self.network.eval()
        split: Split = self.data.val
        outputs = self.network(split.inputs)
        plain = replace(self.recipe, label_smoothing=0.0, event="")
        return {
            "step": step,
            "epoch": step // self.recipe.steps_per_epoch,
            "loss": loss_of(plain, step, outputs, split.targets).item(),
            **quality(self.recipe, outputs, split.targets, thorough=True),
            "num_batches": 1,
        }


def _baseline(data: Data) -> float:
    """Entropy of equally likely classes, or the variance of the targets."""
    if data.classification:
        return math.log(data.outputs)
    return data.val.targets.var().item()
