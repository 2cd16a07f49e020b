"""Findings on the screen: their words, their chart, their threshold, the test that answers them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from app_driver import text_of
from run_files import write_run
from traintop.diagnosis import episodes
from traintop.records import Event, Evidence, Finding, NextTest
from traintop_tui.charts.scale import Limits
from traintop_tui.finding_words import by_urgency, runnable, test_words
from traintop_tui.marks import marks_on_axis
from traintop_tui.panels import LayerRef, levels_of
from traintop_tui.widgets.chart_panel import ChartPanel, labels_for
from traintop_tui.widgets.findings_rail import causes_first

test_words.__test__ = False  # type: ignore[attr-defined] - a function that pytest would collect


def finding(kind, *evidence, severity="warning", onset_step=1, **fields):
    return Finding(
        id=kind, severity=severity, title="x", onset_step=onset_step, detected_step=2,
        evidence=tuple(Evidence(what=w, value=v, threshold=t) for w, v, t in evidence), **fields,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "evidence", "drawn"),
    [
        ("dead_units", ("share of units in body.1 that no sample activates", 0.8, 0.6), [0.6]),
        ("divergence", ("smoothed loss", 2.3, 0.75), [0.75]),
        ("divergence", ("share of the progress that is lost", 1.0, 0.22), []),
        ("divergence", ("best smoothed loss", 0.3, None), []),
        ("exploding_gradients", ("highest gradient norm", 90.0, 10.0), [10.0]),
        ("exploding_gradients", ("median gradient norm over its lowest", 12.0, 10.0), []),
        ("overfitting", ("relative rise of validation loss over its best", 0.5, 0.07), []),
        ("nan_inf", ("records with loss/train not finite", 9.0, 0.0), []),
        ("plateau", ("relative fall of the loss since step 1", 0.01, 0.02), []),
    ],
)
def test_only_thresholds_in_the_unit_of_the_curve_are_drawn(kind, evidence, drawn):
    assert [level.value for level in levels_of(finding(kind, evidence))] == drawn


def test_a_test_is_named_with_its_checkpoint_and_enter_takes_the_first_that_can_run():
    words = NextTest(do="Look at the batches around it")
    lr = NextTest(do="LR range test", analysis="lr_find", checkpoint="a/b/step-000400.pt")
    assert runnable(finding("divergence", next=(words, lr))) is lr
    assert runnable(finding("divergence", next=(NextTest(do="Look at the data"),))) is None
    assert test_words(lr) == "LR range test (step-000400.pt)"


@pytest.fixture
def dead_folder(tmp_path):
    """A run in which every ReLU dies at step 100, with a checkpoint at 50."""
    folder = write_run(tmp_path / "dead", 300)
    names = {"names": ["a.weight"], "act_names": ["a.relu"], "act_kinds": ["relu"]}
    with (folder / "layers.jsonl").open("w") as file:
        file.write(json.dumps(names) + "\n")
        for step in range(0, 300, 10):
            share = [None] if not step else [0.05 if step < 100 else 0.9]
            record = {"step": step, "train_mode": True, "grad_norm": [0.5], "act_dead_frac": share}
            file.write(json.dumps(record) + "\n")
    (folder / "step-50.pt").write_bytes(b"x")
    event = {"step": 50, "event": "checkpoint", "path": "step-50.pt"}
    (folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    return folder


async def test_a_finding_is_drawn_with_its_threshold_on_a_whole_scale(opened, dead_folder):
    async with opened(dead_folder) as pilot:
        app = pilot.app
        [dead] = [each for each in app.model.findings() if each.id == "dead_units"]
        app.model.finding = app.model.findings().index(dead)
        await pilot.press("3")
        await pilot.pause()
        chart = app.screen.query_one("#evidence-chart", ChartPanel)
        [level] = chart.levels
        assert level.value == dead.evidence[0].threshold
        rows = chart.build(*chart.size)
        styles = {style for row in rows for _, style in row}
        assert "level" in styles
        assert chart._scale([]) == Limits(0.0, 1.0)
        # At step 0 nothing was measured, which is not the same as NaN.
        assert "nonfinite" not in styles
        assert "threshold" in chart.render_line(0).text


async def test_the_rail_says_which_key_runs_the_test_and_names_no_folders(opened, dead_folder):
    async with opened(dead_folder) as pilot:
        text = " ".join(text_of(pilot.app).split())
        assert "(step-50.pt)" in text
        assert "3, Enter runs it" in text
        assert "dead_neurons" not in text


async def test_without_findings_the_list_has_the_whole_screen(opened, run_folder):
    async with opened(run_folder) as pilot:
        await pilot.press("3")
        await pilot.pause()
        assert not pilot.app.screen.query_one("#right").display
        assert pilot.app.screen.query_one("#left").size.width == 160


async def test_the_most_urgent_finding_is_selected_until_another_is_chosen(opened, dead_folder):
    async with opened(dead_folder) as pilot:
        model = pilot.app.model
        over = finding("loss_spike", severity="critical", resolved_step=9)
        mild = finding("plateau")
        worst = finding("divergence", severity="critical")
        model.findings = lambda: [over, mild, worst]
        assert model.selected_finding() is worst
        model.finding = 1
        assert model.selected_finding() is mild
        model.finding = 7
        assert model.selected_finding() is worst


async def test_going_to_a_finding_about_layers_goes_to_the_layer(opened, dead_folder):
    async with opened(dead_folder) as pilot:
        app = pilot.app
        [dead] = [each for each in app.model.findings() if each.id == "dead_units"]
        app.model.finding = app.model.findings().index(dead)
        await pilot.press("3", "g")
        await pilot.pause()
        assert app.current_mode == "layers"
        assert app.model.view.cursor == dead.onset_step
        assert "a.relu dead share" in text_of(app)


async def test_the_chart_of_a_finding_has_one_unit(opened, nan_folder):
    async with opened(nan_folder) as pilot:
        model = pilot.app.model
        mixed = finding("nan_inf", series=("loss/train", "grad_norm", "loss/val"))
        assert [ref.label for ref in model.panel_of(mixed).refs] == ["loss", "val/loss"]


def test_too_many_checkpoints_are_thinned_to_those_that_a_test_would_take():
    edges = np.linspace(0, 100, 101)
    events = [Event(step=step, event="checkpoint") for step in range(0, 100, 2)]
    marks = marks_on_axis(events[::10], [], [], lambda: [40.0], edges)
    assert [mark.column for mark in marks] == [0, 20, 40, 60, 80]
    marks = marks_on_axis(events, [60.0], [finding("plateau")], lambda: [40.0, 900.0], edges)
    assert [(mark.column, mark.kind) for mark in marks] == [
        (40, "checkpoint"), (60, "analysis"), (1, "finding"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("room", "labels"),
    [
        (60, ["relu1 dead share", "relu2 dead share"]),
        (30, ["relu1 dead share", "relu2"]),
        (20, ["relu1 dead share", ""]),
    ],
)
def test_titles_are_shortened_before_a_value_is_cut(room, labels):
    refs = [LayerRef("act_dead_frac", layer) for layer in ("relu1", "relu2")]
    assert labels_for(refs, room) == labels


def test_many_episodes_that_are_over_are_one_and_open_ones_stay():
    spikes = [
        finding("loss_spike", episode=number, resolved_step=number + 5) for number in range(9)
    ]
    still = finding("loss_spike", episode=9)
    few = [finding("divergence", episode=number, resolved_step=50) for number in range(3)]
    summed = by_urgency([*spikes, still, *few])
    assert summed[0] == (still, 1)
    assert [(one.id, times) for one, times in summed[1:] if one.id == "loss_spike"] == [
        ("loss_spike", 9)
    ]
    assert [times for one, times in summed if one.id == "divergence"] == [1, 1, 1]


def test_a_mild_cause_stands_before_the_severe_findings_that_follow_from_it():
    cause = finding("zero_grad_missing")
    effect = finding("divergence", severity="critical", onset_step=5)
    other = finding("memory_leak")
    found = [cause, effect, other]
    model = SimpleNamespace(stories=lambda: episodes(found))
    listed = sorted(by_urgency(found), key=causes_first(model))
    assert [one.id for one, _ in listed] == ["zero_grad_missing", "divergence", "memory_leak"]


def test_slight_findings_that_are_over_do_not_bury_the_others_on_the_axis():
    edges = np.linspace(0, 100, 101)
    slight = [
        finding("loss_spike", severity="info", episode=at, onset_step=at, resolved_step=at + 1)
        for at in range(60)
    ]
    severe = finding("divergence", severity="critical", onset_step=70, resolved_step=80)
    still = finding("plateau", severity="info", onset_step=90)
    marks = marks_on_axis([], [], [*slight, severe, still], list, edges)
    assert [mark.column for mark in marks] == [70, 90]
    assert len(marks_on_axis([], [], [*slight[:5], severe], list, edges)) == 6


async def test_the_warm_up_of_a_schedule_is_no_outlier(opened, run_folder):
    async with opened(run_folder, size=(200, 50)) as pilot:
        [lr] = [
            panel
            for panel in pilot.app.screen.query(ChartPanel)
            if panel.panel.title == "learning rate"
        ]
        assert lr._limits.low == 0
        assert "▼" not in lr.render_line(0).text
