"""The target's optimizer for the model as it is now, with the checkpoint's state if that fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from traintop.analyses.context import AnalysisFailedError, Context

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
        state: A `state_dict`; where it does not load, that is logged, and the optimizer is fresh.

    Raises:
        AnalysisFailedError: The target has none.
    """
    make = context.target.optimizer
    if make is None:
        raise AnalysisFailedError("give the Target optimizer=lambda params: ...")
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = make(trained)
    if state is None:
        return optimizer
    try:
        optimizer.load_state_dict(dict(state))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        context.log(f"the checkpoint's optimizer state does not fit, so a fresh one: {reason}")
        return make(trained)
    return optimizer
