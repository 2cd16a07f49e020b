"""The list of analyses: live ones by their events, earlier ones by their files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from traintop.analyses.request import Request
from traintop.analysis_results import AnalysisResult, write_result
from traintop.job_events import Ended, Log, Point, Progress, Started
from traintop_tui.job_list import JobItem, JobList


class FakeJob:
    """Says what a test tells it to say."""

    def __init__(self):
        self.state = "queued"
        self.progress = Progress(0, 0, "waiting")
        self.waiting = []
        self.cancelled = 0

    def say(self, *events):
        self.waiting += events

    def poll(self):
        said, self.waiting = self.waiting, []
        return said

    def cancel(self):
        self.cancelled += 1


class FakeQueue:
    def __init__(self):
        self.jobs = []
        self.closed = False

    def submit(self, request, **how):
        self.jobs.append(SimpleNamespace(request=request, how=how, job=FakeJob()))
        return self.jobs[-1].job

    def close(self):
        self.closed = True


def result(step=400, status="ok", **fields):
    return AnalysisResult(
        analysis="dead_neurons",
        status=status,
        checkpoint="ckpt-400.pt",
        step=step,
        seconds=1.5,
        device="cpu",
        **fields,
    )


@pytest.fixture
def queue(monkeypatch):
    fake = FakeQueue()
    monkeypatch.setattr("traintop.jobs.JobQueue", lambda: fake)
    return fake


def request(analysis="lr_find", checkpoint="runs/a/ckpt-400.pt"):
    return Request(analysis=analysis, target="train.py:target", checkpoint=checkpoint)


def test_a_job_from_its_start_to_its_result(queue, tmp_path):
    jobs = JobList(tmp_path)
    assert not jobs.poll()
    item = jobs.start(request(), "python3")
    job = queue.jobs[0].job
    assert queue.jobs[0].how == {"python": "python3", "run_dir": tmp_path, "beside": None}
    assert (item.title, item.checkpoint_name, item.state, item.step) == (
        "LR range test",
        "ckpt-400.pt",
        "queued",
        None,
    )
    assert item.lines() == ["queued: waiting"]
    assert jobs.active
    assert not jobs.poll()

    job.state, job.progress = "running", Progress(3, 10, "seed 0")
    job.say(Started("lr_find", "ckpt-400.pt", 400, "cpu"), Point(1e-3, 2.0, "seed 0"))
    job.say(Point(1e-2, 1.5, "seed 0"), Point(1e-3, 2.1, "seed 1"), Log("a remark"))
    assert jobs.poll()
    assert item.points == {"seed 0": ([1e-3, 1e-2], [2.0, 1.5]), "seed 1": ([1e-3], [2.1])}
    assert item.lines() == ["running: 3/10  seed 0", "a remark"]
    assert jobs.pinned() == []

    job.say(Ended(result(result={"layers": [], "samples": 1}), Path("there.json")))
    assert jobs.poll()
    assert (item.state, item.step, item.path) == ("ok", 400, Path("there.json"))
    assert item.lines()[0].startswith("Dead-neuron scan at step 400: ok (1.5 s on cpu)")
    assert item.lines()[-1] == "a remark"
    assert not jobs.active
    assert jobs.pinned() == [item]
    assert not jobs.poll()


def test_only_good_results_with_a_step_are_pinned(queue):
    jobs = JobList(None)
    for outcome in (result(step=None), result(status="failed", error="why"), result()):
        jobs.start(request(), None)
        queue.jobs[-1].job.say(Ended(outcome, None))
    jobs.poll()
    assert jobs.pinned() == [jobs.items[2]]
    assert "why" in jobs.items[1].lines()


def test_a_job_is_cancelled_only_while_it_has_not_ended(queue):
    jobs = JobList(None)
    item = jobs.start(request(), None)
    job = queue.jobs[0].job
    jobs.cancel(item)
    job.say(Ended(result(status="cancelled"), None))
    jobs.poll()
    jobs.cancel(item)
    jobs.cancel(JobItem("lr_find", None))
    assert job.cancelled == 1
    jobs.close()
    assert queue.closed


def test_closing_without_any_job_is_nothing():
    JobList(None).close()


def test_an_analysis_of_another_version_keeps_its_name():
    item = JobItem("from_the_future", None)
    assert (item.title, item.checkpoint_name) == ("from_the_future", "the target as it is")
    assert item.lines() == []


def test_earlier_results_are_listed_and_damaged_ones_are_named(tmp_path):
    write_result(result(), run_dir=tmp_path)
    folder = tmp_path / "analyses"
    (folder / "torn.json").write_text('{"schema": "traintop.analysis/1", "anal')
    (folder / "other.json").write_text(json.dumps({"schema": "other/1"}))
    later = json.loads(result().to_json()) | {"schema": "traintop.analysis/2"}
    (folder / "later.json").write_text(json.dumps(later))
    (folder / "binary.json").write_bytes(b"\x00\xff\x80" * 100)
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "folder.json").mkdir()
    jobs = JobList(tmp_path)
    jobs.load()
    [item] = jobs.items
    assert (item.state, item.step, item.analysis) == ("ok", 400, "dead_neurons")
    named = {Path(line.split(":")[0]).name for line in jobs.damaged}
    assert named == {f"{n}.json" for n in ("torn", "other", "later", "binary", "deep", "folder")}


@pytest.mark.parametrize(
    "broken", [{}, {"layers": 3}, {"layers": [{}]}, {"layers": [None]}, {"layers": [["x"]]}]
)
def test_a_result_whose_inside_is_damaged_is_said_and_does_not_raise(tmp_path, broken):
    write_result(result(result=broken), run_dir=tmp_path)
    jobs = JobList(tmp_path)
    jobs.load()
    lines = jobs.items[0].lines()
    assert "cannot be read" in "\n".join(lines)


async def test_damaged_results_are_shown_and_do_not_stop_the_screen(opened, run_folder):
    write_result(result(step=200, result={"layers": 3}), run_dir=run_folder)
    (run_folder / "analyses" / "torn.json").write_text("{")
    async with opened(run_folder) as pilot:
        pilot.app.model.jobs.load()
        await pilot.press("5")
        from app_driver import text_of

        text = text_of(pilot.app)
        assert "Dead-neuron scan" in text
        assert "cannot be read" in text
        assert "torn.json" in text
