"""What `traintop describe` says of a run, against what was written into its files."""

from __future__ import annotations

import json
import math

import pytest

from run_files import write_run
from traintop.description import describe, to_json
from traintop.description_text import to_text
from traintop.opening import read_whole
from traintop.session import Session
from traintop.settings import Settings

NOW = 1_800_000_500.0


@pytest.fixture
def described(tmp_path):
    """A run with a broken line, NaN, layers and a checkpoint, described."""
    folder = write_run(tmp_path / "run", 500)
    lines = (folder / "train_diagnostics.jsonl").read_text().splitlines()
    lines[16] = "not JSON"
    (folder / "train_diagnostics.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "step-000200.pt").write_bytes(b"1234")
    return describe(read_whole(folder, Settings()), NOW), lines


def parsed(description):
    line = to_json(description)
    assert "\n" not in line
    return json.loads(line, parse_constant=pytest.fail)


def test_the_json_has_the_keys_of_the_contract(described):
    found = parsed(described[0])
    contract = ["schema", "path", "state", "runs", "sources", "series", "layers", "checkpoints"]
    assert list(found)[: len(contract)] == contract
    assert found["schema"] == "traintop.describe/1"
    assert (found["state"], found["runs"]) == ("finished", 1)
    for source in found["sources"]:
        further = ("skipped_total", "error", "ignored", "notes", "why")
        assert [key for key in source if key not in further] == [
            "path",
            "format",
            "records",
            "skipped",
        ]
    for series in found["series"]:
        assert list(series)[:10] == [
            "name",
            "role",
            "axis",
            "points",
            "first_step",
            "last_step",
            "min",
            "max",
            "last",
            "nonfinite",
        ]
    assert found["layers"] == {"names": 2, "records": 50}
    assert set(found["checkpoints"][0]) == {"path", "step", "loss", "size"}
    assert found["checkpoints"][0]["path"].endswith("step-000200.pt")


def test_the_numbers_are_those_of_the_file(described):
    description, lines = described
    values = [json.loads(line)["loss"] for line in lines if line != "not JSON"]
    finite = [value for value in values if value != "NaN"]
    [loss] = [each for each in parsed(description)["series"] if each["role"] == "loss/train"]
    assert {key: loss[key] for key in list(loss)[:10]} == {
        "name": "loss",
        "role": "loss/train",
        "axis": "step",
        "points": len(values),
        "first_step": 0,
        "last_step": 499,
        "min": min(finite),
        "max": max(finite),
        "last": "NaN",
        "nonfinite": len(values) - len(finite),
    }


def test_what_was_passed_over_is_named_by_its_line(described):
    [train] = [
        source
        for source in parsed(described[0])["sources"]
        if source["path"].endswith("train_diagnostics.jsonl")
    ]
    assert (train["format"], train["records"], train["skipped_total"]) == ("traintop/1", 499, 1)
    [skipped] = train["skipped"]
    assert skipped["line"] == 17
    assert skipped["why"]


def test_a_series_without_a_finite_value_has_no_extremes(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {n}, "loss": -Infinity}}\n' for n in range(5)))
    [series] = describe(read_whole(path, Settings()), NOW).series
    assert (series.min, series.max, series.nonfinite) == (None, None, 5)
    [series] = parsed(describe(read_whole(path, Settings()), NOW))["series"]
    assert series["last"] == "-Infinity"


def test_a_person_reads_the_same(described):
    text = to_text(described[0])
    assert "finished, 1 run" in text
    assert "line 17 passed over" in text
    assert "100 not finite" in text
    assert "layers: 2 in 50 records" in text
    assert "log: 55 lines" in text
    assert "step-000200.pt (step 200)" in text
    [line] = [line for line in text.splitlines() if line.startswith("  loss ")]
    assert line.split()[:4] == ["loss", "loss/train", "499", "0..499"]


def test_more_than_a_few_broken_lines_are_counted(tmp_path):
    path = tmp_path / "log.jsonl"
    good = "".join(f'{{"step": {n}, "loss": 1.0}}\n' for n in range(30))
    path.write_text(good + '{"step": \n' * 20)
    text = to_text(describe(read_whole(path, Settings()), NOW))
    assert text.count("passed over:") == 5
    assert "20 lines passed over in all" in text


def test_what_was_understood_and_why(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [
        {
            "step": 10 * n,
            "loss": round(2 + 0.9**n, 4),
            "ppl": math.exp(round(2 + 0.9**n, 4)),
            "avg_loss": 2.0 + 1 / (n + 1),
            "kept": 1.0 / (n + 3),
            "mine": n % 3,
            "tokens": 1000 * n,
        }
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = Settings(roles={"mine": "none", "absent": "loss/val"})
    session = read_whole(path, settings)
    session.give_role("kept", "accuracy/val")
    description = describe(session, NOW)
    series = {each.name: each for each in description.series}
    assert (series["loss"].role_from, series["loss"].quantum) == ("name", 1e-4)
    assert (series["ppl"].derived_from, series["ppl"].how) == ("loss", "exp")
    assert (series["avg_loss"].role, series["avg_loss"].derived_from) == (None, "loss")
    assert (series["kept"].role, series["kept"].role_from) == ("accuracy/val", "you")
    assert description.axes == ("step", "tokens")
    assert (description.tokens, description.unused) == ("tokens", ("absent",))

    text = to_text(description)
    assert "why: its lines are JSON objects" in text
    assert "loss/train: loss, `loss` in its name" in text
    assert "accuracy/val: kept, you said so (role from: you)" in text
    assert "no role, as the settings said: mine" in text
    assert "exp loss: ppl" in text
    assert "written to 1e-4: loss" in text
    assert "the settings speak of 'absent', which no series is called" in text
    assert '"ppl" = "loss/val"' in text
    assert max(map(len, text.splitlines()[1:])) <= 80


def test_several_runs_and_a_resumed_one_are_told_apart(tmp_path):
    path = tmp_path / "log.jsonl"
    steps = [*range(100), *range(100), *range(80, 150)]
    path.write_text("".join(f'{{"step": {step}, "loss": 1.0}}\n' for step in steps))
    description = describe(read_whole(path, Settings()), NOW)
    assert [(each.last_step, each.resumed_at) for each in description.run_list] == [
        (99, ()),
        (149, (80,)),
    ]
    text = to_text(description)
    assert "run 2: steps 0 to 149, 150 records; all below is of this one" in text
    assert "resumed, repeating records from step 80: the later ones count" in text


def test_a_text_log_shows_a_line_that_was_understood(tmp_path):
    path = tmp_path / "train.log"
    path.write_text("hello\n" + "".join(f"step {n} | loss {2 - n / 99:.4f}\n" for n in range(99)))
    text = to_text(describe(read_whole(path, Settings()), NOW))
    assert "repeat, such as `step 98 | loss 1.0101`" in text


def test_names_that_hold_control_sequences_are_defused(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {n}, "a\\u001b[2J": {n}.5}}\n' for n in range(9)))
    text = to_text(describe(read_whole(path, Settings()), NOW))
    assert "\x1b" not in text


def test_a_folder_without_a_record(tmp_path):
    description = describe(Session(tmp_path, Settings()), NOW)
    assert (description.runs, description.series, description.layers.names) == (0, (), 0)
    assert parsed(description)["sources"] == []
    assert "0 runs" in to_text(description)


def test_names_that_are_no_text_are_printable(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1, "loss": 2, "\\ud800": 3, "a": "\\udc00"}\n')
    description = describe(read_whole(path, Settings()), NOW)
    assert {series["name"] for series in parsed(description)["series"]} == {"loss", "?"}
    assert to_text(description).encode()
