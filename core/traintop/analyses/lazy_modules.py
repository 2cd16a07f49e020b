"""Modules such as `LazyLinear`, which have no weights before they have seen a batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses.batches import forward, one_pass
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.target import describe

if TYPE_CHECKING:
    import torch

    from traintop.analyses.target import Target


def give_shapes(target: Target, model: torch.nn.Module, seed: int) -> None:
    """Run a training batch through the model where it has lazy modules.

    Raises:
        AnalysisFailedError: There is no batch, or the model fails on it or passes a lazy module by.
    """
    import torch

    lazy = _lazy(model)
    if not lazy:
        return
    what = f"the model's {lazy[0]} is a lazy module, which has no weights before a batch has passed"
    batch = next(iter(one_pass(target.train, seed)), None) if target.train is not None else None
    if batch is None:
        raise AnalysisFailedError(
            f"{what}: give the Target train=..., or run a batch through the model in the target"
        )
    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # so that batch norm keeps its statistics
    try:
        with torch.no_grad():
            forward(target, model, batch)
    except Exception as error:
        raise AnalysisFailedError(
            f"{what}, and the first batch does not: {describe(error)}"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    left = _lazy(model)
    if left:
        raise AnalysisFailedError(
            f"the model's {left[0]} is a lazy module that the first batch does not pass: run one "
            "that does through the model in the target"
        )


def _lazy(model: torch.nn.Module) -> list[str]:
    """Names of the modules that have no weights yet."""
    from torch.nn.modules.lazy import LazyModuleMixin

    named = cast("Iterable[tuple[str, Any]]", model.named_modules())
    return [
        name or "top module"
        for name, module in named
        if isinstance(module, LazyModuleMixin) and cast("Any", module).has_uninitialized_params()
    ]
