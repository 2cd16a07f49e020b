"""The detectors that read gradients and activations, and their traps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from traintop.detectors.engine import Engine
from traintop.records import Finding, LayerNames, LayerStats, Row, RunInfo

NOISE = np.random.default_rng(11)


def feed(engine: Engine, step: int, **values: float) -> None:
    roles = {name.replace("__", "/"): float(value) for name, value in values.items()}
    engine.feed_train(Row(step=step, epoch=None, time=None, values=roles))


def of(engine: Engine, detector: str) -> list[Finding]:
    assert engine.failures == []
    return [each for each in engine.findings if each.id == detector]


def norms(count: int, scale: float = 0.3, seed: int = 0) -> NDArray[np.float64]:
    return np.exp(scale * np.random.default_rng(seed).normal(size=count))


def learning(step: int) -> float:
    return 2.3 * math.exp(-step / 40) + 0.1


def watch_norms(
    norm: Sequence[float] | NDArray[np.float64], loss: Sequence[float] | None = None
) -> Engine:
    engine = Engine(RunInfo(planned_steps=len(norm)))
    for step, value in enumerate(norm):
        feed(
            engine,
            step,
            loss__train=learning(step) if loss is None else loss[step],
            grad_norm=value,
        )
    return engine


# --- exploding_gradients --------------------------------------------------------------------------


def test_a_norm_far_above_its_past_alone_is_advice() -> None:
    norm = norms(400)
    norm[300] = 40.0
    (finding,) = of(watch_norms(norm), "exploding_gradients")
    assert (finding.severity, finding.onset_step, finding.detected_step) == ("info", 300, 300)
    assert finding.resolved_step is not None
    assert finding.evidence[0].value == 40.0
    assert finding.evidence[0].threshold == pytest.approx(10, rel=0.3)


def test_with_a_loss_that_suffers_it_is_a_finding_dated_when_that_was_known() -> None:
    norm = norms(400)
    norm[300:330] = 60.0
    loss = [learning(step) if step < 305 else 2.6 for step in range(400)]
    (finding,) = of(watch_norms(norm, loss), "exploding_gradients")
    assert finding.severity == "critical"
    assert finding.onset_step == 300
    assert 305 < finding.detected_step < 330


def test_advice_before_a_nan_becomes_critical() -> None:
    norm = norms(200)
    norm[150] = 90.0
    loss = [learning(step) if step < 153 else math.nan for step in range(200)]
    (finding,) = of(watch_norms(norm, loss), "exploding_gradients")
    assert (finding.severity, finding.detected_step) == ("critical", 153)


def test_a_slow_growth_is_seen_once_the_loss_suffers() -> None:
    norm = norms(600) * np.exp(np.maximum(0, np.arange(600) - 200) / 60)
    loss = [learning(step) + max(0, step - 300) * 0.01 for step in range(600)]
    finding = of(watch_norms(norm, loss), "exploding_gradients")[0]
    assert finding.severity != "info"
    assert "over its lowest" in finding.evidence[0].what


def test_first_steps_and_a_slow_rise_are_healthy() -> None:
    norm = norms(2000) * (1 + np.arange(2000) / 500)
    norm[:15] = 50.0
    assert of(watch_norms(norm), "exploding_gradients") == []


def test_non_finite_norms_do_not_enter_the_median() -> None:
    norm = norms(400)
    norm[100:300:3] = np.inf
    norm[101:300:3] = np.nan
    norm[350] = 40.0
    assert [each.onset_step for each in of(watch_norms(norm), "exploding_gradients")] == [350]


def test_a_clipped_norm_is_not_judged() -> None:
    engine = watch_norms(np.minimum(1.0, 2.0 * norms(400)))
    needs = {each.id: each.needs for each in engine.not_judged()}
    assert "sits at 1, as after clipping" in needs["exploding_gradients"]
    assert "exploding_gradients" not in {each.id for each in watch_norms(norms(400)).not_judged()}


def start(batch_size: int | None, first: float, norm: float) -> list[Finding]:
    engine = Engine(RunInfo(task="classification", num_classes=10, batch_size=batch_size))
    for step in range(100):
        feed(engine, step, loss__train=first * 0.9**step + 2.0, grad_norm=norm * 0.9**step + 1)
    return of(engine, "exploding_gradients")


def test_a_bad_start_is_one_whose_loss_and_gradients_are_both_far_off() -> None:
    (finding,) = start(64, 90.0, 300.0)
    assert (finding.severity, finding.onset_step, finding.detected_step) == ("warning", 0, 1)
    assert start(64, 90.0, 10.0) == []
    assert start(64, 1.0, 300.0) == []


def test_a_loss_that_is_summed_over_the_batch_is_no_bad_start() -> None:
    assert start(40, 40 * math.log(10), 300.0) == []


def test_layers_beyond_their_own_past_are_named() -> None:
    engine = Engine(RunInfo(planned_steps=300))
    engine.feed_layer_names(LayerNames(names=("stem", "body", "head"), numel=(9, 9, 9)))
    for step in range(300):
        exploded = step >= 250
        feed(engine, step, loss__train=learning(step), grad_norm=50.0 if exploded else 1.0)
        if step % 10 == 0:
            layers = np.array([0.5, 40.0 if exploded else 0.5, 0.5])
            engine.feed_layers(LayerStats(step=step, stats={"grad_norm": layers}))
    (finding,) = of(engine, "exploding_gradients")
    assert finding.layers == ("body",)


def test_layer_norms_stand_in_for_a_norm_that_is_not_logged() -> None:
    engine = Engine(RunInfo(planned_steps=300))
    for step in range(300):
        feed(engine, step, loss__train=learning(step))
        size = 80.0 if step == 280 else 1.0
        engine.feed_layers(LayerStats(step=step, stats={"grad_norm": np.full(4, size)}))
    (finding,) = of(engine, "exploding_gradients")
    assert finding.evidence[0].value == pytest.approx(160.0)


# --- vanishing_gradients --------------------------------------------------------------------------

DEEP = LayerNames(
    names=("emb.weight", *(f"layers.{index}.weight" for index in range(8)), "head.bias"),
    numel=(50_000, *[1024] * 8, 10),
    requires_grad=(True,) * 10,
)


def watch_layers(
    profile: NDArray[np.float64],
    *,
    learns: bool,
    count: int = 12,
    names: LayerNames = DEEP,
    **more: NDArray[np.float64],
) -> Engine:
    engine = Engine(RunInfo(planned_steps=count * 10))
    engine.feed_layer_names(names)
    for step in range(count * 10):
        feed(engine, step, loss__train=learning(step) if learns else 2.3)
        if step % 10 == 0:
            stats = {"grad_norm": profile * NOISE.uniform(0.8, 1.2, len(profile))} | more
            engine.feed_layers(LayerStats(step=step, stats=stats))
    return engine


def decaying(factor: float) -> NDArray[np.float64]:
    return np.array([1e-9, *(factor ** np.arange(7, -1, -1)), 1e-9])


def test_a_profile_that_decays_by_decades_with_a_loss_that_stands_still_is_a_finding() -> None:
    (finding,) = of(watch_layers(decaying(0.1), learns=False), "vanishing_gradients")
    assert finding.severity == "warning"
    assert finding.layers == ("layers.0.weight", "layers.1.weight")
    assert finding.next[0].analysis == "gradient_flow"
    assert finding.evidence[0].value < 1e-3 == finding.evidence[0].threshold
    assert finding.onset_step == 0


def test_without_a_consequence_it_is_advice() -> None:
    (finding,) = of(watch_layers(decaying(0.1), learns=True), "vanishing_gradients")
    assert finding.severity == "info"


def test_all_layers_small_alike_is_an_optimum_and_no_fault() -> None:
    assert of(watch_layers(1e-12 * decaying(0.9), learns=False), "vanishing_gradients") == []


def test_frozen_and_unused_layers_do_not_count() -> None:
    profile = decaying(0.9)
    profile[1:4] = 0.0
    assert of(watch_layers(profile, learns=False), "vanishing_gradients") == []
    frozen = LayerNames(
        names=DEEP.names, numel=DEEP.numel, requires_grad=(True, *[False] * 3, *[True] * 6)
    )
    profile[1:4] = 1e-12
    assert of(watch_layers(profile, learns=False, names=frozen), "vanishing_gradients") == []


def test_behind_dead_units_it_is_a_symptom() -> None:
    names = LayerNames(names=DEEP.names, numel=DEEP.numel, act_names=("act",), act_kinds=("relu",))
    engine = watch_layers(decaying(0.1), learns=False, names=names, act_dead_frac=np.array([1.0]))
    assert {each.severity for each in of(engine, "vanishing_gradients")} <= {"info"}
    assert [each.severity for each in of(engine, "dead_units")] == ["critical"]


def test_gradients_that_come_back_end_the_episode() -> None:
    engine = watch_layers(decaying(0.1), learns=False)
    engine.feed_layers(LayerStats(step=200, stats={"grad_norm": decaying(0.9)}))
    (finding,) = of(engine, "vanishing_gradients")
    assert finding.resolved_step == 200


def test_two_layers_have_no_depth() -> None:
    engine = Engine()
    engine.feed_layer_names(LayerNames(names=("a", "b"), numel=(4, 4)))
    for step in range(9):
        engine.feed_layers(LayerStats(step=step, stats={"grad_norm": np.array([1e-9, 1.0])}))
    assert "vanishing_gradients" in {each.id for each in engine.not_judged()}


# --- dead_units -----------------------------------------------------------------------------------


def watch_units(
    shares: Sequence[float], kind: str = "relu", batch_size: int | None = 50, other: float = 0.1
) -> list[Finding]:
    engine = Engine(RunInfo(batch_size=batch_size))
    engine.feed_layer_names(
        LayerNames(names=(), numel=(), act_names=("act.0", "act.1"), act_kinds=("relu", kind))
    )
    for index, share in enumerate(shares):
        stats = {"act_dead_frac": np.array([other, share]), "act_zero_frac": np.array([0.9, 0.9])}
        engine.feed_layers(LayerStats(step=index * 10, stats=stats))
    return of(engine, "dead_units")


def test_a_layer_that_stays_dead_is_named_once() -> None:
    (finding,) = watch_units([0.1, 0.2, 0.7, 0.7, 0.7, 0.7])
    assert (finding.severity, finding.onset_step, finding.detected_step) == ("warning", 20, 40)
    assert finding.layers == ("act.1",)
    assert finding.title == "70% of the units of act.1 are dead"
    assert finding.next[0].analysis == "dead_neurons"


def test_a_layer_that_is_all_dead_needs_fewer_records_and_is_critical() -> None:
    (finding,) = watch_units([0.1, 1.0, 1.0, 1.0])
    assert finding.severity == "critical"
    assert finding.detected_step <= 30


def test_dead_units_that_come_back_are_resolved() -> None:
    (finding,) = watch_units([0.8, 0.8, 0.8, 0.8, 0.2])
    assert finding.resolved_step == 40


@pytest.mark.parametrize(("kind", "share"), [("gelu", 0.9), ("silu", 0.9), ("sigmoid", 1.0)])
def test_only_relus_die(kind: str, share: float) -> None:
    assert watch_units([share] * 8, kind=kind) == []


@pytest.mark.parametrize("kind", ["gelu", "silu"])
def test_a_smooth_relu_is_dead_where_nearly_all_of_it_is(kind: str) -> None:
    (finding,) = watch_units([1.0] * 8, kind=kind)
    assert (finding.severity, finding.layers) == ("critical", ("act.1",))


def test_sparse_is_not_dead() -> None:
    assert watch_units([0.45] * 20) == []


def test_small_batches_need_more_records() -> None:
    assert watch_units([0.7] * 10, batch_size=4) == []
    assert len(watch_units([0.7] * 31, batch_size=4)) == 1


def test_one_record_is_no_proof() -> None:
    assert watch_units([0.1, 0.9, 0.1, 0.9, 0.1, 0.9]) == []


def test_layers_that_were_not_measured_are_skipped() -> None:
    assert watch_units([math.nan] * 5, other=math.nan) == []
