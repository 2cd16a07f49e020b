"""Notifications from the app: what is sent, and where a failure of it is said."""

from __future__ import annotations

from types import SimpleNamespace

from textual.app import App

from traintop.opening import read_whole
from traintop.records import Update
from traintop.settings import Settings
from traintop_tui.alarms import alarms_of
from traintop_tui.messages import News


class FakeApp(App[int]):
    """An app that notes what it is asked for; it is running."""

    is_running = True

    def __init__(self):
        super().__init__()
        self.said = []

    def call_later(self, callback, *args, **kwargs):
        callback(*args, **kwargs)
        return True

    def bell(self):
        self.said.append("ring")

    def notify(self, message, **fields):
        self.said.append((message, fields["severity"], fields["markup"]))


def test_without_receivers_there_are_no_alarms(run_folder):
    session = read_whole(run_folder, Settings())
    assert alarms_of(FakeApp(), [session], Settings()) is None


def test_a_new_finding_is_sent_once_and_a_failure_shown(nan_folder, tmp_path):
    session = read_whole(nan_folder, Settings())
    hook = tmp_path / "hook"
    hook.write_text('#!/bin/sh\necho "$TRAINTOP_ID" >> "$1"\nexit 7\n')
    hook.chmod(0o755)
    settings = Settings(on_finding=f"{hook} {tmp_path / 'told'}", bell=True)
    app = FakeApp()
    alarms = alarms_of(app, [session], settings)
    alarms.look([Update(more=True)])  # A history that is read: its findings may be over yet.
    alarms.look([Update(state="running")])
    alarms.look([Update(state="running")])
    alarms.close()
    told = (tmp_path / "told").read_text().split()
    assert "nan_inf" in told
    assert len(set(told)) == len(told)
    assert app.said.count("ring") == len(told)
    failures = [each for each in app.said if each != "ring"]
    assert failures == [(f"on_finding: {hook} ended with status 7", "error", False)] * len(told)


def test_what_is_muted_is_not_sent(nan_folder):
    session = read_whole(nan_folder, Settings(mutes=["nan_inf"]))
    app = FakeApp()
    alarms = alarms_of(app, [session], Settings(bell=True))
    alarms.look([Update()])
    alarms.close()
    told = [each for each in session.findings() if each.severity != "info"]
    assert app.said.count("ring") == len(told) - 1


def test_after_the_app_failures_go_to_the_shell(nan_folder, capsys):
    app = FakeApp()
    app.is_running = False
    alarms = alarms_of(app, [read_whole(nan_folder, Settings())], Settings(on_finding="false"))
    alarms.look([Update()])
    alarms.close()
    assert "traintop: on_finding: false ended with status 1" in capsys.readouterr().err
    assert app.said == []


async def test_the_app_looks_with_the_news(opened, nan_folder):
    async with opened(nan_folder) as pilot:
        seen = []
        pilot.app.alarms = SimpleNamespace(look=seen.append)
        pilot.app.on_news(News([Update()]))
        assert seen == [[Update()]]
