"""Settings: which ones there are, who wins, and what is refused with which words."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traintop import settings as settings_module
from traintop.errors import SettingsError
from traintop.settings import Settings, load_settings, settings_files


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Return the user's folder, the present one and a run's, all empty."""
    folders = [tmp_path / name for name in ("config/traintop", "here", "run")]
    for folder in folders:
        folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(folders[1])
    return folders


def test_every_key_says_what_it_is():
    [struct] = ast.parse(inspect.getsource(Settings)).body
    body = struct.body[1:]
    for field, words in zip(body[::2], body[1::2], strict=True):
        assert isinstance(field, ast.AnnAssign)
        assert isinstance(words, ast.Expr), field.target.id
        assert words.value.value[0].isupper() or words.value.value[0] == "`"
    assert [field.target.id for field in body[::2]] == list(Settings.__struct_fields__)


def test_built_in_values_hold_without_a_file(places):
    found, origins = load_settings(places[2])
    assert found == Settings()
    assert origins == {}
    assert settings_files(places[2]) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[roles]\nx = "los/val"', "'x' cannot be 'los/val'; did you mean 'loss/val'?"),
        ('[roles]\nx = "??"', "roles: loss/train"),
        ('[roles]\na = "lr"\nb = "lr"', "'a' and 'b' cannot both be 'lr'"),
        ("[roles]\nx = 3", "roles"),
        ('[axes]\nsteps = "x"', "steps"),
    ],
)
def test_roles_and_axes_that_there_are_not_are_refused(places, text, words):
    (places[2] / "traintop.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"traintop\.toml") as caught:
        load_settings(places[2])
    assert words in str(caught.value)


def test_roles_and_axes_are_read(places):
    text = '[roles]\n"my col" = "loss/val"\na = "none"\nb = "none"\n[axes]\nstep = "it"\n'
    (places[2] / "traintop.toml").write_text(text)
    found, _ = load_settings(places[2])
    assert found.roles == {"my col": "loss/val", "a": "none", "b": "none"}
    assert found.axes.step == "it"


def test_flags_win_over_the_run_over_here_over_the_user(places):
    user, here, run = places
    (user / "config.toml").write_text('theme = "a"\nsmoothing = 0.1\naxis = "epoch"\nlog_y = true')
    (here / "traintop.toml").write_text('theme = "b"\nsmoothing = 0.2\naxis = "time"')
    (run / "traintop.toml").write_text('theme = "c"\nsmoothing = 0.3')
    found, origins = load_settings(run, {"theme": "d", "smoothing": None})
    assert (found.theme, found.smoothing, found.axis, found.log_y) == ("d", 0.3, "time", True)
    assert origins == {
        "theme": "command line",
        "smoothing": str(run / "traintop.toml"),
        "axis": str(here / "traintop.toml"),
        "log_y": str(user / "config.toml"),
    }


def test_settings_beside_a_file_count_and_pyproject_comes_before_them(places):
    run = places[2]
    file = run / "log.jsonl"
    file.write_text("")
    (run / "pyproject.toml").write_text('[tool.traintop]\ntheme = "a"\nlog_y = true')
    (run / "traintop.toml").write_text('theme = "b"')
    found, _ = load_settings(file)
    assert (found.theme, found.log_y) == ("b", True)


def test_thresholds_and_keys_are_tables(places):
    (places[2] / "traintop.toml").write_text(
        '[detectors.loss_spike]\nrobust_z = 9\n[keys]\nzoom_in = "w"'
    )
    found, _ = load_settings(places[2])
    assert found.detectors == {"loss_spike": {"robust_z": 9.0}}
    assert found.keys == {"zoom_in": "w"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("smoothin = 0.5", r"unknown key 'smoothin'; did you mean 'smoothing'"),
        ("zzzzz = 1", r"unknown key 'zzzzz'; known keys: theme, "),
        ('smoothing = "much"', r"\$.smoothing"),
        ("smoothing = 5", r"<= 0.999.*\$.smoothing"),
        ("smoothing = nan", r"\$.smoothing"),
        ('ascii = "yes"', r"\$.ascii"),
        ('axis = "weeks"', r"\$.axis"),
        ("detectors = 3", r"\$.detectors"),
        ('[detectors.loss_spike]\nrobust_z = "high"', r"\$.detectors"),
        ("[keys]\nzoom_in = 5", r"\$.keys"),
        ("theme = ", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(places, text, says):
    file = places[2] / "traintop.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=says) as raised:
        load_settings(places[2])
    assert str(raised.value).startswith(str(file))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_text_is_said(places):
    (places[2] / "traintop.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_settings(places[2])


def test_a_wrong_flag_is_said_to_be_one():
    with pytest.raises(SettingsError, match=r"command line: .*\$.smoothing"):
        load_settings(flags={"smoothing": 7.0})


@pytest.mark.parametrize("text", ["not toml at all [", "[tool.other]\na = 1", ""])
def test_the_pyproject_of_somebody_else_is_no_concern_of_ours(places, text):
    (places[2] / "pyproject.toml").write_text(text)
    assert load_settings(places[2])[0] == Settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool]\ntraintop = 3", r"\$.tool.traintop"),
        ("tool = 1", r"\$.tool"),
        ("[tool.traintop]\nthemee = 1", "'themee'"),
    ],
)
def test_our_part_of_a_pyproject_is_held_to_the_same(places, text, says):
    (places[2] / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError, match=says):
        load_settings(places[2])


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_settings_or_a_sentence(places, data):
    (places[2] / "traintop.toml").write_bytes(data)
    try:
        found, _ = load_settings(places[2])
    except SettingsError as error:
        said = str(error)
    else:
        assert msgspec.convert(msgspec.to_builtins(found), Settings) == found
        return
    assert str(places[2]) in said


def test_what_is_executed_is_not_taken_from_another_users_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "traintop.toml").write_text('target = "evil.py:target"\ntheme = "nord"\n')
    assert load_settings(tmp_path)[0].target == "evil.py:target"
    # A file of root's is taken, and the tests may be run by root.
    monkeypatch.setattr(settings_module, "_is_ours", lambda _: False)
    found, origins = load_settings(tmp_path)
    assert found.target is None
    assert found.theme == "nord"
    assert "another user" in origins["target"]
