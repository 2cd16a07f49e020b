"""The process that writes a run, and what is said of the run when it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from traintop.last_words import said_the_end
from traintop.session import Session
from traintop.settings import Settings
from traintop.writer_process import writer_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="needs /proc")

WRITE = """
import sys
with open(sys.argv[1], "a") as log:
    for step in range(5):
        print(sys.argv[3] % step, file=log, flush=True)
    print("up", flush=True)
    sys.stdin.readline()
    log.write(sys.argv[2])
"""


def writing(
    path: Path, last: str = "", line: str = '{"step": %d, "loss": 1.0}'
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), last, line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def pump(session: Session, now: float) -> str:
    while session.pump(now).more:
        pass
    return session.state(now)


def test_who_writes_is_found_and_who_reads_is_not(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    assert writer_of([log]) is None
    with writing(log) as process:
        with log.open("rb"):
            assert writer_of([tmp_path / "other", log]) == process.pid
        process.communicate("\n")
    with log.open("rb"):
        assert writer_of([log]) is None


def test_a_run_of_any_framework_is_known_by_its_process(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    with writing(log) as process:
        session = Session(log, Settings())
        now = time.time()
        assert pump(session, now) == "running"
        # However long it is silent, its process is there.
        assert pump(session, now + 5000) == "stalled"
        process.communicate("\n")
    assert pump(session, now + 5001) == "unknown"


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("Training complete in 3m\n", "finished"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n", "crashed"),
    ],
)
def test_the_last_words_say_how_it_ended(tmp_path: Path, words: str, state: str) -> None:
    log = tmp_path / "train.log"
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    with writing(log, words, "step %d loss 1.0") as process:
        session = Session(tmp_path, Settings())
        assert pump(session, time.time()) == "running"
        process.communicate("\n")
    assert pump(session, time.time() + 2) == state


@pytest.mark.parametrize(
    "line",
    [
        "Training complete!",
        "{'train_runtime': 12.3, 'train_loss': 0.4, 'epoch': 3.0}",
        "`Trainer.fit` stopped: `max_epochs=3` reached.",
        "100 epochs completed in 2.134 hours.",
        "Finished training",
        "[01/24 12:41:22 d2.engine.hooks]: Total training time: 1:02:03 (0:00:12 on hooks)",
    ],
)
def test_words_of_a_good_end(line: str) -> None:
    assert said_the_end(["step 1", line, "saved"])
    assert not said_the_end([line, *["step"] * 50])


@pytest.mark.parametrize("line", ["training started", "5 epochs done so far", "start training"])
def test_words_of_no_end(line: str) -> None:
    assert not said_the_end([line])
