"""The process that an analysis runs in: `PYTHON worker.py REQUEST`.

It is run by the training environment's interpreter, which needs torch and numpy, nothing of ours.

It prints events, a JSON object a line: `started`, `progress`, `point`, `log`, then `result` or
`failed`. They go to what was standard output when it began; whatever the target prints goes to
standard error. Of several processes that torchrun has started, only rank 0 says more than that it
has failed.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from traintop.analyses.ranks import Ranks
    from traintop.analyses.request import Request


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
    """The stream of events to the host.

    Args:
        failures_only: Send nothing but `failed`.
    """

    def __init__(self, *, failures_only: bool = False) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._failures_only = failures_only

    def send(self, event: str, **fields: Any) -> None:
        """Write one event; where nobody reads any more, end."""
        if self._failures_only and event != "failed":
            return
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
    from traintop.analyses.limits import stand_back
    from traintop.analyses.ranks import place_of_process
    from traintop.analyses.request import Request
    from traintop.analyses.target import describe

    place = place_of_process()
    events = Events(failures_only=not place.first)
    try:
        request = Request.from_json(argument)
        stand_back(request.memory_limit, lambda reason: events.send("failed", reason=reason))
        events.send("progress", done=0, total=0, what="importing torch")
        _run(request, place, events)
    except AnalysisFailedError as error:
        events.send("failed", reason=str(error))
    except SystemExit as error:
        reason = f"the target called exit({'' if error.code is None else repr(error.code)})"
        events.send("failed", reason=reason, show_output=True)
    except KeyboardInterrupt:
        events.send("failed", reason="interrupted")
    except Exception as error:  # noqa: BLE001 - whatever the target does, the host is told
        events.send("failed", reason=_out_of_memory(error) or describe(error))
    else:
        return 0
    return 1


def _run(request: Request, place: Ranks, events: Events) -> None:
    from traintop.analyses import ANALYSES
    from traintop.analyses.context import AnalysisFailedError
    from traintop.analyses.preparation import prepare
    from traintop.analyses.ranks import leave
    from traintop.analyses.target import describe

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
    context, why = prepare(request, options, analysis, place, events.send)
    events.send(
        "started",
        analysis=analysis.id,
        checkpoint=request.checkpoint,
        step=context.step,
        device=str(context.device),
    )
    module = importlib.import_module(f"traintop.analyses.{analysis.id}")
    try:
        outcome = module.run(context)
    except AnalysisFailedError:
        raise
    except Exception as error:
        reason = _out_of_memory(error) or _advised(analysis.id, describe(error))
        raise AnalysisFailedError(reason) from error
    leave()
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
            "device_reason": why,
            "result": outcome.result,
            "findings": outcome.findings,
        },
    )


def _out_of_memory(error: Exception) -> str | None:
    """What to do about an error that says that memory has run out; None for any other."""
    kind, text = type(error).__name__, str(error)
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate" in text:
        where = "the host: take smaller batches, or wait until the live run leaves more room"
    elif kind == "OutOfMemoryError" or "CUDA out of memory" in text:
        where = "the GPU beside the live run: take --device cpu, or smaller batches"
    else:
        return None
    return f"out of memory on {where}\n{kind}: {text.splitlines()[0] if text else ''}"


def _advised(analysis: str, text: str) -> str:
    """What the target's code raised when it was run, and what to do."""
    if "backward through the graph a second time" in text or "does not have a grad_fn" in text:
        return f"{text}: let the Target's step return the loss, and call no backward()"
    if analysis == "shapes":
        return text
    return f"{text}; run the analysis shapes to see whether model, batch and loss fit together"


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
    code = main(sys.argv[1])
    if any(
        not each.daemon for each in threading.enumerate() if each is not threading.main_thread()
    ):
        # A thread of the target's that goes on would keep the process from ending.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
