"""What the host asks of the worker: one JSON object on its command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU as it was found just before the worker was started."""

    name: str
    free: int
    """Bytes."""
    total: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One analysis of one checkpoint."""

    analysis: str
    target: str | None = None
    """`FILE.py:FUNCTION` or `package.module:FUNCTION`; None: the checkpoint is a Hugging Face
    folder, whose config says the model."""
    checkpoint: str | None = None
    """None: the target's model as it is built."""
    compare: Sequence[str] = ()
    """Further checkpoints, set beside it."""
    device: str = "cpu"
    """`cpu`, `cuda`, `cuda:N`, or `auto`: one of `gpus` if it has room."""
    seed: int = 0
    options: Mapping[str, float] = field(default_factory=dict[str, float])
    """Those that differ from their defaults."""
    data: str | None = None
    """Batches instead of the target's `train`: a folder of recorded ones, a text or jsonl file."""
    recorded: str | None = None
    """Folder of recorded batches, for a target without `train`."""
    nproc: int = 1
    """Processes on each machine."""
    nnodes: int = 1
    """Machines."""
    rdzv_endpoint: str | None = None
    """`host:port` at which the machines meet."""
    shard: bool = False
    """Whether the weights are sharded over the processes, instead of copied."""
    memory_limit: int | None = None
    """Bytes that each process and its children may take on the host."""
    gpus: Sequence[Gpu] = ()
    """What `auto` may choose from, in the order in which the worker sees them."""
    why_no_gpu: str | None = None
    """Why `auto` has nothing to choose from."""

    def to_json(self) -> str:
        """The argument for the worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Request:
        """The request that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        gpus = tuple(Gpu(**each) for each in fields.pop("gpus", ()))
        return cls(**fields, gpus=gpus)
