"""The drawings of `data`, `shapes`, `predictions` and `loss_function`, read as text."""

from __future__ import annotations

import msgspec
import pytest

from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.widgets.result_drawings import DRAWINGS

SIZES = [(1, 1), (0, 0), (7, 2), (12, 3), (40, 8), (80, 24), (120, 40)]

SHAPES = {
    "modules": [
        {"name": "", "type": "Sequential", "parameters": 0, "output": [64, 10], "calls": 1},
        {"name": "conv", "type": "Conv2d", "parameters": 80, "output": [64, 8, 6, 6], "calls": 1},
        {"name": "head", "type": "Linear", "parameters": 650, "output": None, "calls": 0},
    ],
    "parameters": 730,
    "error": {"module": "head", "text": "it wants 512 features, and gets 128", "fix": "fix it"},
}
PREDICTIONS = {
    "kind": "classes",
    "classes": [0, 1, 2],
    "confusion": [[50, 0, 0], [9, 40, 1], [0, 0, 30]],
    "per_class": [{"class": at, "support": 50, "f1": 0.9} for at in range(3)],
}
NUMBERS = {"kind": "numbers", "confusion": None, "r2": 0.75}
TAGS = PREDICTIONS | {"kind": "tags", "confusion": [[[1, 2], [3, 4]]] * 3}
LOSS = {
    "initial_loss": 6.9,
    "expected_initial_loss": 2.3,
    "loss": None,
    "output_range": [0.0, 1.0],
    "looks_like": "log_probabilities",
    "warnings": ["cross_entropy is given probabilities (softmax before it)"],
}
DATA = {
    "splits": {
        "train": {"samples": 300, "class_counts": {"0": 200, "1": 100}},
        "val": {"samples": 60, "class_counts": {"0": 30, "1": 30}},
    },
    "overlap": {"exact": 5, "near": 1, "fraction": 0.1},
    "drift": [{"feature": "column 3", "ks": 0.5}, {"feature": "column 1", "ks": 0.0}],
    "normalised": False,
    "preview": [{"label": 7, "image": [[float(x == y) for x in range(8)] for y in range(8)]}],
}
ALL = [
    ("shapes", SHAPES),
    ("predictions", PREDICTIONS),
    ("predictions", NUMBERS),
    ("predictions", TAGS),
    ("loss_function", LOSS),
    ("data", DATA),
]


def text(name, result, width=80, height=24, braille=False):
    return [row_text(row).rstrip() for row in DRAWINGS[name](result, width, height, braille)]


@pytest.mark.parametrize(("name", "result"), ALL)
@pytest.mark.parametrize("braille", [True, False])
def test_every_size_is_filled_exactly(name, result, braille):
    for width, height in SIZES:
        rows = DRAWINGS[name](result, width, height, braille)
        assert len(rows) == height
        assert all(row_width(row) == width for row in rows)
        assert braille or all(row_text(row).isascii() for row in rows)


def test_modules_have_bars_and_what_fails_stands_above_them():
    lines = text("shapes", SHAPES)
    assert lines[0] == "730 parameters by module; shape of the output"
    assert lines[1] == "head: it wants 512 features, and gets 128"
    assert lines[2] == "try: fix it"
    assert lines[3].startswith("conv Conv2d")
    assert lines[3].endswith("80  64x8x6x6")
    assert lines[4].endswith("650  not called")
    assert lines[4].count("#") > 5 * lines[3].count("#")


def test_the_confusion_matrix_is_a_table_of_labels_and_predictions():
    lines = text("predictions", PREDICTIONS)
    assert lines[:5] == [
        "label v  predicted >",
        "     0  1  2",
        "  0 50  .  .",
        "  1  9 40  1",
        "  2  .  . 30",
    ]
    styles = {
        run[0].strip(): run[1] for run in DRAWINGS["predictions"](PREDICTIONS, 80, 24, False)[3]
    }
    assert (styles["9"], styles["40"]) == ("severity.warning", "series0")


def test_what_is_no_matrix_or_has_no_room_is_drawn_by_class():
    assert text("predictions", PREDICTIONS, width=10)[0].startswith("F1 by")
    assert text("predictions", PREDICTIONS, height=4)[0].startswith("F1 by class")
    assert "0.900 of 50" in text("predictions", TAGS)[1]
    assert text("predictions", NUMBERS)[0] == "r2 0.7500"


def test_the_first_loss_is_set_beside_guessing():
    lines = text("loss_function", LOSS)
    guessing, initial = (line for line in lines if line.startswith(("of guessing", "initial")))
    assert initial.count("#") == pytest.approx(3 * guessing.count("#"), abs=3)
    assert "outputs 0 to 1: log probabilities" in lines
    assert "cross_entropy is given probabilities (softmax before it)" in lines
    assert "nothing wrong with the loss function" in text("loss_function", LOSS | {"warnings": []})


def test_data_is_drawn_as_classes_drift_and_samples():
    lines = text("data", DATA, height=30)
    assert lines[0] == "train 300, val 60 samples, not normalised  in both: 6 (10.0% of val)"
    assert any(line.startswith("0 #") and line.endswith("66.7% (50.0%)") for line in lines)
    assert any(line.startswith("column 3 #") and line.endswith("0.500") for line in lines)
    at = lines.index("first samples of train, under their labels")
    assert lines[at + 1] == "7"
    assert [line.index("@@") for line in lines[at + 2 : at + 10]] == [2 * y for y in range(8)]
    only = {"splits": {"train": {"samples": 3}}, "normalised": None}
    assert text("data", only)[0] == "train 3 samples, tokens"


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("shapes", {"modules": 3}),
        ("predictions", PREDICTIONS | {"confusion": [["x"]]}),
        ("loss_function", {"initial_loss": "high"}),
        ("data", {"splits": []}),
    ],
)
def test_a_damaged_result_is_refused(name, result):
    with pytest.raises(msgspec.ValidationError):
        DRAWINGS[name](result, 80, 24, True)
