from __future__ import annotations

import csv
import io
import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rows_read import Row, by_table
from traintop.records import Item, Rows
from traintop.sources.registry import format_of
from traintop.sources.separated import SeparatedValues

LIGHTNING = "epoch,step,train_loss,val_loss\n0,49,4.8,\n0,99,,4.1\n1,149,3.2,\n1,199,,3.0\n"
KERAS = 'epoch;acc;loss;w\r\n0;0.5;1.2;"[0.1, 0.2]"\r\n1;0.6;NA;"[0.1, 0.3]"\r\n2;0.7;1.0;NA\r\n'
MONITOR = '#{"t_start": 1.6e9, "env_id": "CartPole-v1"}\nr,l,t\r\n10.0,10,0.1\r\n20.0,20,0.2\r\n'
NOTES = 'step,note,loss\n1,"a, b",0.5\n2,"two\nlines, text",0.4\n3,"a ""word""",nan\n'
DECIMAL_COMMA = "Schritt;Verlust;Lernrate\n1;0,5;0,001\n2;0,4;0,001\n3;1.234,5;1e-3\n"


def read(text: str, reader: SeparatedValues | None = None) -> dict[str, list[Row]]:
    reader = reader or SeparatedValues("t", lambda split: split)
    return by_table(reader.feed(text.encode()) + reader.finish())


def steps(text: str) -> list[float]:
    return [step for step, _, _ in read(text)["t"]]


def values(text: str) -> list[dict[str, float]]:
    return [row for _, _, row in read(text)["t"]]


def test_sparse_rows_of_lightning_stand_at_their_steps() -> None:
    assert read(LIGHTNING)["t"] == [
        (49, 0, {"train_loss": 4.8}),
        (99, 0, {"val_loss": 4.1}),
        (149, 1, {"train_loss": 3.2}),
        (199, 1, {"val_loss": 3.0}),
    ]


def test_keras_with_semicolons_arrays_and_missing_values() -> None:
    reader = SeparatedValues("t")
    assert read(KERAS, reader)["t"] == [
        (0, 0, {"acc": 0.5, "loss": 1.2}),
        (1, 1, {"acc": 0.6}),
        (2, 2, {"acc": 0.7, "loss": 1.0}),
    ]
    assert reader.tally.ignored == {"w": 2}
    assert reader.tally.skipped_total == 0


def test_steps_of_an_episode_are_no_steps_of_the_run() -> None:
    assert steps("episode,reward,steps\n0,1.0,20\n1,2.0,12\n2,3.0,31\n") == [0, 1, 2]


def test_without_epochs_records_are_numbered() -> None:
    assert steps("val_loss,loss\n0.9,0.8\n0.8,0.7\n0.7,0.6\n") == [0, 1, 2]


def test_epochs_fall_where_a_run_was_appended() -> None:
    text = "epoch,loss\n" + "".join(f"{at % 6},{at}\n" for at in range(18))
    assert steps(text) == [*range(6)] * 3


@pytest.mark.parametrize("swapped", [False, True])
def test_a_run_appended_in_another_order_of_columns_is_noticed(swapped: bool) -> None:
    reader = SeparatedValues("t")
    runs = [[f"{at},{0.5 + at / 20},{1 - at / 10},1e-3" for at in range(8)] for _ in range(2)]
    if swapped:
        runs[1] = [f"{at},{1 - at / 10},{0.5 + at / 20},1e-3" for at in range(8)]
    read("\n".join(["epoch,acc,loss,lr", *runs[0], *runs[1]]), reader)
    assert any("changed places" in note for note in reader.tally.notes) == swapped


def test_padded_cells() -> None:
    text = "     epoch,   train/box_loss,  lr/pg0\n         0,      0.1,  0.01\n   1, 0.09, 0.009\n"
    assert values(text) == [
        {"train/box_loss": 0.1, "lr/pg0": 0.01},
        {"train/box_loss": 0.09, "lr/pg0": 0.009},
    ]


def test_a_row_without_evaluation_does_not_put_the_rate_under_the_loss() -> None:
    reader = SeparatedValues("t")
    text = (
        "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n"
        "0,6.9,6.8,0.4,2.0,1e-06\n1,6.8,2e-06\n2,6.7,6.6,0.5,2.1,3e-06\n"
    )
    found = read(text, reader)["t"]
    assert found[1] == (1, 1, {"train_loss": 6.8, "lr": 2e-6})
    assert reader.tally.skipped_total == 0
    assert len(reader.tally.notes) == 1


def test_of_a_row_of_another_length_only_what_is_sure_is_kept() -> None:
    reader = SeparatedValues("t")
    text = "epoch,train_loss,lr\n0,6.9,1e-06\n1,6.8,6.6,0.5,2.1,3e-06\n2,6.6\n"
    assert [row for *_, row in read(text, reader)["t"]] == [
        {"train_loss": 6.9, "lr": 1e-6},
        {"train_loss": 6.8},
        {"train_loss": 6.6},
    ]
    assert [skip.line for skip in reader.tally.skipped] == [3, 4]


def test_steps_of_a_monitor_are_the_lengths_of_its_episodes() -> None:
    assert read(MONITOR)["t"] == [
        (10, pytest.approx(math.nan, nan_ok=True), {"r": 10, "l": 10, "t": 0.1}),
        (30, pytest.approx(math.nan, nan_ok=True), {"r": 20, "l": 20, "t": 0.2}),
    ]


def test_a_header_that_comes_again_is_no_row() -> None:
    text = "epoch,loss\n0,1\n1,0.9\nepoch,loss\n2,0.8\n"
    reader = SeparatedValues("t")
    assert len(read(text, reader)["t"]) == 3
    assert reader.tally.skipped_total == 0


def test_another_header_changes_the_columns() -> None:
    assert values("epoch,loss\n0,1\n1,0.9\nepoch,acc,loss\n2,0.5,0.8\n") == [
        {"loss": 1},
        {"loss": 0.9},
        {"acc": 0.5, "loss": 0.8},
    ]


@pytest.mark.parametrize(
    "text",
    [
        ",loss,acc\n0,1.0,.5\n1,0.9,.6\n2,.8,.7\n",
        "loss,acc\n0,1.0,.5\n1,0.9,.6\n2,.8,.7\n",
        "# n loss acc\n0 1.0 .5\n1 0.9 .6\n2 .8 .7\n",
        "loss,acc,\n1.0,.5,\n0.9,.6,\n.8,.7,\n",
        "loss|acc\n1.0|50%\n0.9|60 %\n+.8|70%\n".replace("50%", ".5").replace("60 %", ".6"),
    ],
)
def test_row_numbers_and_ends_of_lines(text: str) -> None:
    found = values(text)
    assert [row["loss"] for row in found] == [1.0, 0.9, 0.8]
    assert found[0].keys() == {"loss", "acc"}
    assert steps(text) == [0, 1, 2]


def test_decimal_commas() -> None:
    assert read(DECIMAL_COMMA)["t"] == [
        (1, pytest.approx(math.nan, nan_ok=True), {"Verlust": 0.5, "Lernrate": 0.001}),
        (2, pytest.approx(math.nan, nan_ok=True), {"Verlust": 0.4, "Lernrate": 0.001}),
        (3, pytest.approx(math.nan, nan_ok=True), {"Verlust": 1234.5, "Lernrate": 0.001}),
    ]


def test_quoted_cells_with_separators_and_line_feeds() -> None:
    reader = SeparatedValues("t")
    found = read(NOTES, reader)["t"]
    assert [step for step, *_ in found] == [1, 2, 3]
    assert [row["loss"] for *_, row in found] == pytest.approx([0.5, 0.4, math.nan], nan_ok=True)
    assert reader.tally.ignored == {"note": 3}


def test_a_quote_that_is_not_closed_costs_one_line() -> None:
    reader = SeparatedValues("t")
    text = 'step,loss\n1,0.5\n2,"0.4\n3,0.3\n' + "".join(f"{at},0.2\n" for at in range(4, 90))
    found = read(text, reader)["t"]
    assert [step for step, *_ in found] == [1, *range(3, 90)]
    assert [skip.line for skip in reader.tally.skipped] == [3]


def test_units_and_other_spellings_of_numbers() -> None:
    text = 'Global Step,time (s),acc [%],n,ok,x\n1,0.1s,10%,"1,234",True,tensor(0.5)\n'
    assert read(text)["t"] == [
        (
            1,
            pytest.approx(math.nan, nan_ok=True),
            {"time (s)": 0.1, "acc [%]": 10, "n": 1234, "ok": 1, "x": 0.5},
        )
    ]


def test_a_column_says_what_part_of_the_data_is_meant() -> None:
    found = read("epoch,phase,loss\n0,train,1.0\n0,val,1.1\n1,train,0.9\n1,val,1.0\n")
    assert found["train"] == [(0, 0, {"loss": 1.0}), (1, 1, {"loss": 0.9})]
    assert found["val"] == [(0, 0, {"loss": 1.1}), (1, 1, {"loss": 1.0})]


def test_a_row_for_each_value() -> None:
    found = values("step,metric,value\n0,loss,1.0\n0,acc,0.1\n1,loss,0.9\n1,acc,0.2\n")
    assert found == [{"loss": 1.0}, {"acc": 0.1}, {"loss": 0.9}, {"acc": 0.2}]


def test_dates_are_the_time_of_a_record() -> None:
    reader = SeparatedValues("t")
    data = b"timestamp,step,loss\n2024-01-01T12:00:00+00:00,1,0.5\n2024-01-01T12:00:10+00:00,2,1\n"
    [rows] = reader.feed(data) + reader.finish()
    assert isinstance(rows, Rows)
    assert rows.time.tolist() == [1704110400, 1704110410]


def test_a_hundred_thousand_columns() -> None:
    names = ["step", *(f"layer{at}/norm" for at in range(100_000))]
    text = ",".join(names) + "\n" + "".join(f"{at}" + ",0.5" * 100_000 + "\n" for at in range(3))
    reader = SeparatedValues("t")
    [rows] = reader.feed(text.encode()) + reader.finish()
    assert isinstance(rows, Rows)
    assert len(rows.columns) == 100_000
    assert format_of(Path("m.csv"), text[:4096].encode()) == "csv"


def test_a_header_alone_is_said() -> None:
    reader = SeparatedValues("t")
    assert not read("epoch,loss\n", reader)
    assert reader.tally.notes == {"a header without rows": 0}


@pytest.mark.parametrize(
    ("name", "text", "format_"),
    [
        ("metrics", LIGHTNING, "csv"),
        ("log.txt", "iter\tval-loss\n100\t2.5\n", "csv"),
        ("x.out", KERAS, "csv"),
        ("x", MONITOR, "csv"),
        ("x", NOTES, "csv"),
        ("x", DECIMAL_COMMA, "csv"),
        ("x", "1,0.5\n2,0.4\n3,0.3\n", "csv"),
        ("x.csv", "loss\n0.5\n", "csv"),
        ("x.csv", "whatever,it,is\n", "csv"),
        ("x", "epoch,loss\n", "csv"),
        ("x", "Hello, world\n", "text"),
        ("x", "now it is text\n", "text"),
        ("x", "the loss\nis still 7\n", "text"),
        ("x.csv", "Hello, world.\nThis is a text, with commas.\n", "text"),
        ("x", "2024-01-01 12:00:00,123 INFO a\n2024-01-01 12:00:01,124 INFO b\n", "text"),
        ("x", "epoch 1, loss 0.5\nepoch 2, loss 0.4\n", "text"),
        ("x", "Epoch: 1, 0.5\nEpoch: 2, 0.5\nEpoch: 3, 0.5\n", "text"),
        ("x", "loading data, 5 files\nstep: 1, loss: 2\n", "text"),
        ("x", "[1,  2000] loss: 2.2\n[1,  4000] loss: 1.8\n", "text"),
    ],
)
def test_tables_are_told_from_text_by_their_content(name: str, text: str, format_: str) -> None:
    assert format_of(Path(name), text.encode()) == format_


CELLS = st.one_of(
    st.sampled_from(
        ["", "NA", "nan", "-inf", "1", "-0.5", "1e-05", "+3", ".5", "1_0", "x", "True"]
    ),
    st.floats().map(repr),
)


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=12)
    ),
    st.sampled_from([",", "\t", ";", "|"]),
)
def test_the_fast_way_reads_what_the_slow_one_reads(rows: list[list[str]], delimiter: str) -> None:
    width = len(rows[0]) if rows else 1
    names = ["step", "a", "b", "c"][:width]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows([names, *rows])
    text = out.getvalue()
    # A row with text in it makes its block take the slow way.
    slow = SeparatedValues("t")
    lines = text.splitlines(keepends=True)
    one_by_one = by_table(
        list(itertools.chain(*(slow.feed(line.encode()) for line in lines))) + slow.finish()
    )
    assert repr(read(text, SeparatedValues("t"))) == repr(one_by_one)


LONG = "step,metric,value,phase\n0,loss,1.0,train\n0,acc,0.1,val\n1,loss,nan,train\n"
SAMPLES = (LONG, LIGHTNING, KERAS, MONITOR, NOTES, DECIMAL_COMMA)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file with some bytes changed, doubled or taken out."""
    data = bytearray(draw(st.sampled_from(SAMPLES)).encode() * draw(st.integers(1, 3)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        piece = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\n", b",", b";", b"#", b"\r"])
        )
        data[at : at + draw(st.integers(0, 3))] = piece
    return bytes(data)


@given(mutated(), st.lists(st.integers(0, 400), max_size=4))
def test_any_bytes_are_read_alike_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    whole, cut = SeparatedValues("t", str), SeparatedValues("t", str)
    expected = by_table(whole.feed(data) + whole.finish())
    lines = data.splitlines(keepends=True) if b"\r" not in data else data.split(b"\n")
    if b"\r" in data:
        lines = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    places = sorted({0, *(at for at in cuts if at < len(lines)), len(lines)})
    items: list[Item] = []
    for begin, end in itertools.pairwise(places):
        items += cut.feed(b"".join(lines[begin:end]))
    found = by_table(items + cut.finish())
    assert repr(sorted(found.items())) == repr(sorted(expected.items()))
    assert cut.tally.skipped == whole.tally.skipped
    assert cut.tally.records == whole.tally.records


@pytest.mark.parametrize(
    "text",
    [
        'epoch\tlo1,\n0\t"[1, 2]"\n1\tNA\n\x00epoch\tloss\n0\t"[1, 2]"\n1\tNA',
        "epoch,loss\n\n\n1,2\n\n",
        "loss\n\n\n1\n\n2\n",
        '\0\0\0\n0\t"[ ,12]"\n1\tNA\n',
    ],
)
def test_lines_without_anything_are_no_rows(text: str) -> None:
    whole = read(text)
    reader = SeparatedValues("train", lambda split: split)
    pieces = [item for line in text.splitlines(True) for item in reader.feed(line.encode())]
    assert sum(map(len, by_table(pieces + reader.finish()).values())) == sum(
        map(len, whole.values())
    )
