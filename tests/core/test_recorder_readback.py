"""Numbers come from the device late, in order, and after data-parallel averaging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from traintop.recorder import Recorder, readback
from traintop.recorder.readback import Packet, Readback


class Event:
    def __init__(self) -> None:
        self.passed = self.waited = False

    def query(self) -> bool:
        return self.passed

    def synchronize(self) -> None:
        self.passed = self.waited = True


class LateReadback(Readback):
    """As on a device: every packet has an event, which passes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def submit(self, packet: Packet, deliver: Any) -> None:
        self.events.append(Event())
        self._pending.append(
            (torch.tensor(packet.on_host(), dtype=torch.float64), self.events[-1], deliver)
        )
        self.poll()


def packet(*values: float) -> Packet:
    made = Packet()
    for value in values:
        made.add(torch.tensor(value))
    return made


def test_packets_are_handed_over_in_order_when_they_have_arrived() -> None:
    late, seen = LateReadback(), list[list[float]]()
    for value in (1.0, 2.0, 3.0):
        late.submit(packet(value), seen.append)
    late.events[1].passed = True
    late.poll()
    assert seen == []
    late.events[0].passed = True
    late.poll()
    assert seen == [[1.0], [2.0]]
    late.drain()
    assert seen == [[1.0], [2.0], [3.0]]
    assert [event.waited for event in late.events[2:]] == [True]


def test_a_host_far_ahead_waits_for_one_packet_and_loses_none() -> None:
    late, seen = LateReadback(), list[list[float]]()
    for value in range(readback.MOST_PENDING + 3):
        late.submit(packet(float(value)), seen.append)
    assert seen == [[0.0], [1.0], [2.0], [3.0]]


def test_a_packet_keeps_counts_and_losses_exact() -> None:
    made = Packet()
    count = made.add(torch.tensor(2**24 + 1))
    loss = made.add(torch.tensor(1.0e-300, dtype=torch.float64))
    pair = made.add(torch.tensor([[1.5], [2.5]], dtype=torch.bfloat16))
    seen: list[list[float]] = []
    Readback().submit(made, seen.append)
    assert (seen[0][count], seen[0][loss], seen[0][pair]) == ([2**24 + 1], [1e-300], [1.5, 2.5])


def test_late_records_belong_to_their_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readback, "Readback", LateReadback)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses: list[float] = []
    with Recorder(model, optimizer, directory=tmp_path) as recorder:
        for _ in range(5):
            optimizer.zero_grad()
            loss = model(torch.randn(4, 3)).square().mean()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss)
            losses.append(loss.item())
        assert not (tmp_path / "train_diagnostics.jsonl").exists()
    records = [
        json.loads(line) for line in (tmp_path / "train_diagnostics.jsonl").read_text().splitlines()
    ]
    assert [record["step"] for record in records] == [0, 1, 2, 3, 4]
    assert [record["loss"] for record in records] == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("reentrant", [True, False])
def test_the_end_of_a_checkpointed_backward_pass_is_its_end(
    tmp_path: Path, reentrant: bool
) -> None:
    first, inner, last = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 1)
    model = nn.ModuleList([first, inner, last])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    norms: list[float] = []
    with Recorder(model, optimizer, directory=tmp_path, budget=1e9) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            hidden: Any = checkpoint(inner, first(torch.randn(6, 4)), use_reentrant=reentrant)
            last(hidden).square().mean().backward()
            gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            norms.append(torch.cat(gradients).norm().item())
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()
            recorder.step()
    lines = (tmp_path / "train_diagnostics.jsonl").read_text().splitlines()
    assert [json.loads(line)["grad_norm"] for line in lines] == pytest.approx(norms, rel=1e-4)


def _train_rank(rank: int, directory: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{directory}/meet", rank=rank, world_size=2
    )
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(rank)
    norms: list[float] = []
    with Recorder(model, optimizer, directory=f"{directory}/run", budget=1e9) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(4, 3)).square().mean().backward()
            gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            norms.append(torch.cat(gradients).norm().item())
            optimizer.step()
            recorder.step()
    Path(f"{directory}/norms{rank}").write_text(json.dumps(norms))
    torch.distributed.destroy_process_group()


def test_gradients_are_read_after_they_were_averaged_over_ranks(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_train_rank, args=(str(tmp_path),), nprocs=2)
    for rank, place in enumerate(("run", "run/rank00001")):
        norms = json.loads((tmp_path / f"norms{rank}").read_text())
        lines = (tmp_path / place / "train_diagnostics.jsonl").read_text().splitlines()
        assert [json.loads(line)["grad_norm"] for line in lines] == pytest.approx(norms, rel=1e-4)
        info = json.loads((tmp_path / place / "run.json").read_text())
        assert info["world_size"] == 2
    header = json.loads((tmp_path / "run" / "layers.jsonl").read_text().splitlines()[0])
    assert header["names"] == ["weight"]
