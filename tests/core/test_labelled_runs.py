"""The labelled runs of our own: plans, labels, and three short runs that are really trained."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.labelled.data import epoch_order, make_data  # noqa: E402 - found by the line above
from bench.labelled.families import FAMILIES, base_recipe  # noqa: E402
from bench.labelled.kinds import FAULTS, HEALTHY, Kind  # noqa: E402
from bench.labelled.labels import EXPECTATIONS, expectation  # noqa: E402
from bench.labelled.logbook import write_run  # noqa: E402
from bench.labelled.making import plan  # noqa: E402
from bench.labelled.measuring import flat  # noqa: E402
from bench.labelled.recipe import Recipe  # noqa: E402
from bench.labelled.schedules import SCHEDULES, learning_rate  # noqa: E402
from bench.labelled.training import Training  # noqa: E402

SHARED = Path(os.environ.get("TRAINTOP_SHARED", ROOT.parent / "shared")) / "runs"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def small(family: str, **fields: object) -> Recipe:
    base = base_recipe(family, 1, 2)
    return replace(base, train_samples=80, val_samples=20, batch_size=16, steps=12, **fields)  # type: ignore[arg-type] # fields of the recipe


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_plan_has_a_third_of_healthy_runs_and_every_fault_of_a_family() -> None:
    orders = plan(list(FAMILIES), 500, 1, every=False)
    healthy = [order for order in orders if order.kind.fault == "healthy"]
    assert len(healthy) >= len(orders) / 3
    for family in FAMILIES:
        planned = [order.kind.fault for order in orders if order.family == family]
        faults = {kind.fault for kind in FAULTS if family in kind.families}
        assert faults <= set(planned)
    assert orders == plan(list(FAMILIES), 500, 1, every=False)
    assert orders != plan(list(FAMILIES), 600, 1, every=False)


def test_runs_of_a_family_do_not_depend_on_the_other_families() -> None:
    alone = plan(["cnn"], 500, 2, every=True)
    among = plan(["lm", "cnn"], 500, 2, every=True)
    assert alone == [order for order in among if order.family == "cnn"]


def test_another_turn_plants_another_variant() -> None:
    orders = plan(["regression"], 500, 2, every=False)
    spikes = [order.kind.variant for order in orders if order.kind.fault == "spike"]
    assert sorted(spikes) == ["", "small"]


@pytest.mark.parametrize(
    "kind", [*FAULTS, *HEALTHY], ids=lambda kind: f"{kind.fault}-{kind.variant}"
)
def test_every_kind_has_a_label_and_a_recipe(kind: Kind) -> None:
    right = expectation(kind.fault, kind.variant)
    assert set(right.diagnosis) <= set(right.expected)
    assert not set(right.forbidden) & {*right.expected, *right.acceptable}
    for family in kind.families:
        assert kind.recipe(base_recipe(family, 1, 3), 1.0).steps > 0


def test_every_expectation_is_planted() -> None:
    assert set(EXPECTATIONS) == {kind.fault for kind in (*FAULTS, *HEALTHY)}


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared runs are not here")
def test_labels_say_what_the_labels_of_other_peoples_runs_say() -> None:
    for path in SHARED.glob("*/label.json"):
        label = json.loads(path.read_text())
        right = expectation(label["fault"], label["variant"])
        assert set(label["expected_findings"]) == set(right.expected), path
        assert set(label["diagnosis"]) == set(right.diagnosis), path
        assert set(label["acceptable_findings"]) == set(right.acceptable), path
        assert set(label["forbidden_findings"]) == set(right.forbidden), path


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_stay_between_nothing_and_the_peak(name: str) -> None:
    recipe = small("mixture", schedule=name, learning_rate=0.5)
    rates = [learning_rate(recipe, step) for step in range(recipe.steps)]
    assert max(rates) <= 0.5 + 1e-12
    assert min(rates) >= 0


def test_a_changed_rate_lasts_as_long_as_it_says() -> None:
    recipe = small(
        "mixture", schedule="const", event="lr_factor", event_factor=10.0, onset=4, event_steps=2
    )
    rates = [learning_rate(recipe, step) / recipe.learning_rate for step in range(8)]
    assert rates == pytest.approx([1, 1, 1, 1, 10, 10, 1, 1])


def test_a_sorted_order_is_sorted_and_a_buffer_nearly() -> None:
    recipe = small("mixture", order="sorted")
    split = make_data(recipe).train
    random = np.random.default_rng(0)
    group = split.group.numpy()
    assert (np.diff(group[epoch_order(recipe, split, random)]) >= 0).all()
    buffered = epoch_order(replace(recipe, order="buffered"), split, random)
    assert sorted(buffered) == list(range(len(group)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_recipe_gives_the_same_run(family: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        outcome = Training(small(family)).run()
        write_run(
            tmp_path / name, outcome, fault="healthy", variant="const", tier="base", visible=None
        )
    for file in ("train_diagnostics.jsonl", "val_diagnostics.jsonl", "layers.jsonl", "label.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    train = lines(tmp_path / "a" / "train_diagnostics.jsonl")
    assert [each["step"] for each in train] == list(range(12))
    assert {"loss", "learning_rate", "grad_norm", "weight_update", "num_batches"} <= set(train[3])
    header, first, *_ = lines(tmp_path / "a" / "layers.jsonl")
    assert len(first["grad_norm"]) == len(header["names"])  # type: ignore[arg-type] # lists
    assert None not in first["grad_norm"]  # type: ignore[operator] # a list
    assert len(first["act_mean"]) == len(header["act_names"])  # type: ignore[arg-type] # lists


def test_gradient_and_update_are_those_of_the_step() -> None:
    """Against a second computation: plain SGD moves by rate times gradient in its first step."""
    outcome = Training(small("regression", optimizer="sgd", weight_decay=0.0, clip=None)).run()
    first, second = outcome.train[:2]
    training = Training(outcome.recipe)
    norm = flat(training.parameters).norm().item()
    expected = first["learning_rate"] * first["grad_norm"] / norm
    assert first["weight_update"] == pytest.approx(expected, rel=1e-4)
    assert -1 <= second["grad_cos"] <= 1


def test_poorer_logs_leave_out_what_they_should(tmp_path: Path) -> None:
    outcome = Training(small("tabular")).run()

    def written(name: str, **fields: object) -> Path:
        outcome.recipe = small("tabular", **fields)
        folder = tmp_path / name
        write_run(folder, outcome, fault="healthy", variant=name, tier="hard", visible=None)
        return folder

    minimal = written("minimal", logged="loss_lr")
    train = lines(minimal / "train_diagnostics.jsonl")
    assert set(train[0]) == {"step", "epoch", "loss", "learning_rate"}
    assert not (minimal / "layers.jsonl").exists()
    windows = lines(written("windows", cadence="window10") / "train_diagnostics.jsonl")
    assert [each["num_batches"] for each in windows] == [10, 2]
    losses = [each["loss"] for each in outcome.train[:10]]
    assert windows[0]["loss"] == pytest.approx(sum(losses) / 10, rel=1e-5)
    counted = written("counted", resumed_after=30, keeps_counting=True)
    assert lines(counted / "train_diagnostics.jsonl")[0]["step"] == 30
    leaking = lines(written("leaked", val_is_train=True) / "val_diagnostics.jsonl")
    epoch = [each["loss"] for each in outcome.train[:5]]
    assert leaking[0]["loss"] == pytest.approx(sum(epoch) / 5, rel=1e-5)


def test_a_branch_that_is_cut_off_gets_no_gradient() -> None:
    outcome = Training(small("mixture", branch="detached")).run()
    grads = dict(zip(outcome.header["names"], outcome.layers[0]["grad_norm"], strict=True))
    assert grads["branch.0.weight"] is None
    assert grads["head.weight"] > 0


def test_an_overflow_skips_the_step_and_halves_the_scale() -> None:
    recipe = small("mixture", amp=True, event="overflow_forward", onset=6)
    train = Training(recipe).run().train
    assert all(each["skipped_step"] and each["weight_update"] == 0 for each in train[6:])
    scales = [each["loss_scale"] for each in train[6:]]
    assert scales[1:] == [scale / 2 for scale in scales[:-1]]
