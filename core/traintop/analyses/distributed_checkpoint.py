"""Reading a torch.distributed.checkpoint folder, without running what is in it.

Such a folder has `.metadata`, a pickle that says which tensor lies where, and files of saved
tensors. torch's own reader unpickles the former as it is, and so would run whatever code it names;
here only the classes that describe tensors are let through, and the parts are loaded by
`torch.load(weights_only=True)`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses.context import AnalysisFailedError

if TYPE_CHECKING:
    import torch

METADATA = ".metadata"
ELSE = "take another, or wait if it is still being written"
"""What to do about a checkpoint that is damaged."""
_ALLOWED = {
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed._shard.sharded_tensor.metadata": {"TensorProperties", "MEM_FORMAT_ENCODING"},
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo", "_StoragePrefix"},
    "torch.serialization": {"_get_layout"},
    "pathlib": {"Path", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"},
    "collections": {"OrderedDict"},
}
"""By module: what metadata of torch 2.1 to 2.13 name. None of it does anything when it is made."""


class _MetadataUnpickler(pickle.Unpickler):
    """Makes descriptions of tensors and nothing else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The class, if it is allowed."""
        import torch

        if module_name == "torch":
            found = getattr(torch, global_name, None)
            if found is torch.Size or isinstance(found, torch.dtype):
                return found
        if global_name in _ALLOWED.get(module_name, ()):
            return super().find_class(module_name, global_name)
        raise pickle.UnpicklingError(f"{module_name}.{global_name}")


def read_distributed(folder: Path) -> dict[str, Any]:
    """The content of the checkpoint, whole and on the CPU, nested as it was saved.

    Raises:
        AnalysisFailedError: A part is missing or damaged, or something would run code.
    """
    metadata = _metadata(folder)
    places: dict[tuple[str, tuple[int, ...] | None], Any] = {
        (index.fqn, None if index.offset is None else tuple(index.offset)): info
        for index, info in metadata.storage_data.items()
    }
    files = sorted({str(info.relative_path) for info in places.values()})
    missing = [name for name in files if not _inside(folder, name).is_file()]
    if missing:
        raise AnalysisFailedError(
            f"checkpoint {folder} lacks {missing[0]}, one of its {len(files)} shards: copy all "
            "ranks' files into it, or take another checkpoint"
        )
    content: dict[str, Any] = {}
    paths: Mapping[str, Any] = metadata.planner_data or {}
    for name, entry in metadata.state_dict_metadata.items():
        try:
            value = _value(folder, name, entry, places)
        except (OSError, KeyError, ValueError, RuntimeError, EOFError) as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            raise AnalysisFailedError(
                f"checkpoint {folder} is damaged: {name} cannot be read ({why}); {ELSE}"
            ) from None
        except pickle.UnpicklingError:
            continue  # a number or an object of the trainer's that would have to be run
        _put(content, paths.get(name, (name,)), value)
    return cast("dict[str, Any]", _lists(content))


def _metadata(folder: Path) -> Any:
    try:
        with (folder / METADATA).open("rb") as file:
            metadata = _MetadataUnpickler(file).load()
        if not isinstance(metadata.state_dict_metadata, dict) or metadata.storage_data is None:
            raise ValueError("it describes nothing")
    except pickle.UnpicklingError as error:
        what = str(error)
        if "." not in what or " " in what:
            raise AnalysisFailedError(
                f"{folder / METADATA} is damaged ({what[:120]}): {ELSE}"
            ) from None
        raise AnalysisFailedError(
            f"checkpoint {folder} is refused: its {METADATA} asks for {what}, and loading that "
            "could run code"
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle makes a reader fail in any way
        raise AnalysisFailedError(
            f"{folder / METADATA} is damaged or truncated ({type(error).__name__}: "
            f"{str(error)[:120]}): {ELSE}"
        ) from None
    return metadata


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise AnalysisFailedError(f"checkpoint {folder} is refused: it points outside, to {name}")
    return path


def _value(folder: Path, name: str, entry: Any, places: Mapping[Any, Any]) -> Any:
    import torch

    chunks = getattr(entry, "chunks", None)
    if chunks is None:
        return _part(folder, places[name, None])
    whole = torch.empty(entry.size, dtype=entry.properties.dtype)
    filled = 0
    for chunk in cast("Iterable[Any]", chunks):
        offsets = tuple(chunk.offsets)
        info = places.get((name, offsets)) or places[name, None]
        part: torch.Tensor = _part(folder, info)
        area = tuple(slice(at, at + size) for at, size in zip(offsets, chunk.sizes, strict=True))
        whole[area] = part
        filled += part.numel()
    if filled != whole.numel():
        raise ValueError(f"{filled} of its {whole.numel()} numbers are there")
    return whole


def _part(folder: Path, info: Any) -> Any:
    import torch

    if getattr(info, "transform_descriptors", None):
        raise ValueError("it is compressed, which is not read here")
    with _inside(folder, str(info.relative_path)).open("rb") as file:
        file.seek(info.offset)
        content = file.read(info.length)
    if len(content) != info.length:
        raise ValueError(f"{info.relative_path} is truncated")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _put(content: dict[str, Any], path: Iterable[Any], value: Any) -> None:
    *above, last = path
    node: dict[Any, Any] = content
    for key in above:
        node = node.setdefault(key, {})
    node[last] = value


def _lists(node: Any) -> Any:
    """Lists where the keys of a dict are their positions."""
    if not isinstance(node, dict):
        return node
    pairs = cast("dict[str | int, Any]", node).items()
    items = {key: _lists(value) for key, value in pairs}
    if items and all(type(key) is int for key in items):
        return [items[key] for key in sorted(items)]
    return items
