"""First steps that destroy the initial weights, and beginnings that do not."""

from __future__ import annotations

import numpy as np
import pytest

from detector_driver import Series, learning, noise, of, watch
from traintop.records import RunInfo

TIME = np.arange(200)
HUGE = 0.6 / (1.0 + TIME)
"""Updates whose first 8 add up to more than the weights, and which shrink as those grow."""

LANGUAGE = RunInfo(task="language_modeling", num_classes=25, optimizer="adamw")
CLASSES = RunInfo(task="classification", num_classes=10)
ANOTHER = RunInfo(task="regression", optimizer="sgd")
MEANS = RunInfo(task="regression", optimizer="adamw", cadence="epoch")


def thrown(count: int = 8, height: float = 3.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A loss that leaves upwards in its first steps and then stands near its start."""
    is_high = (TIME > 1) & (count + 1 >= TIME)
    return np.where(is_high, height, 1.1) * noise(200, 0.05)


@pytest.mark.parametrize(
    ("columns", "info", "until"),
    [
        pytest.param(
            {"loss/train": 3.2 * thrown(3, 1.3) / 1.1, "update_ratio": HUGE},
            LANGUAGE,
            16,
            id="thrown up",
        ),
        pytest.param(
            {"loss/train": 2.5 * noise(200, 0.02), "update_ratio": HUGE, "lr": np.full(200, 0.08)},
            LANGUAGE,
            80,
            id="stuck",
        ),
        pytest.param(
            {"loss/train": 3.2 * thrown(3, 1.3) / 1.1, "lr": np.full(200, 0.08)},
            LANGUAGE,
            16,
            id="Adam's rate alone",
        ),
        pytest.param(
            {"loss/train": thrown(height=9.0), "lr": np.full(200, 0.2)}, ANOTHER, 48, id="no update"
        ),
        pytest.param(
            {"loss/train": [7.7] + [1.0] * 9, "update_ratio": [0.04] + [0.002] * 9},
            MEANS,
            3,
            id="means, by the weights that grew",
        ),
    ],
)
def test_weights_that_are_gone_are_told(
    columns: dict[str, Series], info: RunInfo, until: int
) -> None:
    (finding,) = of(watch(columns, info), "lr_too_high")
    assert finding.onset_step == 0
    assert finding.detected_step <= until
    assert "initial weights" in finding.title


@pytest.mark.parametrize(
    ("columns", "info"),
    [
        pytest.param(
            {"loss/train": learning(200), "update_ratio": HUGE},
            LANGUAGE,
            id="weights that began at 0",
        ),
        pytest.param(
            {"loss/train": thrown(), "update_ratio": np.full(200, 0.003)}, ANOTHER, id="usual steps"
        ),
        pytest.param({"loss/train": thrown(2, 20.0)}, ANOTHER, id="two bad batches"),
        pytest.param({"loss/train": 1.1 * noise(200, 0.4)}, ANOTHER, id="heavy noise"),
        pytest.param({"loss/train": 0.05 * noise(200, 0.9)}, CLASSES, id="resumed"),
        pytest.param(
            {"loss/train": learning(200), "lr": np.full(200, 0.08)}, LANGUAGE, id="Adam that learns"
        ),
        pytest.param(
            {"loss/train": [0.8, 0.3, 0.2, 0.15], "update_ratio": [0.04, 0.002, 0.002, 0.002]},
            MEANS,
            id="means that fall",
        ),
    ],
)
def test_other_beginnings_are_no_finding(columns: dict[str, Series], info: RunInfo) -> None:
    assert of(watch(columns, info), "lr_too_high", least="info") == []
