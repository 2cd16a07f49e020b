"""Two processes give the answer of one, with the weights copied and with the weights sharded."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import two_ranks


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results by `one`, `copied` and `sharded`, then by analysis."""
    folder = tmp_path_factory.mktemp("ranks")
    for step in (1, 2):
        model = two_ranks.network()
        with torch.no_grad():
            for each in model.parameters():
                each += 0.01 * step * torch.ones_like(each)
        torch.save({"model": model.state_dict(), "step": step}, folder / f"ckpt-{step}.pt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = dict(os.environ, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    env["PYTHONPATH"] = os.pathsep.join([str(Path(two_ranks.__file__).parent), *sys.path])
    command = [sys.executable, two_ranks.__file__, str(folder)]
    ranks = [
        subprocess.Popen(command, env=env | {"RANK": rank, "LOCAL_RANK": rank}) for rank in "01"
    ]
    try:
        alone = json.loads(json.dumps(two_ranks.results(folder, shard=False)))
        assert [each.wait(60) for each in ranks] == [0, 0]
    finally:
        for each in ranks:
            each.kill()
            each.wait()
    several: dict[str, Any] = json.loads((folder / "said.json").read_text())
    return {"one": alone} | several


@pytest.mark.parametrize("name", list(two_ranks.OPTIONS))
def test_two_ranks_say_what_one_says(name: str, said: dict[str, Any]) -> None:
    same(said["copied"][name], said["one"][name], name)


@pytest.mark.parametrize("name", two_ranks.OF_WEIGHTS)
def test_so_they_do_with_sharded_weights(name: str, said: dict[str, Any]) -> None:
    same(said["sharded"][name], said["one"][name], name)


def same(found: Any, wanted: Any, path: str) -> None:
    """Equal, numbers to within rounding."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), path
        for key in wanted:
            same(found[key], wanted[key], f"{path}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), path
        for at, (one, other) in enumerate(zip(found, wanted, strict=True)):
            same(one, other, f"{path}[{at}]")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6), path
    else:
        assert found == wanted, path


def test_they_are_results_worth_comparing(said: dict[str, Any]) -> None:
    one = said["one"]
    assert len(one["gradient_flow"]["checkpoints"]) == 2
    assert all(row["change"] for row in one["weights"]["layers"])
    assert one["predictions"]["samples"] == 63
    assert len(one["weights"]["layers"]) == 6
    fresh, kept = one["lr_find"], one["lr_find from the checkpoint's state"]
    assert kept["losses"][0] == fresh["losses"][0]  # before any step
    assert kept["losses"][1] != fresh["losses"][1]
