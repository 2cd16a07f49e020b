"""Latency: what is timed, how often, and what the numbers are. No time itself is asserted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from traintop.analyses import ANALYSES, latency
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.target import Target

torch.set_num_threads(1)

ROW_KEYS = {"batch_size", "p50_ms", "p95_ms", "p99_ms", "samples_per_sec", "runs"}


def run(target: Target, **how: Any) -> Outcome:
    options: dict[str, float | None] = {
        option.name: option.default for option in ANALYSES["latency"].options
    }
    options.update({"most": 6, "runs": 20, "warmup": 3} | how.pop("options", {}))
    log = how.pop("log", lambda _text: None)
    context = Context(
        target=target,
        model=target.model,
        device=torch.device("cpu"),
        options=options,
        seed=0,
        progress=how.pop("progress", lambda _done, _total, _what: None),
        point=how.pop("point", lambda _x, _y, _series: None),
        log=log,
        **how,
    )
    return latency.run(context)


class Watched(nn.Module):
    """Keeps what it was called with, and in which mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 300), nn.ReLU(), nn.Linear(300, 3))
        self.calls: list[tuple[int, bool, bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.append((len(x), self.training, torch.is_grad_enabled()))
        out: torch.Tensor = self.inner(x)
        return out


def watched(**change: Any) -> Target:
    target = Target(
        model=Watched(),
        train=[(torch.randn(4, 6), torch.zeros(4, dtype=torch.long))],
        loss=nn.CrossEntropyLoss(),
    )
    for name, value in change.items():
        setattr(target, name, value)
    return target


def test_each_size_is_warmed_up_and_timed_in_evaluation_mode() -> None:
    target = watched()
    points: list[tuple[float, float, str]] = []
    result = run(target, point=lambda x, y, series: points.append((x, y, series))).result
    rows = result["batch_sizes"]
    assert [row["batch_size"] for row in rows] == [1, 2, 4, 6]
    model = target.model
    assert isinstance(model, Watched)
    sizes = [size for size, _, _ in model.calls]
    for row in rows:
        assert set(row) >= ROW_KEYS
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["samples_per_sec"] == pytest.approx(1e3 * row["batch_size"] / row["p50_ms"])
        assert row["runs"] == 20
        profiled = latency.PROFILED if row["batch_size"] == 6 else 0
        assert sizes.count(row["batch_size"]) == 3 + 20 + profiled
    assert not any(training or grad for _, training, grad in model.calls)
    assert {series for _, _, series in points} == {"p50 ms", "p95 ms"}
    assert len(latency.summary(result)) == 1 + len(rows) + 1 + len(result["top_ops"])


def test_the_operators_are_those_of_the_model() -> None:
    top = run(watched(), options={"most": 64}).result["top_ops"]
    names = [each["name"] for each in top]
    assert "aten::addmm" in names
    assert "aten::clamp_min" in names or "aten::relu" in names
    assert next(each for each in top if each["name"] == "aten::addmm")["calls"] == 2
    shares = [each["share"] for each in top]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1 + 1e-9
    assert len(top) <= latency.TOP_OPERATORS


def test_percentiles_are_those_of_numpy() -> None:
    times = np.random.default_rng(0).exponential(size=137).tolist()
    row = latency.row_of(8, times)
    for key, percent in (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99)):
        ranked = sorted(times)
        at = (len(times) - 1) * percent / 100
        low = int(at)
        by_hand = ranked[low] + (at - low) * (ranked[low + 1] - ranked[low])
        assert row[key] == pytest.approx(1e3 * by_hand)


def test_slow_models_are_timed_less_often() -> None:
    result = run(watched(), options={"runs": 10**6, "seconds": 1e-9, "most": 2}).result
    assert [row["runs"] for row in result["batch_sizes"]] == [latency.LEAST_RUNS] * 2


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_batch_sizes(most: int, sizes: list[int]) -> None:
    assert latency.batch_sizes(most) == sizes


def test_dicts_a_forward_and_a_step_of_ones_own() -> None:
    batch = {"x": torch.randn(4, 6), "note": "kept"}
    target = watched(train=[batch], forward=lambda model, b: model(b["x"]), loss=None)
    assert len(run(target).result["batch_sizes"]) == 4
    said: list[str] = []
    target = watched(step=lambda model, b: model(b[0]).sum())
    run(target, log=said.append)
    assert "the loss is timed" in said[0]


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    run(watched(), progress=lambda done, total, _what: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert told == sorted(told)


@pytest.mark.parametrize("name", ["most", "runs", "warmup", "seconds"])
def test_bad_options_are_named(name: str) -> None:
    with pytest.raises(AnalysisFailedError, match=name):
        run(watched(), options={name: 0})


def test_no_data_and_what_cannot_be_cut_are_said_so() -> None:
    with pytest.raises(AnalysisFailedError, match="no batch"):
        run(watched(train=[]))
    with pytest.raises(AnalysisFailedError, match="cannot be cut"):
        run(watched(train=["text"]))


class Stateful(nn.Module):
    """Keeps a state of the size of the batch between its calls, and counts them in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 6)
        self.state: torch.Tensor | None = None
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.get_buffer("calls").add_(1)
        self.state = self.cell(x, self.state)
        found: torch.Tensor = self.state
        return found


def test_a_state_that_is_kept_between_passes_does_not_disturb() -> None:
    target = watched(model=Stateful())
    assert len(run(target).result["batch_sizes"]) == 4
