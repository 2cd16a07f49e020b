"""GPU memory beside the run's own curves: kept by step, shown where there is a device."""

from __future__ import annotations

import os
import sys

import pytest

from app_driver import NOW, catch_up, text_of
from fake_nvml import FakeNvml, NVMLError
from run_files import write_run
from traintop.gpu import GpuMonitor, GpuSample
from traintop_tui.gpu_history import MIB, GpuHistory

NAME = "GPU 0 memory of 8192 MiB"


def sample(used, time=1.0, index=0):
    return GpuSample(index, "Fake", time, used * MIB, 8192 * MIB, None, None)


def values(history):
    return {name: series.values().tolist() for name, series in history.table.series.items()}


def test_each_device_is_a_series_in_mib():
    history = GpuHistory()
    history.add([sample(100), sample(200, index=1)], 10.0)
    history.add([sample(110, 2.0), sample(210, 2.0, index=1)], 20.0)
    assert values(history) == {NAME: [100.0, 110.0], NAME.replace("0", "1", 1): [200.0, 210.0]}
    assert history.table.step.tolist() == [10.0, 20.0]


def test_a_sample_is_taken_once():
    history = GpuHistory()
    for step in (1.0, 2.0, 3.0):
        history.add([sample(100)], step)
    history.add([], 4.0)
    assert values(history) == {NAME: [100.0]}


def test_a_resumed_run_repeats_its_steps():
    history = GpuHistory()
    for time, step in enumerate([10.0, 20.0, 30.0, 15.0], start=1):
        history.add([sample(time, float(time))], step)
    assert history.table.step.tolist() == [10.0, 15.0]
    assert values(history) == {NAME: [1.0, 4.0]}


def test_a_device_that_comes_later_or_goes_does_not_shift_the_others():
    history = GpuHistory()
    history.add([sample(1, 1.0)], 1.0)
    history.add([sample(2, 2.0), sample(3, 2.0, index=1)], 2.0)
    history.add([sample(4, 3.0, index=1)], 3.0)
    other = NAME.replace("0", "1", 1)
    assert history.table.value_at(NAME, 9.0) == (2.0, 2.0)
    assert history.table.value_at(other, 9.0) == (3.0, 4.0)
    assert history.table.value_at(other, 1.0) is None


@pytest.fixture
def live_folder(tmp_path):
    """A run that goes on: its files were written just now, and no end is planned."""
    folder = write_run(tmp_path / "live", 300, layers=False, log=False)
    (folder / "run.json").unlink()
    for file in folder.iterdir():
        os.utime(file, (NOW, NOW))
    return folder


async def test_the_memory_of_devices_has_a_chart_while_the_run_goes_on(
    opened, live_folder, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(1 << 30, NVMLError("lost")))
    async with opened(live_folder) as pilot:
        app = pilot.app
        assert "GPU 0" not in text_of(app)
        app.model.gpu = GpuMonitor()
        app.model.gpu.start()
        app.model.gpu.sample(NOW)
        catch_up(app)
        await pilot.pause()
        app.redraw()
        assert [panel.title for panel in app.model.panels()][:3] == [
            "loss",
            "gradient norm",
            "learning rate",
        ]
        assert f"{NAME} 1024" in text_of(app)
        assert "GPU 1" not in text_of(app)
