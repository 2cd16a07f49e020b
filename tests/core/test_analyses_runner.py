"""The runner: several processes, devices, limits. Real workers where a process is the point."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from torch import nn

from traintop import jobs
from traintop.analyses import devices, worker
from traintop.analyses.batches import Inputs, size
from traintop.analyses.limits import memory_taken
from traintop.analyses.ranks import Ranks
from traintop.analyses.request import Gpu, Request
from traintop.analyses.target import Target
from traintop.analysis_results import AnalysisResult
from traintop.errors import AnalysisError
from traintop.launch import make_request

torch.set_num_threads(1)
GIB = 1 << 30

TARGETS = """
import os, subprocess, sys, time
import torch
from torch import nn
from traintop import Target

class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.head = nn.Linear(6, 2)
        with torch.no_grad():
            self.blocks[0].weight[3] = 0
            self.blocks[0].bias[3] = -1
    def forward(self, x):
        for block in self.blocks:
            x = block(x).relu()
        return self.head(x)

def target():
    torch.manual_seed(0)
    x = torch.randn(301, 6)  # the last batch has one sample, so that one rank has none
    y = (x[:, 0] > 0).long()
    return Target(
        model=Blocks(),
        train=[(x[i:i + 50], y[i:i + 50]) for i in range(0, 301, 50)],
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
    )

def fails_on_one():
    if os.environ.get("RANK") == "1":
        raise ValueError("the second rank has no data")
    return target()

def sleeps():
    time.sleep(60)

def greedy_child():
    subprocess.Popen([sys.executable, "-c", "x = bytearray(1 << 30); import time; time.sleep(60)"])
    time.sleep(60)

def modest():
    import psutil
    me = psutil.Process()
    print("nice", me.nice(), "io", int(me.ionice()[0]), file=sys.stderr)
    print("oom", open("/proc/self/oom_score_adj").read().strip(), file=sys.stderr)
    os._exit(7)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runner")
    (path / "targets.py").write_text(TARGETS)
    return path


def asked(folder: Path, function: str, name: str = "dead_neurons", **how: Any) -> Request:
    how = {"device": "cpu"} | how
    return make_request(name, target=f"{folder / 'targets.py'}:{function}", **how)


def result_of(job: jobs.Job) -> AnalysisResult:
    for _ in job.events():
        pass
    assert job.result is not None
    return job.result


def test_two_processes_give_the_answer_of_one(folder: Path) -> None:
    made = [jobs.Job(asked(folder, "target", nproc=count)).start() for count in (1, 2)]
    one, two = map(result_of, made)
    assert (one.status, one.error) == (two.status, two.error) == ("ok", None)
    assert two.result == one.result
    assert one.result["samples"] == 301
    assert one.result["layers"][0]["dead_units"] == [3]


def test_of_several_processes_the_one_that_fails_is_heard(folder: Path) -> None:
    result = result_of(jobs.Job(asked(folder, "fails_on_one", nproc=2)).start())
    assert result.status == "failed"
    assert result.error is not None
    assert "raised ValueError: the second rank has no data" in result.error


def test_cancelling_several_processes_leaves_none(folder: Path) -> None:
    job = jobs.Job(asked(folder, "sleeps", nproc=2, memory_limit=64 * GIB)).start()
    for event in job.events():
        if getattr(event, "what", "") == "building the target":
            break
    mine = psutil.Process().children(recursive=True)
    workers = [each for each in mine if "worker.py" in " ".join(each.cmdline())]
    assert len(workers) >= 2
    job.cancel()
    assert result_of(job).status == "cancelled"
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_memory_limit_ends_it_with_its_children(folder: Path) -> None:
    result = result_of(jobs.Job(asked(folder, "greedy_child", memory_limit=GIB)).start())
    assert result.status == "failed"
    assert result.error is not None
    assert "GiB of memory, more than its limit of 1.0 GiB" in result.error
    assert "--memory-limit" in result.error


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_memory_that_is_taken_counts() -> None:
    before = memory_taken()
    held = bytearray(os.urandom(1)) * (50 << 20)
    assert len(held) < memory_taken() - before + (10 << 20) < 2 * len(held)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 TiB"), "--device cpu"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "smaller batches"),
        (MemoryError(), "smaller batches"),
    ],
)
def test_out_of_memory_is_a_sentence_with_a_next_step(error: Exception, words: str) -> None:
    said = worker._out_of_memory(error)
    assert said is not None
    assert said.startswith("out of memory on the ")
    assert words in said
    assert worker._out_of_memory(ValueError("of another kind")) is None


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of Linux")
def test_it_stands_back_behind_the_live_run(folder: Path) -> None:
    result = result_of(jobs.Job(asked(folder, "modest")).start())
    assert result.error is not None
    nice, oom = int(result.error.split("nice ")[1].split()[0]), result.error.split("oom ")[1]
    assert nice >= 10
    assert oom.strip() == "500"
    assert "io 3" in result.error


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"nproc": 0}, "at least 1"),
        ({"nnodes": 2}, "--rdzv-endpoint"),
        ({"shard": True}, "--nproc of at least 2"),
        ({"nproc": 2, "device": "cuda:1"}, "--device cuda"),
        ({"data": "none.jsonl"}, "does not exist"),
    ],
)
def test_what_does_not_add_up_is_refused(how: dict[str, Any], words: str, folder: Path) -> None:
    with pytest.raises(AnalysisError, match=words):
        jobs.Job(asked(folder, "target", **how))


# --- devices ----------------------------------------------------------------------------------


def chosen(*free: int, why: str | None = None, nproc: int = 1, rank: int = 0) -> tuple[str, str]:
    """What `auto` becomes for a model of 400 MB of weights, trained by Adam."""
    model = nn.Linear(10_000, 10_000, bias=False, device="meta")
    target = Target(
        model=model,
        train=[(torch.ones(1000, 25_000, device="meta"), 1)],
        optimizer=torch.optim.Adam,
    )
    gpus = [Gpu(name=f"GPU {n}", free=each, total=80 * GIB) for n, each in enumerate(free)]
    request = Request(
        analysis="a", target="t:t", device="auto", gpus=gpus, why_no_gpu=why, nproc=nproc
    )
    place = Ranks(rank=rank, size=nproc, local_rank=rank)
    device, reason = devices.choose(request, place, model, target, None)
    return str(device), reason


NEEDED = 2 * (4 * 400_000_000 + 100_000_000) + devices.CONTEXT_BYTES
"""Twice weights, gradients, two states and a batch, and what CUDA takes."""


def test_a_gpu_is_chosen_only_with_twice_the_need_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _device: None)
    assert chosen(NEEDED)[0] == "cuda:0"
    device, why = chosen(NEEDED - 1)
    assert device == "cpu"
    assert "GPU 0 has 3.8 GiB of 80.0 GiB free, 3.8 GiB are asked for" in why
    assert chosen(NEEDED - 1, 90 * GIB)[0] == "cuda:1"
    assert chosen(90 * GIB, NEEDED - 1, nproc=2)[0] == "cpu"
    assert [chosen(NEEDED, 0, NEEDED, nproc=2, rank=rank)[0] for rank in (0, 1)] == [
        "cuda:0",
        "cuda:2",
    ]
    assert chosen(why="no driver") == ("cpu", "on the CPU: no driver")


def test_a_gpu_that_torch_cannot_use_leaves_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen(90 * GIB)[1].endswith("cannot use the GPU")


def test_the_checkpoints_optimizer_states_count_as_they_are() -> None:
    model = nn.Linear(10, 10, bias=False)
    target = Target(model=model, optimizer=torch.optim.Adam)
    model.requires_grad_(requires_grad=False)
    assert devices.memory_needed(model, target, None) == 400
    state = {"state": {0: {"exp_avg": torch.ones(10, 10), "step": 3}}, "param_groups": ["lr"]}
    assert devices.memory_needed(model, target, state) == 800


# --- what each rank takes ---------------------------------------------------------------------

X, Y = torch.arange(10.0).reshape(5, 2), torch.arange(5)
BATCHES: dict[str, Any] = {
    "tensor": X,
    "pair": (X, Y),
    "dict": {"x": X, "deep": {"y": Y}, "name": "a", "scale": torch.tensor(2.0)},
    "inputs": Inputs((X,), {"mask": Y}),
    "ragged": ([torch.ones(n) for n in range(1, 6)], Y),
}


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_ranks_share_a_batch_without_rest(kind: str, count: int) -> None:
    shares = [Ranks(rank=r, size=count).share(BATCHES[kind]) for r in range(count)]
    assert sum(share.samples for share in shares) == 5
    for share in shares:
        assert share.of == 5
        assert type(share.batch) is type(BATCHES[kind])
        if kind != "ragged":
            assert size(share.batch) == max(share.samples, 1)
    mean = sum(Ranks(size=count).weight(share) for share in shares) / count
    assert mean == pytest.approx(1)


def test_what_cannot_be_divided_counts_once() -> None:
    for batch in ((X, torch.ones(7)), ("a", 3), SimpleNamespace(x=X)):
        shares = [Ranks(rank=r, size=2).share(batch) for r in (0, 1)]
        assert all(share.batch is batch for share in shares)
        assert shares[0].samples == shares[0].of
        assert shares[1].samples == 0
