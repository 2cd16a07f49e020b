"""The real program on a real terminal, with a real training beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from terminal import wait_until_gone
from traintop_tui.actions import actions_for

pytestmark = pytest.mark.end_to_end

TRAINTOP = (sys.executable, "-m", "traintop")
KEY_NAMES = {
    "question_mark": "?", "right_square_bracket": "]", "left_square_bracket": "[", "colon": ":",
    "plus": "+", "equals_sign": "=", "minus": "-", "less_than_sign": "<", "comma": ",",
    "greater_than_sign": ">", "full_stop": ".", "exclamation_mark": "!", "slash": "/",
    "ampersand": "&", "left": "Left", "right": "Right", "up": "Up", "down": "Down",
    "escape": "Escape", "enter": "Enter", "tab": "Tab", "pagedown": "PageDown",
    "pageup": "PageUp", "space": "Space", "home": "Home", "end": "End", "f1": "F1",
    "ctrl+p": "C-p", "ctrl+c": "C-c", "shift+left": "S-Left", "shift+right": "S-Right",
}  # fmt: skip
"""Textual's names of keys -> tmux's."""

SCREENS = {
    "1": ("everywhere", "replay", "overview", "charts"),
    "2": ("layers",),
    "3": ("findings",),
    "4": ("log",),
    "5": ("analyses",),
}
"""Where keys of which places are pressed; tests of the app press all of them on every screen."""

ESCAPE_DELAY = 0.05
"""Seconds after which the program, told so, takes Escape for a key and not for the start of one."""


def start_training(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "traintop.demo", str(folder), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_from_the_training_loop_to_an_answer_on_the_curve(terminal, tmp_path):
    run = tmp_path / "run"
    training = start_training(run, "--fault", "lr-jump", "--pace", "200", "--steps", "3000")
    try:
        terminal.start(*TRAINTOP, str(tmp_path / "run"))
        terminal.wait_for(r"running +step \d+/3000", 60)
        first = terminal.wait_for(r"loss \d")
        # Which of the two is told first depends on how hard the jump hits.
        terminal.wait_for(r"Training loss diverged|Learning rate rose", 60)
        assert terminal.screen() != first
        terminal.press("3")
        terminal.wait_for(r"since step 5\d\d, seen at step \d+")
        terminal.wait_for(r"lr rose|rise of the learning rate")
        terminal.press("2")
        terminal.wait_for(r"gradient norm by layer")
        terminal.press("j", "Enter")
        terminal.wait_for(r"of \d+ records")
        # From where it went wrong: later checkpoints hold what the jump has left.
        terminal.press("1", "n", "L")
        terminal.press("5")
        terminal.wait_for(r"suggested learning rate \d", 90)
        terminal.press("D")
        terminal.wait_for(r"Dead-neuron scan at step \d+: ok", 90)
        terminal.press("1")
        terminal.wait_for("★")
        terminal.press("q")
        terminal.wait_for("exit code 0")
        assert training.poll() is None  # the training goes on
    finally:
        training.kill()
        training.wait()


def test_every_key_in_a_real_terminal(terminal, run_folder):
    # Textual's own, in milliseconds.
    quick = ("env", f"ESCDELAY={ESCAPE_DELAY * 500:.0f}")
    terminal.start(*quick, *TRAINTOP, str(run_folder), width=80, height=24)
    terminal.wait_for("step 299")
    for number, places in SCREENS.items():
        for action in actions_for(*places):
            if action.id in ("quit", "show_runs"):
                continue
            for key in action.keys.split(","):
                terminal.press(number, KEY_NAMES.get(key, key), "Escape")
                time.sleep(ESCAPE_DELAY)
    terminal.press("1")
    terminal.wait_for("Findings", 60)
    terminal.resize(30, 8)
    terminal.resize(200, 50)
    terminal.wait_for("Findings")
    terminal.press("q")
    terminal.wait_for("exit code 0")


def test_an_empty_folder_is_shown_as_soon_as_a_run_begins(terminal, tmp_path):
    (tmp_path / "runs").mkdir()
    terminal.start(*TRAINTOP, str(tmp_path / "runs"))
    terminal.wait_for("Waiting for a run")
    (tmp_path / "runs" / "log.jsonl").write_text('{"step": 0, "loss": 2.0}\n')
    terminal.wait_for("step 0 ")
    with (tmp_path / "runs" / "log.jsonl").open("a") as file:
        file.write('{"step": 1, "loss": 1.2345}\n')
    terminal.wait_for(r"loss 1\.2345")
    terminal.press("C-c")
    terminal.wait_for("exit code 0")


@pytest.mark.usefixtures("run_folder")
def test_without_a_path_the_newest_run_is_opened(terminal):
    terminal.start(*TRAINTOP)
    terminal.wait_for("step 299/300")


def test_standard_input_is_shown_while_keys_come_from_the_terminal(terminal):
    program = 'printf \'{"step": 1, "loss": 3.5}\\n\'; sleep 8'
    terminal.start("sh", "-c", f"({program}) | {TRAINTOP[0]} -m traintop -")
    terminal.wait_for(r"loss 3\.5")
    terminal.press("4")
    terminal.wait_for("No text log")
    terminal.press("q")
    terminal.wait_for("exit code 0", 90)


def test_a_lost_terminal_ends_the_app_and_its_analyses(terminal, tmp_path):
    run = tmp_path / "run"
    training = start_training(run, "--pace", "200", "--steps", "2000")
    try:
        terminal.start(*TRAINTOP, str(run))
        terminal.wait_for("◆", 60)
        [app] = terminal.pids("-m traintop")[:1]
        terminal.press("L")
        end = time.monotonic() + 20
        while not (workers := terminal.pids("worker.py")) and time.monotonic() < end:
            time.sleep(0.05)
        assert workers
        terminal.close()
        assert wait_until_gone(app)
        assert all(wait_until_gone(worker) for worker in workers)
        assert training.poll() is None
    finally:
        training.kill()
        training.wait()


def test_a_lost_terminal_ends_the_app_while_it_draws(terminal, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 0, "loss": 1.0}\n')
    terminal.start(*TRAINTOP, str(path))
    terminal.wait_for("step 0")
    [app] = terminal.pids("-m traintop")[-1:]
    with path.open("a") as file:
        for step in range(1, 2000):
            file.write(f'{{"step": {step}, "loss": {step % 7}.5}}\n')
            file.flush()
            if step == 1000:
                terminal.close()
    assert wait_until_gone(app)


def test_sigterm_restores_the_terminal(terminal, run_folder):
    terminal.start(*TRAINTOP, str(run_folder))
    terminal.wait_for("step 299")
    for pid in terminal.pids("-m traintop"):
        os.kill(pid, signal.SIGTERM)
    screen = terminal.wait_for("exit code")
    assert "Traceback" not in screen


def test_errors_are_one_sentence_and_exit_code_2(terminal, tmp_path):
    terminal.start(*TRAINTOP, str(tmp_path / "nothing"))
    screen = terminal.wait_for("exit code 2")
    assert "no such file or folder" in screen
    assert "Traceback" not in screen
