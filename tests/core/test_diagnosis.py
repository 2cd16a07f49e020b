"""Findings told as stories: which belong together, what came first."""

from __future__ import annotations

from typing import Any

import pytest

from traintop.detectors.precedence import EXPLAINED_BY, LEADS_TO
from traintop.detectors.registry import IDS
from traintop.diagnosis import episodes, follows
from traintop.records import Cause, Finding


def finding(name: str, onset: int, **fields: Any) -> Finding:
    fields = {"severity": "warning", "title": name, "detected_step": onset + 5} | fields
    return Finding(id=name, onset_step=onset, **fields)


def test_a_nan_after_an_explosion_after_a_jump_of_the_learning_rate_is_one_story() -> None:
    cause = Cause(cause="learning rate too high", because="lr rose 10x at step 400")
    found = [
        finding("nan_inf", 431, severity="critical", title="Training loss is NaN"),
        finding("exploding_gradients", 410, title="Gradients explode"),
        finding("lr_too_high", 400, title="Learning rate too high", causes=(cause,)),
    ]
    (story,) = episodes(found)
    assert story.root == "lr_too_high"
    assert story.severity == "critical"
    assert story.onset_step == 400
    assert [each.id for each in story.findings] == ["lr_too_high", "exploding_gradients", "nan_inf"]
    assert story.story == (
        "Learning rate too high at step 400 (lr rose 10x at step 400), "
        "then gradients explode at step 410, then training loss is NaN at step 431"
    )


def test_what_does_not_follow_stays_apart_and_the_worst_comes_first() -> None:
    found = [finding("memory_leak", 10), finding("overfitting", 300, severity="critical")]
    assert [each.root for each in episodes(found)] == ["overfitting", "memory_leak"]


def test_a_cause_that_was_over_long_before_is_none() -> None:
    spike = finding("loss_spike", 100, resolved_step=110)
    assert follows(finding("divergence", 120), spike)
    assert not follows(finding("divergence", 900), spike)
    assert len(episodes([spike, finding("divergence", 900)])) == 2


def test_a_consequence_may_seem_to_begin_a_little_before_its_cause() -> None:
    assert follows(finding("divergence", 95), finding("lr_too_high", 100))
    assert not follows(finding("divergence", 50), finding("lr_too_high", 100))


def test_advice_is_no_root_where_something_worse_is() -> None:
    found = [
        finding("exploding_gradients", 90, severity="info"),
        finding("lr_too_high", 100),
        finding("divergence", 105),
    ]
    (story,) = episodes(found)
    assert story.root == "lr_too_high"


def test_an_episode_is_over_when_all_of_it_is() -> None:
    over = finding("lr_too_high", 10, resolved_step=50)
    (story,) = episodes([over, finding("divergence", 15, resolved_step=80)])
    assert story.resolved_step == 80
    (story,) = episodes([over, finding("divergence", 15)])
    assert story.resolved_step is None


def test_repetitions_are_counted() -> None:
    found = [
        finding("data_not_shuffled", 0),
        *(finding("loss_spike", 50 * n, episode=n, title="Loss spike") for n in range(1, 4)),
    ]
    (story,) = episodes(found)
    assert story.story.endswith("then loss spike at step 50 (3 episodes)")


@pytest.mark.parametrize("table", [EXPLAINED_BY, LEADS_TO])
def test_the_tables_name_findings_that_there_are(table: dict[str, tuple[str, ...]]) -> None:
    named = {*table, *(name for names in table.values() for name in names)}
    assert named <= {*IDS, "crashed", "stalled"}


def test_a_symptom_keeps_its_fixes_to_itself() -> None:
    found = [
        finding("labels_broken", 10, fixes=("sort labels",)),
        finding("not_learning", 12, fixes=("a larger learning rate",)),
    ]
    (story,) = episodes(found)
    assert [each.fixes for each in story.findings] == [("sort labels",), ()]


def test_what_began_before_its_cause_or_with_it_is_not_told_as_later() -> None:
    found = [
        finding("grad_clip_too_tight", 7, title="Clipping too tight"),
        finding("lr_too_low", 0, title="Learning rate too low"),
        finding("not_learning", 0, title="The model is not learning", severity="info"),
    ]
    (story,) = episodes(found)
    assert story.story == (
        "Clipping too tight at step 7; from step 0 on learning rate too low, "
        "and the model is not learning"
    )


def test_a_title_that_has_its_step_is_not_given_another() -> None:
    found = [
        finding("amp_overflow", 100, title="Overflow"),
        finding("loss_spike", 120, title="Loss spike at step 120"),
    ]
    (story,) = episodes(found)
    assert story.story == "Overflow at step 100, then loss spike at step 120"
