"""The process that an analysis runs in: `PYTHON worker.py REQUEST`.

It is run by the training environment's interpreter, which needs torch and numpy, nothing of ours.

It prints events, a JSON object a line: `started`, `progress`, `point`, `log`, then `result` or
`failed`. They go to what was standard output when it began; whatever the target prints goes to
standard error.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from traintop.analyses import Analysis
    from traintop.analyses.context import Context
    from traintop.analyses.request import Request
    from traintop.analyses.target import Target

PARENT_CHECK_SECONDS = 2.0
CUDA_SHARE = 0.8
"""Of the memory that is free when it starts; the rest is left to the live run."""


def bootstrap() -> None:
    """Make the package of this file importable as `traintop`, and nothing else of ours.

    Python has put this folder on `sys.path`, where `target` or `context` would hide the user's own
    modules; the folder above holds all that is installed with us.
    """
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != here]
    package = here.parent
    spec = importlib.util.spec_from_file_location(
        "traintop", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{package} is no package")
    module = importlib.util.module_from_spec(spec)
    sys.modules["traintop"] = module
    spec.loader.exec_module(module)


class Events:
    """The stream of events to the host."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, event: str, **fields: Any) -> None:
        """Write one event; where nobody reads any more, end."""
        line = json.dumps(_strict({"event": event, **fields}), allow_nan=False)
        try:
            with self._lock:
                self._out.write(line + "\n")
                self._out.flush()
        except BrokenPipeError:
            os._exit(1)


def main(argument: str) -> int:
    """Do what the request says; returns the exit code."""
    from traintop.analyses.context import AnalysisFailedError
    from traintop.analyses.request import Request
    from traintop.analyses.target import describe

    events = Events()
    _be_modest()
    try:
        request = Request.from_json(argument)
        _run(request, events)
    except AnalysisFailedError as error:
        events.send("failed", reason=str(error))
    except SystemExit as error:
        events.send("failed", reason=f"the target called exit({error.code!r})")
    except KeyboardInterrupt:
        events.send("failed", reason="interrupted")
    except Exception as error:  # noqa: BLE001 - whatever the target does, the host is told
        events.send("failed", reason=describe(error))
    else:
        return 0
    return 1


def _run(request: Request, events: Events) -> None:
    from traintop.analyses import ANALYSES
    from traintop.analyses.context import AnalysisFailedError

    began = time.monotonic()
    analysis = ANALYSES.get(request.analysis)
    if analysis is None:
        raise AnalysisFailedError(
            f"there is no analysis {request.analysis!r}: {', '.join(ANALYSES)}"
        )
    options: dict[str, float | None] = {option.name: option.default for option in analysis.options}
    unknown = sorted(set(request.options) - set(options))
    if unknown:
        raise AnalysisFailedError(
            f"{analysis.id} has no option {unknown[0]!r}: {', '.join(options)}"
        )
    options.update(request.options)
    context = _prepare(request, options, analysis, events)
    events.send(
        "started",
        analysis=analysis.id,
        checkpoint=request.checkpoint,
        step=context.step,
        device=str(context.device),
    )
    module = importlib.import_module(f"traintop.analyses.{analysis.id}")
    outcome = module.run(context)
    events.send(
        "result",
        result={
            "schema": "traintop.analysis/1",
            "analysis": analysis.id,
            "status": "ok",
            "checkpoint": request.checkpoint,
            "step": context.step,
            "seconds": round(time.monotonic() - began, 3),
            "device": str(context.device),
            "result": outcome.result,
            "findings": outcome.findings,
        },
    )


def _prepare(
    request: Request, options: Mapping[str, float | None], analysis: Analysis, events: Events
) -> Context:
    """Build the target, load the checkpoint into its model, and move that to the device."""
    from traintop.analyses.context import AnalysisFailedError

    try:
        import torch
    except ImportError as error:
        if error.name not in (None, "torch"):
            raise
        raise AnalysisFailedError(
            f"torch is not installed in {sys.executable}: "
            "name the training environment's interpreter with --python"
        ) from None
    from traintop.analyses.batches import seed_everything
    from traintop.analyses.checkpoints import load_into, read_checkpoint
    from traintop.analyses.context import Context
    from traintop.analyses.target import load_target

    torch.set_num_threads(max(1, _cores() // 2))
    device = _device(request.device)
    seed_everything(request.seed)
    events.send("progress", done=0, total=0, what="building the target")
    target = load_target(request.target)
    _refuse_lacking(target, analysis.needs, request)
    model = getattr(target.model, "_orig_mod", target.model)  # what torch.compile has wrapped
    if not isinstance(model, torch.nn.Module):
        raise AnalysisFailedError(
            f"the Target's model is a {type(model).__name__}, not a torch.nn.Module"
        )
    step, optimizer_state, initial = None, None, None
    if analysis.keeps_initial:
        initial = {name: p.detach().cpu().clone() for name, p in model.named_parameters()}
    if request.checkpoint is not None:
        events.send("progress", done=0, total=0, what="loading the checkpoint")
        path = Path(request.checkpoint)
        state = read_checkpoint(path)
        ignored = load_into(model, state, path)
        if ignored:
            events.send(
                "log",
                text=f"{len(ignored)} names of {path} lie outside the model: {ignored[0]} ...",
            )
        step, optimizer_state = state.step, state.optimizer
    return Context(
        target=target,
        model=model.to(device),
        device=device,
        seed=request.seed,
        options=options,
        checkpoint=None if request.checkpoint is None else Path(request.checkpoint),
        compare=[Path(each) for each in request.compare],
        initial=initial,
        step=step,
        optimizer_state=optimizer_state,
        progress=lambda done, total, what: events.send(
            "progress", done=done, total=total, what=what
        ),
        point=lambda x, y, series: events.send("point", x=x, y=y, series=series),
        log=lambda text: events.send("log", text=text),
    )


def _refuse_lacking(target: Target, needs: tuple[str, ...], request: Request) -> None:
    from traintop.analyses.context import AnalysisFailedError

    lacking = [name for name in needs if getattr(target, name) is None]
    if lacking:
        raise AnalysisFailedError(
            f"{request.analysis} needs {' and '.join(lacking)}: "
            f"give the Target of {request.target} {', '.join(f'{name}=...' for name in lacking)}"
        )


def _device(name: str) -> Any:
    import torch

    from traintop.analyses.context import AnalysisFailedError

    try:
        device = torch.device(name)
    except RuntimeError:
        raise AnalysisFailedError(f"there is no device {name!r}: cpu or cuda:N") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise AnalysisFailedError(
                f"no GPU can be used by torch in {sys.executable}: take --device cpu"
            )
        if (device.index or 0) >= torch.cuda.device_count():
            raise AnalysisFailedError(
                f"there is no {name}: torch sees {torch.cuda.device_count()} GPUs"
            )
        free, total = torch.cuda.mem_get_info(device)
        torch.cuda.set_per_process_memory_fraction(CUDA_SHARE * free / total, device)
        torch.cuda.set_device(device)
    return device


def _be_modest() -> None:
    """Stand back behind the live run, show where a crash was, and end when the host does."""
    import faulthandler

    faulthandler.enable(all_threads=False)
    os.nice(10)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _strict(value: object) -> object:
    """The value with numbers that JSON has no words for written as in the diagnostics format."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        return {str(key): _strict(item) for key, item in pairs.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in cast("list[object]", value)]
    return value


# Also where a data loader's spawned process runs this file again to unpickle the target's classes.
if __name__ in ("__main__", "__mp_main__"):
    bootstrap()
if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
