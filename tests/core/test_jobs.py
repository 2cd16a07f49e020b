"""Jobs: real worker processes, and every way in which a target can end one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from traintop import jobs
from traintop.analyses.request import Request
from traintop.analysis_results import AnalysisResult, load_results
from traintop.errors import AnalysisError
from traintop.job_events import Ended, JobEvent, Log, Progress, Started
from traintop.launch import interpreter, make_request

TARGETS = """
import ctypes, os, subprocess, sys, threading, time
import torch
from torch import nn
from traintop import Target
import core, helper  # the user's own

def target():
    print("a target that prints", '{"event": "result"}')
    os.write(1, b"to the descriptor, too\\n")
    torch.manual_seed(0)
    x = torch.randn(1200, 6)
    y = (x[:, 0] > 0).long()
    return Target(
        model=helper.build(),
        train=[(x[i:i + 50], y[i:i + 50]) for i in range(0, 1200, 50)],
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
    )

def lingers():
    threading.Thread(target=time.sleep, args=(600,)).start()
    return target()

def raises():
    raise ValueError("the data is not there")

def exits():
    print("all is lost")
    sys.exit(4)

def dies():
    for i in range(30000):
        print("line", i, file=sys.stderr)
    print("last words", file=sys.stderr, flush=True)
    os._exit(3)

def crashes():
    ctypes.string_at(0)

def sleeps():
    sleep = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    children = [subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)]
    print("children", *(child.pid for child in children), file=sys.stderr, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TARGETS)
    (tmp_path / "core.py").write_text("")
    (tmp_path / "helper.py").write_text(
        "from torch import nn\n"
        "def build(): return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))\n"
    )
    return tmp_path


def request(run_dir: Path, function: str, name: str = "dead_neurons") -> Request:
    return make_request(name, target=f"{run_dir / 'train.py'}:{function}")


def ended(job: jobs.Job) -> AnalysisResult:
    last = list(job.start().events())[-1]
    assert isinstance(last, Ended)
    assert last.result is job.result
    assert job.ended
    return last.result


def checkpoint(run_dir: Path) -> Path:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        model[0].weight[5] = 0
        model[0].bias[5] = -9
    path = run_dir / "ckpt-400.pt"
    torch.save({"model": model.state_dict()}, path)
    return path


def test_an_analysis_from_checkpoint_to_result_file(run_dir: Path) -> None:
    path = checkpoint(run_dir)
    before = {each: each.read_bytes() for each in run_dir.iterdir() if each.is_file()}
    seen: list[JobEvent] = []
    wanted = make_request(
        "dead_neurons",
        target=f"{run_dir / 'train.py'}:target",
        checkpoint=path,
        options={"samples": 1100},
    )
    result, file = jobs.run(wanted, run_dir=run_dir, on_event=seen.append)
    assert (result.status, result.step, result.device, result.error) == ("ok", 400, "cpu", None)
    assert result.result["samples"] == 1100
    assert 5 in result.result["layers"][0]["dead_units"]
    assert file == run_dir / "analyses" / "dead_neurons-400-1.json"
    assert json.loads(file.read_bytes()) == json.loads(result.to_json())
    stored, damaged = load_results(run_dir)
    assert [each.result for each in stored] == [result]
    assert not damaged
    kinds = {type(event) for event in seen}
    assert kinds >= {Started, Progress}
    assert not any(isinstance(event, Log) for event in seen)
    for each, content in before.items():
        assert each.read_bytes() == content
    text = "\n".join(jobs.summary(result))
    assert "Dead-neuron scan at step 400: ok" in text


def test_the_worker_needs_nothing_of_ours(run_dir: Path) -> None:
    """An interpreter that has torch and numpy, and nothing that traintop depends on."""
    site = Path(torch.__file__).parent.parent
    packages = run_dir / "packages"
    packages.mkdir()
    ours = ("msgspec", "textual", "psutil", "watchfiles", "plotext", "rich", "traintop", "__pyc")
    for entry in site.iterdir():
        if not entry.name.startswith(ours) and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    python = run_dir / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH={packages} exec {sys._base_executable} -S "$@"\n'  # type: ignore[attr-defined] # what a virtual environment was made from
    )
    python.chmod(0o755)
    with (run_dir / "train.py").open("a") as file:
        file.write(
            "for name in ('msgspec', 'psutil', 'textual', 'traintop_tui'):\n"
            "    try:\n"
            "        __import__(name)\n"
            "    except ImportError:\n"
            "        continue\n"
            "    raise AssertionError(name)\n"
            "assert not any('analyses' in p for p in sys.path), sys.path\n"
        )
    (run_dir / "run.json").write_text(json.dumps({"python": str(python)}))
    wanted = make_request(
        "lr_find", target=f"{run_dir / 'train.py'}:target", options={"num_it": 30}
    )
    job = jobs.Job(wanted, run_dir=run_dir)
    assert job.python == python
    result = ended(job)
    assert (result.status, result.error) == ("ok", None)
    assert result.result["seeds"] == [0, 1]
    assert job.path == run_dir / "analyses" / "lr_find-nostep-1.json"


FAILURES = {
    "raises": ["raised ValueError: the data is not there", "train.py"],
    "exits": ["called exit(4)", "all is lost"],
    "dies": ["exit code 3 and no result", "line 29999", "last words"],
    "crashes": ["ended by SIG", "Segmentation fault", "in crashes"],
}


def test_how_a_target_fails_is_said(run_dir: Path) -> None:
    made = {name: jobs.Job(request(run_dir, name), run_dir=run_dir).start() for name in FAILURES}
    for name, words in FAILURES.items():
        result = ended(made[name])
        assert result.status == "failed"
        assert result.error is not None
        for word in words:
            assert word in result.error
    assert load_results(run_dir) == ([], [])


def children_of(said: Callable[[], Iterable[str]]) -> list[psutil.Process]:
    """What the target `sleeps` has started, once it has said so: one in a session of its own."""
    while True:
        for line in said():
            if line.startswith("children "):
                return [psutil.Process(int(each)) for each in line.split()[1:]]
        time.sleep(0.02)


def are_gone(processes: Sequence[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=20)
    return all(each.status() == psutil.STATUS_ZOMBIE for each in alive)


def test_cancel_ends_all_that_it_has_started(run_dir: Path) -> None:
    job = jobs.Job(request(run_dir, "sleeps")).start()
    children = children_of(lambda: list(job._stderr))
    job.cancel()
    *_, last = job.events()
    assert isinstance(last, Ended)
    assert (last.result.status, job.state) == ("cancelled", "cancelled")
    assert are_gone(children)
    job.cancel()
    job.close()


def test_a_time_limit_ends_it(run_dir: Path) -> None:
    result = ended(jobs.Job(request(run_dir, "sleeps"), time_limit=0.5))
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.startswith("ended at the time limit of 0.5 s, at: ")


def test_a_thread_of_the_target_does_not_keep_the_process(run_dir: Path) -> None:
    command = [sys.executable, str(jobs.WORKER), request(run_dir, "lingers").to_json()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "result"


def test_an_interpreter_without_torch_is_named(run_dir: Path) -> None:
    python = run_dir / "python"
    python.write_text(f'#!/bin/sh\nexec env -u PYTHONPATH {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    result = ended(jobs.Job(request(run_dir, "target"), python=python))
    assert result.error is not None
    assert "torch is not installed in" in result.error
    assert "--python" in result.error


# What follows needs no torch: a small program stands in for the worker.


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker that waits for the file `go` and then sends a result."""
    path = tmp_path / "stand_in.py"
    path.write_text(
        "import json, os, sys, time\n"
        "print('not an event', flush=True)\n"
        "while not os.path.exists(os.path.join(os.path.dirname(__file__), 'go')):\n"
        "    time.sleep(0.01)\n"
        "request = json.loads(sys.argv[1])\n"
        "print(json.dumps({'event': 'result', 'result': {'analysis': request['analysis'],"
        "'status': 'ok', 'checkpoint': None, 'step': 3, 'seconds': 0.1, 'device': 'cpu',"
        "'result': {'big': [0.5] * 300000}}}))\n"
    )
    monkeypatch.setattr(jobs, "WORKER", path)
    return path


def test_a_queue_runs_two_at_a_time(stand_in: Path, run_dir: Path) -> None:
    queue = jobs.JobQueue()
    made = [queue.submit(request(run_dir, "target"), run_dir=run_dir) for _ in range(4)]
    assert [job.state for job in made] == ["running", "running", "queued", "queued"]
    made[2].cancel()
    assert [type(event) for event in made[2].poll()] == [Ended]
    assert made[0].progress.what == "waiting"
    (stand_in.parent / "go").touch()
    for job in (made[0], made[1], made[3]):
        *others, last = job.events()
        assert isinstance(last, Ended)
        assert last.result.status == "ok"
        assert others == [Log("unreadable event of the worker: not an event")]
        assert len(last.result.result["big"]) == 300000
    names = {job.path.name for job in made if job.path is not None}
    assert names == {f"dead_neurons-3-{n}.json" for n in (1, 2, 3)}
    queue.close()
    with pytest.raises(AnalysisError, match="closing"):
        queue.submit(request(run_dir, "target"))


def test_closing_a_queue_leaves_no_process(stand_in: Path, run_dir: Path) -> None:
    assert stand_in.exists()
    queue = jobs.JobQueue()
    made = [queue.submit(request(run_dir, "target")) for _ in range(3)]
    queue.close()
    assert [job.state for job in made] == ["cancelled"] * 3
    mine = psutil.Process().children(recursive=True)
    assert not [each for each in mine if str(stand_in) in " ".join(each.cmdline())]


def test_poll_never_waits(stand_in: Path, run_dir: Path) -> None:
    job = jobs.Job(request(run_dir, "target"))
    assert job.poll() == []
    job.start()
    (stand_in.parent / "go").touch()
    seen: list[JobEvent] = []
    while not job.ended or not isinstance(seen[-1], Ended):
        seen += job.poll()
    assert sum(isinstance(event, Ended) for event in seen) == 1
    assert job.poll() == []


def test_what_is_said_of_the_live_run_is_told(
    stand_in: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BESIDE_SECONDS", 0.0)
    words = iter([None, "it is slower", None])

    def beside() -> str | None:
        said = next(words, "go")
        if said == "go":
            (stand_in.parent / "go").touch()
            return None
        return said

    job = jobs.Job(request(run_dir, "target"), beside=beside).start()
    logs = [event.text for event in job.events() if isinstance(event, Log)]
    assert [text for text in logs if "unreadable" not in text] == ["it is slower"]


def test_a_worker_ends_when_its_host_is_killed(run_dir: Path) -> None:
    """Nothing cleans up after SIGKILL: the worker has to see it itself."""
    core = Path(jobs.__file__).parent.parent
    code = f"""
import sys, time
sys.path.insert(0, {str(core)!r})
from traintop import jobs
from traintop.launch import make_request
target = {str(run_dir / "train.py")!r} + ":sleeps"
job = jobs.Job(make_request("dead_neurons", target=target)).start()
while not any(line.startswith("children") for line in list(job._stderr)):
    time.sleep(0.02)
print(job._stderr[-1], flush=True)
time.sleep(600)
"""
    host = psutil.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with host:
        assert host.stdout is not None
        line = host.stdout.readline().decode()
        children = children_of(lambda: [line])
        worker = children[0].parent()
        assert worker is not None
        host.kill()
    assert are_gone([worker, *children])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "none"}, "there is no analysis 'none': lr_find, dead_neurons"),
        ({"target": "train.py"}, "must read FILE.py:FUNCTION"),
        ({"target": "none.py:target"}, r"none\.py does not exist"),
        ({"checkpoint": "none.pt"}, r"none\.pt does not exist"),
        ({"options": {"lr": 1.0}}, "has no option 'lr': samples, tolerance"),
        ({"python": "/no/python"}, "there is no interpreter /no/python"),
    ],
)
def test_what_cannot_start_is_refused(
    change: dict[str, object], message: str, run_dir: Path
) -> None:
    how: dict[str, object] = {"name": "dead_neurons", "target": f"{run_dir / 'train.py'}:target"}
    arguments = how | change
    python = arguments.pop("python", None)
    with pytest.raises(AnalysisError, match=message):
        jobs.run(make_request(**arguments), python=python)  # type: ignore[arg-type] # a table of keyword arguments


@pytest.mark.parametrize("python", ["python3", "/no/such/python", 3, "a\0b", None])
def test_a_recorded_interpreter_that_is_not_here_is_passed_over(
    python: object, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"python": python}))
    assert interpreter(None, tmp_path) == Path(sys.executable)
    (tmp_path / "run.json").write_bytes(b"[" * 100000)
    assert interpreter(None, tmp_path) == Path(sys.executable)


def test_a_job_ends_even_where_the_host_fails(stand_in: Path, run_dir: Path) -> None:
    def broken() -> str | None:
        raise KeyError("throughput")

    result = ended(jobs.Job(request(run_dir, "target"), beside=broken))
    assert (result.status, result.error) == (
        "failed",
        "traintop itself failed: KeyError: 'throughput'",
    )
    mine = psutil.Process().children(recursive=True)
    assert not [each for each in mine if str(stand_in) in " ".join(each.cmdline())]
