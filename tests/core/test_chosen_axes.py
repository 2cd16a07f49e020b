"""Columns that the settings make the axes of a run."""

from __future__ import annotations

import numpy as np

from traintop.chosen_axes import ChosenAxes
from traintop.opening import read_whole
from traintop.records import Column, Rows
from traintop.settings import Axes, Settings


def rows(steps, **columns):
    blank = np.full(len(steps), np.nan)
    return Rows(
        table="train", step=np.array(steps, float), epoch=blank, time=blank, columns=columns,
        axis="record",
    )  # fmt: skip


def test_records_stand_where_the_column_says():
    axes = ChosenAxes(Axes(step="kimg", epoch="ep"))
    assert axes
    moved = axes.apply(
        rows(
            [0, 1, 2, 3],
            kimg=Column(values=np.array([10.0, 20.0]), rows=np.array([1, 3])),
            ep=Column(values=np.arange(4.0)),
            loss=Column(values=np.ones(4)),
        )
    )
    assert moved.step.tolist() == [0, 10, 10, 20]
    assert moved.epoch.tolist() == [0, 1, 2, 3]
    assert (list(moved.columns), moved.axis) == (["loss"], "step")
    # A later record without it stands at the last one.
    assert axes.apply(rows([4], loss=Column(values=np.ones(1)))).step.tolist() == [20]


def test_without_such_a_column_nothing_changes():
    records = rows([0, 1], loss=Column(values=np.ones(2)))
    assert ChosenAxes(Axes(step="other", time="when")).apply(records) is records
    assert not ChosenAxes(Axes())
    assert not ChosenAxes(Axes(tokens="seen"))


def test_a_run_is_read_along_the_axis_of_the_settings(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {n}, "x": {n * 10}, "seen": {n}}}\n' for n in range(9)))
    session = read_whole(path, Settings(axes=Axes(step="x", tokens="seen")))
    run = session.run()
    assert (run.first_step, run.last_step) == (0, 80)
    assert session.catalogue.by_role(run, "tokens").label == "seen"
