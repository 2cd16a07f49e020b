"""Findings of analyses join those of the log, at their checkpoints' steps."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from run_files import write_run
from traintop.analysis_findings import AnalysisFindings, findings_of
from traintop.analysis_results import AnalysisResult, write_result
from traintop.checking import Options, check_run
from traintop.opening import open_run, read_whole
from traintop.session import Session
from traintop.settings import Settings


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))


def finding(name: str = "lr_too_high", severity: str = "critical", **fields: Any) -> dict[str, Any]:
    made = {
        "id": name,
        "severity": severity,
        "title": f"{name} found",
        "onset_step": 200,
        "detected_step": 200,
        "resolved_step": None,
        "series": [],
        "layers": [],
        "ranks": [],
        "evidence": [{"what": "lr over the edge", "value": 30, "threshold": 2, "step": 200}],
        "causes": [{"cause": "learning rate too high", "because": "measured"}],
        "next": [{"do": "Scan", "analysis": "dead_neurons"}, {"do": "train at lr 1e-3"}],
    }
    return made | fields


def result(*findings: dict[str, Any], analysis: str = "lr_find", **fields: Any) -> AnalysisResult:
    given: dict[str, Any] = {"step": 200, "status": "ok", "checkpoint": "/run/step-200.pt"}
    return AnalysisResult(
        analysis=analysis, seconds=1.0, device="cpu", findings=list(findings), **(given | fields)
    )


def at(step: int, *names: str, analysis: str = "weights") -> AnalysisResult:
    made = [finding(name, onset_step=step, detected_step=step) for name in names]
    return result(*made, analysis=analysis, step=step)


def spans(*results: AnalysisResult) -> list[tuple[str, int, int | None]]:
    return [(each.id, each.onset_step, each.resolved_step) for each in findings_of(results)]


def test_a_finding_says_which_analysis_measured_it_and_tests_take_its_checkpoint() -> None:
    [found] = findings_of([result(finding())])
    assert found.evidence[0].what == "LR range test: lr over the edge"
    assert found.causes[0].basis == "measured"
    assert [test.checkpoint for test in found.next] == ["/run/step-200.pt", None]
    assert found.key == ("lr_too_high", -201)


@pytest.mark.parametrize(
    ("results", "wanted"),
    [
        ([], []),
        ([at(100)], []),
        ([at(100, "a"), at(200, "a")], [("a", 100, None)]),
        ([at(200, "a"), at(100, "a")], [("a", 100, None)]),
        ([at(100, "a"), at(200)], [("a", 100, 200)]),
        ([at(100), at(200, "a")], [("a", 200, None)]),
        ([at(100, "a"), at(200), at(300, "a")], [("a", 100, 200), ("a", 300, None)]),
        ([at(100, "a"), at(100)], []),  # Looked at again: the newer result counts.
        ([at(100, "a"), at(200, analysis="data")], [("a", 100, None)]),
        ([at(100, "a", "b")], [("a", 100, None), ("b", 100, None)]),
    ],
)
def test_spans(results: list[AnalysisResult], wanted: list[Any]) -> None:
    assert spans(*results) == wanted


def test_what_two_analyses_say_of_one_step_is_one_finding_with_all_evidence() -> None:
    mild = finding(severity="warning", title="mild", layers=["a"])
    one, other = result(mild), result(finding(layers=["b"]), analysis="checkup")
    for order in ([one, other], [other, one]):
        [found] = findings_of(order)
        assert (found.severity, found.title) == ("critical", "lr_too_high found")
        assert set(found.layers) == {"a", "b"}
        assert {each.what.split(":")[0] for each in found.evidence} == {"LR range test", "Checkup"}


@pytest.mark.parametrize(
    "bad",
    [
        result(finding(), status="failed"),
        result(finding(), status="cancelled"),
        result(finding(severity="awful")),
        result({"id": "nan_inf"}),
        result(finding(evidence=3)),
    ],
)
def test_failed_and_damaged_results_say_nothing(bad: AnalysisResult) -> None:
    assert findings_of([bad]) == ()


def test_a_result_without_a_step_begins_with_the_run() -> None:
    assert spans(result(finding(onset_step=0, detected_step=0), step=None)) == [
        ("lr_too_high", 0, None)
    ]


def test_new_results_are_noticed_and_old_ones_not_read_again(tmp_path: Path) -> None:
    watch = AnalysisFindings()
    assert watch.look(tmp_path, 100.0) == []
    assert watch.look(None, 100.0) == []
    write_result(result(finding()), run_dir=tmp_path)
    assert watch.look(tmp_path, 101.0) == []  # Not so soon.
    [found] = watch.look(tmp_path, 103.0)
    assert found.id == "lr_too_high"
    (tmp_path / "analyses" / "lr_find-200-1.json").write_text("{")  # The folder stays as it was.
    assert watch.look(tmp_path, 106.0) == []
    assert len(watch.findings) == 1


def test_check_tells_of_them_beside_the_run_s_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 500)
    own = {each.id for each in open_run(run).findings()}
    assert "nan_inf" in own
    write_result(result(finding(), finding("nan_inf")), run_dir=run)
    outcome = check_run(Options(format="json"), str(run))
    report = json.loads(outcome.printed or "")
    found = [(each["id"], each["onset_step"]) for each in report["findings"]]
    assert ("lr_too_high", 200) in found
    assert {("nan_inf", 200), ("nan_inf", 400)} <= set(found)
    assert len({(each["id"], each["episode"]) for each in report["findings"]}) == len(found)
    text = check_run(Options(), str(run)).printed or ""
    assert "LR range test: lr over the edge: 30 (threshold 2) at step 200" in text
    assert any("lr_too_high" in story["findings"] for story in report["episodes"])


def test_what_would_have_been_said_earlier_knows_of_no_analysis(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_result(result(finding()), run_dir=run)
    assert "lr_too_high" not in {
        each.id for each in read_whole(run, Settings(), until=250).findings()
    }


def test_a_result_that_comes_while_the_run_is_followed_is_news(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    session = Session(run, Settings())
    now = 1_800_000_500.0
    while session.pump(now).more:
        pass
    write_result(result(finding()), run_dir=run)
    [found] = session.pump(now + 10).findings
    assert found in session.findings()
    assert session.pump(now + 20).findings == ()


def test_beside_a_single_file_there_may_be_results_of_others(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", log=False)
    write_result(result(finding()), run_dir=run)
    session = open_run(run / "train_diagnostics.jsonl")
    assert "lr_too_high" not in {each.id for each in session.findings()}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_passed_over(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_result(result(finding()), run_dir=run)
    (run / "analyses").chmod(0)
    try:
        assert open_run(run).findings() == ()
    finally:
        (run / "analyses").chmod(0o700)
