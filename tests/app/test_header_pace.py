"""Steps a second and the time that is left, as far as the records tell."""

from __future__ import annotations

import json

import pytest

from traintop.gpu import GpuMonitor
from traintop.session import Session
from traintop.settings import Settings
from traintop_tui.model import Model
from traintop_tui.widgets.run_header import facts

NOW = 1_800_000_500.0


@pytest.mark.parametrize(
    ("beside", "rate"),
    [
        ({"time": 0.4}, "2.5 steps/s"),
        ({"iter_time_ms": 125.0}, "8 steps/s"),
        ({"iter_time": 350.0}, None),  # in seconds?
        ({"timestamp": 1.0}, None),
        ({}, None),
    ],
)
def test_the_time_of_a_step_gives_the_rate_where_records_have_none(tmp_path, beside, rate):
    path = tmp_path / "log.jsonl"
    records = [{"step": step, "loss": 1.0, **beside} for step in range(1, 9)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    session = Session(path, Settings())
    model = Model([session], Settings(), GpuMonitor())
    model.take([session.pump(NOW)])
    assert facts(model).get("rate") == rate
