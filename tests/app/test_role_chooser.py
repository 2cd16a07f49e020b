"""R: what a series means is said on the screen, holds at once, and is kept with the run."""

from __future__ import annotations

import json
import math

import pytest

from app_driver import catch_up, text_of
from traintop.records import ROLES
from traintop_tui.role_words import WORDS
from traintop_tui.screens.role_chooser import RoleChooser
from traintop_tui.screens.series_picker import SeriesPicker


@pytest.fixture
def folder(tmp_path):
    """A run whose losses have names that say nothing, and a perplexity beside them."""
    made = tmp_path / "run"
    made.mkdir()
    with (made / "log.jsonl").open("w") as file:
        for step in range(200):
            value = 2 + math.exp(-step / 40)
            record = {"step": step, "crit": value, "holdout": value + 0.1, "lr": 1e-3}
            record |= {"ppl": math.exp(value), "loss": value if step < 150 else "NaN"}
            file.write(json.dumps(record) + "\n")
    return made


def role_of(app, label):
    refs = app.model.catalogue.refs(app.model.run)
    return next((ref.role, ref.role_from) for ref in refs if ref.label == label)


async def choose(pilot, role):
    """Take a role in the dialog that is open."""
    box = pilot.app.screen.query_one("#roles")
    box.highlighted = box.get_option_index(role)
    await pilot.press("enter")
    await pilot.pause()


async def about(pilot):
    await pilot.pause()
    return str(pilot.app.screen.query_one("#about").content)


def test_every_role_has_words():
    assert tuple(WORDS) == ROLES


async def test_the_role_of_the_chart_that_has_the_keys_is_asked_for(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        assert "nan_inf" in {finding.id for finding in app.model.findings()}
        await pilot.press("R")
        assert isinstance(app.screen, RoleChooser)
        assert (await about(pilot)).startswith("What is loss (1 of 5)?\nNow loss/train: `loss`")
        await choose(pilot, "none")
        assert role_of(app, "loss") == (None, "you")
        catch_up(app)
        assert "nan_inf" not in {finding.id for finding in app.model.findings()}
        # Reopened it is the same; the first entry takes it back.
        app.model.session.give_role("crit", "loss/train")
        catch_up(app)
        assert app.model.panels()[0].refs[0].label == "crit"
    async with opened(folder) as pilot:
        assert role_of(pilot.app, "loss") == (None, "you")
        assert role_of(pilot.app, "crit") == ("loss/train", "you")


async def test_other_series_are_reached_and_a_role_is_taken_back(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("R", "left", "left")
        while "What is holdout" not in await about(pilot):
            await pilot.press("right")
        await choose(pilot, "loss/val")
        assert role_of(app, "holdout") == ("loss/val", "you")
        assert [ref.label for ref in app.model.panels()[0].refs] == ["loss", "holdout"]
        await pilot.press("R")
        while "What is holdout" not in await about(pilot):
            await pilot.press("l")
        await choose(pilot, "reset")
        assert role_of(app, "holdout") == (None, None)
        await pilot.press("R", "escape")
        await pilot.pause()
        assert not isinstance(app.screen, RoleChooser)


async def test_the_list_of_series_says_what_they_mean_and_gives_roles(opened, folder):
    async with opened(folder, size=(80, 24)) as pilot:
        app = pilot.app
        await pilot.press("slash")
        words = {label: app.model.words_of(label) for label in ("loss", "ppl", "crit", "lr")}
        assert words == {"loss": "loss/train", "ppl": "exp loss", "crit": "", "lr": "constant"}
        await pilot.press(*"crit", "down", "R")
        assert isinstance(app.screen, RoleChooser)
        assert (await about(pilot)).startswith("What is crit (1 of 5)?\nNow no role")
        await choose(pilot, "loss/train")
        assert isinstance(app.screen, SeriesPicker)
        assert app.model.words_of("crit") == "loss/train by you"
        await pilot.press("escape")
        await pilot.pause()
        catch_up(app)
        assert "crit" in text_of(app)


async def test_a_derived_curve_says_of_what_in_its_title(opened, folder):
    async with opened(folder, size=(200, 50)) as pilot:
        assert "ppl (exp loss)" in text_of(pilot.app)


async def test_a_letter_in_the_search_is_a_letter(opened, folder):
    async with opened(folder) as pilot:
        await pilot.press("slash", "R")
        assert isinstance(pilot.app.screen, SeriesPicker)


async def test_a_role_holds_in_a_replay(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("T")
        await pilot.pause()
        app.model.give_role("crit", "loss/train")
        assert app.model.replay is not None
        assert role_of(app, "crit") == ("loss/train", "you")


async def test_without_a_run_there_is_nothing_to_ask(opened, tmp_path):
    async with opened(tmp_path) as pilot:
        await pilot.press("R")
        assert not isinstance(pilot.app.screen, RoleChooser)
