"""Batches that the recorder has kept, and how they become those of a target.

`batches/batch-00000.safetensors` holds the tensors of one batch, named 0, 1 ...; its metadata say
how they are put together. `traintop.recorder.batches` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses.batches import Inputs
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.safetensors_file import read_safetensors

if TYPE_CHECKING:
    import torch

FORMAT = "traintop.batch/1"


def kept_files(folder: Path) -> list[Path]:
    """The files of a folder of kept batches, in the order in which they were kept."""
    return sorted(folder.glob("batch-*.safetensors"))


def read_batches(folder: Path) -> list[Any]:
    """The batches as the training saw them: tuples, dicts and lists of tensors on the CPU.

    Raises:
        AnalysisFailedError: There are none, or one is damaged.
    """
    files = kept_files(folder)
    if not files:
        raise AnalysisFailedError(
            f"{folder} holds no batch-*.safetensors: record with Recorder(..., keep_batches=4)"
        )
    return [_read(path) for path in files]


def _read(path: Path) -> Any:
    try:
        tensors, metadata = read_safetensors(path)
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}, not {FORMAT}")
        return _build(json.loads(metadata["structure"]), tensors)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise AnalysisFailedError(f"the recorded batch {path} is damaged: {error}") from None


def _build(node: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    [(kind, content)] = cast("Mapping[str, Any]", node).items()
    match kind:
        case "tensor":
            return tensors[content]
        case "value":
            return content
        case "dict":
            return {key: _build(each, tensors) for key, each in content.items()}
        case "list":
            return [_build(each, tensors) for each in content]
        case "tuple":
            return tuple(_build(each, tensors) for each in content)
        case "inputs":
            args, kwargs = _build(content[0], tensors), _build(content[1], tensors)
            return Inputs(tuple(args), dict(kwargs))
        case _:
            raise ValueError(f"a batch of {kind!r}, written by a newer version")
