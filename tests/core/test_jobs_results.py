"""Result files: written whole, never over another, read back or passed over with a reason."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from traintop import jobs, launch
from traintop.analysis_results import (
    AnalysisResult,
    cache_folder,
    load_results,
    write_result,
)
from traintop.errors import AnalysisError


def result(step: int | None = 400, analysis: str = "lr_find", **how: object) -> AnalysisResult:
    return AnalysisResult(
        analysis=analysis,
        checkpoint="ckpt-400.pt",
        step=step,
        seconds=1.5,
        device="cpu",
        **({"status": "ok"} | how),  # type: ignore[arg-type] # the other fields, by name
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_names_count_up_and_nothing_is_overwritten(tmp_path: Path) -> None:
    names = [
        write_result(each, run_dir=tmp_path).name for each in (result(), result(), result(None))
    ]
    assert names == ["lr_find-400-1.json", "lr_find-400-2.json", "lr_find-nostep-1.json"]
    stored, damaged = load_results(tmp_path)
    assert (len(stored), damaged) == (3, [])
    assert sorted(each.name for each in (tmp_path / "analyses").iterdir()) == sorted(names)


def test_the_format(tmp_path: Path) -> None:
    path = write_result(result(result={"samples": 3}), run_dir=None, out=tmp_path / "a" / "b")
    assert json.loads(path.read_text()) == {
        "schema": "traintop.analysis/1",
        "analysis": "lr_find",
        "status": "ok",
        "checkpoint": "ckpt-400.pt",
        "step": 400,
        "seconds": 1.5,
        "device": "cpu",
        "result": {"samples": 3},
        "findings": [],
    }
    assert "error" in json.loads(result(error="why").to_json())


def test_a_run_that_cannot_be_written_to_has_its_results_in_the_cache(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "analyses").write_text("a file stands in the way")
    path = write_result(result(), run_dir=run_dir)
    assert path.parent == cache_folder(run_dir)
    assert [each.path for each in load_results(run_dir)[0]] == [path]


def test_oldest_first(tmp_path: Path) -> None:
    paths = [write_result(result(step), run_dir=tmp_path) for step in (9, 8, 7)]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1000 + age, 1000 + age))
    assert [each.result.step for each in load_results(tmp_path)[0]] == [7, 8, 9]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[" * 100000,
        b"\xff\xfe",
        b'{"schema":"traintop.analysis/9"}',
        b'{"a":1}',
    ],
)
def test_damaged_files_are_passed_over_with_a_reason(content: bytes, tmp_path: Path) -> None:
    good = write_result(result(), run_dir=tmp_path)
    bad = good.with_name("lr_find-1-1.json")
    bad.write_bytes(content)
    stored, damaged = load_results(tmp_path)
    assert [each.path for each in stored] == [good]
    assert [each.path for each in damaged] == [bad]
    assert damaged[0].why


def test_a_file_of_another_schema_says_so(tmp_path: Path) -> None:
    path = write_result(result(schema="traintop.analysis/2"), run_dir=tmp_path)
    assert path.exists()
    assert "traintop.analysis/2" in load_results(tmp_path)[1][0].why


def test_no_results_no_complaint(tmp_path: Path) -> None:
    assert load_results(tmp_path / "none") == ([], [])


@pytest.mark.parametrize("content", [{}, {"layers": 3}, {"layers": [{}], "samples": "x"}])
@pytest.mark.parametrize("analysis", ["lr_find", "dead_neurons", "of the future"])
def test_a_summary_never_raises(analysis: str, content: dict[str, object]) -> None:
    lines = jobs.summary(result(analysis=analysis, result=content))
    assert any("cannot be read" in line for line in lines)


def test_what_another_user_recorded_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "run.json").write_text(
        json.dumps({"target": "train.py:target", "python": sys.executable})
    )
    assert launch.recorded_target(tmp_path) == "train.py:target"
    monkeypatch.setattr(launch, "_written_by_us", lambda _: False)
    with pytest.raises(AnalysisError, match="another user"):
        launch.recorded_target(tmp_path)
    assert launch.interpreter(None, tmp_path) == Path(sys.executable)


@pytest.mark.parametrize(
    ("error", "further"),
    [("cancelled", []), ("cancelled before it started", ["cancelled before it started"])],
)
def test_cancelled_is_said_once(error: str, further: list[str]) -> None:
    first, *rest = jobs.summary(result(status="cancelled", error=error))
    assert first == "LR range test at step 400: cancelled (1.5 s on cpu)"
    assert rest == further
