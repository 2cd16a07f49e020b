"""Several ranks side by side: who is slow, who is out of step, and in which order they come."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from detector_driver import of
from traintop.detectors.engine import Engine
from traintop.detectors.rank_rounds import HELD, RankRounds
from traintop.opening import read_whole
from traintop.records import Finding, Row, RunInfo
from traintop.settings import Settings

STEPS = 200
RANKS = 4
NOISE = np.random.default_rng(5).normal(size=(8, STEPS))
INFO = RunInfo(world_size=RANKS, batch_size=32)

Values = Callable[[int, int], Mapping[str, float]]
"""Rank and step -> what that rank recorded."""


def row(step: int, values: Mapping[str, float]) -> Row:
    return Row(step=step, epoch=None, time=None, values=dict(values))


def run(
    values: Values,
    *,
    ranks: int = RANKS,
    info: RunInfo | None = INFO,
    order: Callable[[list[tuple[int, int]]], list[tuple[int, int]]] = sorted,
) -> Engine:
    """Feed (step, rank) pairs in some order; each rank's own steps must stay in order."""
    engine = Engine(info)
    for step, rank in order([(step, rank) for step in range(STEPS) for rank in range(ranks)]):
        record = row(step, values(rank, step))
        if rank == 0:
            engine.feed_train(record)
        engine.feed_rank(rank, record)
    assert engine.failures == []
    return engine


def noisy(rank: int, step: int, scale: float = 0.05) -> float:
    return math.exp(scale * NOISE[rank, step])


# --- straggler ------------------------------------------------------------------------------------


def slow(
    factor: float, *, who: int = 2, since: int = 100, role: str = "compute_time"
) -> Callable[[int, int], dict[str, float]]:
    def values(rank: int, step: int) -> dict[str, float]:
        late = rank == who and step >= since
        time = 0.1 * noisy(rank, step) * (factor if late else 1.0)
        return {role: 1.0 / time if role == "throughput" else time}

    return values


@pytest.mark.parametrize("role", ["compute_time", "step_time", "throughput"])
def test_a_slow_rank_is_named_with_its_factor(role: str) -> None:
    (finding,) = of(run(slow(1.6, role=role)), "straggler")
    assert finding.ranks == (2,)
    assert finding.onset_step == 100
    assert 100 < finding.detected_step <= 130
    assert finding.title.startswith("Rank 2 is slow: 1.5x the")
    assert finding.evidence[0].threshold == 0.75
    assert finding.evidence[0].value == pytest.approx(1 / 1.6, rel=0.1)
    assert "rank 2" in finding.fixes[0]


@pytest.mark.parametrize("ranks", [2, 8])
def test_of_two_ranks_the_slower_one_is_meant(ranks: int) -> None:
    info = RunInfo(world_size=ranks)
    (finding,) = of(run(slow(1.8, who=1), ranks=ranks, info=info), "straggler")
    assert finding.ranks == (1,)


def test_a_little_slower_and_single_slow_steps_are_healthy() -> None:
    assert of(run(slow(1.2)), "straggler") == []

    def checkpoints(rank: int, step: int) -> dict[str, float]:
        return {"step_time": 5.0 if rank == 0 and step % 20 == 0 else 0.1}

    assert of(run(checkpoints), "straggler") == []


def test_a_slow_start_is_compilation() -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        return {"compute_time": 3.0 if rank == 1 and step < 10 else 0.1}

    assert of(run(values), "straggler") == []


def test_stages_of_a_pipeline_differ_by_design() -> None:
    engine = run(
        lambda rank, _step: {"compute_time": 0.2 if rank >= 5 else 0.1},
        ranks=8,
        info=RunInfo(world_size=8),
    )
    assert of(engine, "straggler") == []
    (finding,) = of(engine, "straggler", least="info")
    assert "pipeline" in finding.causes[0].cause


def test_a_rank_that_recovers_is_resolved() -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        return {"compute_time": 0.3 if rank == 1 and 50 <= step < 120 else 0.1}

    (finding,) = of(run(values), "straggler")
    assert finding.resolved_step is not None
    assert 120 <= finding.resolved_step < 140


def test_ranks_that_wait_for_one_another_are_not_judged_by_their_step_time() -> None:
    waiting = run(lambda _rank, step: {"step_time": 0.1 * noisy(0, step)})
    missing = {each.id: each for each in waiting.not_judged()}
    assert "compute_time" in (missing["straggler"].record or "")
    assert "straggler" not in {each.id for each in run(slow(1.0)).not_judged()}
    assert not {"straggler", "rank_desync"} & {each.id for each in Engine().not_judged()}


# --- rank_desync ----------------------------------------------------------------------------------


def test_a_hash_that_differs_is_critical_at_once() -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        return {"param_hash": 1e6 + step + (7 if rank == 3 and step >= 80 else 0)}

    (finding,) = of(run(values), "rank_desync")
    assert (finding.severity, finding.onset_step, finding.detected_step) == ("critical", 80, 80)
    assert finding.ranks == (3,)
    assert finding.title == "Rank 3 out of step: hash of the weights differs"


def test_replicas_that_were_never_equal_are_found_where_the_others_agree() -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        return {"param_hash": step + (7.0 if rank == 1 else 0.0)}

    (finding,) = of(run(values), "rank_desync")
    assert (finding.ranks, finding.onset_step) == ((1,), 0)


def test_shards_and_losses_of_different_data_differ_by_design() -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        loss = 2.0 * math.exp(-step / 80) * noisy(rank, step, 0.2) * (1.0 + 0.3 * rank)
        return {"param_hash": 100.0 * rank + step, "grad_norm": 1.0 + rank, "loss/train": loss}

    assert of(run(values), "rank_desync", least="info") == []


@pytest.mark.parametrize("role", ["grad_norm", "loss/train", "lr"])
def test_what_was_the_same_in_all_ranks_must_stay_so(role: str) -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        wrong = 1.2 if rank == 2 and step >= 90 else 1.0
        return {role: noisy(0, step) * wrong * (1 + 1e-6 * rank)}

    (finding,) = of(run(values), "rank_desync")
    assert (finding.severity, finding.onset_step, finding.detected_step) == ("warning", 90, 92)
    assert finding.ranks == (2,)
    assert finding.series == (role,)


def test_one_round_that_disagrees_is_rounding() -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        return {"grad_norm": 1.1 if rank == 2 and step % 30 == 5 else 1.0}

    assert of(run(values), "rank_desync", least="info") == []


def test_ranks_that_agree_again_are_resolved() -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        return {"grad_norm": 2.0 if rank == 2 and 60 <= step < 100 else 1.0}

    (finding,) = of(run(values), "rank_desync")
    assert finding.resolved_step == 100


def drifting(after: Callable[[int], float]) -> Callable[[int, int], dict[str, float]]:
    def values(rank: int, step: int) -> dict[str, float]:
        own = after(step) if rank == 1 else 1.0
        return {"loss/train": 2.0 * noisy(rank, step, 0.1) * own * (1.0 + 0.2 * rank)}

    return values


def test_a_loss_that_drifts_off_is_found_though_each_rank_has_its_own_data() -> None:
    (finding,) = of(run(drifting(lambda step: 1.8 if step >= 100 else 1.0)), "rank_desync")
    assert finding.ranks == (1,)
    assert finding.onset_step == 100
    assert finding.detected_step <= 140
    assert of(run(drifting(lambda _: 1.0)), "rank_desync", least="info") == []


def test_a_loss_that_comes_back_to_the_others_is_resolved() -> None:
    (finding,) = of(run(drifting(lambda step: 1.8 if 60 <= step < 120 else 1.0)), "rank_desync")
    assert finding.resolved_step is not None
    assert 140 <= finding.resolved_step <= 180


def test_weights_that_differ_are_told_of_whatever_else_is_open() -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        odd = rank == 2 and step >= 60
        return {"lr": 0.2 if odd else 0.1, "param_hash": float(odd and step >= 100)}

    first, second = of(run(values), "rank_desync")
    assert (first.series, first.resolved_step) == (("lr",), 100)
    assert (second.series, second.severity) == (("param_hash",), "critical")
    assert second.resolved_step is None


def test_a_loss_that_is_not_finite_on_one_rank_only() -> None:
    (finding,) = of(run(drifting(lambda step: math.nan if step >= 100 else 1.0)), "rank_desync")
    assert finding.ranks == (1,)
    assert of(run(lambda _rank, _step: {"loss/train": math.nan}), "rank_desync") == []


# --- rounds ---------------------------------------------------------------------------------------


def in_bursts(size: int) -> Callable[[list[tuple[int, int]]], list[tuple[int, int]]]:
    """Rank by rank, so many steps at a time."""
    return lambda pairs: sorted(pairs, key=lambda pair: (pair[0] // size, pair[1], pair[0]))


@pytest.mark.parametrize("size", [3, 50, STEPS])
def test_the_order_in_which_ranks_come_makes_no_difference(size: int) -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        return slow(1.7)(rank, step) | {"grad_norm": 1.0 + (rank == 1 and step > 120)}

    def said(engine: Engine) -> list[Finding]:
        return [*of(engine, "straggler"), *of(engine, "rank_desync")]

    assert said(run(values, order=in_bursts(size))) == said(run(values))
    assert len(said(run(values))) == 2


def test_a_rank_that_stops_recording_is_left_out_in_time() -> None:
    rounds = RankRounds()
    found = [
        each
        for step in range(2 * HELD)
        for rank in range(3)
        if rank != 2 or step < 10
        for each in rounds.add(rank, row(step, {}), RunInfo(world_size=3))
    ]
    assert [each.step for each in found] == list(range(HELD))
    assert {each.ranks for each in found[10:]} == {(0, 1)}


def test_a_rank_that_logs_now_and_then_holds_nobody_up() -> None:
    rounds = RankRounds()
    found = [
        each
        for step in range(21)
        for rank in range(3)
        if rank != 2 or step % 10 == 0
        for each in rounds.add(rank, row(step, {}), RunInfo())
    ]
    assert [each.step for each in found] == list(range(21))
    assert [len(each.ranks) for each in found if each.step in (10, 20)] == [3, 3]


def test_steps_that_are_repeated_make_no_second_round() -> None:
    rounds = RankRounds()
    info = RunInfo(world_size=2)
    steps = [*range(10), *range(5, 15)]
    found = [
        each.step
        for step in steps
        for rank in range(2)
        for each in rounds.add(rank, row(step, {}), info)
    ]
    assert found == list(range(15))


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0, 1e300])
def test_odd_values_raise_nothing(value: float) -> None:
    def values(rank: int, step: int) -> dict[str, float]:
        odd = value if (rank + step) % 2 else 1.0
        return dict.fromkeys(("compute_time", "throughput", "loss/train", "grad_norm", "lr"), odd)

    run(values)
    run(lambda _rank, _step: {"compute_time": value, "loss/train": value, "param_hash": value})
    run(lambda _rank, _step: {})


def test_a_folder_of_ranks_is_judged(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": "traintop/1", "world_size": 3}))
    for rank in range(3):
        folder = tmp_path / f"rank{rank:05d}" if rank else tmp_path
        folder.mkdir(exist_ok=True)
        lines = (
            {"step": step, "loss": 1.0, "compute_time": 0.3 if rank == 2 and step > 50 else 0.1}
            for step in range(STEPS)
        )
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "train_diagnostics.jsonl").write_text(text)
    session = read_whole(tmp_path, Settings())
    assert not session.failures()
    (finding,) = [each for each in session.findings() if each.id == "straggler"]
    assert finding.ranks == (2,)
