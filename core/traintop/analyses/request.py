"""What the host asks of the worker: one JSON object on its command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, kw_only=True)
class Request:
    """One analysis of one checkpoint."""

    analysis: str
    target: str
    """`FILE.py:FUNCTION` or `package.module:FUNCTION`."""
    checkpoint: str | None = None
    """None: the target's model as it is built."""
    compare: Sequence[str] = ()
    """Further checkpoints, set beside it."""
    device: str = "cpu"
    """`cpu` or `cuda:N`."""
    seed: int = 0
    options: Mapping[str, float] = field(default_factory=dict[str, float])
    """Those that differ from their defaults."""

    def to_json(self) -> str:
        """The argument for the worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Request:
        """The request that `to_json` wrote."""
        return cls(**json.loads(text))
