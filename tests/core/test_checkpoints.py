"""Checkpoints of every kind, damaged in every way."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from traintop.analyses.checkpoints import load_into, read_checkpoint, step_from_name
from traintop.analyses.context import AnalysisFailedError

torch.set_num_threads(1)


def build(seed: int = 0, hidden: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 2))


def prefixed(prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in build(1).state_dict().items()}


def optimizer_state() -> dict[str, Any]:
    model = build(1)
    state: dict[str, Any] = torch.optim.AdamW(model.parameters(), lr=3e-4).state_dict()
    return state


KINDS: dict[str, Any] = {
    "bare": prefixed(""),
    "model": {"model": prefixed(""), "step": 400},
    "state_dict": {"state_dict": prefixed("")},
    "model_state_dict": {"model_state_dict": prefixed(""), "optimizer_state_dict": {}},
    "nested": {"state": 1, "model": {"state_dict": prefixed("")}},
    "ddp": prefixed("module."),
    "compiled": {"model": prefixed("_orig_mod.")},
    "ddp and compiled": {"model": prefixed("module._orig_mod.")},
    "lightning": {
        "state_dict": prefixed("model.") | {"criterion.weight": torch.ones(2)},
        "global_step": 400,
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "optimizer_states": [optimizer_state()],
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_loaded(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "ckpt-7.pt"
    torch.save(KINDS[kind], path)
    model = build(0)
    state = read_checkpoint(path)
    ignored = load_into(model, state, path)
    for name, value in build(1).state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    assert ignored == (["criterion.weight"] if kind == "lightning" else [])
    assert state.step == (400 if kind in ("model", "lightning") else 7)


def test_a_compiled_part_of_either_side_fits(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    given_names = {f"0._orig_mod.{n}": v for n, v in nn.Linear(3, 2).state_dict().items()}
    torch.save(given_names, path)
    model = nn.Sequential(nn.Linear(3, 2))
    load_into(model, read_checkpoint(path), path)
    assert torch.equal(model[0].weight, given_names["0._orig_mod.weight"])


def test_the_optimizer_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model": prefixed(""), "optimizer": optimizer_state()}, path)
    found = read_checkpoint(path).optimizer
    assert found is not None
    assert found["param_groups"][0]["lr"] == 3e-4
    torch.save(KINDS["lightning"], path)
    assert read_checkpoint(path).optimizer is not None


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "step-000400.safetensors"
    save_file(build(1).state_dict(), path)
    model = build(0)
    state = read_checkpoint(path)
    load_into(model, state, path)
    assert state.step == 400
    assert torch.equal(model[0].weight, build(1)[0].weight)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("ckpt-400.pt", 400),
        ("step-000400.pt", 400),
        ("epoch=3-step=400.ckpt", 400),
        ("ckpt_0400_loss0.23.pt", 400),
        ("model_step_12.safetensors", 12),
        ("iter_0000500.pt", 500),
        ("400.pt", 400),
        ("checkpoint-800/pytorch_model.bin", 800),
        ("global_step77/mp_rank_00_model_states.pt", 77),
        ("epoch_3.pt", None),
        ("best.pt", None),
        ("resnet50.pt", None),
    ],
)
def test_step_from_the_name(name: str, step: int | None) -> None:
    assert step_from_name(Path("/runs/a") / name) == step


class Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.path,))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace, path = tmp_path / "it ran", tmp_path / "evil.pt"
    torch.save({"model": prefixed(""), "extra": Evil(str(trace))}, path)
    with pytest.raises(AnalysisFailedError, match=r"refused: it asks for \w+\.mkdir.*run code"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Evil(str(trace))))
    with pytest.raises(AnalysisFailedError):
        read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_plain_pickle_that_would_run_code_is_refused_and_not_run(
    tmp_path: Path, protocol: int
) -> None:
    path, marker = tmp_path / "evil.pt", tmp_path / "it ran"
    path.write_bytes(pickle.dumps({"model": Evil(str(marker))}, protocol=protocol))
    with pytest.raises(AnalysisFailedError, match=r"is refused: .*could run code"):
        read_checkpoint(path)
    assert not marker.exists()


def test_a_whole_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(build(), path)
    with pytest.raises(AnalysisFailedError, match=r"save model\.state_dict\(\) and plain"):
        read_checkpoint(path)


def test_what_trainers_put_beside_the_weights_is_let_through(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    beside = {
        "args": argparse.Namespace(lr=0.1, out=Path("x")),
        "loss": np.float64(0.1),
        "best": np.float32(2),
        "rng": np.random.RandomState(0).get_state(),
    }
    torch.save({"model": prefixed(""), "step": 3, **beside}, path)
    assert read_checkpoint(path).step == 3


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damage_is_one_clear_sentence(suffix: str, tmp_path: Path) -> None:
    good, path = tmp_path / f"good{suffix}", tmp_path / f"bad{suffix}"
    if suffix == ".pt":
        torch.save(KINDS["model"], good)
    else:
        save_file(build().state_dict(), good)
    whole = good.read_bytes()
    contents = [b"x", b"not a checkpoint at all\n" * 50, b"\0" * 5000, b"PK\x03\x04", b"\x80\x02."]
    contents += [whole[: len(whole) * part // 10] for part in range(1, 10)]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(AnalysisFailedError) as raised:
            read_checkpoint(path)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


@given(st.binary(min_size=1, max_size=400), st.sampled_from([".pt", ".safetensors"]))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"any{suffix}"
    path.write_bytes(content)
    with pytest.raises(AnalysisFailedError):
        read_checkpoint(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pt"
    empty.touch()
    (tmp_path / "folder").mkdir()
    for path, words in (
        (tmp_path / "none.pt", "does not exist"),
        (tmp_path / "folder", "is a folder without weights"),
        (empty, "empty"),
    ):
        with pytest.raises(AnalysisFailedError, match=words):
            read_checkpoint(path)


@pytest.mark.parametrize("content", [{"epoch": 3}, {}, torch.ones(3), [1, 2], {"model": {"a": 1}}])
def test_no_weights(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(content, path)
    with pytest.raises(AnalysisFailedError, match="holds"):
        read_checkpoint(path)


def test_a_mismatch_lists_names_and_shapes_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    weights = build(1).state_dict()
    del weights["0.bias"]
    weights["head.weight"] = torch.ones(1)
    weights["2.weight"] = torch.ones(5, 5)
    torch.save(weights, path)
    model = build(0)
    with pytest.raises(AnalysisFailedError) as raised:
        load_into(model, read_checkpoint(path), path)
    text = str(raised.value)
    assert "1 missing: 0.bias" in text
    assert "1 unexpected: head.weight" in text
    assert "1 of another shape: 2.weight (5, 5) (the model has (2, 4))" in text
    for name, value in build(0).state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({f"block{i}.weight": torch.ones(1) for i in range(9)}, path)
    with pytest.raises(AnalysisFailedError, match=r"7 missing: .* \.\.\.; 9 unexpected"):
        load_into(
            nn.Sequential(*(nn.Linear(1, 1) for _ in range(3)), nn.PReLU()),
            read_checkpoint(path),
            path,
        )
