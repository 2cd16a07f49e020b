"""From a request to what an analysis is handed: the target built, the checkpoint loaded, placed."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from traintop.analyses.context import AnalysisFailedError, Context
from traintop.analyses.ranks import Ranks, join

if TYPE_CHECKING:
    import torch

    from traintop.analyses import Analysis
    from traintop.analyses.checkpoints import CheckpointState
    from traintop.analyses.request import Request
    from traintop.analyses.target import Target


class Send(Protocol):
    """Sends an event to the host."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Send one."""
        ...


def prepare(
    request: Request,
    options: Mapping[str, float | None],
    analysis: Analysis,
    place: Ranks,
    send: Send,
) -> tuple[Context, str | None]:
    """Build the target, load the checkpoint into its model, and move that to the device.

    Returns:
        The context, and for the device `auto` why it became what it is.

    Raises:
        AnalysisFailedError: One of these cannot be done.
    """
    _refuse_no_torch()
    import torch

    from traintop.analyses.batches import seed_everything
    from traintop.analyses.devices import choose, named_device
    from traintop.analyses.lazy_modules import give_shapes

    torch.set_num_threads(max(1, _cores() // 2 // request.nproc))
    device = named_device(request, place)
    seed_everything(request.seed)
    send("progress", done=0, total=0, what="building the target")
    target = _build(request)
    _refuse_lacking(target, analysis.needs, request)
    model = getattr(target.model, "_orig_mod", target.model)  # what torch.compile has wrapped
    if not isinstance(model, torch.nn.Module):
        name = model.__name__ if isinstance(model, type) else type(model).__name__
        what = "the class" if isinstance(model, type) else "of type"
        raise AnalysisFailedError(
            f"the Target's model is {what} {name}: give it a torch.nn.Module that is built"
        )
    give_shapes(target, model, request.seed)
    if any(each.is_meta for each in (*model.parameters(), *model.buffers())):
        raise AnalysisFailedError(
            "the model is on the meta device, where it has no weights: build it on the CPU"
        )
    initial = None
    if analysis.keeps_initial:
        initial = {name: p.detach().cpu().clone() for name, p in model.named_parameters()}
    state = _load(request, model, send)
    optimizer_state = None if state is None else state.optimizer
    why = None
    if device is None:
        device, why = choose(request, place, model, target, optimizer_state)
        if request.gpus:
            send("log", text=why)
    if not request.shard:
        model = model.to(device)
    context = Context(
        target=target,
        model=model,
        device=device,
        seed=request.seed,
        options=options,
        checkpoint=None if request.checkpoint is None else Path(request.checkpoint),
        compare=[Path(each) for each in request.compare],
        initial=initial,
        step=None if state is None else state.step,
        optimizer_state=optimizer_state,
        memory_limit=request.memory_limit,
        ranks=join(place, model, device, shard=request.shard),
        progress=lambda done, total, what: send("progress", done=done, total=total, what=what),
        point=lambda x, y, series: send("point", x=x, y=y, series=series),
        log=lambda text: send("log", text=text),
    )
    return context, why


def _refuse_no_torch() -> None:
    try:
        importlib.import_module("torch")
    except ImportError as error:
        if error.name not in (None, "torch"):
            raise
        raise AnalysisFailedError(
            f"torch is not installed in {sys.executable}: "
            "name the training environment's interpreter with --python"
        ) from None


def _build(request: Request) -> Target:
    """The target, with the batches that the request or the run gives it."""
    from traintop.analyses.kept_batches import read_batches
    from traintop.analyses.target import load_target

    data = None if request.data is None else Path(request.data)
    if request.target is not None:
        target = load_target(request.target)
    elif request.checkpoint is not None:
        from traintop.analyses.hugging_face import target_of_folder

        folder = Path(request.checkpoint)
        text = None if data is None or data.is_dir() else data
        target = target_of_folder(folder if folder.is_dir() else folder.parent, text)
    else:
        raise AnalysisFailedError("there is neither a target nor a checkpoint folder with a config")
    if data is not None and data.is_dir():
        return replace(target, train=read_batches(data))
    if data is not None and request.target is not None:
        raise AnalysisFailedError(
            f"{data} is text, which only a Hugging Face folder without a target can be given: name "
            "a folder of recorded batches, or give the Target train=..."
        )
    if target.train is None and request.recorded is not None:
        return replace(target, train=read_batches(Path(request.recorded)))
    return target


def _refuse_lacking(target: Target, needs: tuple[str, ...], request: Request) -> None:
    lacking = [name for name in needs if getattr(target, name) is None]
    if not lacking:
        return
    if request.target is None:
        advice = "give --data FILE with text, or a --target"
    else:
        fields = ", ".join(f"{name}=..." for name in lacking)
        advice = f"give the Target of {request.target} {fields}"
        if "train" in lacking:
            advice += ", or record a few batches with Recorder(..., keep_batches=4)"
    raise AnalysisFailedError(f"{request.analysis} needs {' and '.join(lacking)}: {advice}")


def _load(request: Request, model: torch.nn.Module, send: Send) -> CheckpointState | None:
    from traintop.analyses.checkpoints import load_into, read_checkpoint

    if request.checkpoint is None:
        return None
    send("progress", done=0, total=0, what="loading the checkpoint")
    path = Path(request.checkpoint)
    state = read_checkpoint(path)
    ignored = load_into(model, state, path)
    if ignored:
        send("log", text=f"{len(ignored)} names of {path} lie outside the model: {ignored[0]} ...")
    return state


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
