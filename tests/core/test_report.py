"""The report in words: what is listed, what is summed up, and how numbers read."""

from __future__ import annotations

import json

import msgspec
import pytest

from traintop import description, description_text, report
from traintop.finding_text import evidence_lines
from traintop.opening import read_whole
from traintop.records import Evidence, Finding, NextTest
from traintop.settings import Settings


def episode(number, **fields):
    at = 1000 * number
    return Finding(
        **{
            "id": "exploding_gradients",
            "severity": "info",
            "title": "Gradient norm far above its past",
            "onset_step": at,
            "detected_step": at + 1,
            "resolved_step": at + 50 + (number == 7),
            "episode": number,
            "evidence": (
                Evidence(
                    what="highest gradient norm", value=40.0 + number, threshold=10.0, step=at
                ),
                Evidence(what="records beyond the threshold", value=1.0),
            ),
            **fields,
        }
    )


def checked(*findings):
    return report.CheckReport(
        path="run",
        state="running",
        run=0,
        last_step=200_000,
        verdict="info",
        findings=findings,
        not_judged=(),
    )


MANY = [episode(number) for number in range(1, 161)]


def test_many_episodes_that_are_over_are_summed_up():
    text = report.to_text(checked(*MANY))
    assert text.splitlines()[2:] == [
        "INFO     Gradient norm far above its past, 160 times  [exploding_gradients]",
        "  when:     between steps 1000 and 160050, all over; the longest from step 7000 to 7051",
        "  measured: highest gradient norm: 47 (threshold 10) at step 7000",
    ]
    assert report.to_markdown(checked(*MANY)).count("##") == 1


def test_json_keeps_every_episode():
    assert len(json.loads(report.to_json(checked(*MANY)))["findings"]) == 160


def test_what_is_open_or_graver_is_listed_beside_the_sum():
    grave = episode(200, severity="critical")
    still = episode(201, resolved_step=None)
    text = report.to_text(checked(grave, *MANY, still))
    assert "160 times" in text
    assert "since step 200000, seen at step 200001, over at step 200050" in text
    assert "since step 201000, seen at step 201001\n" in text


def test_few_episodes_are_listed():
    text = report.to_text(checked(*MANY[:3]))
    assert text.count("[exploding_gradients]") == 3
    assert "times" not in text


def test_evidence_reads_as_what_and_value():
    assert evidence_lines(MANY[0]) == [
        "highest gradient norm: 41 (threshold 10) at step 1000",
        "records beyond the threshold: 1",
    ]


def test_numbers_that_json_has_no_words_for_are_strings():
    odd = Evidence(what="loss", value=float("nan"), threshold=float("-inf"))
    found = json.loads(report.to_json(checked(msgspec.structs.replace(MANY[0], evidence=(odd,)))))
    evidence = found["findings"][0]["evidence"][0]
    assert (evidence["value"], evidence["threshold"]) == ("NaN", "-Infinity")


@pytest.mark.parametrize(
    ("key", "verdict"), [("loss", "healthy"), ("temperature_of_the_room", "not judged")]
)
def test_a_run_with_nothing_to_judge_by_is_not_called_healthy(tmp_path, key, verdict):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": step, key: 1.0}) + "\n" for step in range(20)))
    assert report.check(read_whole(path, Settings()), 0.0).verdict == verdict


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("nothing to speak of\n", "text log"),
        ('{"names": ["a"], "numel": [1]}\n', "no record so far"),
    ],
)
def test_why_there_is_nothing_to_judge_is_said_of_the_file(tmp_path, content, says):
    path = tmp_path / "log.jsonl"
    path.write_text(content)
    made = report.check(read_whole(path, Settings()), 0.0)
    assert (made.verdict, made.state) == ("not judged", "unknown")
    [problem] = made.problems
    assert problem.startswith(f"{path}: ")
    assert says in problem


def test_keys_that_hold_no_numbers_are_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 2.0, "note": "warm"}\n' * 3)
    described = description.describe(read_whole(path, Settings()), 0.0)
    assert described.sources[0].ignored == {"note": 3}
    assert "left aside: note" in description_text.to_text(described)


def test_a_test_is_told_once_in_a_story_and_the_fixes_stand_under_it():
    cause = Finding(
        id="lr_too_high",
        severity="warning",
        title="Learning rate too high",
        onset_step=100,
        detected_step=105,
        next=(NextTest(do="Range test", analysis="lr_find", checkpoint="ckpt-90.pt"),),
        fixes=("lr 0.1 -> 0.01, as before", "or clip at 1"),
    )
    effect = Finding(
        id="divergence",
        severity="critical",
        title="Training loss diverged",
        onset_step=101,
        detected_step=110,
        resolved_step=120,
        next=(NextTest(do="Another range test", analysis="lr_find"),),
        fixes=("lr 0.1 -> 0.01, from a checkpoint",),
    )
    text = report.to_text(checked(cause, effect))
    assert "Another range test" not in text
    assert text.endswith(
        "What to do, in this order:\n"
        "  1. Range test [lr_find ckpt-90.pt]\n"
        "     if that confirms it: lr 0.1 -> 0.01, as before\n"
        "     or: clip at 1"
    )
    assert "from a checkpoint" not in text
    over = msgspec.structs.replace(effect, onset_step=1)
    assert "1. Another range test [lr_find] (over at step 120)" in report.to_text(checked(over))


def test_where_nothing_is_known_the_detectors_are_not_listed(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": 1}\n' * 3)
    made = report.check(read_whole(path, Settings()), 0.0)
    assert made.not_judged
    assert report.to_text(made).count("needs") == 0
    assert f"`traintop describe {path}`" in report.to_text(made)
    assert f"`traintop describe {path}`" in report.to_markdown(made)


def test_many_blind_spots_are_named_and_few_are_explained(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        "".join(f'{{"step": {step}, "loss": {1 / (step + 1)}}}\n' for step in range(50))
    )
    made = report.check(read_whole(tmp_path / "a.jsonl", Settings()), 0.0)
    text = report.to_text(made)
    assert "Not judged for want of what is not recorded" in text
    assert all(each.id in text for each in made.not_judged)
    assert all(each.needs in report.to_markdown(made) for each in made.not_judged)
    few = msgspec.structs.replace(made, not_judged=made.not_judged[:2])
    assert all(each.needs in report.to_text(few) for each in few.not_judged)
