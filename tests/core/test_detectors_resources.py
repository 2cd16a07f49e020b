"""The detectors of memory and speed, and what allocators and loaders do that is no fault."""

from __future__ import annotations

import numpy as np
import pytest

from detector_driver import blind, noise, of, watch
from traintop.records import RunInfo

INFO = RunInfo(planned_steps=500, steps_per_epoch=50)
STEPS = np.arange(500)


# --- memory_leak -------------------------------------------------------------------------------


def test_a_steady_growth_is_a_leak_with_its_rate() -> None:
    memory = (4000 + np.maximum(0, STEPS - 150) * 1.5) * noise(500, 0.003)
    (finding,) = of(watch({"gpu_memory": memory}, INFO), "memory_leak")
    assert 130 <= finding.onset_step <= 190
    assert finding.detected_step <= 290
    rate = next(each.value for each in finding.evidence if "1000 steps" in each.what)
    assert rate == pytest.approx(1500, rel=0.25)


@pytest.mark.parametrize(
    "memory",
    [
        pytest.param(4000 + 0 * STEPS, id="constant"),
        pytest.param(4000 + 900 * (1 - np.exp(-STEPS / 60)), id="levels off"),
        pytest.param(4000 + 200 * (STEPS // 125), id="staircase of an allocator"),
        pytest.param(np.where(STEPS < 40, 3000 + 25 * STEPS, 4000), id="first epoch"),
        pytest.param(4000 + 500 * np.sin(STEPS / 40), id="cycles of sequence length"),
        pytest.param(4000 + 400 * np.sqrt(np.log1p(STEPS)), id="longest batch so far"),
    ],
)
@pytest.mark.parametrize("scale", [0.0, 0.003, 0.1])
def test_what_is_no_leak(memory: np.ndarray, scale: float) -> None:
    assert not of(watch({"gpu_memory": memory * noise(500, scale)}, INFO), "memory_leak")


def test_a_leak_that_is_slow_against_the_log_is_seen_at_a_longer_scale() -> None:
    steps = np.arange(6000)
    memory = 4000 * (1 + steps / 60_000) * noise(6000, 0.003)
    found = of(watch({"gpu_memory": memory}, RunInfo(planned_steps=6000)), "memory_leak")
    assert found
    assert found[0].detected_step < 3000


def test_a_leak_shows_in_a_log_of_epochs() -> None:
    memory = [4000 + 80 * epoch for epoch in range(12)]
    info = RunInfo(cadence="epoch", steps_per_epoch=50)
    assert of(watch({"gpu_memory": memory}, info, stride=50), "memory_leak")


def test_a_leak_that_ends_is_over() -> None:
    memory = (4000 + np.clip(STEPS - 100, 0, 100) * 4.0) * noise(500, 0.002)
    (finding,) = of(watch({"gpu_memory": memory}, INFO), "memory_leak")
    assert finding.resolved_step is not None


def test_without_memory_nothing_is_judged() -> None:
    assert blind(watch({"loss/train": np.ones(500)}, INFO), "memory_leak")
    assert not blind(watch({"gpu_memory": 4000 + 0 * STEPS}, INFO), "memory_leak")


# --- out_of_memory_soon ------------------------------------------------------------------------


def test_a_device_that_fills_up() -> None:
    info = RunInfo(batch_size=64, gpu_memory_total_mb=10_000)
    (finding,) = of(watch({"gpu_memory": 7000 + 6.0 * STEPS}, info), "out_of_memory_soon")
    assert finding.severity == "critical"  # 99.9 % in the end
    assert 360 <= finding.onset_step <= 370
    assert finding.fixes[0].startswith("batch size 64 -> ")
    assert finding.next[0].analysis == "batch_size"


@pytest.mark.parametrize(
    "memory",
    [
        pytest.param(9700 + 0 * STEPS, id="reserved by design"),
        pytest.param(np.where(STEPS % 50 == 0, 9900, 6000), id="one long batch"),
        pytest.param(6000 + 0 * STEPS, id="room to spare"),
    ],
)
def test_a_full_device_alone_is_none(memory: np.ndarray) -> None:
    info = RunInfo(gpu_memory_total_mb=10_000)
    assert not of(watch({"gpu_memory": memory}, info), "out_of_memory_soon")


def test_without_a_capacity_nothing_is_judged() -> None:
    assert blind(watch({"gpu_memory": 7000 + 6.0 * STEPS}), "out_of_memory_soon")


# --- throughput_drop ---------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["throughput", "step_time"])
def test_a_run_that_becomes_slower(role: str) -> None:
    speed = np.where(STEPS < 300, 1000.0, 840.0) * noise(500, 0.04)
    series = speed if role == "throughput" else 64 / speed
    (finding,) = of(watch({role: series}, INFO), "throughput_drop")
    assert 295 <= finding.onset_step <= 312
    assert finding.detected_step <= 330
    assert (
        finding.title == "Throughput has dropped to 84% of what was usual" or "8" in finding.title
    )


def hiccups(speed: np.ndarray) -> np.ndarray:
    """Every 50th step evaluates and writes a checkpoint."""
    return np.where(STEPS % 50 < 3, 0.1 * speed, speed)


@pytest.mark.parametrize(
    "speed",
    [
        pytest.param(hiccups(1000 * noise(500, 0.03)), id="evaluations"),
        pytest.param(1000 * noise(500, 0.5), id="noise"),
        pytest.param(np.where(STEPS < 2, 50.0, 1000.0), id="compilation"),
        pytest.param(1000 - 0.1 * STEPS, id="a slow drift of 5 %"),
        pytest.param(1000 * (1 + 0.3 * np.sin(STEPS / 3)), id="lengths of sequences"),
        pytest.param(np.where((STEPS > 300) & (STEPS < 308), 200.0, 1000.0), id="a short pause"),
    ],
)
def test_what_is_no_drop(speed: np.ndarray) -> None:
    assert not of(watch({"throughput": speed}, INFO), "throughput_drop")


def test_another_batch_size_has_its_own_speed() -> None:
    speed = np.where(STEPS < 300, 1000.0, 500.0) * noise(500, 0.03)
    batch = np.where(STEPS < 300, 64.0, 8.0)
    found = of(watch({"batch_size": batch, "throughput": speed}), "throughput_drop")
    assert not found


def test_a_drop_that_recovers_is_over() -> None:
    speed = np.where((STEPS >= 200) & (STEPS < 300), 600.0, 1000.0) * noise(500, 0.03)
    (finding,) = of(watch({"throughput": speed}, INFO), "throughput_drop")
    assert finding.resolved_step is not None
    assert 300 <= finding.resolved_step <= 330
