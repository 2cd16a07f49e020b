"""Which function draws the result of which analysis: a pure one, in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from traintop_tui.charts.cells import Rows
from traintop_tui.widgets.batch_size_drawing import draw_batch_size
from traintop_tui.widgets.checkup_drawing import draw_checkup
from traintop_tui.widgets.data_drawing import draw_data
from traintop_tui.widgets.dead_neurons_drawing import draw_dead_neurons
from traintop_tui.widgets.gradient_check_drawing import draw_gradient_check
from traintop_tui.widgets.gradient_flow_drawing import draw_gradient_flow
from traintop_tui.widgets.landscape_drawing import draw_landscape
from traintop_tui.widgets.latency_drawing import draw_latency
from traintop_tui.widgets.loss_function_drawing import draw_loss_function
from traintop_tui.widgets.lr_find_drawing import draw_lr_find
from traintop_tui.widgets.nan_source_drawing import draw_nan_source
from traintop_tui.widgets.overfit_drawing import draw_overfit
from traintop_tui.widgets.predictions_drawing import draw_predictions
from traintop_tui.widgets.shapes_drawing import draw_shapes
from traintop_tui.widgets.weights_drawing import draw_weights

Drawing = Callable[[Mapping[str, Any], int, int, bool], Rows]
"""`draw(result, width, height, braille)`: exactly `height` rows of `width` cells; ASCII only where
not `braille`.

Raises:
    msgspec.ValidationError: The result, which comes from a file, is damaged.
"""

DRAWINGS: dict[str, Drawing] = {
    "lr_find": draw_lr_find,
    "dead_neurons": draw_dead_neurons,
    "gradient_flow": draw_gradient_flow,
    "gradient_check": draw_gradient_check,
    "nan_source": draw_nan_source,
    "weights": draw_weights,
    "data": draw_data,
    "loss_function": draw_loss_function,
    "predictions": draw_predictions,
    "shapes": draw_shapes,
    "overfit_one_batch": draw_overfit,
    "loss_landscape": draw_landscape,
    "batch_size": draw_batch_size,
    "latency": draw_latency,
    "checkup": draw_checkup,
}
"""By the analysis' id."""
