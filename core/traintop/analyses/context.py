"""What an analysis is handed, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from traintop.analyses.ranks import Ranks
    from traintop.analyses.target import Target


def _alone() -> Ranks:
    from traintop.analyses.ranks import Ranks  # which needs the error below

    return Ranks()


class AnalysisFailedError(Exception):
    """The analysis cannot go on; the text says why and what to do, and is shown as it is."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """One request, made ready: the model is built, loaded and on its device."""

    target: Target
    model: torch.nn.Module
    """The target's model. It lives in this process only: an analysis may change it."""
    device: torch.device
    seed: int
    options: Mapping[str, float | None]
    """The analysis' options, defaults filled in."""
    checkpoint: Path | None = None
    """Where the weights are from; None: the model is as the target built it."""
    compare: Sequence[Path] = ()
    """Further checkpoints that the request names."""
    initial: Mapping[str, torch.Tensor] | None = None
    """The parameters as the target built them, before the checkpoint was loaded; on the CPU, and
    only where the analysis asks for them (`Analysis.keeps_initial`)."""
    step: int | None = None
    """The step of the checkpoint, where it is known."""
    optimizer_state: Mapping[str, Any] | None = None
    """The checkpoint's optimizer `state_dict`, where it holds one."""
    memory_limit: int | None = None
    """Bytes of the host's memory beyond which the process is ended."""
    ranks: Ranks = field(default_factory=_alone)
    """The processes that share the analysis. One that does not look at them does all of its work in
    each; only rank 0 is heard."""
    progress: Callable[[int, int, str], None]
    """`progress(done, total, what)`."""
    point: Callable[[float, float, str], None]
    """`point(x, y, series)`: one point of the analysis' live chart."""
    log: Callable[[str], None]

    def number(self, name: str) -> float:
        """The option called `name`, which must have a value."""
        value = self.options[name]
        if value is None:
            raise AnalysisFailedError(f"the option {name} has no value")
        return value


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The answer of an analysis."""

    result: dict[str, Any]
    """Plain numbers, strings, lists and dicts."""
    findings: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Made by `finding`."""


def counted(number: int, thing: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def finding(
    name: str,
    severity: str,
    title: str,
    *,
    step: int | None,
    evidence: Sequence[Mapping[str, Any]],
    layers: Sequence[str] = (),
    causes: Sequence[Mapping[str, str]] = (),
    next: Sequence[Mapping[str, str]] = (),  # noqa: A002 - the key of the published format
) -> dict[str, Any]:
    """A finding in the format of `traintop check --format json`, at the checkpoint's step."""
    at = step if step is not None else 0
    return {
        "id": name,
        "severity": severity,
        "title": title,
        "onset_step": at,
        "detected_step": at,
        "resolved_step": None,
        "series": [],
        "layers": list(layers),
        "ranks": [],
        "evidence": [dict(item) for item in evidence],
        "causes": [dict(item) for item in causes],
        "next": [dict(item) for item in next],
    }
