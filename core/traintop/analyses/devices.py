"""Where an analysis runs: the CPU, unless a GPU has room to spare beside the live run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from traintop.analyses.batches import size_in_bytes
from traintop.analyses.context import AnalysisFailedError

if TYPE_CHECKING:
    import torch

    from traintop.analyses.ranks import Ranks
    from traintop.analyses.request import Request
    from traintop.analyses.target import Target

CUDA_SHARE = 0.8
"""Of the memory that is free when it starts, on a GPU that the user has named."""
AUTO_SHARE = 0.5
"""The same on one that was chosen; the other half is left for the live run to grow into."""
SPARE = 2.0
"""A GPU is chosen only where this many times the need is free: activations are not in it."""
CONTEXT_BYTES = 600 << 20
"""What CUDA takes for itself; 300 to 600 MiB, by driver and GPU."""
STATES = 2
"""Copies of the weights that an optimizer keeps, where the checkpoint does not tell: Adam's two."""


def named_device(request: Request, place: Ranks) -> torch.device | None:
    """The device that the request names, its memory capped; None for `auto`.

    Raises:
        AnalysisFailedError: There is no such device.
    """
    import torch

    if request.device == "auto":
        _cap_before_first_use([gpu.free / gpu.total * AUTO_SHARE for gpu in request.gpus])
        return None
    try:
        device = torch.device(request.device)
    except RuntimeError:
        raise AnalysisFailedError(
            f"there is no device {request.device!r}: cpu, cuda:N or auto"
        ) from None
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise AnalysisFailedError(
            f"no GPU can be used by torch in {sys.executable}: take --device cpu"
        )
    if ":" not in request.device:
        device = torch.device("cuda", place.local_rank)
    if device.index >= torch.cuda.device_count():
        raise AnalysisFailedError(
            f"there is no {device}: torch sees {torch.cuda.device_count()} GPUs"
        )
    free, total = torch.cuda.mem_get_info(device)
    torch.cuda.set_per_process_memory_fraction(CUDA_SHARE * free / total, device)
    torch.cuda.set_device(device)
    return device


def choose(
    request: Request,
    place: Ranks,
    model: torch.nn.Module,
    target: Target,
    optimizer_state: Mapping[str, Any] | None,
) -> tuple[torch.device, str]:
    """The device for `auto`, and why.

    A GPU, where each process of this machine finds one with `SPARE` times the memory that the
    weights, their gradients, the optimizer's states and a batch take; else the CPU.
    """
    import torch

    cpu = torch.device("cpu")
    if not request.gpus:
        return cpu, f"on the CPU: {request.why_no_gpu or 'no GPU was found'}"
    needed = memory_needed(model, target, optimizer_state)
    room = SPARE * needed + CONTEXT_BYTES
    roomy = [index for index, gpu in enumerate(request.gpus) if gpu.free >= room]
    about = f"{SPARE:g} times {_size(needed)} of weights, gradients, states and a batch"
    if len(roomy) < request.nproc:
        best = max(request.gpus, key=lambda gpu: gpu.free)
        return cpu, (
            f"on the CPU: {best.name} has {_size(best.free)} of {_size(best.total)} free, "
            f"{_size(int(room))} are asked for ({about}, and CUDA's own)"
        )
    if not torch.cuda.is_available():
        return cpu, f"on the CPU: torch in {sys.executable} cannot use the GPU"
    index = roomy[place.local_rank]
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    gpu = request.gpus[index]
    return device, f"on {gpu.name}: {_size(gpu.free)} are free, {about} fit beside the live run"


def memory_needed(
    model: torch.nn.Module, target: Target, optimizer_state: Mapping[str, Any] | None
) -> int:
    """Bytes of the weights and buffers, gradients, optimizer states and one batch.

    The states are those of the checkpoint where it has them, else two of each weight's size.
    """
    weights = size_in_bytes((*model.parameters(), *model.buffers()))
    gradients = size_in_bytes(each for each in model.parameters() if each.requires_grad)
    if optimizer_state is not None:
        states = size_in_bytes(optimizer_state)
    else:
        states = STATES * gradients if target.optimizer is not None else 0
    batch = next(iter(target.train), None) if target.train is not None else None
    return weights + gradients + states + size_in_bytes(batch)


def _cap_before_first_use(fractions: Sequence[float]) -> None:
    """Cap what this process may take of each GPU, should the target itself use one.

    To begin CUDA now would take memory even where the CPU is chosen in the end.
    """
    import torch

    def cap() -> None:
        for index, fraction in enumerate(fractions[: torch.cuda.device_count()]):
            torch.cuda.set_per_process_memory_fraction(fraction, index)

    torch.cuda._lazy_call(cap)  # type: ignore[no-untyped-call]  # pyright: ignore[reportPrivateUsage]  # what torch defers its own settings with


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:.0f} MiB"
