from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rows_read import Row, by_table
from traintop.records import Item
from traintop.sources.decoder import Tally
from traintop.sources.document import JsonDocument
from traintop.sources.json_text import Brackets, parse_beginning
from traintop.sources.objects import ObjectDecoder
from traintop.sources.registry import format_of, holds_metrics

HUGGING_FACE = {
    "best_metric": None,
    "epoch": 0.2,
    "global_step": 20,
    "log_history": [
        {"epoch": 0.1, "grad_norm": math.nan, "learning_rate": 2e-5, "loss": 2.0, "step": 10},
        {"epoch": 0.2, "loss": 1.9, "step": 20},
        {"epoch": 0.2, "eval_loss": 1.8, "eval_runtime": 3.2, "step": 20},
        {"epoch": 0.2, "step": 20, "train_loss": 1.95, "train_runtime": 3.0},
    ],
    "trial_name": None,
}
CHAINER = [
    {"main/loss": 2.0, "validation/main/loss": 2.1, "epoch": 1, "iteration": 600},
    {"main/loss": 1.0, "validation/main/loss": 1.2, "epoch": 2, "iteration": 1200},
]
KERAS = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.1, None, 1.2], "name": "mlp", "best": 0.3}


def read(data: str | bytes) -> dict[str, list[Row]]:
    reader = JsonDocument("t", lambda split: split)
    raw = data.encode() if isinstance(data, str) else data
    return by_table(reader.feed(raw) + reader.finish())


def rows(value: Any, table: str = "t") -> list[tuple[float, dict[str, float]]]:
    return [(step, values) for step, _, values in read(json.dumps(value))[table]]


def test_the_history_of_hugging_face() -> None:
    found = rows(HUGGING_FACE)
    assert [step for step, _ in found] == [10, 20, 20, 20]
    assert found[0][1].keys() == {"grad_norm", "learning_rate", "loss"}
    assert math.isnan(found[0][1]["grad_norm"])
    assert found[2][1] == {"eval_loss": 1.8, "eval_runtime": 3.2}
    # The mean over the whole run is no point of the loss.
    assert found[3][1] == {"train_loss": 1.95, "train_runtime": 3.0}


def test_the_log_of_chainer() -> None:
    assert rows(CHAINER)[1] == (1200, {"main/loss": 1.0, "validation/main/loss": 1.2})


def test_arrays_are_numbered_where_nothing_says_what_they_stand_over() -> None:
    assert rows(KERAS) == [
        (0, {"loss": 3.0, "val_loss": 3.1}),
        (1, {"loss": 2.0}),
        (2, {"loss": 1.0, "val_loss": 1.2}),
    ]


@pytest.mark.parametrize("key", ["epoch", "epochs", "steps", "iteration"])
def test_an_array_of_steps_or_epochs_is_the_axis(key: str) -> None:
    document = {"history": {"loss": [3, 2, 1]}, key: [5, 10, 20], "params": {"epochs": 3}}
    assert rows(document) == [(5, {"loss": 3}), (10, {"loss": 2}), (20, {"loss": 1})]


def test_train_and_validation_have_axes_of_their_own() -> None:
    document = {
        "train_steps": [0, 10, 20],
        "train_loss": [3, 2, 1],
        "val_steps": [0, 20],
        "val_loss": [3, 2],
    }
    assert rows(document) == [
        (0, {"train_loss": 3}),
        (10, {"train_loss": 2}),
        (20, {"train_loss": 1}),
    ]
    assert rows(document, "t.1") == [(0, {"val_loss": 3}), (20, {"val_loss": 2})]


def test_what_is_measured_more_seldom_stands_at_the_end_of_each_part() -> None:
    document = {"train_loss": [6, 5, 4, 3, 2, 1], "val_loss": [5, 2], "input_shape": [3, 32, 32]}
    assert [(step, row["val_loss"]) for step, row in rows(document) if "val_loss" in row] == [
        (2, 5),
        (5, 2),
    ]
    assert all(row.keys() <= {"train_loss", "val_loss"} for _, row in rows(document))


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({"train": {"loss": [2, 1]}, "val": {"loss": [3, 2]}}, {"train/loss", "val/loss"}),
        ({"train": {"loss": [2, 1]}}, {"train/loss"}),
        ({"adam": {"loss": [2, 1]}, "sgd": {"loss": [3, 2]}}, {"adam/loss", "sgd/loss"}),
        ({"run": {"history": {"loss": [2, 1], "acc": [0, 1]}}}, {"loss", "acc"}),
        ({"loss": {"0": 2, "1": 1}, "acc": {"0": 0, "1": 1}}, {"loss", "acc"}),
    ],
)
def test_names_keep_what_tells_series_apart(document: Any, names: set[str]) -> None:
    found = rows(document)
    assert [step for step, _ in found] == [0, 1]
    assert found[0][1].keys() == names


@pytest.mark.parametrize(
    ("document", "steps"),
    [
        ({"epoch_1": {"loss": 2}, "epoch_2": {"loss": 1}}, [1, 2]),
        ({"0": {"train": {"loss": 2}}, "50": {"train": {"loss": 1}}}, [0, 50]),
        ({"loss": [[0, 2.0], [50, 1.0]]}, [0, 50]),
        ([[1.7e9, 0, 2.0], [1.7e9, 50, 1.0]], [0, 50]),
        ([2.0, 1.0, 0.5], [0, 1, 2]),
        ({"a": {"training_history": [{"step": 3, "loss": 1}]}}, [3]),
    ],
)
def test_steps_in_keys_pairs_and_records(document: Any, steps: list[float]) -> None:
    assert [step for step, _ in rows(document)] == steps


def test_single_values_are_one_record() -> None:
    reader = JsonDocument("t")
    text = json.dumps({"results": {"arc": {"acc,none": 0.5}}, "config": {"n": 3}}).encode()
    assert by_table(reader.feed(text))["t"][0][2] == {"results/arc/acc,none": 0.5}
    assert len(reader.tally.notes) == 1


def test_records_over_several_lines_one_after_another() -> None:
    text = "".join(json.dumps({"step": at, "loss": 1 / at}, indent=2) + "\n" for at in range(1, 4))
    assert [step for step, *_ in read(text)["t"]] == [1, 2, 3]


def test_an_unfinished_document_is_held_back_and_read_at_the_end() -> None:
    text = json.dumps(HUGGING_FACE, indent=2).encode()
    reader = JsonDocument("t")
    assert reader.feed(text[: text.index(b'"eval_runtime"')]) == []
    assert [step for step, *_ in by_table(reader.finish())["t"]] == [10, 20]
    assert reader.tally.skipped_total == 1


def test_text_with_half_a_surrogate_pair() -> None:
    document = b'[{"step": 1, "loss": 2, "a": "\\udc00", "\\ud800": 3}, {"step": 2, "loss": 1}]'
    assert [step for step, *_ in read(document)["t"]] == [1, 2]


@pytest.mark.parametrize("data", [b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_nesting_bombs(data: bytes) -> None:
    reader = JsonDocument("t")
    assert reader.feed(data) + reader.finish() == []
    assert reader.tally.skipped_total == 1


@pytest.mark.parametrize(
    ("name", "text", "format_", "metrics"),
    [
        ("x", json.dumps(HUGGING_FACE, indent=2), "json", True),
        ("x", json.dumps(HUGGING_FACE), "json", True),
        ("x.json", json.dumps(KERAS), "json", True),
        ("log", json.dumps(CHAINER, indent=4), "json", True),
        ("x.json", json.dumps({"loss": [0.5] * 5000}), "json", True),
        ("x.json", json.dumps({"epochs": 3, "hidden": [128, 256]}, indent=1), "json", False),
        (
            "x.json",
            json.dumps({"added_tokens": [{"id": 0, "special": True}]}, indent=1),
            "json",
            False,
        ),
        ("x.json", '{"step": 1, "loss": 2.0, "per_class": [1, 2]}', "jsonl", True),
        ("x.json", '{"step": 1}\n{"step": 2}\n', "jsonl", True),
        (
            "x.json",
            '{"hist": {"r": [' + "1.0, " * 2000 + '1]}, "training_iteration": 1}\n',
            "jsonl",
            True,
        ),
        ("x", "[1,  2000] loss: 2.2\n[1,  4000] loss: 1.8\n", "text", False),
        ("x", "[1][50/6207] loss: 2\n", "text", False),
        ("x", "{'loss': 0.2, 'epoch': 0.1}\n", "text", False),
        ("x", "[rank0]: step 1\n", "text", False),
        ("x", "int main() {\n  return 0;\n}\n", "text", False),
    ],
)
def test_documents_are_told_from_lines_and_text(
    name: str, text: str, format_: str, metrics: bool
) -> None:
    head = text.encode()[:4096]
    assert format_of(Path(name), head) == format_
    assert holds_metrics(Path(name), head) == metrics


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON, st.lists(st.integers(0, 400), max_size=4))
def test_where_a_document_ends_is_known_however_it_is_cut(value: Any, cuts: list[int]) -> None:
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    brackets = Brackets()
    places = sorted({0, *(at for at in cuts if at < len(data)), len(data)})
    for begin, end in itertools.pairwise(places):
        assert not brackets.closed
        brackets.feed(data[begin:end])
    assert brackets.closed == isinstance(value, list | dict)


@given(JSON.filter(lambda value: isinstance(value, list | dict)), st.integers(1, 400))
def test_a_beginning_of_a_document_is_readable(value: Any, length: int) -> None:
    data = json.dumps(value).encode()
    found = parse_beginning(data[:length])
    assert isinstance(found, type(value))
    assert len(found) <= len(value)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real document with some bytes changed, doubled or taken out."""
    document = draw(st.sampled_from([HUGGING_FACE, CHAINER, KERAS]) | JSON)
    data = bytearray(json.dumps(document, indent=draw(st.sampled_from([None, 2]))).encode())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        piece = draw(st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"]", b",", b"NaN"]))
        data[at : at + draw(st.integers(0, 3))] = piece
    return bytes(data)


@given(mutated(), st.lists(st.integers(0, 600), max_size=4))
def test_any_bytes_are_read_alike_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    whole, cut = JsonDocument("t", str), JsonDocument("t", str)
    expected = by_table(whole.feed(data) + whole.finish())
    places = sorted({0, *(at for at in cuts if at < len(data)), len(data)})
    items: list[Item] = []
    for begin, end in itertools.pairwise(places):
        items += cut.feed(data[begin:end])
    items += cut.finish()
    # A document that ends before the bytes do may be handed over earlier.
    assert set(by_table(items)) == set(expected)
    format_of(Path("x"), data[:4096])
    holds_metrics(Path("x"), data[:4096])


@pytest.mark.parametrize("odd", [{}, {"large": 10**30}, {"nested": {"a": 1, "b": "2.5"}}])
def test_many_records_are_read_as_each_of_them_would_be(odd: dict[str, object]) -> None:
    rows: list[dict[str, Any]] = [
        {"step": at, "loss": 1 / (at + 1), "lr": "0.1", "note": "warm", "on": at % 2 == 0} | odd
        for at in range(500)
    ]
    rows[100] = {"step": 100, "eval_loss": 2, "loss": None}
    found: list[object] = []
    for finite in (False, True):
        tally = Tally()
        bursts = ObjectDecoder(tally).take(rows, finite=finite)
        columns: list[tuple[str, list[int], list[float]]] = [
            (name, [] if column.rows is None else column.rows.tolist(), column.values.tolist())
            for burst in bursts
            for name, column in sorted(burst.columns.items())
        ]
        found.append((columns, [burst.size for burst in bursts], tally.state()))
    assert found[0] == found[1]
