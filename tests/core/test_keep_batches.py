"""Batches that the recorder keeps, and analyses that read them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from traintop import Recorder
from traintop.analyses import preparation
from traintop.analyses.batches import Inputs, forward, loss_of
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.kept_batches import read_batches
from traintop.analyses.target import Target
from traintop.launch import make_request
from traintop.recorder import batches

torch.set_num_threads(1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        return self.layer(x) * scale


def make(steps: int, start: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(start)
    return [(torch.randn(4, 3), torch.arange(4) % 2) for _ in range(steps)]


def train(
    folder: Path,
    data: Any,
    *,
    keep: str | None,
    count: int = 3,
    close: bool = True,
    model: Any = None,
) -> nn.Module:
    """Train on `data`; `keep` says when a batch is handed over: before or after the step's work."""
    torch.manual_seed(0)
    model = model or Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer, directory=folder, keep_batches=count)
    for x, y in data:
        if keep == "before":
            recorder.keep((x, y))
        loss = nn.functional.cross_entropy(model(x, scale=2.0), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if keep == "after":
            recorder.keep((x, y))
        recorder.step(loss=loss)
        x.zero_()  # as a loader that reuses its memory does
    if close:
        recorder.close()
    return model


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_first_batches_as_they_were(when: str, tmp_path: Path) -> None:
    train(tmp_path, make(5), keep=when)
    kept = read_batches(tmp_path / "batches")
    assert len(kept) == 3
    for (x, y), (other_x, other_y) in zip(kept, make(5), strict=False):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


def test_without_a_call_they_are_what_the_model_was_called_with(tmp_path: Path) -> None:
    train(tmp_path, make(5), keep=None)
    kept = read_batches(tmp_path / "batches")
    assert len(kept) == 3
    for batch, (x, _) in zip(kept, make(5), strict=False):
        assert isinstance(batch, Inputs)
        assert batch.kwargs == {"scale": 2.0}
        assert torch.equal(batch.args[0], x)
    model = Net()
    target = Target(model=model, loss=nn.CrossEntropyLoss())
    assert torch.equal(forward(target, model, kept[0]), 2 * model.layer(kept[0].args[0]))
    with pytest.raises(AnalysisFailedError, match=r"recorder\.keep\(batch\)"):
        loss_of(target, model, kept[0])


def test_weights_come_out_the_same_and_no_hook_stays(tmp_path: Path) -> None:
    kept = train(tmp_path / "a", make(6), keep=None)
    plain = train(tmp_path / "b", make(6), keep=None, count=0)
    for a, b in zip(kept.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not kept._forward_pre_hooks
    assert not (tmp_path / "b" / "batches").exists()


def test_a_resumed_run_keeps_no_more(tmp_path: Path) -> None:
    train(tmp_path, make(2), keep="before")
    train(tmp_path, make(4, start=9), keep="before")
    kept = read_batches(tmp_path / "batches")
    expected = [*make(2), *make(4, start=9)][:3]
    assert [torch.equal(x, y) for (x, _), (y, _) in zip(kept, expected, strict=True)] == [True] * 3


def test_evaluation_is_not_training(tmp_path: Path) -> None:
    model = Net()
    recorder = Recorder(model, directory=tmp_path, keep_batches=2)
    model.eval()
    model(torch.ones(2, 3))
    model.train()
    with torch.no_grad():
        model(torch.ones(2, 3))
    recorder.step(loss=1.0)
    recorder.close()
    assert not (tmp_path / "batches").exists()


class Wrapped(dict[str, Any]):
    """A dict of a library's own."""


BATCHES: dict[str, Any] = {
    "tensor": torch.ones(3, 2),
    "list": [torch.ones(3), {"a": (torch.zeros(3), None)}],
    "mapping": Wrapped(x=torch.ones(3), name="é", flag=True, n=3, f=0.5),
    "numpy": (np.arange(3), torch.ones(3, dtype=torch.bfloat16)),
    "odd": [torch.ones(0, 4), torch.tensor(3), torch.ones(4, 3).T, torch.ones(3, 2)[:, 1]],
    "bool": torch.tensor([True, False]),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_batches_of_every_make(kind: str, tmp_path: Path) -> None:
    recorder = Recorder(nn.Linear(2, 2), directory=tmp_path, keep_batches=1)
    recorder.keep(BATCHES[kind])
    recorder.step(loss=1.0)
    recorder.close()
    [found] = read_batches(tmp_path / "batches")
    assert str(found) == str(plain(BATCHES[kind]))
    [path] = (tmp_path / "batches").iterdir()
    with safe_open(path, "pt") as file:  # type: ignore[no-untyped-call] # it ships no types
        assert file.metadata()["format"] == "traintop.batch/1"


def plain(batch: Any) -> Any:
    """What comes back: plain containers of tensors."""
    if isinstance(batch, dict):
        return {key: plain(value) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(map(plain, batch))
    return torch.as_tensor(batch) if isinstance(batch, np.ndarray) else batch


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (object(), "a object in a batch cannot be kept"),
        ("text", "holds no tensor"),
        (torch.ones(2, dtype=torch.complex64), "complex64"),
        (torch.ones(3, 2).to_sparse(), "sparse"),
        ((torch.ones(900, 9), torch.ones(7)), "too large"),
    ],
)
def test_what_cannot_be_kept_is_told_once_and_never_raised(
    batch: Any,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "MOST_BYTES", 9000)
    recorder = Recorder(nn.Linear(2, 2), directory=tmp_path, keep_batches=2)
    for _ in range(3):
        recorder.keep(batch)
        recorder.step(loss=1.0)
    recorder.close()
    said = capsys.readouterr().err
    assert said.count("traintop: batches are not kept") == 1
    assert words in said
    assert not (tmp_path / "batches").exists()
    assert len((tmp_path / "train_diagnostics.jsonl").read_text().splitlines()) == 3


def test_of_a_large_batch_the_first_samples_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_BYTES", 1000)
    recorder = Recorder(nn.Linear(2, 2), directory=tmp_path, keep_batches=1)
    recorder.keep((torch.arange(400.0).reshape(100, 4), torch.arange(100)))
    recorder.close()
    [(x, y)] = read_batches(tmp_path / "batches")
    assert len(x) == len(y) == 1000 * 100 // (1600 + 800)
    assert torch.equal(y, torch.arange(len(y)))


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_batches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "batches").write_text("in the way")
    train(tmp_path, make(3), keep="before")
    assert "batches are not kept" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_damaged_batch_is_named(content: bytes, tmp_path: Path) -> None:
    train(tmp_path, make(1), keep="before")
    path = tmp_path / "batches" / "batch-00000.safetensors"
    path.write_bytes(content or path.read_bytes()[:-5])
    with pytest.raises(AnalysisFailedError, match=r"batch-00000\.safetensors is damaged"):
        read_batches(tmp_path / "batches")
    with pytest.raises(AnalysisFailedError, match="keep_batches=4"):
        read_batches(tmp_path)


def test_an_analysis_needs_no_data_pipeline(tmp_path: Path) -> None:
    """A target without `train`: the run's batches serve, and `--data` names others."""
    train(tmp_path / "run", make(3), keep="before")
    train(tmp_path / "other", make(1), keep="before")
    target = tmp_path / "t.py"
    target.write_text(
        "from torch import nn\nfrom traintop import Target\n"
        "def target():\n"
        "    return Target(model=nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)))\n"
    )
    found: list[Target] = []
    for run_dir, data in (
        (tmp_path / "run", None),
        (tmp_path / "run", tmp_path / "other" / "batches"),
        (None, None),
    ):
        request = make_request(
            "dead_neurons", target=f"{target}:target", run_dir=run_dir, data=data, device="cpu"
        )
        found.append(preparation._build(request))
    assert [None if each.train is None else len(list(each.train)) for each in found] == [3, 1, None]
    with pytest.raises(AnalysisFailedError, match="keep_batches=4"):
        preparation._refuse_lacking(found[-1], ("train",), request)
