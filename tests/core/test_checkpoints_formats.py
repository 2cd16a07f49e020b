"""Checkpoints of many files, and files that are written while they are read."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from traintop.analyses import checkpoint_files
from traintop.analyses.checkpoints import load_into, read_checkpoint
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.safetensors_file import DTYPES, read_safetensors
from traintop.sources.checkpoints import is_checkpoint, step_of

torch.set_num_threads(1)


def build(seed: int = 1) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def hugging_face(folder: Path) -> Path:
    folder.mkdir()
    weights = build().state_dict()
    names = list(weights)
    shards = {"model-00001-of-00002.safetensors": names[:3]}
    shards["model-00002-of-00002.safetensors"] = names[3:]
    for file, held in shards.items():
        save_file({name: weights[name] for name in held}, folder / file)
    index = {"weight_map": {name: file for file, held in shards.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 512}))
    torch.save(torch.optim.AdamW(build().parameters()).state_dict(), folder / "optimizer.pt")
    return folder


def distributed(folder: Path) -> Path:
    import torch.distributed.checkpoint as dcp

    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    model(torch.ones(5, 3)).sum().backward()
    state = {"model": build().state_dict(), "optimizer": optimizer.state_dict(), "step": 512}
    dcp.save(state, checkpoint_id=str(folder), no_dist=True)
    return folder


def deepspeed(folder: Path) -> Path:
    inner = folder / "global_step512"
    inner.mkdir(parents=True)
    content = {"module": build().state_dict(), "global_steps": 512}
    torch.save(content, inner / "mp_rank_00_model_states.pt")
    torch.save({"optimizer_state_dict": {}}, inner / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    (folder / "latest").write_text("global_step512\n")
    return folder


def lonely(folder: Path) -> Path:
    folder.mkdir()
    torch.save({"state_dict": build().state_dict(), "global_step": 512}, folder / "x.ckpt")
    return folder


FOLDERS = {
    "sharded": hugging_face,
    "distributed": distributed,
    "deepspeed": deepspeed,
    "one file": lonely,
}


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("kind", FOLDERS)
def test_folders(kind: str, tmp_path: Path) -> None:
    path = FOLDERS[kind](tmp_path / "checkpoint")
    model = build(0)
    state = read_checkpoint(path)
    assert load_into(model, state, path) == []
    assert same(model, build())
    assert state.step == 512
    if kind in ("sharded", "distributed"):
        assert state.optimizer is not None
        assert state.optimizer["param_groups"][0]["weight_decay"] == 0.01


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize(
    ("kind", "file"),
    [("sharded", "model-00002-of-00002.safetensors"), ("distributed", "__0_0.distcp")],
)
def test_a_shard_that_is_missing_or_cut_off_is_named(kind: str, file: str, tmp_path: Path) -> None:
    path = FOLDERS[kind](tmp_path / "checkpoint")
    whole = (path / file).read_bytes()
    (path / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AnalysisFailedError, match=r"damaged|truncated"):
        read_checkpoint(path)
    (path / file).unlink()
    with pytest.raises(AnalysisFailedError, match=f"lacks {file}, one of its"):
        read_checkpoint(path)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.marker,))


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_distributed_metadata_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, marker = distributed(tmp_path / "checkpoint"), tmp_path / "it ran"
    metadata = pickle.loads((path / ".metadata").read_bytes())  # noqa: S301 - written just now
    metadata.planner_data = {"a": Evil(marker)}
    (path / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(AnalysisFailedError, match=r"refused: .* asks for \w+\.mkdir"):
        read_checkpoint(path)
    for name in (b"cposix\nsystem\n(S'x'\ntR.", b"cbuiltins\neval\n(S'1'\ntR."):
        (path / ".metadata").write_bytes(name)
        with pytest.raises(AnalysisFailedError, match="refused"):
            read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_distributed_parts_stay_inside_the_folder(tmp_path: Path) -> None:
    path = distributed(tmp_path / "checkpoint")
    metadata = pickle.loads((path / ".metadata").read_bytes())  # noqa: S301 - written just now
    for info in metadata.storage_data.values():
        info.relative_path = "../elsewhere.distcp"
    (path / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(AnalysisFailedError, match="points outside"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_any_damage_to_distributed_metadata_is_one_sentence(tmp_path: Path) -> None:
    path = distributed(tmp_path / "checkpoint")
    whole = (path / ".metadata").read_bytes()
    for content in (b"", b"x", *(whole[: len(whole) * part // 10] for part in range(1, 10))):
        (path / ".metadata").write_bytes(content)
        with pytest.raises(AnalysisFailedError) as raised:
            read_checkpoint(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["adapter_model.safetensors"], "holds an adapter only"),
        (["zero_pp_rank_0_mp_rank_00_model_states.pt"], r"zero_to_fp32\.py"),
        (["a.pt", "b.pt"], r"name one of its files \(a\.pt, b\.pt\)"),
        ([], "folder without weights that are known: name another"),
    ],
)
def test_what_to_do_with_other_folders(files: list[str], words: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(AnalysisFailedError, match=words):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"weight_map": 3}', '{"weight_map": {"a": "../b"}}']
)
def test_a_bad_index(content: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    (tmp_path.parent / "b").write_bytes(b"x")
    with pytest.raises(AnalysisFailedError, match=r"damaged|refused"):
        read_checkpoint(tmp_path)


def test_a_file_written_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model": build().state_dict()}, path)
    read = checkpoint_files.torch_file

    def slow(path: Path) -> Any:
        content = read(path)
        with path.open("ab") as file:
            file.write(b"more")
        return content

    monkeypatch.setattr(checkpoint_files, "torch_file", slow)
    with pytest.raises(AnalysisFailedError, match="was written to while it was read"):
        read_checkpoint(path)


def test_a_file_replaced_while_it_is_read_is_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model": build().state_dict()}, path)
    read = checkpoint_files.torch_file

    def replaced(path: Path) -> Any:
        content = read(path)
        path.with_suffix(".new").write_bytes(b"another")
        path.with_suffix(".new").replace(path)
        return content

    monkeypatch.setattr(checkpoint_files, "torch_file", replaced)
    assert read_checkpoint(path).weights


def test_tied_weights_need_one_name_only(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        torch.manual_seed(4)
        model = nn.ModuleDict({"a": nn.Embedding(5, 3), "b": nn.Linear(3, 5, bias=False)})
        model["b"].weight = model["a"].weight
        return model

    path = tmp_path / "a.safetensors"
    save_file({"a.weight": torch.ones(5, 3)}, path)
    model = tied()
    load_into(model, read_checkpoint(path), path)
    assert torch.equal(model["b"].weight, torch.ones(5, 3))  # type: ignore[index] # a ModuleDict
    save_file({"c.weight": torch.ones(5, 3)}, path)
    with pytest.raises(AnalysisFailedError, match="2 missing"):
        load_into(tied(), read_checkpoint(path), path)


def test_safetensors_of_every_type_as_their_own_package_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {
        name: torch.arange(6).to(getattr(torch, dtype)).reshape(2, 3)
        for name, dtype in DTYPES.items()
        if "float8" not in dtype
    }
    tensors |= {"scalar": torch.tensor(3.0), "empty": torch.ones(0, 4)}
    save_file(tensors, path, metadata={"made": "here"})
    found, metadata = read_safetensors(path)
    expected = load_file(path)
    assert metadata == {"made": "here"}
    assert set(found) == set(expected)
    for name, tensor in found.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name])


JSON = st.recursive(
    st.none() | st.integers(-3, 99) | st.sampled_from(["F32", "I64", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "dtype", "shape", "data_offsets"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON, st.binary(max_size=40))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150
)
def test_any_header_is_read_or_refused(tmp_path: Path, header: Any, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + content)
    try:
        read_safetensors(path)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500/", 500),
        ("step-500/", 500),
        ("global_step1000/", 1000),
        ("checkpoint_step_7/", 7),
        ("epoch=1-step=500.ckpt", 500),
        ("ckpt.pt", None),
        ("model.safetensors", None),
        ("pytorch_model.bin", None),
        ("checkpoint_3_1500.pt", 1500),
        ("checkpoint_best.pt", None),
        ("checkpoint-12.pth.tar", None),
        ("model_best.pth.tar", None),
        ("last.pt", None),
        ("epoch10.pt", None),
        ("iter_0000500.pth", 500),
        ("consolidated.00.pth", None),
    ],
)
def test_names_of_checkpoints(name: str, step: int | None, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    else:
        path.touch()
    [entry] = os.scandir(tmp_path)
    assert is_checkpoint(entry)
    assert step_of(path) == step


@pytest.mark.parametrize(
    "name",
    [
        "optimizer.pt",
        "scheduler.pt",
        "rng_state_3.pth",
        "training_args.bin",
        "batch-00001.safetensors",
        "model-00001-of-00003.safetensors",
        "tokenizer.bin",
        "zero_pp_rank_0_mp_rank_00_optim_states.pt",
        "model.py",
    ],
)
def test_names_of_what_lies_beside_them(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    [entry] = os.scandir(tmp_path)
    assert not is_checkpoint(entry)
