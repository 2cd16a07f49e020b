"""Roles that a person gives: what they do, where they are kept, what damage does."""

from __future__ import annotations

import json

import pytest

from run_files import write_run
from traintop.given_roles import FILE, GivenRoles
from traintop.kept_file import MOST_BYTES
from traintop.opening import read_whole
from traintop.records import Finding
from traintop.session import Session
from traintop.settings import Settings
from traintop.sources.layout import KEPT_FILES
from traintop.triage import Triage

NOW = 1_800_000_500.0


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_role_is_kept_until_it_is_taken_back(tmp_path):
    given = GivenRoles(tmp_path)
    given.give("my col", "loss/val")
    assert GivenRoles(tmp_path).roles == {"my col": "loss/val"}
    assert given.problem is None
    given.give("my col", None)
    assert GivenRoles(tmp_path).roles == {}


def test_one_series_has_a_role(tmp_path):
    given = GivenRoles(tmp_path)
    for label, role in (("a", "none"), ("b", "loss/val"), ("c", "loss/val"), ("d", "none")):
        given.give(label, role)
    assert given.roles == {"a": "none", "c": "loss/val", "d": "none"}


def test_files_of_one_folder_have_their_own(tmp_path):
    GivenRoles(tmp_path, "a.csv").give("x", "lr")
    GivenRoles(tmp_path, "b.csv").give("x", "grad_norm")
    assert GivenRoles(tmp_path, "a.csv").roles == {"x": "lr"}
    assert GivenRoles(tmp_path).roles == {}


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"roles": {"": 3}}', b"\xff", b" " * (MOST_BYTES + 1)]
)
def test_a_damaged_file_gives_nothing_and_is_named(tmp_path, text):
    (tmp_path / FILE).write_bytes(text)
    given = GivenRoles(tmp_path)
    assert given.roles == {}
    assert FILE in (given.problem or "")


def test_a_role_that_there_is_not_is_passed_over(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"roles": {"": {"a": "nonsense", "b": "lr"}}}))
    assert GivenRoles(tmp_path).roles == {"b": "lr"}


def test_a_run_is_judged_anew_by_a_role_that_was_given(tmp_path):
    folder = write_run(tmp_path / "run", 500)
    session = read_whole(folder, Settings())
    assert "nan_inf" in {finding.id for finding in session.findings()}

    session.give_role("loss", "none")
    assert session.pump(NOW).changed
    session.finish()
    assert session.catalogue.by_role(session.run(), "loss/train") is None
    assert "nan_inf" not in {finding.id for finding in session.findings()}
    # Whoever opens it later is told the same.
    again = read_whole(folder, Settings())
    assert "nan_inf" not in {finding.id for finding in again.findings()}

    again.give_role("loss", None)
    again.pump(NOW)
    again.finish()
    assert "nan_inf" in {finding.id for finding in again.findings()}


def test_a_file_that_is_replaced_keeps_its_roles(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {n}, "x": 1.0}}\n' for n in range(9)))
    session = Session(path, Settings())
    session.pump(NOW)
    session.give_role("x", "loss/train")
    path.write_text('{"step": 0, "x": 2.0}\n')
    session.pump(NOW + 1)
    session.pump(NOW + 2)
    assert session.catalogue.by_role(session.run(), "loss/train").label == "x"


def test_what_is_kept_beside_a_run_is_not_read_as_one_of_its_files(tmp_path):
    (tmp_path / "log.jsonl").write_text("".join(f'{{"step": {n}, "x": 1.0}}\n' for n in range(9)))
    session = Session(tmp_path, Settings())
    session.pump(NOW)
    session.give_role("x", "loss/train")
    Triage.load(tmp_path).toggle_mute(
        Finding(id="plateau", severity="info", title="", onset_step=0, detected_step=0)
    )
    again = read_whole(tmp_path, Settings())
    assert [report.path.name for report in again.reports()] == ["log.jsonl"]
    assert set(KEPT_FILES) <= {path.name for path in tmp_path.iterdir()}
    assert again.catalogue.by_role(again.run(), "loss/train").label == "x"
