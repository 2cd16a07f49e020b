"""The face of the recorder: three lines in a training loop."""

from __future__ import annotations

import math
import os
import sys
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from traintop.recorder.cadence import StepClock
from traintop.recorder.events import LearningRateWatch, NonFiniteWatch
from traintop.recorder.files import RunFiles
from traintop.recorder.guard import Guarded
from traintop.recorder.metrics import take
from traintop.recorder.run_info import rank_and_world_size, run_directory, run_info

if TYPE_CHECKING:
    from torch import nn

    from traintop.recorder.batches import BatchKeeper
    from traintop.recorder.measurement import Measurement
    from traintop.recorder.quantities import Measured
    from traintop.recorder.readback import Readback

DEFAULT_BUDGET = 0.01
MEMORY_SECONDS = 0.5
MOST_NAMES = 20


class Recorder:
    """Records a training run so that traintop can show it while it runs.

    The loop stays as it is: a recorder never raises into it, consumes no random numbers and
    changes no gradient; weights come out bit for bit the same. Its measurements adapt to the time
    of a step, so as to stay within a share of it.

        recorder = Recorder(model, optimizer, batch_size=64, planned_steps=10_000)
        for inputs, labels in loader:
            loss = criterion(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss)
        recorder.close()

    `grad_norm` is what it was before clipping, and gradients are read unscaled: with a
    `torch.amp.GradScaler`, pass it as `scaler`. Of parameters that are sharded over ranks each rank
    records its own shard; pass the `grad_norm` that the clipping function returns there.

    Args:
        model: The model that is trained.
        optimizer: Its optimizer.
        directory: Where to record; default `$DIAGNOSTICS_DIR`, or `results/diagnostics`. A
            directory that holds a run already is continued.
        scaler: The gradient scaler of mixed precision, if there is one.
        start_step: The step that comes first; default 0, or the one after the last one recorded.
        layers_every: Steps between two records of the layers; 0: none; default: as often as the
            budget allows, at most every 10.
        every_parameter: Record biases and norm scales as layers too.
        keep_batches: Keep so many of the first batches (of rank 0) in the run's folder `batches`,
            so that analyses need no data pipeline: those given to `keep`, else what the model is
            called with. Of a batch above 64 MiB the first samples are kept.
        budget: The share of a step's time that the recorder may take. Only writing the record,
            0.1 to 0.3 ms of one core, is done at every step even where it takes more.
        **metadata: What else is known of the run: batch_size, planned_steps, steps_per_epoch,
            planned_epochs, num_classes, task, seed, grad_clip, grad_accumulation,
            target ("file.py:function", which rebuilds model and data for analyses) ...
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any = None,
        *,
        directory: str | os.PathLike[str] | None = None,
        scaler: Any = None,
        start_step: int | None = None,
        layers_every: int | None = None,
        every_parameter: bool = False,
        keep_batches: int = 0,
        budget: float = DEFAULT_BUDGET,
        **metadata: object,
    ) -> None:
        # Imported late: this module is read by scripts that may never record, torch is not light.
        from traintop.recorder.batches import BatchKeeper
        from traintop.recorder.measurement import Measurement
        from traintop.recorder.readback import Readback

        self._began = time.perf_counter()
        self._guarded = Guarded("a part of the record is lost")
        self._optimizer = optimizer
        self._budget = budget
        self._closed = False
        self._steps_per_epoch = _positive(metadata.get("steps_per_epoch"))
        self._epoch: float | None = None
        accumulation = int(_positive(metadata.get("grad_accumulation")) or 1)
        batch_size = _positive(metadata.get("batch_size"))
        self._samples = batch_size * accumulation if batch_size else None
        self._rates = LearningRateWatch()
        self._non_finite = NonFiniteWatch()
        self._memory_read = -math.inf
        self._own_total = self._own = 0.0
        rank, world_size = rank_and_world_size()
        self._files = RunFiles(
            run_directory(directory, rank), run_info(model, optimizer, scaler, world_size, metadata)
        )
        last = self._files.resumed_from
        self._next = start_step if start_step is not None else 0 if last is None else last + 1
        self._last = self._next - 1
        if last is not None:
            self._event("resume", step=self._next, last_step=last)
        self._readback = Readback()
        self._measurement = Measurement(
            model,
            optimizer,
            scaler,
            layers_every=layers_every,
            every_parameter=every_parameter,
            accumulation=accumulation,
            clips=bool(metadata.get("grad_clip")),
        )
        self._keeping = Guarded("batches are not kept")
        self._keeper: BatchKeeper | None = None
        with self._keeping:
            if keep_batches > 0 and rank == 0:
                folder = self._files.directory / "batches"
                self._keeper = BatchKeeper(folder, keep_batches, model, self._keeping)
        self._count = self._next
        self._measurement.prepare(self._count, first=True)
        self._finalizer = weakref.finalize(
            self, _release, os.getpid(), self._measurement, self._readback, self._files
        )
        self._clock = StepClock(time.perf_counter())

    # --- what a script calls --------------------------------------------------------------------

    def step(
        self,
        loss: Any = None,
        *,
        step: int | None = None,
        epoch: float | None = None,
        **metrics: Any,
    ) -> None:
        """Record a training step. To be called after `optimizer.step()`.

        Args:
            loss: A number or a tensor of one element, which may still be on its device.
            step: The step's number; default: one more than the last.
            epoch: The epoch; default: from `steps_per_epoch`, where that is known.
            **metrics: Further numbers. A name that the recorder measures itself (`grad_norm`,
                `learning_rate` ...) replaces what it would have measured.
        """
        if not self._closed:
            with self._guarded:
                self._record_step(step, epoch, {"loss": loss, **metrics})
            if self._keeper is not None:
                with self._keeping:
                    self._keeper.poll()

    def keep(self, batch: Any) -> None:
        """Keep this batch for analyses, if fewer than `keep_batches` are kept.

        To be called with what the data loader yields: tensors, in tuples, lists and dicts.
        """
        if self._keeper is not None and not self._closed:
            with self._keeping:
                self._keeper.keep(batch)

    def evaluate(
        self,
        loss: Any = None,
        *,
        step: int | None = None,
        epoch: float | None = None,
        **metrics: Any,
    ) -> None:
        """Record an evaluation, at the last training step unless `step` says another."""
        if self._closed:
            return
        with self._guarded:
            self._clock.interrupted()
            self._measurement.interrupted()
            number = max(self._last, 0) if step is None else step
            record = {**self._head(number, epoch), "time": time.time()}
            packet = self._readback.packet()
            late = take({"loss": loss, **metrics}, packet, self._files.tell)
            self._readback.submit(
                packet, lambda floats: self._files.val({**record, **late(floats)})
            )

    def checkpoint(self, path: str | os.PathLike[str], *, step: int | None = None) -> None:
        """Say that a checkpoint was saved, so that analyses find it and know its step."""
        if self._closed:
            return
        with self._guarded:
            self._clock.interrupted()
            saved = Path(path).absolute()
            inside = saved.is_relative_to(self._files.directory)
            text = str(saved.relative_to(self._files.directory) if inside else saved)
            self._event("checkpoint", step=max(self._last, 0) if step is None else step, path=text)

    def note(self, text: str) -> None:
        """Leave a note at the last step."""
        if not self._closed:
            with self._guarded:
                self._event("note", step=max(self._last, 0), text=text)

    def close(self) -> None:
        """End the record: write what is still on its way, and take every hook away again."""
        self._end(finished=True)

    @property
    def overhead(self) -> float:
        """The share of the time since the start that the recorder has taken."""
        return self._own_total / max(time.perf_counter() - self._began, 1e-9)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        # Ctrl-C and exit requests are how people end a run that they have seen enough of.
        failed = isinstance(error, Exception)
        if failed:
            self.note(f"ended by {type(error).__name__}: {error}")
        self._end(finished=not failed)

    # --- how it is done -------------------------------------------------------------------------

    def _end(self, *, finished: bool) -> None:
        if self._closed:
            return
        self._closed = True
        if self._keeper is not None:
            with self._keeping:
                self._keeper.close()
        self._finalizer.detach()
        _release(os.getpid(), self._measurement, self._readback, self._files, finished)

    def _record_step(self, step: int | None, epoch: float | None, metrics: dict[str, Any]) -> None:
        start = time.perf_counter()
        measurement = self._measurement
        hooks = measurement.seconds
        self._clock.step_ended(start, self._own + hooks)
        number = self._next if step is None else int(step)
        self._last, self._next = number, number + 1
        packet, decode = measurement.finish()
        measured_at = time.perf_counter()
        record = self._head(number, epoch)
        late = take(metrics, packet, self._files.tell)
        rates = self._learning_rates(number)
        wall = self._clock.wall
        state: dict[str, object] = {}
        if self._samples and wall:
            state["samples_per_sec"] = self._samples / wall
        self._read_memory(state, start)
        state["num_batches"] = max(measurement.backwards, 1)
        state["time"] = time.time()

        def deliver(floats: list[float]) -> None:
            measured = decode(floats)
            given = late(floats)
            # First for their place in the line, last for their say.
            row = {**record, **given, **rates, **measured.row, **state, **given}
            self._files.train(row)
            self._write_layers(record, measured)
            self._watch_finite(number, row, measured.bad_layers)

        self._readback.submit(packet, deliver)
        allowed = self._budget * self._clock.seconds
        measurement.pay(allowed, time.perf_counter() - measured_at)
        self._count += 1
        measurement.prepare(self._count)
        self._own = time.perf_counter() - start
        self._own_total += self._own + hooks

    def _head(self, number: int, epoch: float | None) -> dict[str, object]:
        """Step and epoch of a record; a new epoch is an event."""
        record: dict[str, object] = {"step": number}
        if epoch is None and self._steps_per_epoch:
            epoch = int(number // self._steps_per_epoch)
        if epoch is not None:
            record["epoch"] = epoch
            if self._epoch is not None and math.floor(epoch) > math.floor(self._epoch):
                self._event("epoch", step=number, epoch=epoch)
            self._epoch = epoch
        return record

    def _learning_rates(self, number: int) -> dict[str, object]:
        groups = getattr(self._optimizer, "param_groups", ())
        rates = [float(group["lr"]) for group in groups if "lr" in group]
        if not rates:
            return {}
        before = self._rates.jump(rates[0])
        if before is not None:
            self._event("lr_change", step=number, **{"from": before, "to": rates[0]})
        others = {f"lr_group{place}": rate for place, rate in enumerate(rates[1:], start=1)}
        return {"learning_rate": rates[0], **others}

    def _read_memory(self, record: dict[str, object], now: float) -> None:
        # The statistics of the allocator cost a tenth of a millisecond, so not at every step.
        if now - self._memory_read < MEMORY_SECONDS:
            return
        self._memory_read = now
        cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
        if cuda is not None and cuda.is_initialized():
            record["gpu_memory_mb"] = cuda.memory_allocated() / 2**20

    def _write_layers(self, record: dict[str, object], measured: Measured) -> None:
        if measured.layers:
            record = {**record, "train_mode": measured.train_mode, **measured.layers}
            self._files.layers(self._measurement.layer_header(), record)

    def _watch_finite(self, number: int, row: Mapping[str, object], bad_layers: list[str]) -> None:
        """An episode of non-finite values is an event; a step that the scaler skipped is none."""
        what = [
            name
            for name in ("loss", "grad_norm")
            if isinstance(value := row.get(name), float) and not math.isfinite(value)
        ]
        bad = bool(what) and row.get("skipped_step") is not True
        if self._non_finite.begins(number, bad):
            names = bad_layers or self._measurement.non_finite_gradients()
            layers = {"layers": names[:MOST_NAMES], "layers_total": len(names)}
            self._event("nonfinite", step=number, what=what, **layers)

    def _event(self, event: str, *, step: int, **fields: object) -> None:
        self._files.event({"step": step, "time": time.time(), "event": event, **fields})


def _positive(value: object) -> float | None:
    return value if isinstance(value, int | float) and value > 0 else None


def _release(
    pid: int,
    measurement: Measurement,
    readback: Readback,
    files: RunFiles,
    finished: bool | None = None,
) -> None:
    """End a recorder; at the end of the process at the latest. A forked child must not.

    Args:
        pid: The process that it belongs to.
        measurement: Takes its hooks away.
        readback: Hands over what is still on its way.
        files: Take the last record, and the event that says that the run has finished.
        finished: Whether it has. None: nobody has said, as in a script without `close`; then it has
            unless an exception that nobody caught ends the process.
    """
    if os.getpid() != pid:
        return
    with Guarded("the end of the record is lost"):
        readback.drain()
        if finished or (finished is None and getattr(sys, "last_value", None) is None):
            event = {"step": files.last_step, "time": time.time(), "event": "control"}
            files.event({**event, "action": "finished"})
    with Guarded("hooks are left behind"):
        measurement.close()
    files.close()
