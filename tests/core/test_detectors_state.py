"""The detectors that read the state of layers, modes and optimizer, and their traps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from detector_driver import noise, of, watch
from traintop.detectors.engine import Engine
from traintop.records import Finding, LayerNames, LayerStats, Row, RunInfo

NAN = math.nan
COUNT = 240
INFO = RunInfo(task="classification", num_classes=10, batch_size=64, planned_steps=COUNT)
LAYERS = ("emb.weight", "body.0.weight", "body.2.weight", "branch.0.weight", "head.weight")
NUMEL = (1000, 4000, 4000, 2000, 400)
NAMES = LayerNames(
    names=LAYERS,
    numel=NUMEL,
    requires_grad=(True,) * 5,
    act_names=("body.1", "body.3", "branch.1"),
    act_kinds=("relu",) * 3,
)
UPDATES = (1e-3, 2e-3, 2e-3, 1e-3, 5e-3)
GRADIENTS = (0.1, 0.3, 0.3, 0.2, 0.5)


def names(*frozen: str, of: LayerNames = NAMES) -> LayerNames:
    """The layers, of which some do not require gradients."""
    trains = tuple(all(part not in name for part in frozen) for name in of.names)
    return msgspec.structs.replace(of, requires_grad=trains)


def without(values: Sequence[float], *layers: str, value: float = 0.0) -> list[float]:
    return [
        value if any(part in name for part in layers) else each
        for name, each in zip(LAYERS, values, strict=True)
    ]


def run(
    series: Mapping[str, Sequence[float] | NDArray[np.float64]],
    records: Mapping[int, Mapping[str, Sequence[float]]],
    layers: LayerNames = NAMES,
    info: RunInfo | None = INFO,
) -> Engine:
    """Feed training records, and layer statistics after some of them."""
    found = {
        step: LayerStats(step=step, stats={name: np.array(each) for name, each in stats.items()})
        for step, stats in records.items()
    }
    return watch(series, info, layers=found, names=layers)


def train(
    stats: Mapping[str, Sequence[float]] | None,
    *,
    layers: LayerNames = NAMES,
    info: RunInfo | None = INFO,
    learns: bool = True,
    first: float = 2.3,
    every: int = 10,
    columns: Mapping[str, Sequence[float] | NDArray[np.float64]] | None = None,
) -> Engine:
    """A run whose layer records are all alike."""
    time = np.arange(COUNT)
    loss = first * (np.exp(-time / 40) if learns else 1.0) * noise(COUNT, 0.03) + 0.05
    series = {"loss/train": loss, "lr": np.full(COUNT, 1e-3), **(columns or {})}
    records = dict.fromkeys(range(0, COUNT, every), stats) if stats else {}
    return run(series, records, layers, info)


def moving(**changes: Sequence[float]) -> dict[str, Sequence[float]]:
    return {"grad_norm": GRADIENTS, "update_ratio": UPDATES} | changes


# --- frozen_params --------------------------------------------------------------------------------


def test_layers_that_are_off_are_named_at_their_first_record() -> None:
    stats = moving(
        update_ratio=without(UPDATES, "body.0"), grad_norm=without(GRADIENTS, "body.0", value=NAN)
    )
    (finding,) = of(train(stats, layers=names("body.0")), "frozen_params")
    assert (finding.severity, finding.onset_step, finding.detected_step) == ("warning", 0, 0)
    assert finding.layers == ("body.0.weight",)
    assert finding.title == "body.0.weight is frozen: requires_grad is off"
    assert finding.causes[0].basis == "measured"
    assert "requires_grad_(True) on body.0.weight" in finding.fixes[0]
    assert finding.next[0].analysis == "gradient_flow"


def test_a_layer_that_no_optimizer_has_is_named_after_three_records() -> None:
    (finding,) = of(train(moving(update_ratio=without(UPDATES, "body"))), "frozen_params")
    assert (finding.onset_step, finding.detected_step) == (0, 20)
    assert finding.layers == ("body.0.weight", "body.2.weight")
    assert finding.title == "2 of 5 layers are never updated, though with a gradient"
    assert finding.evidence[0].value == finding.evidence[0].threshold == 3
    assert finding.causes[0].cause == "not among the parameters of the optimizer"
    assert finding.causes[0].basis == "inferred"


def test_two_records_far_apart_are_enough() -> None:
    engine = train(moving(update_ratio=without(UPDATES, "body")), every=50)
    assert [each.detected_step for each in of(engine, "frozen_params")] == [50]


def test_weights_in_bfloat16_are_a_cause_where_the_update_would_round_to_nothing() -> None:
    stats = moving(update_ratio=without(UPDATES, "body.0"), weight_norm=[60.0] * 5)
    (finding,) = of(train(stats), "frozen_params")
    assert any("bfloat16" in each.cause for each in finding.causes)


@pytest.mark.parametrize(
    ("layers", "off", "info", "why"),
    [
        (NAMES, ("emb", "body", "branch"), INFO, "all but the head"),
        (
            msgspec.structs.replace(NAMES, names=("pos_emb.weight", *LAYERS[1:])),
            ("pos_emb",),
            INFO,
            "positions",
        ),
        (NAMES, ("body",), msgspec.structs.replace(INFO, pretrained="vit_b"), "pretrained"),
        (
            msgspec.structs.replace(NAMES, names=(*LAYERS[:3], "branch.lora_A", "branch.lora_B")),
            ("body",),
            INFO,
            "adapters",
        ),
    ],
)
def test_frozen_on_purpose_is_advice_that_says_why(
    layers: LayerNames, off: tuple[str, ...], info: RunInfo, why: str
) -> None:
    frozen = names(*off, of=layers)
    stats = moving(
        update_ratio=[
            each if on else 0.0 for each, on in zip(UPDATES, frozen.requires_grad, strict=True)
        ]
    )
    engine = train(stats, layers=frozen, info=info)
    assert of(engine, "frozen_params") == []
    (finding,) = of(engine, "frozen_params", least="info")
    assert "on purpose it seems" in finding.title
    assert why in finding.title


def test_a_run_that_begins_like_a_trained_one_is_fine_tuning() -> None:
    stats = moving(update_ratio=without(UPDATES, "body"))
    engine = train(stats, layers=names("body"), first=0.9)
    (finding,) = of(engine, "frozen_params", least="info")
    assert finding.severity == "info"
    assert "trained model" in finding.title


def test_a_choice_that_does_not_learn_is_a_fault_dated_when_that_was_known() -> None:
    stats = moving(update_ratio=without(UPDATES, "emb", "body", "branch"))
    engine = train(stats, layers=names("emb", "body", "branch"), learns=False)
    (finding,) = of(engine, "frozen_params")
    assert 0.12 * COUNT <= finding.detected_step <= 60


def test_beside_a_choice_a_layer_that_no_optimizer_has_is_still_found() -> None:
    info = msgspec.structs.replace(INFO, pretrained=True)
    stats = moving(update_ratio=without(UPDATES, "body.0", "branch"))
    (finding,) = of(train(stats, layers=names("body.0"), info=info), "frozen_params")
    assert finding.detected_step == 20
    assert finding.title == "2 of 5 layers are never updated, though with a gradient"


def test_steps_in_which_nothing_moved_blame_nobody() -> None:
    accumulating = [0.0, 0.0, 0.0, 1e-3] * (COUNT // 4)
    engine = train(moving(update_ratio=[0.0] * 5), columns={"update_ratio": accumulating})
    assert of(engine, "frozen_params", least="info") == []


def test_a_gradient_of_zero_or_none_is_no_frozen_layer() -> None:
    for missing in (0.0, NAN):
        stats = moving(
            update_ratio=without(UPDATES, "branch"),
            grad_norm=without(GRADIENTS, "branch", value=missing),
        )
        assert of(train(stats), "frozen_params", least="info") == []


def test_a_sample_that_missed_the_rows_updated_is_seen_by_the_norm() -> None:
    stats = moving(update_ratio=without(UPDATES, "body.0"))
    records = {
        index: stats | {"weight_norm": [1.0, 2.0 + 0.01 * index, 2.0, 1.0, 1.0]}
        for index in range(0, COUNT, 10)
    }
    engine = run({"loss/train": np.ones(COUNT)}, records)
    assert of(engine, "frozen_params", least="info") == []


def test_embeddings_need_more_records() -> None:
    stats = moving(update_ratio=without(UPDATES, "emb"))
    (finding,) = of(train(stats), "frozen_params")
    assert finding.detected_step == 90


def test_layers_that_move_again_are_resolved() -> None:
    still = moving(update_ratio=without(UPDATES, "body"))
    records = {index: still if index < 100 else moving() for index in range(0, COUNT, 10)}
    engine = run({"loss/train": np.ones(COUNT)}, records)
    (finding,) = of(engine, "frozen_params")
    assert finding.resolved_step == 100


def idle(zeros: int, info: RunInfo | None = INFO, **more: Sequence[float]) -> list[Finding]:
    """A run that does not step from the start, for so many records, and then learns."""
    update = np.where(np.arange(COUNT) < zeros, 0.0, 1e-3)
    return of(
        train(None, info=info, learns=False, columns={"update_ratio": update, **more}),
        "frozen_params",
    )


def test_an_optimizer_that_does_not_step_is_critical() -> None:
    known = msgspec.structs.replace(INFO, grad_accumulation=1)
    (finding,) = idle(COUNT, known, grad_norm=[0.5] * COUNT)
    assert (finding.severity, finding.onset_step) == ("critical", 0)
    assert finding.detected_step <= 24
    assert "optimizer.step()" in finding.fixes[0]
    assert {each.what for each in finding.evidence} >= {"gradient norm", "learning rate"}
    assert 60 <= idle(COUNT)[0].detected_step <= 75, "accumulation is not known"


def test_an_optimizer_that_steps_again_is_resolved() -> None:
    (finding,) = idle(150)
    assert finding.resolved_step is not None
    assert 150 <= finding.resolved_step < 160


def test_accumulation_a_warm_up_from_zero_and_skipped_steps_are_no_idle_optimizer() -> None:
    accumulation = msgspec.structs.replace(INFO, grad_accumulation=32)
    assert idle(80, accumulation) == []
    assert idle(COUNT, lr=[0.0] * COUNT) == []
    assert idle(COUNT, skipped_step=[1.0] * COUNT) == []
    assert idle(COUNT, grad_norm=[0.0] * COUNT) == []


def test_a_loss_that_falls_refutes_updates_that_read_zero() -> None:
    engine = train(None, columns={"update_ratio": [0.0] * COUNT})
    assert of(engine, "frozen_params", least="info") == []


def test_frozen_params_say_what_they_need() -> None:
    missing = {each.id: each for each in train(None).not_judged()}
    assert "update ratios" in missing["frozen_params"].needs
    assert "layers_every" in (missing["frozen_params"].record or "")
    judged = {each.id for each in train(moving()).not_judged()}
    assert not judged & {"frozen_params", "disconnected_params"}


# --- disconnected_params --------------------------------------------------------------------------


def cut(value: float = NAN, **more: Sequence[float]) -> dict[str, Sequence[float]]:
    """Layer statistics with a branch that the loss does not depend on."""
    return (
        moving(
            grad_norm=without(GRADIENTS, "branch", value=value),
            update_ratio=without(UPDATES, "branch"),
        )
        | more
    )


def test_a_layer_without_a_gradient_is_disconnected() -> None:
    (finding,) = of(train(cut(act_std=[1.0, 1.0, 1.0])), "disconnected_params")
    assert (finding.severity, finding.onset_step, finding.detected_step) == ("warning", 0, 10)
    assert finding.layers == ("branch.0.weight",)
    assert finding.title == "branch.0.weight gets no gradient"
    assert "detach" in finding.causes[0].cause
    assert "branch.0.weight" in finding.fixes[0]


def test_a_branch_that_was_never_run_is_unused() -> None:
    (finding,) = of(train(cut(act_std=[1.0, 1.0, NAN])), "disconnected_params")
    assert finding.causes[0].cause == "not used in the forward pass"
    assert finding.causes[0].basis == "measured"
    assert "branch.1 was never run" in finding.causes[0].because


def test_a_gradient_of_exactly_zero_needs_five_records() -> None:
    (finding,) = of(train(cut(0.0)), "disconnected_params")
    assert finding.detected_step == 40
    assert finding.title == "branch.0.weight gets a gradient of exactly 0"


def test_frozen_broken_and_absent_gradients_are_not_disconnected() -> None:
    frozen = train(cut(), layers=names("branch"))
    broken = train(cut(grad_nan=[0.0, 0.0, 0.0, 5.0, 0.0]))
    nothing = train(moving(grad_norm=[NAN] * 5))
    for engine in (frozen, broken, nothing):
        assert of(engine, "disconnected_params", least="info") == []


def test_layers_used_now_and_then_are_not_disconnected() -> None:
    records = {index: cut() if index % 40 else moving() for index in range(0, COUNT, 10)}
    engine = run({"loss/train": np.ones(COUNT)}, records)
    assert of(engine, "disconnected_params", least="info") == []


def test_a_layer_that_loses_its_gradient_is_found_and_resolved() -> None:
    records = {index: cut() if 100 <= index < 180 else moving() for index in range(0, COUNT, 10)}
    engine = run({"loss/train": np.ones(COUNT)}, records)
    (finding,) = of(engine, "disconnected_params")
    assert (finding.onset_step, finding.detected_step, finding.resolved_step) == (100, 140, 180)


def test_experts_that_no_token_was_sent_to_are_advice() -> None:
    layers = msgspec.structs.replace(NAMES, names=(*LAYERS[:3], "moe.experts.3.weight", LAYERS[4]))
    (finding,) = of(train(cut(), layers=layers), "disconnected_params", least="info")
    assert finding.severity == "info"


def test_behind_dead_units_it_is_a_symptom() -> None:
    engine = train(cut(0.0, act_dead_frac=[0.1, 0.1, 1.0]))
    assert [each.severity for each in of(engine, "disconnected_params", least="info")] == ["info"]
    assert len(of(engine, "dead_units")) == 1


def test_without_requires_grad_that_is_one_cause_more() -> None:
    layers = msgspec.structs.replace(NAMES, requires_grad=())
    (finding,) = of(train(cut(), layers=layers), "disconnected_params")
    assert "requires_grad is off" in {each.cause for each in finding.causes}


# --- eval_mode_training ---------------------------------------------------------------------------


def modes(trains: Sequence[bool | None], evals: Sequence[int] = ()) -> list[Finding]:
    """Layer records every 10 steps in these modes, and evaluations at these steps."""
    engine = Engine(INFO)
    engine.feed_layer_names(NAMES)
    for index, mode in enumerate(trains):
        step = 10 * index
        for at in evals:
            if step - 10 < at < step:
                engine.feed_eval(Row(step=at, epoch=None, time=None, values={"loss/val": 1.0}))
        stats = {"grad_norm": np.array(GRADIENTS)}
        engine.feed_layers(LayerStats(step=step, train_mode=mode, stats=stats))
        if step in evals:
            engine.feed_eval(Row(step=step, epoch=None, time=None, values={"loss/val": 1.0}))
    assert engine.failures == []
    return of(engine, "eval_mode_training")


def test_evaluation_mode_after_an_evaluation_is_said_at_once() -> None:
    (finding,) = modes([True] * 4 + [False] * 4, evals=[35])
    assert (finding.onset_step, finding.detected_step) == (36, 40)
    assert finding.causes[0].basis == "measured"
    assert "no model.train() after" in finding.causes[0].cause
    assert "model.train()" in finding.fixes[0]


def test_evaluation_mode_from_the_start_needs_two_records() -> None:
    (finding,) = modes([False] * 5)
    assert (finding.onset_step, finding.detected_step) == (0, 10)
    assert "never called" in finding.causes[0].cause


def test_one_record_in_evaluation_mode_is_no_proof() -> None:
    assert modes([True, False, True, True, False, True]) == []
    assert modes([True, False, True, False, True], evals=[10, 30]) == [], "evaluated in that step"


def test_training_mode_again_ends_it() -> None:
    (finding,) = modes([True, False, False, False, True])
    assert finding.resolved_step == 40


def test_a_mode_that_is_not_recorded_is_not_judged() -> None:
    assert modes([None] * 5) == []
    missing = {each.id for each in train(moving()).not_judged()}
    assert "eval_mode_training" in missing


# --- saturated_units ------------------------------------------------------------------------------


def squashed(
    shares: Sequence[float],
    *,
    kinds: Sequence[str] = ("tanh",) * 3,
    acts: Sequence[str] = ("body.1", "body.3", "branch.1"),
    learns: bool = False,
    least: str = "warning",
) -> list[Finding]:
    layers = msgspec.structs.replace(NAMES, act_names=tuple(acts), act_kinds=tuple(kinds))
    engine = train(moving(act_sat_frac=shares), layers=layers, learns=learns)
    return of(engine, "saturated_units", least=least)


def test_saturated_layers_of_a_run_that_does_not_learn() -> None:
    (finding,) = squashed([0.1, 0.9, 0.2])
    assert finding.layers == ("body.3",)
    assert finding.title == "90% of the outputs of body.3 are saturated"
    assert finding.evidence[0].threshold == 0.5
    assert finding.detected_step <= 50


def test_saturation_of_a_run_that_learns_is_advice() -> None:
    assert squashed([0.1, 0.9, 0.2], learns=True) == []
    assert len(squashed([0.1, 0.9, 0.2], learns=True, least="info")) == 1


def test_gates_and_outputs_saturate_by_design() -> None:
    assert squashed([0.9] * 3, acts=["a.gate", "b.lstm", "c.attn"], least="info") == []
    assert squashed([0.1, 0.1, 0.9], kinds=["relu", "relu", "sigmoid"], least="info") == []
    assert squashed([0.1, 0.1, 0.9], kinds=["sigmoid"] * 3, least="info") == []
    assert squashed([0.9] * 3, kinds=["relu"] * 3, least="info") == []


def test_saturation_is_not_judged_without_statistics_of_such_layers() -> None:
    relus = {each.id for each in train(moving()).not_judged()}
    assert "saturated_units" not in relus, "there is nothing to judge"
    tanh = msgspec.structs.replace(NAMES, act_kinds=("tanh",) * 3)
    missing = {each.id for each in train(moving(), layers=tanh).not_judged()}
    assert "saturated_units" in missing


# --- vanishing_gradients and dead_units: causes, fixes, precedence -------------------------------

DEEP = LayerNames(
    names=tuple(f"body.{index}.weight" for index in range(8)),
    numel=(1024,) * 8,
    act_names=tuple(f"act.{index}" for index in range(7)),
    act_kinds=("sigmoid",) * 7,
)


def deep(factor: float, *, learns: bool = False, info: RunInfo | None = INFO) -> list[Finding]:
    profile = (factor ** np.arange(7, -1, -1)).tolist()
    stats = {"grad_norm": profile, "act_dead_frac": [0.0] * 7}
    engine = train(stats, layers=DEEP, learns=learns, info=info)
    return of(engine, "vanishing_gradients")


def test_an_extreme_profile_needs_half_the_wait() -> None:
    long = msgspec.structs.replace(INFO, planned_steps=2 * COUNT)
    ((late,), (early,)) = deep(0.3, info=long), deep(0.05, info=long)
    assert early.detected_step < late.detected_step
    assert early.detected_step <= 30
    assert early.causes[0].basis == "measured"
    assert "sigmoid" in early.causes[0].cause
    assert "sigmoid by ReLU" in early.fixes[0]


def test_a_profile_is_judged_without_metadata_and_by_other_findings_too() -> None:
    assert len(deep(0.05, info=None)) == 1
    assert deep(0.05, learns=True) == []


def test_a_regression_that_learns_the_mean_and_then_stands_still() -> None:
    loss = np.where(np.arange(COUNT) < 30, 4.0 - 0.1 * np.arange(COUNT), 1.0) * noise(COUNT, 0.03)
    stats = {"grad_norm": (0.05 ** np.arange(7, -1, -1)).tolist()}
    records = dict.fromkeys(range(0, COUNT, 10), stats)
    info = RunInfo(task="regression", planned_steps=COUNT)
    (finding,) = of(run({"loss/train": loss}, records, DEEP, info), "vanishing_gradients")
    assert 30 < finding.detected_step <= 90
    falling = loss * np.exp(-np.arange(COUNT) / 50)
    assert of(run({"loss/train": falling}, records, DEEP, info), "vanishing_gradients") == []


def test_dead_from_the_first_record_is_the_initialisation() -> None:
    engine = train(moving(act_dead_frac=[0.1, 0.9, 0.1]))
    (finding,) = of(engine, "dead_units")
    assert finding.detected_step == 20
    assert "initialisation" in finding.causes[0].cause
    assert finding.causes[0].basis == "measured"
    assert "biases at 0" in finding.fixes[0]


def test_dead_after_a_jump_of_the_learning_rate_names_the_rate_to_go_back_to() -> None:
    lr = np.where(np.arange(COUNT) < 100, 1e-3, 0.05)
    records = {
        index: moving(act_dead_frac=[0.1, 0.95 if index > 100 else 0.1, 0.1])
        for index in range(0, COUNT, 10)
    }
    engine = run({"loss/train": np.ones(COUNT), "lr": lr}, records)
    (finding,) = of(engine, "dead_units")
    assert finding.onset_step == 110
    assert "lr rose 50x at step 100" in finding.causes[0].because
    assert "lr 0.05 -> 0.001" in finding.fixes[0]


@pytest.mark.parametrize("batch", [8, 16, 64])
def test_units_nearly_all_dead_need_few_samples(batch: int) -> None:
    info = msgspec.structs.replace(INFO, batch_size=batch)
    (finding,) = of(train(moving(act_dead_frac=[0.1, 1.0, 0.1]), info=info), "dead_units")
    assert finding.detected_step <= 30


# --- all of them ----------------------------------------------------------------------------------

ODD: list[Mapping[str, Sequence[float]]] = [
    {},
    {"grad_norm": [NAN] * 5, "update_ratio": [NAN] * 5},
    {"grad_norm": [0.0] * 5, "update_ratio": [0.0] * 5, "act_dead_frac": [NAN] * 3},
    {"grad_norm": [1e300] * 5, "update_ratio": [1e300] * 5, "weight_norm": [1e300] * 5},
    {"grad_norm": [math.inf] * 5, "update_ratio": [math.inf] * 5},
    {"grad_norm": [1.0], "update_ratio": [1.0], "act_sat_frac": [1.0], "act_dead_frac": [1.0]},
]


@pytest.mark.parametrize("stats", ODD)
@pytest.mark.parametrize("layers", [NAMES, LayerNames(names=()), LayerNames(names=LAYERS)])
def test_odd_statistics_raise_nothing_and_find_nothing(
    stats: Mapping[str, Sequence[float]], layers: LayerNames
) -> None:
    engine = train(stats or {"other": [1.0]}, layers=layers, info=None)
    ids = ("frozen_params", "disconnected_params", "eval_mode_training", "saturated_units")
    assert [each for each in engine.findings if each.id in ids] == []
