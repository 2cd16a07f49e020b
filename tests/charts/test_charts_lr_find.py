"""Which losses of a range test are in sight."""

from __future__ import annotations

import math

import pytest

from traintop_tui.widgets.lr_find_drawing import in_sight


@pytest.mark.parametrize("end", [10.0, 1e30, math.inf, math.nan])
def test_how_far_it_diverged_does_not_matter(end: float) -> None:
    losses = [2.0, 2.0, 1.9, 1.5, 1.0, 1.2, 1.8, end]
    assert in_sight(losses) == (1.0, 3.0)


def test_the_noise_at_the_beginning_is_in_sight() -> None:
    raw = [2.0, 2.4, 1.9, 2.1, 2.2, 1.4, 1.0, 1.1, 1.5, 90.0]
    smoothed = [2.0, 2.1, 2.0, 2.0, 2.0, 1.8, 1.4, 1.2, 1.3, 40.0]
    assert in_sight(raw, smoothed) == pytest.approx((1.0, 3.8))


def test_one_that_only_rises_has_headroom() -> None:
    assert in_sight([2.0, 3.0, 50.0]) == pytest.approx((2.0, 2.2))


@pytest.mark.parametrize("curves", [[], [[]], [[math.nan, math.inf]], [[0.0, 0.0]]])
def test_without_a_loss_that_tells_anything_there_is_no_range(curves: list[list[float]]) -> None:
    assert in_sight(*curves) is None
