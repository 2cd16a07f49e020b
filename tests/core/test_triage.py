"""What a person has acknowledged or muted: what it covers, where it is kept, what damage does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from traintop import kept_file as module
from traintop.kept_file import own_file
from traintop.records import Finding
from traintop.triage import FILE, Triage, not_muted


def finding(kind="dead_units", *layers, severity="warning", episode=1):
    return Finding(
        id=kind, severity=severity, title="x", onset_step=5, detected_step=9, episode=episode,
        layers=layers,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "run"
    made.mkdir()
    return made


@pytest.fixture
def unwritable(folder, monkeypatch):
    """A run's folder that takes no file, also where the tests run as root."""
    write = module.replace_file

    def refuse(file: Path, text: bytes) -> None:
        if file.parent == folder:
            raise PermissionError(13, "Permission denied", str(file))
        write(file, text)

    monkeypatch.setattr(module, "replace_file", refuse)
    return folder


@pytest.mark.parametrize(
    ("muted", "asked", "hidden"),
    [
        (("plateau",), ("plateau",), True),
        (("plateau",), ("divergence",), False),
        (("dead_units", "a", "b"), ("dead_units", "a"), True),
        (("dead_units", "a", "b"), ("dead_units", "b", "a"), True),
        (("dead_units", "a"), ("dead_units", "a", "b"), False),
        (("dead_units", "a"), ("saturated_units", "a"), False),
        (("dead_units", "a"), ("dead_units",), False),
        (("dead_units",), ("dead_units", "a"), True),
    ],
)
def test_a_mute_is_of_a_rule_and_its_layers(folder, muted, asked, hidden):
    assert Triage.load(folder).toggle_mute(finding(*muted)) is True
    again = Triage.load(folder)
    assert again.is_muted(finding(*asked)) is hidden
    assert again.is_muted(finding(*asked, episode=7)) is hidden
    assert again.problem is None


def test_unmuting_takes_back_the_rule_too(folder):
    triage = Triage.load(folder)
    triage.toggle_mute(finding("dead_units"))
    assert triage.toggle_mute(finding("dead_units", "a")) is False
    assert not triage.is_muted(finding("dead_units", "a"))
    assert not Triage.load(folder).is_muted(finding("dead_units"))


def test_what_the_settings_mute_is_not_unmuted_here(folder):
    triage = Triage.load(folder, ["plateau"])
    assert triage.is_muted(finding("plateau"))
    assert triage.toggle_mute(finding("plateau")) is None
    assert triage.is_muted(finding("plateau"))
    assert not (folder / FILE).exists()


def test_an_acknowledgement_holds_for_its_episode_until_that_gets_worse(folder):
    Triage.load(folder).toggle_acknowledged(finding(severity="warning"), run=1)
    triage = Triage.load(folder)
    assert triage.is_acknowledged(finding(severity="warning"), run=1)
    assert triage.is_acknowledged(finding(severity="info"), run=1)
    assert not triage.is_acknowledged(finding(severity="critical"), run=1)
    assert not triage.is_acknowledged(finding(severity="warning", episode=2), run=1)
    assert not triage.is_acknowledged(finding(severity="warning"), run=0)
    assert triage.toggle_acknowledged(finding(severity="critical"), run=1) is True
    assert triage.toggle_acknowledged(finding(severity="info"), run=1) is False
    assert not Triage.load(folder).is_acknowledged(finding(severity="info"), run=1)


def test_decisions_are_taken_back_one_by_one(folder):
    triage = Triage.load(folder)
    triage.toggle_mute(finding("plateau"))
    triage.toggle_acknowledged(finding("divergence"))
    assert triage.undo()
    assert not triage.is_acknowledged(finding("divergence"))
    assert triage.is_muted(finding("plateau"))
    assert triage.undo()
    assert not triage.undo()
    assert not Triage.load(folder).is_muted(finding("plateau"))


def test_the_file_is_written_the_same_whatever_the_order(folder):
    texts = set()
    for kinds in (("plateau", "divergence"), ("divergence", "plateau")):
        triage = Triage(folder)
        for kind in kinds:
            triage.toggle_mute(finding(kind, "b", "a"))
        texts.add((folder / FILE).read_text())
        (folder / FILE).unlink()
    [text] = texts
    assert json.loads(text)["schema"] == "traintop.triage/1"
    assert list(folder.iterdir()) == []


def test_a_folder_that_takes_no_file_has_one_in_the_users_own(unwritable, monkeypatch):
    Triage.load(unwritable).toggle_mute(finding("plateau"))
    assert not (unwritable / FILE).exists()
    assert own_file(unwritable, "triage").is_file()
    assert Triage.load(unwritable).is_muted(finding("plateau"))
    # When the folder takes files again, the own one is no longer needed.
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(unwritable.parent / "state"))
    triage = Triage.load(unwritable)
    triage.toggle_mute(finding("divergence"))
    assert not own_file(unwritable, "triage").exists()
    assert Triage.load(unwritable).is_muted(finding("plateau"))


def test_where_nothing_can_be_written_that_is_said_and_the_decision_holds(unwritable, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(unwritable.parent / "file"))
    (unwritable.parent / "file").write_text("in the way")
    triage = Triage.load(unwritable)
    triage.toggle_mute(finding("plateau"))
    assert triage.is_muted(finding("plateau"))
    assert triage.problem is not None
    assert "decisions are lost" in triage.problem


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b'{"schema": "other/1"}', b'{"mutes": [{"layer": "a"}]}',
        b'{"mutes": 3}', b"\xff\xfe", b'{"acknowledged": [{"id": "a", "episode": "x"}]}',
        b" " * (module.MOST_BYTES + 1),
    ],
)  # fmt: skip
def test_a_damaged_file_mutes_nothing_and_is_named(folder, text):
    (folder / FILE).write_bytes(text)
    triage = Triage.load(folder)
    assert not triage.is_muted(finding("plateau"))
    assert triage.problem is not None
    assert str(folder / FILE) in triage.problem
    triage.toggle_mute(finding("plateau"))
    assert triage.problem is None
    assert Triage.load(folder).is_muted(finding("plateau"))


def test_without_a_folder_decisions_last_as_long_as_the_program(tmp_path):
    triage = Triage.load(None)
    assert triage.toggle_mute(finding("plateau")) is True
    assert triage.is_muted(finding("plateau"))
    assert triage.problem is None
    assert list(tmp_path.iterdir()) == []


def test_keys_of_a_later_version_are_passed_over(folder):
    text = {"schema": "traintop.triage/1", "mutes": [{"id": "plateau", "until": 9}], "notes": []}
    (folder / FILE).write_text(json.dumps(text))
    assert Triage.load(folder).is_muted(finding("plateau"))


def test_what_another_program_decides_meanwhile_is_kept(folder):
    one, other = Triage.load(folder), Triage.load(folder)
    one.toggle_mute(finding("plateau"))
    other.toggle_mute(finding("divergence"))
    again = Triage.load(folder)
    assert again.is_muted(finding("plateau"))
    assert again.is_muted(finding("divergence"))


def test_files_of_one_folder_are_acknowledged_apart(folder):
    triage = Triage.load(folder)
    triage.toggle_acknowledged(finding(), file="a.jsonl")
    assert triage.is_acknowledged(finding(), file="a.jsonl")
    assert not triage.is_acknowledged(finding(), file="b.jsonl")
    assert not triage.is_acknowledged(finding())


def test_a_run_of_one_file_is_unmarked_by_the_same_key(folder):
    triage = Triage(folder)
    assert triage.toggle_acknowledged(finding(), 0, "a.jsonl")
    assert not triage.toggle_acknowledged(finding(), 0, "a.jsonl")
    assert not triage.is_acknowledged(finding(), 0, "a.jsonl")


def test_what_is_told_follows_the_file_as_it_is_now(folder):
    found = [finding("plateau"), finding("divergence")]
    assert not_muted(found, folder, ()) == found
    Triage.load(folder).toggle_mute(found[0])
    assert not_muted(found, folder, ()) == found[1:]
    assert not_muted(found, folder, ("divergence",)) == []
    assert not_muted((), None, ()) == ()
