"""The demo's training loop: plain PyTorch, with three lines of recorder in it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from traintop.demo import networks
from traintop.demo import target as targets
from traintop.demo.digits import CLASSES, make_digits
from traintop.demo.faults import HEALTHY, ONSET, Fault
from traintop.recorder import Recorder

LOG_EVERY, EVALUATE_EVERY, CHECKPOINT_EVERY, LAYERS_EVERY = 20, 50, 200, 10
WARM_UP_STEPS = 60
BUDGET = 0.05
"""The recorder may take more here than by default: a demo is there to be looked at."""

log = logging.getLogger("demo")


class Training:
    """One run of the demo.

    Attributes:
        loss: Mean loss of logits and labels; a fault may replace it.
        rate_factor: What a fault multiplies the scheduled learning rate by.
        stopping: Set to end the run after the current step.
    """

    def __init__(self, directory: Path, fault: Fault | None, steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.directory = directory
        self.steps = steps
        self.fault = fault or HEALTHY
        self.onset = min(ONSET, steps // 3)
        self.images, self.labels = make_digits(self.fault.train_samples, targets.TRAIN_SEED)
        self.val = make_digits(targets.VAL_SAMPLES, targets.VAL_SEED)
        self.model = getattr(networks, self.fault.network)()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=self.fault.learning_rate,
            momentum=0.9,
            weight_decay=self.fault.weight_decay,
        )
        self.loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy
        self.rate_factor = 1.0
        self.stopping = False
        self.batch_size = min(targets.BATCH_SIZE, len(self.images))
        self.steps_per_epoch = len(self.images) // self.batch_size
        self._order = torch.empty(0, dtype=torch.int64)

    def run(self, pace: float) -> None:
        """Train to the end or until `stopping` is set, `pace` steps a second (0: full speed)."""
        recorder = Recorder(
            self.model,
            self.optimizer,
            directory=self.directory,
            layers_every=LAYERS_EVERY,
            budget=BUDGET,
            batch_size=self.batch_size,
            steps_per_epoch=self.steps_per_epoch,
            planned_steps=self.steps,
            planned_epochs=math.ceil(self.steps / self.steps_per_epoch),
            num_classes=CLASSES,
            task="classification",
            target=f"{targets.__file__}:{self.fault.target}",
        )
        with recorder:
            begun = time.monotonic()
            for step in range(self.steps):
                if step == self.onset and self.fault.strike is not None:
                    self.fault.strike(self)
                loss, accuracy = self._step(step)
                recorder.step(loss=loss, accuracy=accuracy)
                if step % LOG_EVERY == 0:
                    log.info(
                        "step %d/%d epoch %d loss %.4f accuracy %.3f lr %.3e",
                        *(step, self.steps, step // self.steps_per_epoch),
                        *(loss.item(), accuracy.item(), self.optimizer.param_groups[0]["lr"]),
                    )
                if step % EVALUATE_EVERY == EVALUATE_EVERY - 1:
                    self._evaluate(step, recorder)
                if step and step % CHECKPOINT_EVERY == 0:
                    self._save(step, recorder)
                if self.stopping:
                    log.info("stopped at step %d", step)
                    recorder.note(f"stopped at step {step}")
                    break
                if pace:
                    time.sleep(max(0.0, begun + (step + 1) / pace - time.monotonic()))
            else:
                log.info("finished after %d steps", self.steps)

    def log_of_probability(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A loss that forgets that a probability can round to 0, whose logarithm is -inf."""
        probabilities = torch.softmax(25 * logits, dim=1)
        return -probabilities[torch.arange(len(labels)), labels].log().mean()

    @torch.no_grad()
    def shift_biases(self, share: float, by: float) -> None:
        """Add to the biases of this share of the units of every hidden layer but the first."""
        layers = [layer for layer in self.model if getattr(layer, "bias", None) is not None]
        for layer in layers[1:-1]:
            layer.bias[: int(share * len(layer.bias))] += by

    def _step(self, step: int) -> tuple[Tensor, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        batch = self._batch()
        images = self.images[batch]
        logits = self.model(images + self.fault.added_noise * torch.randn_like(images))
        loss = self.loss(logits, self.labels[batch])
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch's own gap
        self.optimizer.step()
        return loss.detach(), (logits.argmax(dim=1) == self.labels[batch]).float().mean()

    def _learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to a tenth."""
        rate = self.fault.learning_rate * self.rate_factor
        if not self.fault.scheduled:
            return rate
        if step < WARM_UP_STEPS:
            return rate * (step + 1) / WARM_UP_STEPS
        done = (step - WARM_UP_STEPS) / max(1, self.steps - WARM_UP_STEPS)
        return rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))

    def _batch(self) -> Tensor:
        if len(self._order) < self.batch_size:
            self._order = torch.randperm(len(self.images))
        batch, self._order = self._order[: self.batch_size], self._order[self.batch_size :]
        return batch

    @torch.no_grad()
    def _evaluate(self, step: int, recorder: Recorder) -> None:
        self.model.eval()
        images, labels = self.val
        logits = self.model(images)
        loss = functional.cross_entropy(logits, labels).item()
        predicted = logits.argmax(dim=1)
        hits = predicted == labels
        accuracy = hits.float().mean().item()
        recall = [hits[labels == digit].float().mean().item() for digit in range(CLASSES)]
        majority = torch.bincount(predicted, minlength=CLASSES).max().item() / len(labels)
        self.model.train()
        recorder.evaluate(
            loss=loss,
            accuracy=accuracy,
            balanced_accuracy=sum(recall) / CLASSES,
            majority_pred_fraction=majority,
        )
        log.info("validation at step %d: loss %.4f accuracy %.3f", step, loss, accuracy)

    def _save(self, step: int, recorder: Recorder) -> None:
        path = self.directory / "checkpoints" / f"step-{step:06d}.pt"
        path.parent.mkdir(exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": step,
        }
        torch.save(state, path)
        recorder.checkpoint(path)
        log.info("saved checkpoint %s", path.name)
