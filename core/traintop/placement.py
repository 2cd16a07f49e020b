"""Where and how a worker is started: GPUs on offer, memory, environment, command line."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from traintop.analyses.request import Gpu, Request
from traintop.gpu_room import free_gpus
from traintop.host_memory import available_memory

MEMORY_SHARE = 0.8
"""Of the memory that is available when an analysis starts; the rest is the live run's to grow."""
LEAST_ROOM = 1 << 30
"""Bytes free on a GPU below which it is not looked at: CUDA alone takes half of that."""


def place(request: Request) -> tuple[Request, dict[str, str]]:
    """Complete a request with what is free on this machine now, and make the worker's environment.

    On the CPU it sees no GPU, so that a target that says `.cuda()` cannot take memory from the live
    run; where the device is `auto` it sees those that have room. It compiles nothing, which would
    cost minutes and hide what an analysis watches.
    """
    env = dict(os.environ)
    env["TORCHDYNAMO_DISABLE"] = "1"
    env["TRAINTOP_HOST_PID"] = str(os.getpid())
    request = _limit_memory(request)
    if request.nproc > 1:
        env.setdefault("OMP_NUM_THREADS", "1")  # torchrun would set it, and say so at length
    if request.device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
    if request.device != "auto":
        return request, env
    found, why = free_gpus()
    roomy = [gpu for gpu in found if gpu.free >= LEAST_ROOM]
    if found and not roomy:
        most = found[0]
        why = f"the GPUs are full ({most.name} has {most.free >> 20} MiB free)"
    env["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in roomy)
    gpus = tuple(Gpu(name=gpu.name, free=gpu.free, total=gpu.total) for gpu in roomy)
    return replace(request, gpus=gpus, why_no_gpu=why), env


def command(python: Path, worker: Path, request: Request) -> list[str]:
    """The command line: the worker, or torchrun that starts several."""
    if request.nproc == 1 and request.nnodes == 1:
        return [str(python), str(worker), request.to_json()]
    meet = ["--standalone"]
    if request.nnodes > 1:
        meet = [
            f"--nnodes={request.nnodes}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={request.rdzv_endpoint}",
            "--rdzv-id=traintop",
        ]
    torchrun = [str(python), "-m", "torch.distributed.run", f"--nproc-per-node={request.nproc}"]
    return [*torchrun, *meet, str(worker), request.to_json()]


def _limit_memory(request: Request) -> Request:
    """Share out the memory limit, or what may be taken, among the processes."""
    room = request.memory_limit
    if room is None:
        available = available_memory()
        if available is None:
            return request
        room = int(MEMORY_SHARE * available)
    return replace(request, memory_limit=room // request.nproc)
