"""SARIF 2.1.0: what the schema requires, where a result points, and what stays the same."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from traintop import sarif
from traintop.detectors.registry import IDS
from traintop.records import Cause, Evidence, Finding, NextTest, NotJudged
from traintop.report import CheckReport

LEVELS = {"none", "note", "warning", "error"}


def finding(**fields):
    return Finding(
        **{
            "id": "nan_inf",
            "severity": "critical",
            "title": "Training loss is not finite",
            "onset_step": 7,
            "detected_step": 8,
            "evidence": (Evidence(what="loss", value=math.nan, threshold=0.0, step=7),),
            "causes": (Cause(cause="a bad batch", because="nothing was growing"),),
            "next": (NextTest(do="find the module", analysis="nan_source"),),
            **fields,
        }
    )


def report(*findings, **fields):
    return CheckReport(
        **{
            "path": "runs/a",
            "state": "running",
            "run": 0,
            "last_step": 9,
            "verdict": "critical",
            "findings": findings,
            "not_judged": (NotJudged(id="overfitting", needs="validation loss"),),
            "problems": ("runs/a/x.bin: this looks like gzip",),
            **fields,
        }
    )


def written(*reports, files=(), interrupted=False):
    """Write a log as the command does; return it parsed."""
    pieces = []
    with contextlib.suppress(KeyboardInterrupt), sarif.SarifWriter(pieces.append) as log:
        for each in reports:
            log.add(sarif.results(each, files), sarif.notices(each))
        if interrupted:
            raise KeyboardInterrupt
    return json.loads("".join(pieces))


def assert_valid(log):
    """Check what the schema of SARIF 2.1.0 requires of the objects that are used here."""
    assert log["version"] == "2.1.0"
    assert urlsplit(log["$schema"]).scheme == "https"
    assert log["runs"]
    for run in log["runs"]:
        driver = run["tool"]["driver"]  # `tool` and `driver` are required
        assert driver["name"]  # as is `name`
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(set(ids)) == len(ids)
        for rule in driver["rules"]:
            assert set(rule) <= {
                "id",
                "name",
                "shortDescription",
                "fullDescription",
                "help",
                "defaultConfiguration",
                "properties",
            }
            for words in ("shortDescription", "fullDescription", "help"):
                assert rule[words]["text"].strip()  # multiformatMessageString requires `text`
            assert rule["defaultConfiguration"]["level"] in LEVELS
        for result in run["results"]:
            assert result["message"]["text"]  # `message` is required
            assert result["level"] in LEVELS
            if "ruleIndex" in result:
                assert ids[result["ruleIndex"]] == result["ruleId"]
            fingerprints = result["partialFingerprints"]
            assert all(isinstance(value, str) for value in fingerprints.values())
            for location in result["locations"]:
                assert_location(location)
        for invocation in run["invocations"]:
            assert isinstance(invocation["executionSuccessful"], bool)  # required
            for notice in invocation["toolExecutionNotifications"]:
                assert notice["message"]["text"]  # required
                assert notice["level"] in LEVELS
                for location in notice["locations"]:
                    assert_location(location)


def assert_location(location):
    place = location["physicalLocation"]
    uri = place["artifactLocation"]["uri"]
    assert " " not in uri
    assert urlsplit(uri).scheme in ("", "file")
    if "region" in place:
        assert place["region"]["startLine"] >= 1


def test_a_log_is_what_the_schema_requires():
    log = written(report(finding(), finding(episode=2, severity="info")), report())
    assert_valid(log)
    [run] = log["runs"]
    assert [result["level"] for result in run["results"]] == ["error", "note"]
    [invocation] = run["invocations"]
    assert invocation["executionSuccessful"] is True
    assert [each["level"] for each in invocation["toolExecutionNotifications"]] == [
        "warning",
        "note",
    ] * 2


def test_a_log_without_results_is_valid():
    assert_valid(written())
    assert written()["runs"][0]["results"] == []


def test_every_finding_has_a_rule():
    rules = {rule["id"]: rule for rule in sarif.rules()}
    assert {*IDS, "worse_than_baseline"} <= set(rules)
    for rule in rules.values():
        assert "Needs " in rule["help"]["text"]
        assert "Args:" not in rule["help"]["text"]


def test_a_message_says_what_was_measured_and_the_threshold():
    [result] = written(report(finding()))["runs"][0]["results"]
    text = result["message"]["text"]
    assert "since step 7" in text
    assert "loss: nan (threshold 0) at step 7" in text
    assert "a bad batch (nothing was growing)" in text
    assert "find the module [nan_source]" in text
    assert result["properties"]["onsetStep"] == 7
    assert result["properties"]["evidence"][0]["value"] == "NaN"


def test_a_finding_without_a_rule_still_has_its_id():
    log = written(report(finding(id="new_one")))
    assert_valid(log)
    [result] = log["runs"][0]["results"]
    assert result["ruleId"] == "new_one"
    assert "ruleIndex" not in result


def test_fingerprints_stay_while_a_run_goes_on_and_differ_between_episodes_and_runs():
    def prints(*findings, **fields):
        results = written(report(*findings, **fields))["runs"][0]["results"]
        return [result["partialFingerprints"][sarif.FINGERPRINT] for result in results]

    [early] = prints(finding())
    [later] = prints(finding(detected_step=90, resolved_step=95, severity="warning"), last_step=99)
    assert early == later
    others = prints(finding(episode=2), finding(id="divergence"))
    assert len({early, *others, *prints(finding(), path="runs/b"), *prints(finding(), run=1)}) == 5


def test_results_point_at_the_file_and_the_line(tmp_path):
    lines = [json.dumps({"step": step, "loss": 1.0}) + "\n" for step in (5, 6, 7, 6, 7, 70)]
    names = ("run.json", "train_diagnostics.jsonl", "val_diagnostics.jsonl", "layers.jsonl")
    files = [tmp_path / name for name in names]
    for file in files:
        file.write_text("".join(lines))
    findings = (
        finding(),
        finding(series=("loss/val",)),
        finding(layers=("a.weight",)),
        finding(onset_step=8),
    )
    results = written(report(*findings), files=files)["runs"][0]["results"]
    places = [result["locations"][0]["physicalLocation"] for result in results]
    assert [Path(place["artifactLocation"]["uri"]).name for place in places] == [
        "train_diagnostics.jsonl",
        "val_diagnostics.jsonl",
        "layers.jsonl",
        "train_diagnostics.jsonl",
    ]
    # The step was repeated by a resumed run: the later record counts.
    assert [place.get("region") for place in places] == [{"startLine": 5}] * 3 + [None]


@pytest.mark.parametrize(
    "record", ['{"step":12}', '{"a": 1, "global_step": 12, "b": 2}', '{"iter" : 12.0}']
)
def test_the_line_is_found_by_its_step(tmp_path, record):
    file = tmp_path / "log.jsonl"
    file.write_text('{"step": 1, "x": 12}\n{"step": 121}\n' + record + "\n")
    assert sarif.line_of(file, 12) == 3
    assert sarif.line_of(file, 2) is None
    assert sarif.line_of(tmp_path / "nothing", 12) is None
    assert sarif.line_of(tmp_path, 12) is None


def test_paths_become_uris(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sarif.uri(Path("a b/ü.jsonl")) == "a%20b/%C3%BC.jsonl"
    absolute = sarif.uri(tmp_path.parent / "other run")
    assert absolute.startswith("file:///")
    assert unquote(absolute.removeprefix("file://")) == str(tmp_path.parent / "other run")


def test_a_log_that_is_broken_off_is_whole_and_says_so():
    log = written(report(finding()), interrupted=True)
    assert_valid(log)
    assert log["runs"][0]["invocations"][0]["executionSuccessful"] is False
