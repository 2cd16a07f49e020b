"""What the detectors are fed, and in which order, however it was read."""

from __future__ import annotations

import json

import pytest

from traintop import judging
from traintop.judging import Judge
from traintop.opening import read_whole
from traintop.records import Finding
from traintop.settings import Settings

STEPS = 1200
KINDS = ("event", "train", "layers", "eval")
"""The order within a step: what happened, the record, what was measured of it after that."""


class FakeEngine:
    """Notes what it is fed."""

    def __init__(self, *_):
        self.fed = []
        self.ranks = []
        self.names = []

    def feed_train(self, row):
        self.fed.append(("train", row.step, row.values))
        return []

    def feed_rank(self, rank, row):
        self.ranks.append((rank, row.step, row.values))
        return []

    def feed_eval(self, row):
        self.fed.append(("eval", row.step, row.values))
        return []

    def feed_layers(self, stats):
        self.fed.append(("layers", stats.step, stats.stats))
        return []

    def feed_event(self, event):
        self.fed.append(("event", event.step, event.event))
        return []

    def feed_layer_names(self, names):
        self.names.append(names)


@pytest.fixture
def folder(tmp_path):
    """A run with every kind of record, some of them at steps that have no training record."""
    write(tmp_path, "train_diagnostics", [{"step": n, "loss": 1.0 + n} for n in range(STEPS)])
    write(tmp_path, "val_diagnostics", [{"step": n, "loss": 2.0} for n in range(49, STEPS, 50)])
    names = {"names": ["a"], "numel": [1]}
    layers = [{"step": n, "grad_norm": [0.1]} for n in range(0, STEPS, 10)]
    write(tmp_path, "layers", [names, *layers])
    write(
        tmp_path,
        "events",
        [{"event": "note"}] + [{"step": n, "event": "epoch"} for n in range(0, STEPS, 50)],
    )
    (tmp_path / "rank00001").mkdir()
    write(tmp_path / "rank00001", "train_diagnostics", [{"step": 0, "loss": 0.5}])
    return tmp_path


def write(folder, name, records):
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / f"{name}.jsonl").write_text(text)


def judge_of(path, monkeypatch, until=None):
    """Return a judge of a run that was read, which feeds a fake engine, and that engine."""
    monkeypatch.setattr(judging, "Engine", FakeEngine)
    session = read_whole(path, Settings(), judge=False)
    judge = Judge(session.run(), session.catalogue, session.store.info, {}, until)
    return judge, judge._engine


@pytest.mark.parametrize("burst", [1, 700, 10_000])
def test_records_are_merged_by_step_and_kind(folder, monkeypatch, burst):
    judge, engine = judge_of(folder, monkeypatch)
    while judge.backlog:
        assert judge.pump(burst) == []
    expected = sorted(
        [("event", -1)]
        + [("event", n) for n in range(0, STEPS, 50)]
        + [("train", n) for n in range(STEPS)]
        + [("layers", n) for n in range(0, STEPS, 10)]
        + [("eval", n) for n in range(49, STEPS, 50)],
        key=lambda record: (record[1], KINDS.index(record[0])),
    )
    fed = [(kind, -1 if step is None else step) for kind, step, _ in engine.fed]
    assert fed == expected
    assert [names.names for names in engine.names] == [("a",)]


def test_metrics_are_fed_by_their_roles(folder, monkeypatch):
    judge, engine = judge_of(folder, monkeypatch)
    judge.pump(10_000)
    assert ("train", 7, {"loss/train": 8.0}) in engine.fed
    assert ("eval", 99, {"loss/val": 2.0}) in engine.fed


def test_other_ranks_are_judged_beside_the_run(folder, monkeypatch):
    judge, engine = judge_of(folder, monkeypatch)
    judge.pump(10_000)
    assert (1, 0, {"loss/train": 0.5}) in engine.ranks
    assert sum(rank == 0 for rank, _, _ in engine.ranks) == STEPS
    assert sum(kind == "train" for kind, _, _ in engine.fed) == STEPS
    assert not any(values == {"loss/train": 0.5} for _, _, values in engine.fed)


def test_nothing_after_the_last_step_is_fed(folder, monkeypatch):
    judge, engine = judge_of(folder, monkeypatch, until=399)
    judge.pump(10_000)
    assert judge.backlog == 0
    steps = {
        kind: [step for fed, step, _ in engine.fed if fed == kind and step is not None]
        for kind in KINDS
    }
    assert {kind: max(found) for kind, found in steps.items()} == {
        "event": 350,
        "train": 399,
        "layers": 390,
        "eval": 399,
    }


def test_an_evaluation_in_a_training_record_follows_it(tmp_path, monkeypatch):
    records = [{"step": n, "loss": 1.0} for n in range(6)]
    records[3]["val_loss"] = 2.0
    records[5] = {"step": 5, "val_loss": 3.0}
    write(tmp_path, "log", records)
    judge, engine = judge_of(tmp_path / "log.jsonl", monkeypatch)
    judge.pump(100)
    assert [(kind, step) for kind, step, _ in engine.fed] == [
        ("train", 0),
        ("train", 1),
        ("train", 2),
        ("train", 3),
        ("eval", 3),
        ("train", 4),
        ("eval", 5),
    ]


def test_the_newest_word_on_a_finding_is_the_one_told(folder, monkeypatch):
    judge, engine = judge_of(folder, monkeypatch)

    def feed_train(row):
        if row.step % 100:
            return []
        return [
            Finding(
                id="plateau",
                severity="info",
                title="still",
                onset_step=0,
                detected_step=row.step,
                episode=1 + row.step // 600,
            )
        ]

    engine.feed_train = feed_train
    told = judge.pump(10_000)
    assert [(finding.episode, finding.detected_step) for finding in told] == [(1, 500), (2, 1100)]


def test_a_resumed_run_is_told_as_an_event(tmp_path, monkeypatch):
    steps = [*range(300), *range(200, 400)]
    write(tmp_path, "log", [{"step": n, "loss": 1.0} for n in steps])
    judge, engine = judge_of(tmp_path / "log.jsonl", monkeypatch)
    judge.pump(10_000)
    assert [each for each in engine.fed if each[0] == "event"] == [("event", 200, "resume")]
    assert [step for kind, step, _ in engine.fed if kind == "train"] == list(range(400))


def test_values_are_fed_in_the_unit_of_their_role(tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "Engine", FakeEngine)
    path = tmp_path / "log.jsonl"
    record = {"loss": 1.0, "acc": 50, "step_time_ms": 200, "memory (GiB)": 2.0}
    path.write_text("".join(json.dumps({"step": n, **record}) + "\n" for n in range(9)))
    session = read_whole(path, Settings())
    [(_, _, values), *_] = session.judge()._engine.fed
    assert values == {
        "loss/train": 1.0,
        "accuracy/train": 0.5,
        "step_time": 0.2,
        "gpu_memory": 2048.0,
    }
