"""`traintop check` as it is used: many runs, a baseline, CI formats, and following live runs."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from traintop import checking
from traintop.records import Finding
from traintop.watching import Change
from traintop_tui import check_command, check_follow
from traintop_tui.cli import main
from traintop_tui.terminal_notice import TerminalNotice, sequence

PROGRAM = (sys.executable, "-m", "traintop", "check")


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def healthy(path, steps=300):
    return write(path, [{"step": n, "loss": 2.3 * 0.99**n + 0.2} for n in range(steps)])


def faulty(path, name="loss"):
    return write(
        path, [{"step": n, name: 2.3 * 0.99**n if n < 200 else math.nan} for n in range(300)]
    )


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def folder(tmp_path):
    """A folder of six runs, of which the fourth has a fault."""
    for number in range(6):
        make = faulty if number == 3 else healthy
        make(tmp_path / "runs" / f"run{number:02}" / "train_diagnostics.jsonl")
    return tmp_path / "runs"


# --- many runs --------------------------------------------------------------------------------


def test_a_folder_of_runs_is_checked_in_order_in_processes_and_alone(folder, capsys):
    assert main(["check", str(folder), "--format", "json", "--jobs", "2"]) == 1
    several, err = capsys.readouterr()
    assert err == f"traintop: {folder}: holds 6 runs, each of which is checked\n"
    assert main(["check", str(folder), "--format", "json", "--jobs", "1"]) == 1
    alone = capsys.readouterr().out
    found = [json.loads(line) for line in several.splitlines()]
    assert [each["path"] for each in found] == [str(folder / f"run{n:02}") for n in range(6)]
    assert [n for n, each in enumerate(found) if each["verdict"] == "critical"] == [3]
    assert several == alone


def test_text_of_many_runs_ends_with_a_count(folder, capsys):
    main(["check", str(folder)])
    assert capsys.readouterr().out.splitlines()[-1] == "6 runs: 1 critical, 5 healthy"


def test_a_run_that_cannot_be_read_outweighs_a_finding(folder, tmp_path, capsys):
    assert main(["check", str(folder), str(tmp_path / "nothing")]) == 2
    out, err = capsys.readouterr()
    assert "no such file" in err
    assert out.endswith("7 runs: 1 critical, 5 healthy, 1 not read\n")


@pytest.mark.parametrize(("limit", "code"), [("critical", 1), ("warning", 1), ("info", 1)])
def test_the_exit_code_follows_fail_on(folder, limit, code, capsys):
    assert main(["check", str(folder / "run03"), "--fail-on", limit]) == code
    assert main(["check", str(folder / "run01"), "--fail-on", limit]) == 0
    capsys.readouterr()


def test_a_fault_of_ours_is_reported_of_its_run_only(folder, monkeypatch, capsys):
    read = checking.read_whole

    def raising(path, *args, **keywords):
        if path.endswith("run05"):
            raise RuntimeError("oh no")
        return read(path, *args, **keywords)

    monkeypatch.setattr(checking, "read_whole", raising)
    assert main(["check", str(folder), "--format", "json", "--jobs", "1"]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 5
    assert "run05: could not be checked: RuntimeError: oh no" in err


def test_a_process_that_dies_is_reported_of_its_run(tmp_path):
    made = checking.crash(str(tmp_path))
    assert made.code == 2
    assert "killed, or out of memory" in made.errors[0]
    assert json.loads(made.notices[0])["level"] == "error"


def test_names_in_a_log_cannot_reach_the_terminal(tmp_path, capsys):
    path = tmp_path / "\x1b]0;title\x07.jsonl"
    faulty(path)
    for name in ("text", "markdown"):
        main(["check", str(path), "--format", name])
        main(["check", str(tmp_path / "\x1b[2Jgone")])
        assert "\x1b" not in "".join(capsys.readouterr())


def test_sarif_is_one_log_for_all(folder, tmp_path, capsys):
    assert main(["check", str(folder), str(tmp_path / "no"), "--format", "sarif"]) == 2
    log = json.loads(capsys.readouterr().out)
    [run] = log["runs"]
    [place] = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in run["results"]
    }
    assert place.endswith("run03/train_diagnostics.jsonl")
    levels = [each["level"] for each in run["invocations"][0]["toolExecutionNotifications"]]
    assert levels.count("error") == 1


@pytest.mark.parametrize(
    "flags",
    [
        ["--jobs", "0"],
        ["--jobs", "many"],
        ["--bell"],
        ["--follow", "--format", "sarif"],
        ["--follow", "--until", "3"],
    ],
)
def test_flags_that_do_not_go_together_are_refused(folder, flags, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check", str(folder), *flags])
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


# --- a baseline -------------------------------------------------------------------------------


def test_a_run_is_held_against_a_baseline(tmp_path, capsys):
    good = healthy(tmp_path / "good.jsonl")
    flat = write(tmp_path / "flat.jsonl", [{"step": n, "loss": 2.3 + n % 2} for n in range(300)])
    command = ["check", str(flat), str(good), "--baseline", str(good), "--format", "json"]
    assert main(command) == 1
    worse, same = map(json.loads, capsys.readouterr().out.splitlines())
    [finding] = [each for each in worse["findings"] if each["id"] == "worse_than_baseline"]
    assert worse["verdict"] == "critical"
    assert all(each["threshold"] for each in finding["evidence"])
    assert same["findings"] == []
    assert main([*command[:-1], "text"]) == 1
    assert f"Worse than the baseline run {good}" in capsys.readouterr().out


def test_what_cannot_be_compared_is_said(tmp_path, capsys):
    good, few = healthy(tmp_path / "good.jsonl"), healthy(tmp_path / "few.jsonl", 5)
    main(["check", str(few), "--baseline", str(good), "--format", "json"])
    blind = {each["id"] for each in json.loads(capsys.readouterr().out)["not_judged"]}
    assert "worse_than_baseline" in blind


@pytest.mark.parametrize("content", ["", "no record\n", '{"step": 1, "loss": null}\n'])
def test_an_empty_baseline_is_an_error_before_anything_is_checked(tmp_path, content, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.write_text(content)
    good = healthy(tmp_path / "good.jsonl")
    assert main(["check", str(good), "--baseline", str(empty)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "empty.jsonl: a baseline needs a loss" in err


def test_a_baseline_with_a_fault_is_used_but_said(tmp_path, capsys):
    bad, good = faulty(tmp_path / "bad.jsonl"), healthy(tmp_path / "good.jsonl")
    main(["check", str(good), "--baseline", str(bad)])
    assert "is no good run itself: nan_inf" in capsys.readouterr().err


# --- following --------------------------------------------------------------------------------


def finish(file, *, step):
    with (file.parent / "events.jsonl").open("a") as events:
        events.write(json.dumps({"step": step, "event": "control", "action": "finished"}) + "\n")


def append(file, steps, value):
    with file.open("a") as log:
        for step in steps:
            log.write(json.dumps({"step": step, "loss": value}) + "\n")


def test_findings_are_printed_as_they_open_and_end_and_the_code_is_that_of_check(tmp_path):
    file = healthy(tmp_path / "run" / "train_diagnostics.jsonl", 200)
    hook = tmp_path / "hook.sh"
    hook.write_text('#!/bin/sh\necho "$TRAINTOP_ID" >> "$1"\n')
    hook.chmod(0o755)
    command = (*PROGRAM, str(file.parent), "--follow", "--format", "json")
    with subprocess.Popen(
        [*command, "--on-finding", f"{hook} {tmp_path / 'told'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        first = json.loads(process.stdout.readline())
        assert (first["schema"], first["event"], first["finding"]) == (
            "traintop.follow/1",
            "state",
            None,
        )
        append(file, range(200, 210), math.nan)
        for line in process.stdout:
            told = json.loads(line)
            if told["event"] == "opened":
                break
        assert (told["finding"]["id"], told["finding"]["onset_step"]) == ("nan_inf", 200)
        assert abs(told["time"] - time.time()) < 60
        finish(file, step=209)
        rest = [json.loads(line) for line in process.stdout]
        assert rest[-1]["state"] == "finished"
        assert process.wait(20) == 1
        assert process.stderr.read() == ""
    assert (tmp_path / "told").read_text().splitlines() == ["nan_inf"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_following_quietly_with_the_code_of_check(tmp_path, number):
    file = healthy(tmp_path / "run" / "train_diagnostics.jsonl", 200)
    with subprocess.Popen(
        [*PROGRAM, str(file.parent), "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert "step 199: running" in process.stdout.readline()
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_a_pipe_is_followed_to_its_end():
    lines = [json.dumps({"step": n, "loss": 2.0 if n < 40 else math.nan}) for n in range(60)]
    with subprocess.Popen(
        [*PROGRAM, "-", "--follow"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdin.write("\n".join(lines[:30]) + "\n")
        process.stdin.flush()
        assert "running" in process.stdout.readline() + process.stdout.readline()
        process.stdin.write("\n".join(lines[30:]))  # The last line has no end.
        process.stdin.close()
        assert "[nan_inf]" in process.stdout.read()
        assert process.wait(20) == 1


def test_a_run_that_is_not_there_yet_is_waited_for(tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    file = folder / "train_diagnostics.jsonl"

    def begin():
        healthy(file)
        finish(file, step=299)

    later = threading.Timer(0.3, begin)
    later.start()
    assert main(["check", str(folder), "--follow"]) == 0
    later.join()
    out, err = capsys.readouterr()
    assert "waiting for a run" in err
    assert out.splitlines()[-1].endswith("step 299: finished")


def test_several_runs_are_followed_with_their_names_and_a_baseline(folder, capsys):
    for number in (3, 4):
        finish(folder / f"run{number:02}" / "train_diagnostics.jsonl", step=299)
    paths = [str(folder / "run03"), str(folder / "run04")]
    assert main(["check", *paths, "--follow", "--baseline", paths[1]]) == 1
    out = capsys.readouterr().out
    assert f"{paths[0]}: step 299: CRITICAL opened [nan_inf]" in out
    assert f"{paths[1]}: step 299: finished" in out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--on-finding", "no-such-program"], "there is no program"),
        (["--webhook", "gopher://a"], "http://"),
        (["--baseline", "nothing-here"], "no such file"),
    ],
)
def test_what_cannot_be_told_is_refused_before_following(folder, flags, says, capsys):
    assert main(["check", str(folder / "run03"), "--follow", *flags]) == 2
    assert says in capsys.readouterr().err


def test_a_receiver_that_fails_is_said_and_stops_nothing(folder, capsys):
    finish(folder / "run03" / "train_diagnostics.jsonl", step=299)
    assert main(["check", str(folder / "run03"), "--follow", "--on-finding", "false"]) == 1
    assert "on_finding: false ended with status 1" in capsys.readouterr().err


# --- on the terminal --------------------------------------------------------------------------

CHANGE = Change(
    time=1.0,
    path="run",
    event="opened",
    state="running",
    last_step=9,
    finding=Finding(
        id="divergence",
        severity="critical",
        title="a;b\x07\x1b]0;title\x1b\\c\x9d",
        onset_step=1,
        detected_step=2,
    ),
)


@pytest.mark.parametrize(
    ("notify", "environment", "expected"),
    [
        ("auto", {"TERM": "xterm-256color"}, "\x1b]9;traintop: 4;1;text\x1b\\"),
        ("auto", {"TERM": "foot"}, "\x1b]777;notify;traintop;4,1,text\x1b\\"),
        ("auto", {"VTE_VERSION": "7000"}, "\x1b]777;notify;traintop;4,1,text\x1b\\"),
        ("osc9", {"TERM": "foot"}, "\x1b]9;traintop: 4;1;text\x1b\\"),
        ("osc777", {}, "\x1b]777;notify;traintop;4,1,text\x1b\\"),
        ("osc9", {"TMUX": "x"}, "\x1bPtmux;\x1b\x1b]9;traintop: 4;1;text\x1b\x1b\\\x1b\\"),
    ],
)
def test_the_sequence_of_a_notification(notify, environment, expected):
    assert sequence("4;1;text", notify, environment) == expected


def test_a_notice_rings_and_carries_no_control_sequence_of_the_run():
    stream = io.StringIO()
    TerminalNotice(stream, bell=True, notify="osc777", environment={}).send(CHANGE)
    written = stream.getvalue()
    assert written.startswith("\a\x1b]777;notify;traintop;run: step 9: CRITICAL")
    body = written.removeprefix("\a\x1b]").removesuffix("\x1b\\")
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in body)
    assert body.count(";") == 3


def test_where_there_is_no_terminal_it_is_said(folder, capsys):
    finish(folder / "run01" / "train_diagnostics.jsonl", step=299)
    assert main(["check", str(folder / "run01"), "--follow", "--bell", "--notify"]) == 0
    assert "no terminal here" in capsys.readouterr().err


def test_receivers_are_those_of_the_settings(monkeypatch):
    from traintop.settings import Settings

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    settings = Settings(on_finding="true", webhook="http://a/b", bell=True)
    names = [each.name for each in check_follow.all_receivers(settings)]
    assert names == ["on_finding", "webhook a", "terminal"]
    assert check_follow.all_receivers(Settings()) == []


def test_a_closed_pipe_ends_quietly(folder):
    read, end = os.pipe()
    with subprocess.Popen(
        [*PROGRAM, str(folder), "--jobs", "2"], stdout=end, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(end)
        os.close(read)
        err = process.stderr.read()
        assert process.wait(20) == 0
    assert err.splitlines() == [f"traintop: {folder}: holds 6 runs, each of which is checked"]


def test_few_runs_start_no_processes(folder, monkeypatch, capsys):
    def none(*_):
        raise AssertionError("processes were started")

    monkeypatch.setattr(check_command, "ordered_map", none)
    assert main(["check", str(folder / "run01"), str(folder / "run02")]) == 0
    capsys.readouterr()
