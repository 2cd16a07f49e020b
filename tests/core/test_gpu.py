"""GPU sampling against a driver made up here: what is there is said, what fails is left out."""

from __future__ import annotations

import sys

from fake_nvml import FakeNvml, NVMLError
from traintop.gpu import PERIOD, GpuMonitor, GpuSample


def monitor_of(monkeypatch, nvml):
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monitor = GpuMonitor()
    monitor.start()
    return monitor


def test_a_sample_of_each_device(monkeypatch):
    monitor = monitor_of(monkeypatch, FakeNvml(1 << 30, 2 << 30))
    assert monitor.sample(100.0)
    assert monitor.reason is None
    assert monitor.samples == [
        GpuSample(0, "Fake 0", 100.0, 1 << 30, 8 << 30, 37, 250.5),
        GpuSample(1, "Fake 1", 100.0, 2 << 30, 8 << 30, 37, 250.5),
    ]


def test_no_more_often_than_its_period(monkeypatch):
    monitor = monitor_of(monkeypatch, FakeNvml(1))
    times = [100.0, 100.0 + PERIOD / 2, 100.0 + PERIOD]
    assert [monitor.sample(now) for now in times] == [True, False, True]


def test_what_a_device_does_not_say_is_none(monkeypatch):
    monitor = monitor_of(monkeypatch, FakeNvml(1, plain=True))
    monitor.sample(100.0)
    assert (monitor.samples[0].utilization, monitor.samples[0].power) == (None, None)


def test_a_device_that_raises_is_left_out_until_it_answers_again(monkeypatch):
    nvml = FakeNvml(NVMLError("lost"), 5)
    monitor = monitor_of(monkeypatch, nvml)
    monitor.sample(100.0)
    assert [sample.index for sample in monitor.samples] == [1]
    nvml.devices = [7, NVMLError("lost")]
    monitor.sample(200.0)
    assert [(sample.index, sample.memory_used) for sample in monitor.samples] == [(0, 7)]


def test_without_a_driver_it_says_why(monkeypatch):
    nvml = FakeNvml(1)
    nvml.init_error = NVMLError("no driver")
    monitor = monitor_of(monkeypatch, nvml)
    assert not monitor.sample(100.0)
    assert monitor.samples == []
    assert monitor.reason == "no NVIDIA GPU to watch (NVMLError)"


def test_a_driver_without_devices_says_so(monkeypatch):
    monitor = monitor_of(monkeypatch, FakeNvml())
    assert not monitor.sample(100.0)
    assert "has none" in monitor.reason


def test_without_the_bindings_it_says_why(monkeypatch):
    monitor = monitor_of(monkeypatch, None)
    assert monitor.reason == "no NVIDIA GPU to watch (ModuleNotFoundError)"


def test_before_the_start_there_is_nothing():
    monitor = GpuMonitor()
    assert not monitor.sample()
    assert monitor.samples == []
