"""Runs a function over many items on a Ray cluster, for stores of runs that outgrow a machine.

Ray is an extra: `traintop[ray]`. The cluster's machines must see the runs under the same paths and
have the same version of traintop installed.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from importlib import import_module
from typing import Any, TypeVar

from traintop.errors import EngineError

A = TypeVar("A")
R = TypeVar("R")

AHEAD = 4
"""Items handed out ahead of the one that is waited for, for each core of the cluster."""
RETRIES = 1
"""Times that an item is tried again whose worker died: it may have been the machine's fault."""


def ordered_map(
    function: Callable[[A], R],
    items: Iterable[A],
    crashed: Callable[[A], R],
    address: str | None = None,
) -> Generator[R]:
    """Yield the function's result for each item, in the order of the items, as they come.

    Args:
        function: Called in a worker of the cluster. What it raises is raised here.
        items: Taken as workers become free.
        crashed: Makes the result of an item whose worker died. The other items go on.
        address: Of the cluster, as `ray.init` takes it; None: the one that $RAY_ADDRESS names or
            this machine belongs to, else one that is started here and ends with this process.
            A process that is connected to a cluster already uses that, and stays connected.

    Raises:
        EngineError: Ray is not installed, or the cluster cannot be reached.
    """
    ray, ours = _connected(address)

    def call(item: A) -> R:  # Ray takes functions, and refuses what else can be called.
        return function(item)

    remote: Any = ray.remote(max_retries=RETRIES)(call)
    room = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    waiting: deque[tuple[A, Any]] = deque()
    coming = iter(items)
    try:
        while True:
            for item in itertools.islice(coming, room - len(waiting)):
                waiting.append((item, remote.remote(item)))
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                result: R = ray.get(future)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                result = crashed(item)
            yield result
    finally:
        if ours:
            ray.shutdown()


def _connected(address: str | None) -> tuple[Any, bool]:
    """Return Ray, and whether it is for us to end the connection."""
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise EngineError("--engine ray needs Ray: pip install 'traintop[ray]'") from None
    if ray.is_initialized():
        return ray, False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address=address, include_dashboard=False, **options)
    except ValueError:
        # Options of a cluster's start are refused where there is one already.
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError) as error:
        where = address or "of this machine"
        raise EngineError(f"the Ray cluster {where} cannot be reached: {error}") from None
    return ray, True
