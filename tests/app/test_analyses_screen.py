"""Screen 5 and the dialogs that start analyses: what can run, what is missing, what is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from textual.widgets import Input, OptionList

from app_driver import text_of
from traintop.analyses import ANALYSES
from traintop.job_events import Progress
from traintop_tui.job_list import JobItem
from traintop_tui.remembered import Remembered, recall, remember, state_file
from traintop_tui.screens.analyses import AnalysesScreen
from traintop_tui.screens.analysis_form import AnalysisForm
from traintop_tui.screens.analysis_picker import AnalysisPicker

TARGET = "def target():\n    return Target(model=m, train=t, loss=f)\n"


@pytest.fixture
def with_target(run_folder):
    (run_folder / "train.py").write_text(TARGET)
    (run_folder / "checkpoints" / "step-000100.pt").write_bytes(b"x")
    return run_folder


@pytest.fixture
def started(monkeypatch):
    """Take requests instead of starting processes for them."""
    requests = []

    def start(self, request, _python):
        requests.append(request)
        self.items.append(JobItem(request.analysis, request.checkpoint))
        return self.items[-1]

    monkeypatch.setattr("traintop_tui.job_list.JobList.start", start)
    return requests


def lines_of(app) -> dict[str, str]:
    box = app.screen.query_one(OptionList)
    return {each.id: str(each.prompt) for each in box.options}


async def choose(pilot, name):
    """Open the list and put its bar on an analysis."""
    await pilot.press("A")
    await pilot.pause()
    box = pilot.app.screen.query_one(OptionList)
    box.highlighted = box.get_option_index(name)
    await pilot.pause()


# --- the list --------------------------------------------------------------------------------


async def test_the_list_has_a_line_an_analysis_and_says_why_one_cannot_run(opened, with_target):
    async with opened(with_target, target=f"{with_target}/train.py:target") as pilot:
        await choose(pilot, "lr_find")
        assert isinstance(pilot.app.screen, AnalysisPicker)
        lines = lines_of(pilot.app)
        assert list(lines) == list(ANALYSES)
        assert all(analysis.title in lines[name] for name, analysis in ANALYSES.items())
        assert "the target gives no optimizer" in lines["lr_find"]
        assert ANALYSES["dead_neurons"].description in lines["dead_neurons"]
        assert "Not now: the target gives no optimizer" in str(
            pilot.app.screen.query_one("#about").render()
        )


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (None, "no target"),
        ("gone.py:target", "is not there"),
        ("package.module:target", None),
    ],
)
async def test_why_not(opened, with_target, target, why):
    async with opened(with_target, **({} if target is None else {"target": target})) as pilot:
        found = pilot.app.model.why_not("lr_find")
        assert found is None if why is None else why in found


async def test_recorded_batches_take_the_place_of_a_loader(opened, run_folder):
    (run_folder / "train.py").write_text("def target():\n    return Target(model=m)\n")
    async with opened(run_folder, target=f"{run_folder}/train.py:target") as pilot:
        assert pilot.app.model.why_not("shapes") == "the target gives no train"
        (run_folder / "batches").mkdir()
        assert pilot.app.model.why_not("shapes") is None


async def test_a_target_that_is_changed_is_read_again(opened, with_target):
    async with opened(with_target, target=f"{with_target}/train.py:target") as pilot:
        assert pilot.app.model.why_not("lr_find") is not None
        file = with_target / "train.py"
        file.write_text(TARGET.replace("loss=f", "loss=f, optimizer=o"))
        os.utime(file, (2_000_000_000, 2_000_000_000))
        assert pilot.app.model.why_not("lr_find") is None


def test_what_can_run_is_found_out_without_torch(with_target):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from traintop.gpu import GpuMonitor\n"
        "from traintop.session import Session\n"
        "from traintop.settings import Settings\n"
        "from traintop.analyses import ANALYSES\n"
        "from traintop_tui.model import Model\n"
        "import traintop_tui.screens.analyses, traintop_tui.screens.analysis_form\n"
        "run = Path(sys.argv[1])\n"
        "settings = Settings(target=f'{run}/train.py:target')\n"
        "model = Model([Session(run, settings)], settings, GpuMonitor())\n"
        "print([model.why_not(name) for name in ANALYSES].count(None))\n"
        "assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(with_target)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert 0 < int(ran.stdout) < len(ANALYSES)


async def test_enter_starts_the_one_under_the_bar_at_once(opened, with_target, started):
    async with opened(with_target, target=f"{with_target}/train.py:target") as pilot:
        await choose(pilot, "dead_neurons")
        await pilot.press("enter")
        [request] = started
        assert request.analysis == "dead_neurons"
        assert request.checkpoint.endswith("step-000200.pt")
        assert isinstance(pilot.app.screen, AnalysesScreen)


# --- the form --------------------------------------------------------------------------------


async def test_a_target_that_is_missing_is_asked_for_and_remembered(opened, with_target, started):
    async with opened(with_target) as pilot:
        await pilot.press("L")
        await pilot.pause()
        assert isinstance(pilot.app.screen, AnalysisForm)
        await pilot.press(*"nofile", "enter")
        assert isinstance(pilot.app.screen, AnalysisForm)  # It says what is wrong, and stays.
        field = pilot.app.screen.query_one("#target", Input)
        field.value = f"{with_target}/gone.py:target"
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, AnalysisForm)
        field.value = f"{with_target}/train.py:target"
        await pilot.press("enter")
        await pilot.pause()
        assert [each.target for each in started] == [f"{with_target}/train.py:target"]
    async with opened(with_target) as pilot:
        await pilot.press("D")
        assert [each.analysis for each in started] == ["lr_find", "dead_neurons"]
        assert started[1].target == started[0].target


async def test_options_are_asked_for_with_their_defaults_and_remembered(
    opened, with_target, started
):
    async with opened(with_target, target=f"{with_target}/train.py:target") as pilot:
        await choose(pilot, "dead_neurons")
        await pilot.press("o")
        await pilot.pause()
        form = pilot.app.screen
        assert not form.query("#target")
        assert form.query_one("#option-samples", Input).value == "2000"
        form.query_one("#option-samples", Input).value = "many"
        await pilot.press("enter")
        assert pilot.app.screen is form
        form.query_one("#option-samples", Input).value = "500"
        await pilot.press("enter")
        await pilot.pause()
        assert started[0].options == {"samples": 500.0}
        await pilot.press("D")
        assert started[1].options == {"samples": 500.0}
        await choose(pilot, "dead_neurons")
        await pilot.press("o")
        await pilot.pause()
        pilot.app.screen.query_one("#option-samples", Input).value = ""  # The default again.
        await pilot.press("enter")
        await pilot.pause()
        assert started[2].options == {}


async def test_the_checkpoint_is_chosen_or_none(opened, with_target, started):
    async with opened(with_target, target=f"{with_target}/train.py:target") as pilot:
        for place in (0, 1, 2):
            await choose(pilot, "shapes")
            await pilot.press("o")
            await pilot.pause()
            box = pilot.app.screen.query_one("#checkpoints", OptionList)
            assert box.highlighted == 0
            box.highlighted = place
            box.focus()
            await pilot.press("enter")
            await pilot.pause()
        names = [each.checkpoint and Path(each.checkpoint).name for each in started]
        assert names == ["step-000200.pt", "step-000100.pt", None]


async def test_the_dialogs_fit_a_small_terminal_and_are_left(opened, with_target):
    async with opened(with_target, size=(80, 24)) as pilot:
        longest = max(ANALYSES, key=lambda name: len(ANALYSES[name].options))
        for name in (longest, "weights"):
            await choose(pilot, name)
            await pilot.press("o")
            await pilot.pause()
            form = pilot.app.screen
            assert isinstance(form, AnalysisForm)
            assert form.query_one(".dialog").region.bottom <= 24
            await pilot.press("escape")
            assert isinstance(pilot.app.screen, AnalysesScreen)


def test_what_was_typed_is_kept_by_run(tmp_path):
    typed = Remembered(target="a.py:b", options={"lr_find": {"num_it": 50.0}})
    run, other = tmp_path / "run", tmp_path / "other"
    assert recall(run) == Remembered()
    assert remember(run, typed) is None
    assert recall(run) == typed
    assert recall(other) == Remembered()
    for damaged in (b"", b"[" * 100_000, b'{"target": 5}', b"\xff\x00"):
        state_file(run).write_bytes(damaged)
        assert recall(run) == Remembered()
    assert remember(None, typed) is None
    assert recall(None) == Remembered()


def test_a_state_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert "cannot be written" in (remember(tmp_path, Remembered(target="x")) or "")


# --- jobs ------------------------------------------------------------------------------------


async def test_a_job_shows_its_share_and_the_time_left(opened, run_folder, monkeypatch):
    async with opened(run_folder, ascii=True) as pilot:
        job = SimpleNamespace(
            state="running", progress=Progress(30, 100, "seed 0"), poll=list, cancel=lambda: None
        )
        item = JobItem("lr_find", None, job=job, began=(1000.0, 10))
        pilot.app.model.jobs.items.append(item)
        clock = SimpleNamespace(monotonic=lambda: 1010.0)
        monkeypatch.setattr("traintop_tui.widgets.result_text.time", clock)
        assert item.seconds_left(1010.0) == pytest.approx(35.0)
        assert item.seconds_left(1000.1) is None  # Too soon to tell.
        await pilot.press("5")
        text = text_of(pilot.app)
        assert "running 30%" in text
        assert "30%  35 s left" in text
        job.progress = Progress(3, 0, "importing torch")
        assert item.seconds_left(1010.0) is None
        pilot.app.redraw()
        assert "importing torch" in text_of(pilot.app)


async def test_x_cancels_what_runs(opened, run_folder):
    cancelled = []
    async with opened(run_folder) as pilot:
        await pilot.press("5", "x")
        job = SimpleNamespace(
            state="running",
            progress=Progress(0, 0, ""),
            poll=list,
            cancel=lambda: cancelled.append(1),
        )
        pilot.app.model.jobs.items.append(JobItem("lr_find", None, job=job))
        await pilot.press("x")
        assert cancelled == [1]
