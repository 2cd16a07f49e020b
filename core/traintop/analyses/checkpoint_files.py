"""What the files of a checkpoint hold, whichever library wrote them. Nothing of it is run.

A checkpoint comes from wherever the run came from, so it is data: `torch.load` is only ever called
with `weights_only=True`, which builds tensors and plain containers and refuses everything else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.distributed_checkpoint import ELSE, METADATA, read_distributed
from traintop.analyses.safetensors_file import read_safetensors

INDEXES = (
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
"""Hugging Face's: which file holds which tensor."""
WHOLE = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin",
    "mp_rank_00_model_states.pt",
)
"""Files that hold all weights of a folder: Hugging Face's, and DeepSpeed's up to ZeRO stage 2."""
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar")
_REFUSED = re.compile(
    r"(?:Unsupported global: |unsupported )GLOBAL (\S+)"
    r"|Trying to call reduce for unrecognized function (\S+)"
    r"|Can only (?:build|create)[^,;]*? got (\S+)",
    re.IGNORECASE,
)
_TORCH_SAVE = (b"PK", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
"""How files of `torch.save` begin: zip archives, and before PyTorch 1.6 a pickled magic number."""
_UNPICKLER = re.compile(r"WeightsUnpickler error:\s*(\S.*)")


def read_content(path: Path) -> Mapping[str, Any]:
    """The content of a checkpoint file or folder, on the CPU.

    Raises:
        AnalysisFailedError: It is missing, empty, damaged, still being written, without a part of
            it, would run code, or a folder that is no checkpoint.
    """
    if path.is_dir():
        return _folder(path)
    try:
        before = _stamp(path)
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise AnalysisFailedError(f"checkpoint {path} does not exist") from None
    except OSError as error:
        raise AnalysisFailedError(f"checkpoint {path} cannot be read: {error.strerror}") from None
    if not before[1]:
        raise AnalysisFailedError(f"checkpoint {path} is empty (0 bytes): {ELSE}")
    try:
        content = _safetensors(path) if path.suffix == ".safetensors" else torch_file(path)
    except AnalysisFailedError:
        _refuse_changed(path, before)
        raise
    _refuse_changed(path, before)
    return content


def torch_file(path: Path) -> Mapping[str, Any]:
    """The content of a file of `torch.save`."""
    import torch

    try:
        with _harmless():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file makes a reader fail in any way
        refused = _REFUSED.search(str(error))
        if refused:
            what = next(filter(None, refused.groups()), "an object").strip(".'")
            raise AnalysisFailedError(
                f"checkpoint {path} is refused: it asks for {what}, and loading that could run "
                "code; save model.state_dict() and plain numbers only"
            ) from None
        if _is_other_pickle(path):
            raise AnalysisFailedError(
                f"checkpoint {path} is refused: it is a pickle, but not of torch.save, and loading "
                "it could run code; save it with torch.save(model.state_dict(), ...)"
            ) from None
        raise AnalysisFailedError(
            f"checkpoint {path} is damaged, truncated or no torch.save file{_first(error)}: " + ELSE
        ) from None
    if not isinstance(content, Mapping):
        raise AnalysisFailedError(
            f"checkpoint {path} holds a {type(content).__name__}, not a dict of weights: save "
            "model.state_dict()"
        )
    return cast("Mapping[str, Any]", content)


def _is_other_pickle(path: Path) -> bool:
    """Whether a file is a pickle of protocol 2 or later that `torch.save` did not write."""
    with path.open("rb") as file:
        head = file.read(len(_TORCH_SAVE[1]))
    return (
        head[:1] == b"\x80"
        and head[1:2] in b"\x02\x03\x04\x05"
        and not head.startswith(_TORCH_SAVE)
    )


def _harmless() -> AbstractContextManager[Any]:
    """Let through what trainers put beside weights and what does nothing when it is made.

    Arguments (timm, fairseq), paths, and numpy's numbers and random states.
    """
    import argparse
    import pathlib

    import numpy as np
    import torch

    safe_globals = getattr(torch.serialization, "safe_globals", None)  # since torch 2.5
    if safe_globals is None:
        return nullcontext()
    core: Any = getattr(np, "_core", None) or np.core  # its name before numpy 2
    numbers = [type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OVMm"]
    found: AbstractContextManager[Any] = safe_globals(
        [
            argparse.Namespace,
            pathlib.PosixPath,
            core.multiarray.scalar,
            core.multiarray._reconstruct,
            np.dtype,
            np.ndarray,
            *numbers,
        ]
    )
    return found


def _safetensors(path: Path) -> Mapping[str, Any]:
    try:
        return read_safetensors(path)[0]
    except (OSError, ValueError, RecursionError) as error:
        raise AnalysisFailedError(
            f"checkpoint {path} is damaged, truncated or no safetensors file{_first(error)}: "
            + ELSE
        ) from None


def _folder(folder: Path) -> Mapping[str, Any]:
    if (folder / METADATA).is_file():
        return read_distributed(folder)
    for name in INDEXES:
        if (folder / name).is_file():
            return _with_trainer(folder, _indexed(folder, name))
    for name in WHOLE:
        if (folder / name).is_file():
            return _with_trainer(folder, read_content(folder / name))
    _refuse_known(folder)
    latest = folder / "latest"  # DeepSpeed names its newest folder in it
    if latest.is_file() and (named := folder / latest.read_text("utf-8").strip()).is_dir():
        return _folder(named)
    inner = [each.parent for each in folder.glob(f"*/{METADATA}")]
    if len(inner) == 1:  # Accelerate and Lightning put such a folder into theirs
        return read_distributed(inner[0])
    files = sorted(each for each in folder.iterdir() if each.name.endswith(SUFFIXES))
    if len(files) == 1:
        return read_content(files[0])
    some = ", ".join(each.name for each in files[:5])
    raise AnalysisFailedError(
        f"checkpoint {folder} is a folder without weights that are known"
        + (f": name one of its files ({some})" if files else ": name another, or a file")
    )


def _refuse_known(folder: Path) -> None:
    """Say what to do with folders that hold no whole weights."""
    if (folder / "adapter_model.safetensors").is_file():
        raise AnalysisFailedError(
            f"checkpoint {folder} holds an adapter only: merge it into its model "
            "(merge_and_unload) and save that"
        )
    if any(folder.glob("zero_pp_rank_*_model_states.pt")):
        raise AnalysisFailedError(
            f"checkpoint {folder} is sharded by DeepSpeed ZeRO-3: join it with its zero_to_fp32.py"
        )


def _indexed(folder: Path, name: str) -> dict[str, Any]:
    """The weights of a sharded Hugging Face checkpoint."""
    index = folder / name
    try:
        shards: dict[str, str] = json.loads(index.read_text("utf-8"))["weight_map"]
        files = sorted(set(shards.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise AnalysisFailedError(f"{index} is damaged: it has no weight_map; {ELSE}") from None
    missing = [each for each in files if not (folder / each).is_file()]
    if missing:
        raise AnalysisFailedError(
            f"checkpoint {folder} lacks {missing[0]}, one of its {len(files)} shards: it was not "
            "copied whole, or is still being written"
        )
    weights: dict[str, Any] = {}
    for each in files:
        if Path(each).name != each:
            raise AnalysisFailedError(f"{index} is refused: it points outside, to {each}")
        weights.update(read_content(folder / each))
    absent = sorted(set(shards) - set(weights))
    if absent:
        raise AnalysisFailedError(
            f"checkpoint {folder} is damaged: {absent[0]} is in no shard; {ELSE}"
        )
    return weights


def _with_trainer(folder: Path, weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights, with the step and the optimizer that Hugging Face's Trainer leaves beside."""
    content: dict[str, Any] = {"model": weights}
    state = folder / "trainer_state.json"
    if not state.is_file():
        return weights
    try:
        content["global_step"] = json.loads(state.read_text("utf-8")).get("global_step")
    except (OSError, ValueError, AttributeError, RecursionError):
        raise AnalysisFailedError(f"{state} is damaged: it is no JSON object; {ELSE}") from None
    if (folder / "optimizer.pt").is_file():
        content["optimizer"] = read_content(folder / "optimizer.pt")
    return content


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _refuse_changed(path: Path, before: tuple[int, int, int]) -> None:
    """Refuse what was written to while it was read; one put in its place does not matter."""
    try:
        after = _stamp(path)
    except OSError:
        return
    if after[0] == before[0] and after != before:
        raise AnalysisFailedError(
            f"checkpoint {path} was written to while it was read: try again once it is complete"
        )


def _first(error: Exception) -> str:
    """What an error says, in brackets; without torch's advice to load the file regardless."""
    text = str(error).strip()
    found = _UNPICKLER.search(text)
    if found:
        text = found[1]
    elif text.startswith("Weights only load failed"):
        text = type(error).__name__
    first = text.split("\n")[0].split(". ")[0][:160]
    return f" ({first})" if any(map(str.isalpha, first)) else ""
