"""The target: how the user says what is analysed, and how it is found by its name."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from traintop.analyses.context import AnalysisFailedError

if TYPE_CHECKING:
    import torch

TEXT_LENGTH = 500
"""Characters of what an error says that are shown."""
CALLABLE_FIELDS = {
    "loss": "nn.CrossEntropyLoss()",
    "step": "lambda model, batch: loss",
    "optimizer": "lambda params: torch.optim.AdamW(params, lr=1e-3)",
    "forward": "lambda model, batch: output",
}
"""Those fields of `Target` that are called, each with an example."""
_HERE = str(Path(__file__).parent)
_LIBRARY = sysconfig.get_path("stdlib")


@dataclass(kw_only=True)
class Target:
    """What is analysed: a model, its data, and how one is trained on the other.

    Example:
        ```python
        def target():
            return Target(
                model=build_model(),
                train=train_loader,
                loss=nn.CrossEntropyLoss(),
                optimizer=lambda params: torch.optim.AdamW(params, lr=3e-4),
            )
        ```
    """

    model: torch.nn.Module
    """Freshly built; a checkpoint is loaded into it."""
    train: Iterable[Any] | None = None
    """Training batches: a DataLoader, a list, anything that can be iterated more than once."""
    val: Iterable[Any] | None = None
    """Validation batches."""
    loss: Callable[[Any, Any], torch.Tensor] | None = None
    """`loss(output, target)`, where the last part of a batch is the target. A scalar."""
    step: Callable[[torch.nn.Module, Any], torch.Tensor] | None = None
    """`step(model, batch)` returns the loss, a scalar; wins over `loss`."""
    optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer] | None = None
    """`optimizer(params)` builds a fresh optimizer."""
    forward: Callable[[torch.nn.Module, Any], Any] | None = None
    """`forward(model, batch)` returns the output, where `model(batch[0])` or, for a batch that is
    a dict, `model(**batch)` would not do."""


def load_target(spec: str) -> Target:
    """Build the target named by `FILE.py:FUNCTION` or `package.module:FUNCTION`.

    The file is run as Python would run it: its folder comes first on `sys.path`, so that its
    imports work; the working directory comes next.

    Raises:
        AnalysisFailedError: No such file, module or function; it raised, or returned another thing.
    """
    where, colon, name = spec.rpartition(":")
    if not colon or not where or not name:
        raise AnalysisFailedError(
            f"target {spec!r} must read FILE.py:FUNCTION or package.module:FUNCTION"
        )
    module = _run_file(Path(where)) if where.endswith(".py") or os.sep in where else _import(where)
    function = getattr(module, name, None)
    if function is None:
        raise AnalysisFailedError(f"{where} has no function {name!r}: name one as FILE.py:FUNCTION")
    if not callable(function):
        raise AnalysisFailedError(
            f"{name!r} in {where} is a {type(function).__name__}, not a function"
        )
    try:
        target = function()
    except Exception as error:
        raise AnalysisFailedError(f"the target {spec} raised {describe(error)}") from error
    if not isinstance(target, Target):
        raise AnalysisFailedError(
            f"the target {spec} returned {type(target).__name__}, no traintop.Target: "
            "let it return Target(model=..., train=..., loss=..., optimizer=...)"
        )
    _refuse_unfit_fields(target)
    return target


def _refuse_unfit_fields(target: Target) -> None:
    for name in ("train", "val"):
        data = getattr(target, name)
        if data is not None and not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
            raise AnalysisFailedError(
                f"the Target's {name} is of type {type(data).__name__}, which cannot be iterated: "
                "give it a DataLoader or a list of batches"
            )
    for name, example in CALLABLE_FIELDS.items():
        value = getattr(target, name)
        if isinstance(value, type) and name == "loss":
            raise AnalysisFailedError(
                f"the Target's loss is the class {value.__name__}: give it one, "
                f"loss={value.__name__}()"
            )
        if value is not None and not callable(value):
            raise AnalysisFailedError(
                f"the Target's {name} is of type {type(value).__name__}, which cannot be called: "
                f"give it a function, {name}={example}"
            )


def describe(error: BaseException) -> str:
    """The error in one line, with the last place in the user's own code that it came through."""
    said = str(error).strip().splitlines()
    if any(line.startswith("Original Traceback") for line in said):
        said = [said[0], said[-1]]  # from a process of the data loader
    text = f"{type(error).__name__}: {' '.join(' '.join(said).split())[:TEXT_LENGTH]}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        name = frame.filename
        if not name.startswith(("<", _HERE, _LIBRARY)) and "-packages" not in name:
            return f"{text} ({name}:{frame.lineno}, in {frame.name})"
    return text


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise AnalysisFailedError(f"the target's file {path} does not exist")
    path = path.resolve()
    sys.path[:0] = [str(path.parent), str(Path.cwd())]
    # Known by its own name, so that what it defines can be pickled to data loader processes.
    name = path.stem if path.stem not in sys.modules else f"traintop_target_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AnalysisFailedError(f"the target's file {path} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise AnalysisFailedError(f"the target's file {path} raised {describe(error)}") from error
    return module


def _import(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return import_module(name)
    except Exception as error:
        raise AnalysisFailedError(f"the target's module {name} raised {describe(error)}") from error
