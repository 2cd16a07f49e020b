"""The target's optimizer for the model as it is now, with the checkpoint's state if that fits."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from traintop.analyses.batches import NOTHING_TRAINS
from traintop.analyses.context import AnalysisFailedError, Context
from traintop.analyses.ranks import laid_out_as

if TYPE_CHECKING:
    import torch


def build_optimizer(
    context: Context,
    parameters: Iterable[torch.nn.Parameter],
    state: Mapping[str, Any] | None,
) -> torch.optim.Optimizer:
    """Build the optimizer for those parameters that ask for a gradient.

    Args:
        context: Holds the target.
        parameters: Of the model.
        state: A `state_dict`, which is copied; where it does not load, that is logged, and the
            optimizer is fresh.

    Raises:
        AnalysisFailedError: The target has none, or it cannot be built.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        raise AnalysisFailedError(NOTHING_TRAINS)
    optimizer = _build(context, trained)
    if state is None:
        return optimizer
    try:
        # It would train the very tensors that it is given, where they are on its device.
        optimizer.load_state_dict(copy.deepcopy(dict(state)))
        _shard_state(optimizer)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        context.log(f"the checkpoint's optimizer state does not fit, so a fresh one: {reason}")
        return _build(context, trained)
    return optimizer


def _build(context: Context, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    make = context.target.optimizer
    if make is None:
        raise AnalysisFailedError("give the Target optimizer=lambda params: ...")
    try:
        optimizer = make(parameters)
    except Exception as error:
        raise AnalysisFailedError(
            f"the Target's optimizer raised {type(error).__name__}: {error}; give it as "
            "optimizer=lambda params: torch.optim.AdamW(params, lr=1e-3)"
        ) from error
    # Read as it is used: a wrapper of an optimizer need not be one.
    if not hasattr(optimizer, "param_groups") or not hasattr(optimizer, "step"):
        raise AnalysisFailedError(
            f"the Target's optimizer returned {type(optimizer).__name__}: "
            "let it return an optimizer"
        )
    return optimizer


def _shard_state(optimizer: torch.optim.Optimizer) -> None:
    """Lay whole states out over the ranks as the parameters are that they belong to."""
    for parameter, kept in optimizer.state.items():
        for key, value in kept.items():
            if getattr(value, "shape", None) == parameter.shape:
                kept[key] = laid_out_as(parameter, value)


def refuse_closure(optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimizer whose step asks for more than gradients, as that of LBFGS does.

    Raises:
        AnalysisFailedError: It does.
    """
    parameters = inspect.signature(optimizer.step).parameters.values()
    if any(
        each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
        for each in parameters
    ):
        raise AnalysisFailedError(
            f"{type(optimizer).__name__}.step needs a closure, and this analysis gives it none: "
            "take another optimizer in the target"
        )
