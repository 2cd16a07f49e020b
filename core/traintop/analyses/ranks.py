"""The processes that work on one analysis together, and what they share.

Every process builds the same model and draws the same batches in the same order. Of a batch each
takes its part of the samples; gradients, losses and counts are then joined so that the answer is
that of one process. Layers that mix the samples of a batch (batch normalisation) see a part of it
only, as they do in data-parallel training. Dropout draws other masks for a part than for the whole
(those of each rank begin alike), so that with it lr_find and gradient_flow differ a little with the
number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses.batches import size
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.samples import count, pick

if TYPE_CHECKING:
    import torch

OLDEST_SHARDING = (2, 8)
"""Before, `fully_shard` took no word on when the outermost module is sharded again."""
PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before it gives up."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A rank's part of a batch."""

    batch: Any
    samples: int
    """How many samples of it count; 0: it is only there so that all ranks do the same work."""
    of: int
    """Samples of the whole batch."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that share the analysis; by default it is alone."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among those of this machine."""
    device: torch.device | None = None
    """Where what is exchanged has to lie."""
    sharded: bool = False
    """Whether the parameters are sharded over the ranks (FSDP2)."""

    @property
    def first(self) -> bool:
        """Whether this is the rank that speaks."""
        return self.rank == 0

    def share(self, batch: Any) -> Share:
        """This rank's part of a batch. What cannot be divided counts on rank 0 only."""
        divisible = _samples(batch)
        whole = divisible or size(batch) or 1
        if self.size == 1:
            return Share(batch=batch, samples=whole, of=whole)
        if divisible is None:
            return Share(batch=batch, samples=whole if self.first else 0, of=whole)
        low, high = (whole * place // self.size for place in (self.rank, self.rank + 1))
        part = pick(batch, range(low, high) if low < high else [0])
        return Share(batch=part, samples=high - low, of=whole)

    def weight(self, share: Share) -> float:
        """What a loss is multiplied with, so that the mean over ranks is that of the batch."""
        return share.samples * self.size / share.of

    def mean(self, value: float, share: Share) -> float:
        """The mean of a value over the samples of all parts of a batch."""
        if self.size == 1:
            return value
        return self.total([value * share.samples if share.samples else 0.0])[0] / share.of

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum over ranks of each value."""
        if self.size == 1:
            return list(values)
        import torch
        import torch.distributed as dist

        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return cast("list[float]", summed.tolist())

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def average_gradients(self, model: torch.nn.Module) -> None:
        """Put the mean over ranks into each gradient; where the weights are sharded it is there."""
        if self.size == 1 or self.sharded:
            return
        import torch
        import torch.distributed as dist

        parameters = [each for each in model.parameters() if each.requires_grad]
        here = self.total([0.0 if each.grad is None else 1.0 for each in parameters])
        used = [each for each, count in zip(parameters, here, strict=True) if count]
        for dtype in {each.dtype for each in used}:
            same = [each for each in used if each.dtype == dtype]
            flat = torch.cat(
                [
                    (torch.zeros_like(each) if each.grad is None else each.grad).reshape(-1)
                    for each in same
                ]
            )
            dist.all_reduce(flat)
            flat /= self.size
            begin = 0
            for each in same:
                each.grad = flat[begin : begin + each.numel()].view_as(each)
                begin += each.numel()


def laid_out_as(held: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A whole tensor, sharded as another one is; all ranks must ask for it."""
    mesh, placements = getattr(held, "device_mesh", None), getattr(held, "placements", None)
    if mesh is None or getattr(value, "device_mesh", None) is not None:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(held.device, held.dtype), mesh, placements)


def _samples(batch: Any) -> int | None:
    """The number of samples, where every tensor of a batch has them along its first axis."""
    try:
        found = count(batch)
    except AnalysisFailedError:
        return None
    return found if _all_hold(batch, found) else None


def _all_hold(item: Any, samples: int) -> bool:
    shape = getattr(item, "shape", None)
    if shape is not None:
        return not len(shape) or int(shape[0]) == samples
    if isinstance(item, Mapping):
        return all(_all_hold(each, samples) for each in cast("Mapping[str, Any]", item).values())
    if isinstance(item, list | tuple):
        parts = cast("Sequence[Any]", item)
        return len(parts) == samples or all(_all_hold(each, samples) for each in parts)
    return True


def place_of_process() -> Ranks:
    """Which rank this process is, from torchrun's variables; the group is not joined yet."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    rank, count, local = (
        int(os.environ.get(name, n)) for name, n in zip(names, "010", strict=True)
    )
    return Ranks(rank=rank, size=count, local_rank=local)


def join(place: Ranks, model: torch.nn.Module, device: torch.device, *, shard: bool) -> Ranks:
    """Meet the other ranks, and begin with the weights of rank 0.

    Args:
        place: From `place_of_process`.
        model: On its device; one that is to be sharded on the CPU, for whole it may not fit.
        device: Decides what they talk through: gloo on the CPU, NCCL on GPUs.
        shard: Shard the weights (FSDP2, `fully_shard`): for a model that outgrows a device.

    Raises:
        AnalysisFailedError: This torch cannot.
    """
    if place.size == 1:
        return place
    import torch.distributed as dist

    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    if shard:
        _shard(model, device, place.size)
    else:
        for tensor in (*model.parameters(), *model.buffers()):
            dist.broadcast(tensor.detach(), 0)
    return Ranks(
        rank=place.rank,
        size=place.size,
        local_rank=place.local_rank,
        device=device,
        sharded=shard,
    )


def leave() -> None:
    """Part from the other ranks, if this one has joined them."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _shard(model: torch.nn.Module, device: torch.device, count: int) -> None:
    """Shard each block of a stack of blocks by itself, so that only one is whole at a time."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh

    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_SHARDING:
        raise AnalysisFailedError(
            f"sharding needs torch 2.8 or newer, not {torch.__version__}: leave --shard out"
        )
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (count,))
    done: set[torch.nn.Module] = set()
    for stack in reversed(list(model.modules())):  # inner ones first
        if isinstance(stack, torch.nn.ModuleList | torch.nn.Sequential):
            for block in set(stack.children()) - done:
                if any(True for _ in block.parameters()):
                    fully_shard(block, mesh=mesh)
                    done.add(block)
    # The outermost is by default left whole between forward and backward: an optimizer that is made
    # after a forward pass would be given weights that no gradient reaches.
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
