"""Which GPUs an analysis is offered, told by a driver made up here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fake_nvml import FakeNvml, NVMLError
from traintop.analyses.request import Request
from traintop.gpu_room import free_gpus
from traintop.host_memory import available_memory
from traintop.placement import command, place

GIB = 1 << 30


def offered(monkeypatch, nvml, visible=None):
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found, why = free_gpus(visible)
    return [gpu.index for gpu in found], why


def test_the_roomiest_comes_first_and_lost_ones_are_left_out(monkeypatch):
    nvml = FakeNvml(7 * GIB, NVMLError("lost"), 1 * GIB, 3 * GIB)
    assert offered(monkeypatch, nvml) == ([2, 3, 0], None)


@pytest.mark.parametrize(
    ("visible", "indexes"),
    [("0,3", [3, 0]), ("GPU-00000002", [2]), ("GPU-00000002,0", [2, 0]), ("2, ", [2])],
)
def test_only_what_the_user_may_see(visible, indexes, monkeypatch):
    nvml = FakeNvml(7 * GIB, NVMLError("lost"), 1 * GIB, 3 * GIB)
    assert offered(monkeypatch, nvml, visible) == (indexes, None)


@pytest.mark.parametrize(
    ("nvml", "visible", "words"),
    [
        (FakeNvml(), None, "no GPU says"),
        (FakeNvml(1, sliced=True), None, "no GPU says"),
        (FakeNvml(1), "", "leaves no GPU"),
        (FakeNvml(1), "7", "leaves no GPU"),
        (None, None, "no NVIDIA GPU can be asked"),
    ],
)
def test_why_there_is_none(nvml, visible, words, monkeypatch):
    indexes, why = offered(monkeypatch, nvml, visible)
    assert indexes == []
    assert words in why


def placed(monkeypatch, *used, device="auto", **more):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*used))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return place(Request(analysis="lr_find", target="a:b", device=device, **more))


def test_auto_shows_the_worker_only_gpus_with_room(monkeypatch):
    request, env = placed(monkeypatch, 2 * GIB, 8 * GIB - 5, 0)
    assert env["CUDA_VISIBLE_DEVICES"] == "GPU-00000002-abcd,GPU-00000000-abcd"
    assert [gpu.free for gpu in request.gpus] == [8 * GIB, 6 * GIB]
    request, env = placed(monkeypatch, 8 * GIB - 5)
    assert (env["CUDA_VISIBLE_DEVICES"], request.gpus) == ("", ())
    assert request.why_no_gpu is not None
    assert "the GPUs are full" in request.why_no_gpu


def test_on_the_cpu_no_gpu_is_seen_and_a_named_one_is_left_to_the_user(monkeypatch):
    assert placed(monkeypatch, 0, device="cpu")[1]["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in placed(monkeypatch, 0, device="cuda:1")[1]


def test_memory_is_shared_out_among_processes(monkeypatch):
    request, _ = placed(monkeypatch, 0, memory_limit=8 * GIB, nproc=4)
    assert request.memory_limit == 2 * GIB
    request, _ = placed(monkeypatch, 0)
    available = available_memory()
    assert (request.memory_limit is None) == (available is None)


def test_the_least_of_machine_and_container_is_available(tmp_path):
    assert available_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    assert available_memory(tmp_path) == 2 << 20
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("1000\n")
    (group / "memory.max").write_text("max\n")
    assert available_memory(tmp_path) == 2 << 20
    (group / "memory.max").write_text("5000\n")
    assert available_memory(tmp_path) == 4000


def test_the_command_line_of_one_process_of_several_and_of_several_machines():
    def line(**more):
        request = Request(analysis="lr_find", target="a:b", **more)
        *start, end = command(Path("/py"), Path("/w.py"), request)
        assert Request.from_json(end).to_json() == request.to_json()
        return start

    torchrun = ["/py", "-m", "torch.distributed.run"]
    assert line() == ["/py", "/w.py"]
    assert line(nproc=2) == [*torchrun, "--nproc-per-node=2", "--standalone", "/w.py"]
    assert line(nproc=2, nnodes=3, rdzv_endpoint="h:29500") == [
        *torchrun,
        "--nproc-per-node=2",
        "--nnodes=3",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=h:29500",
        "--rdzv-id=traintop",
        "/w.py",
    ]
