"""Inference latency: how long a forward pass takes for each batch size, and what it is spent on.

Evaluation mode, no gradients, the batch already on the device. Passes that warm up caches and
allocators are not counted, the device is waited for before and after each (a GPU works on after the
call has returned), and Python's garbage collector is off meanwhile, as in `timeit`. The tail is
what users wait for, so percentiles are told rather than a mean.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from traintop.analyses.batches import draw, forward, move
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.samples import resized
from traintop.analyses.saved_weights import SavedBuffers

if TYPE_CHECKING:
    import torch

LEAST_RUNS = 10
"""Passes of a batch size however long they take; with less than 100 the 99th percentile is all but
the slowest of them."""
PROFILED = 5
"""Passes that the profiler looks at."""
TOP_OPERATORS = 10


def run(context: Context) -> Outcome:
    """Time the forward pass at batch sizes 1, 2, 4 ... and profile the largest.

    Raises:
        AnalysisFailedError: A bad option, or no batch.
    """
    import torch

    most, wanted = int(context.number("most")), int(context.number("runs"))
    warmup, seconds = int(context.number("warmup")), context.number("seconds")
    if most < 1 or wanted < 1 or warmup < 1 or not seconds > 0:
        raise AnalysisFailedError("most, runs and warmup must be at least 1, and seconds above 0")
    source = next(draw(context.target.train or (), context.seed))
    context.model.eval()
    if context.target.step is not None and context.target.forward is None:
        context.log("the Target has a step and no forward, so the loss is timed with the model")
    sizes = batch_sizes(most)
    buffers = SavedBuffers(context.model)
    rows: list[dict[str, Any]] = []
    top: list[dict[str, Any]] = []
    with torch.inference_mode():
        for number, size in enumerate(sizes):
            batch = move(resized(source, size), context.device)
            warm = _times(context, buffers, batch, warmup)
            runs = _agreed(context, warm, wanted, seconds)
            times = _times(
                context, buffers, batch, runs, (number, len(sizes)), f"batch size {size}"
            )
            # The slowest rank is what is waited for.
            rows.append(row_of(size, np.max(context.ranks.gather(times), axis=0).tolist()))
            context.point(size, rows[-1]["p50_ms"], "p50 ms")
            context.point(size, rows[-1]["p95_ms"], "p95 ms")
            if size == sizes[-1]:
                top = _top_operators(context, batch)
    return Outcome(
        result={
            "batch_sizes": rows,
            "top_ops": top,
            "top_ops_batch_size": sizes[-1],
            "threads": torch.get_num_threads(),
        }
    )


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text: a line a batch size, then the operators."""
    lines = [f"{'batch':>6}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}{'samples/s':>12}{'runs':>7}"]
    lines += [
        f"{each['batch_size']:>6}{each['p50_ms']:>10.3f}{each['p95_ms']:>10.3f}"
        f"{each['p99_ms']:>10.3f}{each['samples_per_sec']:>12.1f}{each['runs']:>7}"
        for each in result["batch_sizes"]
    ]
    size = result["top_ops_batch_size"]
    lines.append(f"most time at batch size {size} ({result['threads']} CPU threads):")
    lines += [
        f"{each['share']:>7.1%}  {each['ms']:>9.3f} ms  {each['calls']:>5} calls  {each['name']}"
        for each in result["top_ops"]
    ]
    return lines


def batch_sizes(most: int) -> list[int]:
    """Powers of two, and at last `most` itself."""
    sizes = [1 << power for power in range(int(math.log2(most)) + 1)]
    return sizes if sizes[-1] == most else [*sizes, most]


def row_of(size: int, times: Sequence[float]) -> dict[str, Any]:
    """Percentiles of the seconds that passes took, interpolated as `numpy.percentile` does."""
    p50, p95, p99 = np.percentile(times, (50, 95, 99)).tolist()
    return {
        "batch_size": size,
        "p50_ms": 1e3 * p50,
        "p95_ms": 1e3 * p95,
        "p99_ms": 1e3 * p99,
        "samples_per_sec": size / p50 if p50 > 0 else 0.0,
        "runs": len(times),
    }


def _agreed(context: Context, warm: Sequence[float], wanted: int, seconds: float) -> int:
    """How many passes have room in so many seconds.

    The same on all ranks, which wait for each other where the weights are sharded.
    """
    slowest = max(context.ranks.gather(float(np.median(warm))))
    return min(wanted, max(LEAST_RUNS, int(seconds / max(slowest, 1e-9))))


def _times(
    context: Context,
    buffers: SavedBuffers,
    batch: Any,
    runs: int,
    place: tuple[int, int] | None = None,
    what: str = "",
) -> list[float]:
    """Seconds of each of so many passes."""
    times: list[float] = []
    told = time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(1, runs + 1):
            buffers.restore()  # a state that is kept between passes has the size of its batch
            _wait(context.device)
            began = time.perf_counter()
            forward(context.target, context.model, batch)
            _wait(context.device)
            ended = time.perf_counter()
            times.append(ended - began)
            # Telling costs time too, so it is done seldom, and not while the clock runs.
            if place is not None and (ended - told > 0.2 or number == runs):
                told = ended
                context.progress(place[0] * runs + number, place[1] * runs, what)
    finally:
        if collecting:
            gc.enable()
    return times


def _wait(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _top_operators(context: Context, batch: Any) -> list[dict[str, Any]]:
    """The operators that take the most time of their own, of the GPU where there is one."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = context.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(PROFILED):
            forward(context.target, context.model, batch)
        _wait(context.device)
    events = cast("list[Any]", profiler.key_averages())
    found = [
        (str(event.key), _own_time(event, on_gpu) / 1e3 / PROFILED, int(event.count) // PROFILED)
        for event in events
        # Operators; the rest are the kernels that they start, the profiler and the driver.
        if "::" in str(event.key) and event.device_type.name == "CPU"
    ]
    total = sum(ms for _, ms, _ in found)
    found.sort(key=lambda each: -each[1])
    return [
        {"name": name, "ms": ms, "share": ms / total, "calls": calls}
        for name, ms, calls in found[:TOP_OPERATORS]
        if ms > 0
    ]


def _own_time(event: Any, on_gpu: bool) -> float:
    """Microseconds without what it calls; torch before 2.4 had another name for the GPU's."""
    if not on_gpu:
        return float(event.self_cpu_time_total)
    if hasattr(event, "self_device_time_total"):
        return float(event.self_device_time_total)
    return float(event.self_cuda_time_total)
