"""The batch size: the largest that fits, where throughput levels off, and what the gradient says.

Each size is trained with for some steps, forward, backward and the optimizer's, at a learning rate
of zero, on samples of one batch that come round again. The largest that fits is found by doubling
and bisection (see `batch_size_search`). A size that is expected, by what the sizes before it took,
to need more memory or more time than it may have is not tried: on a CPU, trying would take the
memory of the live run.

How many samples are worth a step is another question, which the gradient noise scale answers (see
`noise_scale`).
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses import memory
from traintop.analyses.batch_size_search import Trial, expected, knee, largest, limit_of, search
from traintop.analyses.batches import draw, loss_of, move
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.noise_gradients import measure_noise
from traintop.analyses.samples import count, resized
from traintop.analyses.saved_weights import SavedBuffers, SavedWeights
from traintop.analyses.target_optimizer import build_optimizer, refuse_closure

if TYPE_CHECKING:
    import torch

RAM_SHARE = 0.5
"""Of the host's memory that can still be taken; the rest is left to the live run's growth."""
LIMIT_SHARE = 0.9
"""Of the memory limit of the analysis, at which it would be ended."""
STEPS, MOST_STEPS, LEAST_SECONDS = 3, 20, 0.3
"""Steps timed for each size: Lightning's 3, more where they are short."""
LOOKED_AT = 8
"""Batches of which the one with the most elements is taken: sequences differ in length."""
MIB = 1 << 20


def run(context: Context) -> Outcome:
    """Estimate the noise scale, then try sizes.

    Raises:
        AnalysisFailedError: A bad option, no batch, not one sample fits, or sharded weights.
    """
    most, batches = int(context.number("most")), int(context.number("noise_batches"))
    if most < 1 or not context.number("step_seconds") > 0:
        raise AnalysisFailedError("most must be at least 1, and step_seconds above 0")
    if context.ranks.sharded:
        raise AnalysisFailedError("batch sizes cannot be tried on sharded weights: drop --shard")
    saved = SavedWeights(context.model)
    context.model.train()
    noise = measure_noise(context, batches)
    saved.restore()
    trials = _Trials(context)
    search(trials.attempt, 2, most)
    saved.restore()
    fits = largest(trials.done)
    if fits is None:
        raise AnalysisFailedError(
            "not even one sample fits into the memory that the analysis may take "
            f"({trials.bound_mb():.0f} MiB): end other programs, or take --device cpu"
        )
    return Outcome(
        result={
            "largest": fits,
            "limited_by": limit_of(trials.done),
            "tried": [
                {
                    "batch_size": each.batch_size,
                    "ok": each.ok,
                    "samples_per_sec": each.samples_per_sec,
                    "peak_memory_mb": each.peak_memory_mb,
                    "limit": each.limit,
                }
                for each in sorted(trials.done, key=lambda each: each.batch_size)
            ],
            "knee": knee(trials.done),
            "noise_scale": None if noise is None else noise.scale,
            "noise_samples": 0 if noise is None else noise.samples,
            "memory_mb": trials.bound_mb(),
        }
    )


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text: a line a size."""
    why = {
        "memory": "more do not fit",
        "time": "a step with more takes too long (--set step_seconds=)",
        "most": "no more were asked for (--set most=)",
    }[result["limited_by"]]
    scale, seen = result["noise_scale"], result["noise_samples"]
    lines = [f"largest batch that fits: {result['largest']} samples; {why}"]
    if result["knee"] is not None:
        lines.append(f"throughput levels off at {result['knee']}: at least 90 % of the best")
    if scale is not None:
        lines.append(
            f"gradient noise scale {float(scale):.0f} samples: far larger batches waste them"
        )
    elif seen:
        lines.append(f"gradient noise scale: above what {seen} samples can tell")
    for each in result["tried"]:
        size = f"{each['batch_size']:>7}"
        if not each["ok"]:
            lines.append(f"{size}  too much {each['limit']}")
            continue
        peak = each["peak_memory_mb"]
        held = "" if peak is None else f"  peak {float(peak):.0f} MiB"
        lines.append(f"{size}  {float(each['samples_per_sec']):.1f} samples/s{held}")
    return lines


class _Trials:
    """Tries batch sizes, and remembers what they took."""

    def __init__(self, context: Context) -> None:
        self.done: list[Trial] = []
        self._context = context
        self._batch = _heaviest(context)
        self._buffers = SavedBuffers(context.model)
        self._slowest = context.number("step_seconds")
        self._bound = _bound(context)
        self._optimizer: torch.optim.Optimizer | None = None
        if context.target.optimizer is None:
            context.log("the Target has no optimizer, so the memory of its state is not counted")
        else:
            self._optimizer = build_optimizer(context, context.model.parameters(), None)
            refuse_closure(self._optimizer)
            for group in self._optimizer.param_groups:
                group["lr"] = 0.0 * group["lr"]

    def bound_mb(self) -> float:
        """The memory that a trial may take, in MiB; 0 where it is not known."""
        return self._bound or 0.0

    def attempt(self, size: int) -> Trial:
        """Train with batches of so many samples for some steps."""
        trial = self._foresee(size) or self._try(size)
        self.done.append(trial)
        total = max(len(self.done) + 1, int(math.log2(self._context.number("most"))) + 1)
        self._context.progress(len(self.done), total, f"batch size {size}")
        if trial.samples_per_sec is not None:
            self._context.point(size, trial.samples_per_sec, "samples per second")
        return trial

    def _foresee(self, size: int) -> Trial | None:
        seconds = expected(self.done, size, "seconds")
        if seconds is not None and seconds > self._slowest:
            return Trial(batch_size=size, ok=False, limit="time")
        peak = expected(self.done, size, "peak_memory_mb")
        # A GPU says itself when its memory is used up, and no harm is done.
        on_host = self._context.device.type == "cpu"
        if on_host and self._bound is not None and peak is not None and peak > self._bound:
            return Trial(batch_size=size, ok=False, limit="memory")
        return None

    def _try(self, size: int) -> Trial:
        self._reset_peak()
        try:
            seconds = self._steps(size)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            seconds = None
        peak = self._peak_mb()
        self._free()
        if seconds is None:
            return Trial(batch_size=size, ok=False, limit="memory")
        return Trial(
            batch_size=size,
            ok=True,
            samples_per_sec=size / seconds,
            peak_memory_mb=peak,
            seconds=seconds,
        )

    def _steps(self, size: int) -> float:
        """Seconds of a step: the median of some, after one that is not counted."""
        batch = move(resized(self._batch, size), self._context.device)
        times: list[float] = []
        self._buffers.restore()
        self._step(batch)
        self._wait()
        while len(times) < STEPS or (sum(times) < LEAST_SECONDS and len(times) < MOST_STEPS):
            self._buffers.restore()  # a state that is kept between steps has the size of its batch
            began = time.perf_counter()
            self._step(batch)
            self._wait()
            times.append(time.perf_counter() - began)
        return max(sorted(times)[len(times) // 2], 1e-9)

    def _step(self, batch: Any) -> None:
        import torch

        self._context.model.zero_grad(set_to_none=True)
        with torch.enable_grad():
            loss = loss_of(self._context.target, self._context.model, batch)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        if self._optimizer is not None:
            self._optimizer.step()

    def _wait(self) -> None:
        import torch

        if self._context.device.type == "cuda":
            torch.cuda.synchronize(self._context.device)

    def _reset_peak(self) -> None:
        import torch

        if self._context.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._context.device)
        else:
            memory.reset_peak()

    def _peak_mb(self) -> float:
        import torch

        if self._context.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._context.device) / MIB
        return memory.peak() / MIB

    def _free(self) -> None:
        import torch

        self._context.model.zero_grad(set_to_none=True)
        gc.collect()
        if self._context.device.type == "cuda":
            torch.cuda.empty_cache()


def _heaviest(context: Context) -> Any:
    """The batch with the most elements a sample, of the first few."""
    found = list(islice(draw(context.target.train or (), context.seed), LOOKED_AT))
    return max(found, key=lambda batch: _elements(batch) / count(batch))


def _elements(batch: Any) -> int:
    numel = getattr(batch, "numel", None)
    if numel is not None:
        return int(numel())
    if isinstance(batch, Mapping):
        return sum(map(_elements, cast("Mapping[str, Any]", batch).values()))
    return sum(map(_elements, cast("list[Any]", batch))) if isinstance(batch, list | tuple) else 0


def _bound(context: Context) -> float | None:
    """MiB that a trial may take; None: not known."""
    import torch

    if context.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(context.device)
        fraction = getattr(torch.cuda, "get_per_process_memory_fraction", None)
        return (free if fraction is None else fraction(context.device) * total) / MIB
    bounds: list[float] = []
    free_now = memory.available()
    if free_now is not None:
        bounds.append(memory.current() + RAM_SHARE * free_now)
    if context.memory_limit is not None:
        bounds.append(LIMIT_SHARE * context.memory_limit)
    return min(bounds) / MIB if bounds else None


def _out_of_memory(error: Exception) -> bool:
    import torch

    text = str(error)
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(
        words in text
        for words in ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )
