"""The detection as a whole: whatever numbers it is fed, and for however long."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector_driver import noise, watch
from traintop.detectors.base import MOST_EPISODES
from traintop.detectors.engine import Engine
from traintop.opening import read_whole
from traintop.records import Event, LayerNames, LayerStats, Row, RunInfo
from traintop.session import Session
from traintop.settings import Settings

Floats = NDArray[np.float64]

TRAIN = (
    *("loss/train", "accuracy/train", "lr", "grad_norm", "grad_norm_clipped", "grad_cos"),
    *("update_ratio", "throughput", "step_time", "compute_time", "gpu_memory", "loss_scale"),
    *("skipped_step", "batch_size", "num_batches", "param_hash"),
)
EVALUATION = ("loss/val", "accuracy/val", "balanced_accuracy", "majority_pred_fraction")
LAYER = (
    *("grad_norm", "grad_mean", "grad_std", "grad_zero_frac", "grad_nan", "weight_norm"),
    *("update_ratio", "act_mean", "act_std", "act_zero_frac", "act_dead_frac", "act_sat_frac"),
)
NAMES = LayerNames(
    names=("a", "b", "c"), numel=(9, 0, 9), act_names=("r", "s"), act_kinds=("relu", "tanh")
)
RECORDS = 240
INF, NAN = math.inf, math.nan


def told(judged: Engine | Session) -> set[str]:
    """The ids of what is more than advice."""
    found = judged.findings if isinstance(judged, Engine) else judged.findings()
    return {each.id for each in found if each.severity != "info"}


# --- whatever the numbers are -------------------------------------------------------------------

WALK = np.random.default_rng(0).normal(size=RECORDS).tolist()
BAD: dict[str, Sequence[float]] = {
    "one point": [1.0],
    "two points": [1.0, 2.0],
    "constant": [1.0] * RECORDS,
    "zero": [0.0] * RECORDS,
    "negative": [-1.0] * RECORDS,
    "NaN": [NAN] * RECORDS,
    "alternating NaN": [1.0, NAN] * (RECORDS // 2),
    "infinities": [1.0, INF, -INF, NAN] * (RECORDS // 4),
    "1e300": [1e300] * RECORDS,
    "-1e300": [-1e300] * RECORDS,
    "to and fro": [1.7e308, -1.7e308] * (RECORDS // 2),
    "all of it": [1e300, 1.0, -1e300, 0.0, NAN, INF] * (RECORDS // 6),
    "denormal": [5e-324] * RECORDS,
    "widest": [5e-324, 1e300] * (RECORDS // 2),
    "noise around 0": WALK,
    "huge noise": [1e300 * value for value in WALK],
    "through 0": np.linspace(5.0, -5.0, RECORDS).tolist(),
    "exponential": [1.3**step for step in range(RECORDS)],
    "jump to 1e300": [1.0] * 100 + [1e300] * 140,
    "2**53": [2.0**53 + step for step in range(RECORDS)],
}
STEPS: dict[str, Callable[[int], int]] = {
    "plain": lambda at: at,
    "one step": lambda _: 7,
    "backwards": lambda at: -at,
    "repeated": lambda at: at // 2,
    "out of order": lambda at: at * 7919 % 1009,
    "over 2**53": lambda at: 2**53 + at,
    "gap": lambda at: at if at < 100 else at + 10**9,
    "far apart": lambda at: at * 10**12,
    "restarts": lambda at: at % 50,
    "to and fro": lambda at: (-1) ** at * at**5,
}
INFOS = {
    "none": RunInfo(),
    "usual": RunInfo(
        task="classification", num_classes=10, batch_size=32, planned_steps=RECORDS, amp=True,
        steps_per_epoch=50, grad_clip=1.0, weight_decay=0.1, gpu_memory_total_mb=8e4, world_size=2,
    ),
    "zero": RunInfo(
        task="classification", num_classes=0, batch_size=0, planned_steps=0, steps_per_epoch=0,
        grad_clip=0.0, grad_accumulation=0, world_size=0, planned_epochs=0, gpu_memory_total_mb=0.0,
    ),
    "negative": RunInfo(
        task="classification", num_classes=-3, batch_size=-1, planned_steps=-1, steps_per_epoch=-5,
        grad_clip=-1.0, weight_decay=NAN, grad_accumulation=-1, world_size=-1, planned_epochs=-1,
    ),
    "huge": RunInfo(
        task="language_modeling", num_classes=10**9, batch_size=10**18, planned_steps=10**18,
        steps_per_epoch=10**18, grad_clip=1e300, weight_decay=1e300, gpu_memory_total_mb=INF,
    ),
    "one": RunInfo(
        task="classification", num_classes=1, batch_size=1, planned_steps=1, steps_per_epoch=1,
        planned_epochs=1, cadence="epoch",
    ),
    "strange": RunInfo(task="", cadence="?", optimizer="\x1b[31m", planned_steps=2**60),
}  # fmt: skip


def feed(values: Sequence[float], step_of: Callable[[int], int], info: RunInfo) -> Engine:
    """Feed one series as every signal at once: records, evaluations, layers, ranks and events."""
    engine = Engine(info)
    engine.feed_layer_names(NAMES)
    events = ("resume", "checkpoint", "epoch", "control", "note")
    for at, value in enumerate(values):
        step = step_of(at)
        epoch = None if at % 3 else at / 50
        row = Row(step=step, epoch=epoch, time=None, values=dict.fromkeys(TRAIN, value))
        engine.feed_train(row)
        for rank in (0, 1, 5) if at % 4 else (0,):
            engine.feed_rank(rank, row)
        if at % 5 == 0:
            values_then = dict.fromkeys(EVALUATION, value)
            engine.feed_eval(Row(step=step, epoch=None, time=None, values=values_then))
        if at % 5 == 3:
            columns = np.array([value, NAN if at % 2 else 1.0, -value])
            stats = {name: columns[: 2 if name.startswith("act_") else 3] for name in LAYER}
            mode = (None, True, False)[at % 3]
            engine.feed_layers(LayerStats(step=step, train_mode=mode, stats=stats))
        if at % 40 == 20:
            where = (None, step, -5, 2**62)[at // 40 % 4]
            engine.feed_event(Event(event=events[at // 40 % 5], step=where, fields={"path": 3}))
    engine.not_judged()
    return engine


@pytest.mark.parametrize("name", BAD)
def test_no_series_makes_a_detector_fail(name: str) -> None:
    for info in INFOS.values():
        assert feed(BAD[name], STEPS["plain"], info).failures == []


@pytest.mark.parametrize("name", STEPS)
def test_no_order_of_steps_makes_a_detector_fail(name: str) -> None:
    for series, info in (("all of it", "none"), ("noise around 0", "usual"), ("constant", "huge")):
        assert feed(BAD[series], STEPS[name], INFOS[info]).failures == []


@pytest.mark.parametrize("role", TRAIN)
def test_a_signal_alone_that_says_nothing_is_no_finding(role: str) -> None:
    # Updates and rates that are always 0 and steps that are always skipped do say something.
    speaks = {"lr": {"zero"}, "update_ratio": {"zero"}, "skipped_step": {"constant"}}
    quiet = {"one point", "two points", "constant", "zero", "denormal"} - speaks.get(role, set())
    for name in quiet:
        engine = watch({role: BAD[name]})
        assert told(engine) == set(), (role, name)


def test_steps_out_of_order_and_gaps_alone_are_no_finding() -> None:
    loss = 2.3 * np.exp(-np.arange(RECORDS) / 60) + 0.2
    for name, step_of in STEPS.items():
        engine = Engine()
        for at, value in enumerate((loss * noise(RECORDS, 0.03)).tolist()):
            values = {"loss/train": value}
            engine.feed_train(Row(step=step_of(at), epoch=None, time=None, values=values))
        assert (engine.failures, told(engine)) == ([], set()), name


@given(
    values=st.lists(st.floats(width=64) | st.sampled_from([0.0, 1e300, -1e300]), max_size=80),
    roles=st.sets(st.sampled_from(TRAIN), min_size=1, max_size=4),
    info=st.sampled_from(list(INFOS.values())),
)
@settings(max_examples=40, deadline=None)
def test_no_signals_together_make_a_detector_fail(
    values: list[float], roles: set[str], info: RunInfo
) -> None:
    engine = Engine(info)
    for step, value in enumerate(values):
        mixed = {role: value if at % 2 else 1.0 for at, role in enumerate(sorted(roles), step)}
        engine.feed_train(Row(step=step, epoch=None, time=None, values=mixed))
    engine.not_judged()
    assert engine.failures == []


def test_layers_of_no_width_or_another_than_named() -> None:
    engine = Engine(RunInfo(num_classes=10))
    for names in (NAMES, LayerNames(names=()), NAMES):
        engine.feed_layer_names(names)
        for step, width in enumerate((3, 0, 5, 1, 3) * 4):
            for value in (1.0, 0.0, NAN, INF):
                stats = {name: np.full(width, value) for name in LAYER}
                engine.feed_layers(LayerStats(step=step, stats=stats))
    engine.not_judged()
    assert engine.failures == []


RECORD_FILES = {
    "only validation": {"val_diagnostics": [{"step": n, "loss": 1.0} for n in range(50)]},
    "epochs without steps": {"log": [{"epoch": n, "loss": 2.0 / (n + 1)} for n in range(30)]},
    "no loss": {"train_diagnostics": [{"step": n, "lr": 0.1} for n in range(99)]},
    "null": {"train_diagnostics": [{"step": n, "loss": None} for n in range(99)]},
    "only layers": {
        "layers": [{"names": ["a"]}, *({"step": n, "grad_norm": [None]} for n in range(99))]
    },
    "absurd events": {
        "train_diagnostics": [{"step": 0, "loss": 1.0}],
        "events": [{"event": "epoch"}, {"event": "resume", "step": 10**30}, {"step": -(10**9)}],
    },
}


@pytest.mark.parametrize("name", RECORD_FILES)
def test_files_that_lack_most_are_judged_by_what_they_have(name: str, tmp_path: Path) -> None:
    for file, records in RECORD_FILES[name].items():
        text = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / f"{file}.jsonl").write_text(text)
    session = read_whole(tmp_path, Settings())
    assert (list(session.failures()), told(session)) == ([], set())


# --- for however long ---------------------------------------------------------------------------


def held(thing: object, seen: set[int]) -> int:
    """How many elements there are in all containers that can be reached."""
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, type(None))):
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.size
    if isinstance(thing, dict):
        return len(thing) + sum(held(each, seen) for each in thing.values())
    if isinstance(thing, (list, tuple, set, frozenset, deque)):
        return len(thing) + sum(held(each, seen) for each in thing)
    slots = [getattr(kind, "__slots__", ()) for kind in type(thing).__mro__]
    names = [*vars(thing)] if hasattr(thing, "__dict__") else []
    names += [name for each in slots for name in ((each,) if isinstance(each, str) else each)]
    return sum(held(getattr(thing, name, None), seen) for name in names)


@pytest.mark.parametrize("wild", [False, True])
def test_what_is_kept_does_not_grow_with_the_run(wild: bool) -> None:
    engine = Engine(RunInfo(num_classes=10, task="classification", world_size=2))
    engine.feed_layer_names(NAMES)
    random = np.random.default_rng(0)
    kept: list[int] = []
    for step in range(24_000):
        high = abs(float(random.standard_cauchy() if wild else 1.0 + 0.1 * random.normal()))
        values = dict.fromkeys(TRAIN, high)
        if not wild:
            values |= {"skipped_step": 0.0, "batch_size": 32.0, "num_batches": 1.0, "lr": 0.1}
        row = Row(step=step, epoch=None, time=float(step), values=values)
        engine.feed_train(row)
        if step % 2:
            engine.feed_rank(step // 2 % 2, row)
        if step % 20 == 0:
            then = dict.fromkeys(EVALUATION, high)
            engine.feed_eval(Row(step=step, epoch=None, time=None, values=then))
            stats = {name: np.full(2 if name.startswith("act_") else 3, high) for name in LAYER}
            engine.feed_layers(LayerStats(step=step, stats=stats))
        if step in (11_999, 23_999):
            kept.append(held(engine, set()))
    assert engine.failures == []
    assert kept[1] < 1.3 * kept[0]
    ids = [each.id for each in engine.findings]
    assert max(ids.count(each) for each in {*ids, ""}) <= MOST_EPISODES


@pytest.mark.parametrize(
    "series",
    [
        {"loss": -1.0, "reward": 1.0, "kl": 0.1},
        {"d_loss": 1.0, "g_loss": 1.0, "loss": 1.0},
    ],
)
def test_the_loss_of_reinforcement_learning_and_of_two_networks_is_not_judged(
    series: Mapping[str, float], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    lines: list[str] = []
    for step in range(600):
        # Up and down, through 0, and at last up for good.
        level = math.sin(step / 30) + 0.3 * float(random.normal()) + (step > 400) * step / 100
        values = {name: scale * level for name, scale in series.items()}
        lines.append(json.dumps({"step": step, "lr": 1e-3, "grad_norm": 1.0, **values}))
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    session = read_whole(tmp_path / "log.jsonl", Settings())
    assert told(session) == set()
    silent = {each.id: each.needs for each in session.not_judged()}
    assert "a loss whose level means something" in silent["divergence"]
