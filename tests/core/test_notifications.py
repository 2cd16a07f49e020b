"""Notifications: what is told to whom, what failures come to, and what a run cannot choose."""

from __future__ import annotations

import http.server
import json
import threading
import time
from contextlib import contextmanager

import pytest

from traintop import notifications
from traintop.errors import SettingsError
from traintop.notifications import Command, NotificationError, Notifier, Webhook, worth_telling
from traintop.records import Evidence, Finding
from traintop.settings import USERS_OWN, load_settings
from traintop.watching import Change, Watch


def finding(**fields):
    return Finding(
        **{
            "id": "divergence",
            "severity": "critical",
            "title": "Loss \x1b[31mdiverged\x1b]0;pwned\x07",
            "onset_step": 5,
            "detected_step": 9,
            "evidence": (Evidence(what="loss", value=3.0, threshold=1.5, step=9),),
            **fields,
        }
    )


def change(event="opened", **fields):
    return Change(
        time=1.0,
        path="runs/$(touch x); a",
        event=event,
        state="running",
        last_step=9,
        finding=finding(**fields),
    )


# --- what changed -----------------------------------------------------------------------------


def taken(watch, *findings, state="running", of=None):
    changes = watch.take(findings, state, 9, 1.0, of)
    return [
        (each.event, each.state if each.finding is None else each.finding.id) for each in changes
    ]


def test_a_finding_is_told_when_it_opens_changes_its_severity_and_ends():
    watch = Watch("run")
    assert taken(watch) == [("state", "running")]
    assert taken(watch, finding(severity="info")) == [("opened", "divergence")]
    assert taken(watch, finding(severity="info", detected_step=10)) == []
    assert taken(watch, finding()) == [("severity", "divergence")]
    assert taken(watch, finding(resolved_step=20)) == [("ended", "divergence")]
    assert taken(watch, finding(resolved_step=20)) == []
    assert taken(watch, finding(resolved_step=20), finding(episode=2)) == [("opened", "divergence")]
    assert taken(watch, finding(resolved_step=20), finding(), state="finished") == [
        ("opened", "divergence"),
        ("state", "finished"),
    ]


def test_what_is_over_before_it_is_seen_is_told_once():
    watch = Watch("run")
    assert taken(watch, finding(resolved_step=20))[0] == ("ended", "divergence")


def test_another_run_in_the_same_files_begins_anew():
    watch = Watch("run")
    first, second = object(), object()
    taken(watch, finding(), of=first)
    assert taken(watch, finding(), of=second) == [("opened", "divergence")]


def test_a_change_in_words_and_as_json():
    said = change().to_text()
    assert "CRITICAL opened [divergence]" in said
    assert "since step 5; loss: 3 (threshold 1.5) at step 9" in said
    assert "over at step 20" in change("ended", resolved_step=20).to_text()
    written = json.loads(change().to_json())
    assert written["schema"] == "traintop.follow/1"
    assert written["finding"]["evidence"][0]["value"] == 3.0


@pytest.mark.parametrize(
    ("event", "fields", "worth"),
    [
        ("opened", {}, True),
        ("severity", {"severity": "warning"}, True),
        ("opened", {"severity": "info"}, False),
        ("ended", {}, False),
    ],
)
def test_what_is_worth_telling(event, fields, worth):
    assert worth_telling(change(event, **fields)) is worth


# --- a command --------------------------------------------------------------------------------


def script(tmp_path, text):
    path = tmp_path / "hook with a blank.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return f"'{path}'"


def test_a_command_is_given_the_finding_and_no_shell_sees_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = script(
        tmp_path, 'cat > given; printf "%s\n" "$#" "$2" "$TRAINTOP_PATH" > words; env > e'
    )
    Command(line + " one '$(touch y) two'").send(change())
    assert json.loads((tmp_path / "given").read_text())["finding"]["id"] == "divergence"
    assert (tmp_path / "words").read_text().splitlines() == [
        "2",
        "$(touch y) two",
        "runs/$(touch x); a",
    ]
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "y").exists()
    environment = (tmp_path / "e").read_text()
    assert "TRAINTOP_SEVERITY=critical\n" in environment
    assert "TRAINTOP_ONSET_STEP=5\n" in environment
    assert "TRAINTOP_TITLE=Loss diverged\n" in environment
    assert "\x1b" not in environment


def test_a_command_that_fails_is_reported_with_its_last_words(tmp_path):
    command = Command(
        script(tmp_path, 'echo "first" >&2; printf "\\033[1mno route\\n" >&2; exit 3')
    )
    with pytest.raises(NotificationError, match=r"ended with status 3: no route$"):
        command.send(change())


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(notifications, "TIME_LIMIT", 0.3)
    with pytest.raises(NotificationError, match=r"ended after 0.3 seconds"):
        Command(script(tmp_path, "sleep 60 & sleep 60")).send(change())


def test_a_command_that_cannot_be_executed_is_reported(tmp_path):
    line = script(tmp_path, "")
    command = Command(line)
    (tmp_path / "hook with a blank.sh").unlink()
    with pytest.raises(NotificationError, match="No such file"):
        command.send(change())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "name a program"),
        ("echo 'a", "No closing quotation"),
        ("no-such-program-here x", "there is no program 'no-such-program-here'"),
    ],
)
def test_a_command_that_cannot_work_is_refused_at_once(line, says):
    with pytest.raises(SettingsError, match=says):
        Command(line)


# --- a web address ----------------------------------------------------------------------------


@contextmanager
def server(*statuses):
    """Answer posts with these statuses, then with 200; yield the address and what was posted."""
    posted = []
    coming = list(statuses)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.headers["Content-Type"], json.loads(body)))
            status = coming.pop(0) if coming else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/secret-token", posted
        listening.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(notifications, "RETRY_AFTER", 0.0)
    monkeypatch.setattr(notifications, "LEAST_PAUSE", 0.0)


def test_a_web_address_is_posted_the_finding_as_json():
    with server() as (url, posted):
        Webhook(url).send(change())
    [(kind, body)] = posted
    assert kind == "application/json"
    assert body["finding"]["id"] == "divergence"
    assert body["text"].startswith("runs/$(touch x); a: step 9: CRITICAL opened")
    assert "\x1b" not in body["text"]


def test_a_fault_of_the_server_is_tried_once_more():
    with server(503) as (url, posted):
        Webhook(url).send(change())
    assert len(posted) == 2
    with (
        server(503, 500) as (url, posted),
        pytest.raises(NotificationError, match="answered 500"),
    ):
        Webhook(url).send(change())
    assert len(posted) == 2


@pytest.mark.parametrize("status", [404, 302])
def test_a_refusal_is_not_tried_again(status):
    with (
        server(status) as (url, posted),
        pytest.raises(NotificationError, match=f"answered {status}"),
    ):
        Webhook(url).send(change())
    assert len(posted) == 1


def test_nobody_there_is_said_without_the_secret():
    with server() as (url, _):
        pass
    hook = Webhook(url)
    with pytest.raises(NotificationError, match="refused") as raised:
        hook.send(change())
    assert "secret" not in str(raised.value) + hook.name
    assert "127.0.0.1" in hook.name


@pytest.mark.parametrize(
    "url", ["", "ftp://a/b", "file:///etc/passwd", "http://", "//a", "http://[a"]
)
def test_what_is_no_web_address_is_refused(url):
    with pytest.raises(SettingsError, match="http"):
        Webhook(url)


# --- the notifier -----------------------------------------------------------------------------


class Receiver:
    name = "receiver"

    def __init__(self, gate=None, error=None):
        self.sent, self.gate, self.error, self.at_once, self.most = [], gate, error, 0, 0

    def send(self, change):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        if self.gate is not None:
            self.gate.wait(20)
        self.sent.append(change.finding.episode)
        self.at_once -= 1
        if self.error is not None:
            raise NotificationError(self.error)


def test_each_receiver_is_told_in_order_and_one_at_a_time():
    receivers, said = [Receiver(), Receiver(error="no")], []
    notifier = Notifier(receivers, said.append)
    notifier.tell([change(episode=number) for number in range(1, 6)] + [change("ended")])
    notifier.close()
    assert [each.sent for each in receivers] == [[1, 2, 3, 4, 5]] * 2
    assert [each.most for each in receivers] == [1, 1]
    assert said == ["receiver: no"] * 5  # A failure stops nothing.


def test_a_receiver_that_hangs_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(notifications, "LAST_WORDS", 0.05)
    gate, said = threading.Event(), []
    hangs, other = Receiver(gate), Receiver()
    notifier = Notifier([hangs, other], said.append)
    for number in range(100):
        notifier.tell([change(episode=number)])
        while len(other.sent) <= number:
            time.sleep(0.001)
    notifier.close()
    assert other.sent == list(range(100))
    [line] = said
    # One is under way and twenty wait, which are not sent either.
    assert line.startswith("99 notifications were not sent")
    gate.set()


# --- where the settings come from -------------------------------------------------------------


@pytest.mark.parametrize("key", USERS_OWN)
def test_a_run_cannot_choose_what_is_executed_or_sent(tmp_path, monkeypatch, key):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    run, own = tmp_path / "run", tmp_path / "config" / "traintop"
    run.mkdir()
    own.mkdir(parents=True)
    # As TOML writes them, numbers too.
    others, mine, flag = (2, 3, 4) if key == "cache_gb" else ('"a"', '"own"', "flag")
    for name, text in (
        ("traintop.toml", f"{key} = {others}"),
        ("pyproject.toml", f"[tool.traintop]\n{key} = {others}"),
    ):
        (run / name).write_text(text)
        with pytest.raises(SettingsError, match="must not choose") as raised:
            load_settings(run)
        assert str(run / name) in str(raised.value)
        (run / name).unlink()
    (own / "config.toml").write_text(f"{key} = {mine}")
    assert getattr(load_settings(run)[0], key) == (3 if mine == 3 else "own")
    assert getattr(load_settings(run, {key: flag})[0], key) == flag
    # Nor from the folder of the settings, where a run lies in it.
    (own / "traintop.toml").write_text(f"{key} = {others}")
    with pytest.raises(SettingsError, match="must not choose"):
        load_settings(own)
