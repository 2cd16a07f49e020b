"""The batch size: its search, its memory, its noise scale, and the analysis as a whole."""

from __future__ import annotations

import gc
import random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from traintop.analyses import ANALYSES, batch_size, memory
from traintop.analyses.batch_size_search import (
    Trial,
    expected,
    knee,
    largest,
    limit_of,
    search,
)
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.noise_scale import noise_scale
from traintop.analyses.target import Target

torch.set_num_threads(1)

KEYS = {"largest", "tried", "knee", "noise_scale"}
TRIED_KEYS = {"batch_size", "ok", "samples_per_sec", "peak_memory_mb"}


NO_NOISE = {"noise_batches": 0}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "LEAST_SECONDS", 1e-3)
    monkeypatch.setattr(gc, "collect", lambda: 0)  # slow in a process as large as this


def run(target: Target, **how: Any) -> Outcome:
    options: dict[str, float | None] = {
        option.name: option.default for option in ANALYSES["batch_size"].options
    }
    options.update({"most": 16} | how.pop("options", {}))
    log = how.pop("log", lambda _text: None)
    context = Context(
        target=target,
        model=target.model,
        device=torch.device("cpu"),
        options=options,
        seed=0,
        progress=lambda _done, _total, _what: None,
        point=how.pop("point", lambda _x, _y, _series: None),
        log=log,
        **how,
    )
    return batch_size.run(context)


def classifier(**change: Any) -> Target:
    torch.manual_seed(0)
    target = Target(
        model=nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)),
        train=[(torch.randn(16, 6), torch.randint(3, (16,))) for _ in range(3)],
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda params: torch.optim.AdamW(params, lr=0.1, weight_decay=0.1),
    )
    for name, value in change.items():
        setattr(target, name, value)
    return target


class Hungry(nn.Module):
    """Runs out of memory beyond so many samples, as a GPU would."""

    def __init__(self, room: int, words: str) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 3)
        self.room, self.words = room, words
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        if len(x) > self.room:
            raise RuntimeError(self.words)
        out: torch.Tensor = self.inner(x)
        return out


@given(st.integers(1, 5000), st.integers(1, 3000), st.integers(1, 4))
def test_the_search_finds_the_largest_to_within_its_margin(
    room: int, most: int, start: int
) -> None:
    tried: list[int] = []

    def attempt(size: int) -> Trial:
        tried.append(size)
        return Trial(batch_size=size, ok=size <= room)

    found = largest(search(attempt, start, most))
    best = min(room, most)
    assert found is not None
    assert best - max(1, 0.05 * best) < found <= best
    assert max(tried) <= most
    assert len(set(tried)) == len(tried) <= 30


def test_nothing_fits() -> None:
    trials = search(lambda size: Trial(batch_size=size, ok=False, limit="memory"), 2, 64)
    assert [trial.batch_size for trial in trials] == [2, 1]
    assert largest(trials) is None
    assert knee(trials) is None
    assert limit_of(trials) == "memory"


def test_knee_limits_and_what_is_expected() -> None:
    rates = {1: 10.0, 2: 19.0, 4: 34.0, 8: 45.1, 16: 50.0, 32: 48.0}
    trials = [
        Trial(
            batch_size=size,
            ok=True,
            samples_per_sec=rate,
            seconds=size / rate,
            peak_memory_mb=100 + 2 * size,
        )
        for size, rate in rates.items()
    ]
    assert knee(trials) == 8
    assert limit_of(trials) == "most"
    assert expected(trials, 64, "peak_memory_mb") == pytest.approx(228)
    assert expected(trials, 16, "peak_memory_mb") == pytest.approx(132)
    assert expected(trials[:1], 16, "peak_memory_mb") is None
    trials.append(Trial(batch_size=64, ok=False, limit="memory"))
    trials.append(Trial(batch_size=48, ok=False, limit="time"))
    assert limit_of(trials) == "time"
    falling = [
        Trial(batch_size=size, ok=True, peak_memory_mb=mb) for size, mb in ((2, 90.0), (4, 80.0))
    ]
    assert expected(falling, 8, "peak_memory_mb") == 80


@pytest.mark.parametrize(
    "words",
    [
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 8 bytes",
        "CUDA out of memory. Tried to allocate 20.00 MiB",
    ],
)
def test_the_largest_that_fits_is_found(words: str) -> None:
    target = classifier(model=Hungry(41, words))
    result = run(target, options={"most": 512}).result
    assert set(result) >= KEYS
    assert result["largest"] in (40, 41)
    assert result["limited_by"] == "memory"
    sizes = [each["batch_size"] for each in result["tried"]]
    assert sizes == sorted(set(sizes))
    assert all(set(each) >= TRIED_KEYS for each in result["tried"])
    for each in result["tried"]:
        assert each["ok"] == (each["batch_size"] <= 41)
        assert (each["samples_per_sec"] is None) == (not each["ok"])
    assert any("more do not fit" in line for line in batch_size.summary(result))


def test_without_room_for_two_one_is_tried() -> None:
    assert (
        run(classifier(model=Hungry(1, "out of memory")), options=NO_NOISE).result["largest"] == 1
    )
    with pytest.raises(AnalysisFailedError, match="not even one sample fits"):
        run(classifier(model=Hungry(0, "out of memory")), options=NO_NOISE)


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        run(classifier(model=Hungry(4, "boom")), options=NO_NOISE)


def test_the_most_is_the_end_and_weights_are_as_before() -> None:
    target = classifier()
    before = {name: value.clone() for name, value in target.model.state_dict().items()}
    points: list[tuple[float, float, str]] = []
    result = run(target, point=lambda x, y, series: points.append((x, y, series))).result
    assert [each["batch_size"] for each in result["tried"]] == [2, 4, 8, 16]
    assert (result["largest"], result["limited_by"]) == (16, "most")
    assert result["knee"] in (2, 4, 8, 16)
    assert [x for x, _, _ in points] == [2, 4, 8, 16]
    assert all(each["peak_memory_mb"] > 1 for each in result["tried"])
    for name, value in target.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_memory_limit_bounds_what_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Hungry(10**9, "")
    peaks = iter(float(100 + size) for size in (2, 4, 8, 16, 32, 48, 56, 60, 62))
    monkeypatch.setattr(memory, "peak", lambda: int(next(peaks) * (1 << 20)))
    limit = int(145 / 0.9 * (1 << 20))
    options = {"most": 512} | NO_NOISE
    monkeypatch.setattr(memory, "available", lambda: 1 << 40)
    result = run(classifier(model=model), options=options, memory_limit=limit).result
    assert max(model.seen) <= 45 * 1.05
    assert 40 <= result["largest"] <= 45
    assert result["limited_by"] == "memory"
    assert result["memory_mb"] == pytest.approx(145)


def test_a_step_that_takes_too_long_is_not_waited_for() -> None:
    class Slow(Hungry):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.ones(400, 400) @ torch.ones(400, 400 * len(x))
            return super().forward(x)

    result = run(
        classifier(model=Slow(10**9, "")), options={"most": 4096, "step_seconds": 1e-3} | NO_NOISE
    ).result
    assert result["limited_by"] == "time"
    assert result["largest"] < 4096


def test_dicts_ragged_batches_and_no_optimizer() -> None:
    ragged = [
        ([torch.randn(1 + n % 3, 6) for n in range(size)], torch.zeros(size)) for size in (4, 6)
    ]
    said: list[str] = []
    target = classifier(
        model=nn.Linear(6, 1),
        train=ragged,
        optimizer=None,
        step=lambda model, batch: torch.stack([model(x).mean() for x in batch[0]]).mean(),
    )
    assert run(target, log=said.append).result["largest"] == 16
    assert any("no optimizer" in line for line in said)
    target.train = [{"x": torch.randn(4, 6), "n": 3}]
    target.step = lambda model, batch: model(batch["x"]).mean()
    assert run(target).result["largest"] == 16


def linear(noise: float, slope: float, batches: int = 64, size: int = 32) -> Target:
    """The gradient of sample i is -(slope + noise * e_i) at w = 0: the noise scale is known."""
    generator = torch.Generator().manual_seed(1)

    class Weight(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(50))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -(x * self.w).sum(1).mean()

    data = [slope + noise * torch.randn(size, 50, generator=generator) for _ in range(batches)]
    return Target(model=Weight(), train=data, step=lambda model, batch: model(batch))


@pytest.mark.parametrize(("noise", "slope"), [(1.0, 0.5), (2.0, 0.2), (0.5, 1.0)])
def test_the_noise_scale_is_the_known_one(noise: float, slope: float) -> None:
    result = run(linear(noise, slope), options={"most": 1, "noise_batches": 64}).result
    known = noise**2 / slope**2  # trace and norm both sum over the 50 weights
    assert result["noise_scale"] == pytest.approx(known, rel=0.15)
    assert result["noise_samples"] == 64 * 32


def test_pure_noise_has_no_scale_but_a_bound() -> None:
    found = run(linear(1.0, 0.0, batches=4), options={"most": 1}).result
    assert found["noise_samples"] == 128
    assert found["noise_scale"] is None or found["noise_scale"] > 100


def test_few_batches_are_cut_into_more() -> None:
    result = run(linear(1.0, 0.5, batches=1, size=2048), options={"most": 1}).result
    assert result["noise_samples"] == 2048
    assert result["noise_scale"] == pytest.approx(4.0, rel=0.3)


def test_a_loss_that_is_a_sum_has_the_scale_of_the_mean() -> None:
    scales = [
        run(classifier(loss=nn.CrossEntropyLoss(reduction=how)), options={"most": 2}).result
        for how in ("mean", "sum")
    ]
    assert scales[0]["noise_scale"] == pytest.approx(scales[1]["noise_scale"], rel=1e-4)


def test_the_estimate_is_unbiased() -> None:
    """Numerator and denominator, averaged over many draws of few samples."""
    generator = random.Random(0)  # noqa: S311 - an example, no secret
    gradients: list[float] = []
    noises: list[float] = []
    for _ in range(4000):
        means = [sum(generator.gauss(1, 3) for _ in range(2)) / 2 for _ in range(4)]
        found = noise_scale(sum(m * m for m in means) / 4, (sum(means) / 4) ** 2, 2, 4)
        gradients.append(found.gradient)
        noises.append(found.noise)
    assert sum(gradients) / 4000 == pytest.approx(1.0, abs=0.15)
    assert sum(noises) / 4000 == pytest.approx(9.0, rel=0.05)


def test_memory_that_is_taken_is_seen() -> None:
    free, before = memory.available(), memory.current()
    memory.reset_peak()
    held = torch.ones(64 << 20, dtype=torch.uint8)
    assert memory.peak() - before > 48 << 20
    assert free is not None
    assert free > held.numel()
    assert memory.peak() >= memory.current() > 0


@pytest.mark.parametrize(
    ("options", "message"), [({"most": 0}, "most"), ({"step_seconds": 0.0}, "step_seconds")]
)
def test_bad_options_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(AnalysisFailedError, match=message):
        run(classifier(), options=options)


def test_no_data_is_said_so() -> None:
    for options in (NO_NOISE, {}):
        with pytest.raises(AnalysisFailedError, match="no batch"):
            run(classifier(train=[]), options=options)


def test_a_state_that_is_kept_between_steps_does_not_disturb() -> None:
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(6, 3)
            self.state: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.state = self.cell(x, self.state)
            found: torch.Tensor = self.state
            return found

    assert run(classifier(model=Stateful())).result["largest"] == 16
