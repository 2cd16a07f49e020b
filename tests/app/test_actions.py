"""The table of actions: keys as they stand on a keyboard, and keys that a user has changed."""

from __future__ import annotations

import pytest

from traintop.errors import SettingsError
from traintop.session import Session
from traintop.settings import Settings
from traintop_tui.actions import ACTIONS, actions_for
from traintop_tui.key_signs import key_signs
from traintop_tui.launch_app import make_app


@pytest.mark.parametrize(
    ("keys", "signs"),
    [
        ("1", "1"),
        ("question_mark,f1", "? F1"),
        ("plus,equals_sign,i", "+ = i"),
        ("ctrl+p,colon", "^p :"),
        ("shift+left,H", "Shift-← H"),
        ("shift+right", "Shift-→"),
        ("f", "f"),
        ("escape", "Esc"),
        ("pagedown,space", "PgDn Space"),
        ("alt+x", "alt-x"),
        ("full_stop", "."),
    ],
)
def test_keys_are_written_as_on_a_keyboard(keys, signs):
    assert key_signs(keys) == signs


def test_no_key_of_the_table_is_shown_by_its_textual_name():
    for action in ACTIONS:
        assert "_" not in key_signs(action.keys), action.id


def test_ids_labels_and_words_are_there_and_short_enough():
    for action in ACTIONS:
        assert action.id.isidentifier()
        assert 0 < len(action.label) <= 18
        assert action.help[0].isupper()
        assert action.help.removesuffix("...")[-1] != "."


def test_actions_of_places_keep_the_order_of_the_table():
    some = actions_for("log", "charts")
    assert some == [action for action in ACTIONS if action.where in ("log", "charts")]


async def test_a_keymap_in_the_settings_moves_keys(opened, run_folder):
    async with opened(run_folder, keys={"zoom_in": "w", "show_log": "ctrl+l"}) as pilot:
        view = pilot.app.model.view
        await pilot.press("i")
        assert view.window is None
        await pilot.press("w")
        assert view.window is not None
        await pilot.press("ctrl+l")
        assert pilot.app.current_mode == "log"


def test_a_key_for_an_action_that_does_not_exist_is_refused_by_name(run_folder):
    chosen = Settings(keys={"zom_in": "w"})
    with pytest.raises(SettingsError, match="'zom_in'"):
        make_app([Session(run_folder, chosen)], chosen)
