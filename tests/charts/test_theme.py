from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from rich.style import Style
from textual.app import App, ComposeResult
from textual.widgets import Footer, Input, OptionList

from traintop.errors import SettingsError
from traintop_tui.theme import (
    HEAT,
    SERIES,
    STYLE_NAMES,
    TraintopTheme,
    load_theme,
    load_themes,
    styles,
    textual_theme,
)

THEMES, PROBLEMS = load_themes()
COLOURED = [theme for theme in THEMES.values() if not theme.ansi]
SHIPPED = Path(__file__).parents[2] / "themes" / "traintop_themes"

Rgb = tuple[float, float, float]


def names(theme: TraintopTheme) -> str:
    return theme.name


def linear(text: str) -> Rgb:
    """sRGB to linear light, as WCAG 2 defines it."""

    def channel(at: int) -> float:
        value = int(text[at : at + 2], 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    return channel(1), channel(3), channel(5)


def luminance(text: str) -> float:
    red, green, blue = linear(text)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(style: Style) -> float:
    assert style.color is not None
    assert style.bgcolor is not None
    values = sorted(luminance(color.get_truecolor().hex) for color in (style.color, style.bgcolor))
    return (values[1] + 0.05) / (values[0] + 0.05)


def lab(text: str) -> Rgb:
    """CIE L*a*b* with white point D65."""
    red, green, blue = linear(text)

    def root(value: float) -> float:
        return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116

    x = root((0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047)
    y = root(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    z = root((0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: str, other: str) -> float:
    return sum((a - b) ** 2 for a, b in zip(lab(one), lab(other), strict=True)) ** 0.5


def test_every_shipped_theme_loads() -> None:
    assert PROBLEMS == ()
    assert set(THEMES) >= {"traintop-dark", "traintop-light", "okabe-ito", "ansi-16", "mono"}
    assert len(THEMES) >= 7
    assert {path.stem for path in SHIPPED.glob("*.toml")} == set(THEMES)
    assert {theme.dark for theme in COLOURED} == {True, False}


@pytest.mark.parametrize("theme", THEMES.values(), ids=names)
def test_every_style_has_a_look(theme: TraintopTheme) -> None:
    found = styles(theme)
    assert tuple(found) == STYLE_NAMES
    assert all(style.bgcolor is not None for style in found.values())


@pytest.mark.parametrize("theme", COLOURED, ids=names)
def test_curves_and_marks_stand_out_from_the_background(theme: TraintopTheme) -> None:
    found = styles(theme)
    thin = [
        name for name in STYLE_NAMES if not name.startswith(("heat", "faded", "grid", "background"))
    ]
    assert {name: contrast(found[name]) for name in thin if contrast(found[name]) < 3} == {}
    faded = [contrast(found[f"faded{index}"]) for index in range(SERIES)]
    assert min(faded) > 1.5


@pytest.mark.parametrize("theme", COLOURED, ids=names)
def test_words_are_readable(theme: TraintopTheme) -> None:
    found = styles(theme)
    words = ("text", "title", "label", "header", "footer", "footer.key", "selected", "match")
    severities = ("severity.info", "severity.warning", "severity.critical")
    low = {name: contrast(found[name]) for name in words if contrast(found[name]) < 4.5}
    assert low == {}
    assert min(contrast(found[name]) for name in severities) > 3.5


@pytest.mark.parametrize("theme", COLOURED, ids=names)
def test_no_two_curves_look_alike(theme: TraintopTheme) -> None:
    series = theme.chart.series
    neighbours = [difference(a, b) for a, b in pairwise(series)]
    assert min(neighbours) > 25
    assert min(difference(a, b) for i, a in enumerate(series) for b in series[i + 1 :]) > 15


@pytest.mark.parametrize("theme", COLOURED, ids=names)
def test_heat_runs_one_way_in_brightness(theme: TraintopTheme) -> None:
    brightness = [luminance(level) for level in theme.heat.ramp]
    assert brightness == sorted(brightness, reverse=not theme.dark)
    assert min(difference(a, b) for a, b in pairwise(theme.heat.ramp)) > 4


def test_sixteen_colours_and_none() -> None:
    for theme in (THEMES["ansi-16"], THEMES["mono"]):
        for name, style in styles(theme).items():
            for color in (style.color, style.bgcolor):
                assert color is None or color.is_default or (color.number or 0) < 16, name
    assert all(
        style.color is None or style.color.is_default for style in styles(THEMES["mono"]).values()
    )


@pytest.mark.parametrize("theme", THEMES.values(), ids=names)
async def test_textual_takes_the_theme(theme: TraintopTheme) -> None:
    class Sample(App[None]):
        def compose(self) -> ComposeResult:
            yield OptionList("one", "two")
            yield Input("text")
            yield Footer()

        def on_mount(self) -> None:
            self.register_theme(textual_theme(theme))
            self.theme = theme.name

    async with Sample().run_test(size=(40, 12)) as pilot:
        assert pilot.app.current_theme.ansi == theme.ansi
        assert pilot.app.current_theme.dark == theme.dark
        await pilot.press("tab")


def user_theme(folder: Path, **changes: str) -> Path:
    """Write the default theme under another name, each key of `changes` replaced by its value."""
    text = (SHIPPED / "traintop-dark.toml").read_text()
    for old, new in {"traintop-dark": "mine", **changes}.items():
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_user_themes_are_loaded_too(tmp_path: Path) -> None:
    user_theme(tmp_path, **{"[heat]": '[styles]\nheader = "bold"\n\n[heat]'})
    (tmp_path / "notes.txt").write_text("no theme")
    themes, problems = load_themes(tmp_path)
    assert problems == ()
    assert set(themes) == {*THEMES, "mine"}
    assert styles(themes["mine"])["header"].bold


def test_a_missing_folder_is_no_problem(tmp_path: Path) -> None:
    assert load_themes(tmp_path / "none") == (THEMES, ())


def test_a_bad_user_theme_is_told_and_the_others_work(tmp_path: Path) -> None:
    user_theme(tmp_path, primary="primry")
    themes, problems = load_themes(tmp_path)
    assert themes == THEMES
    assert len(problems) == 1
    assert str(tmp_path / "mine.toml") in problems[0]
    assert "primry" in problems[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[chart]", '[chart]\nseires = "x"', "unknown field `seires` - at `$.chart`"),
        ("dark = true", "dark = true\nbright = 1", "unknown field `bright`"),
        ("dark = true", "", "missing required field `dark`"),
        ('name = "traintop-dark"'.replace("traintop-dark", "mine"), "name = 3", "at `$.name`"),
        ('"#4fa3ff", ', "", "length >= 8 - at `$.chart.series`"),
        ('"#4fa3ff", ', '"#4fa3ff", "#123456", ', "length <= 8 - at `$.chart.series`"),
        ('"#440154"', '"heat"', "heat0: 'heat"),
        ("#101418", "#10", "colors.background: '#10' is neither #rrggbb nor ansi_<name>"),
        ("[heat]", '[styles]\nheadr = "bold"\n[heat]', "'headr'; did you mean 'header'?"),
        ("[heat]", '[styles]\nzzz = "bold"\n[heat]', "'zzz'; known: background"),
        ("[heat]", '[variables]\nborder = "x"\n[heat]', "variables.border: 'x' is not a colour"),
        (
            "[heat]",
            '[variables]\nlink-style = "red"\n[heat]',
            "variables.link-style: 'red' is not a text style",
        ),
        ("[heat]", "[heat", "not valid TOML"),
    ],
)
def test_errors_name_the_file_and_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = user_theme(tmp_path, **{old: new})
    with pytest.raises(SettingsError) as caught:
        load_theme(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load_theme(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_theme(tmp_path / "binary.toml")
    assert len(styles(THEMES["mono"])) == len(STYLE_NAMES)
    assert len(THEMES["mono"].heat.ramp) == HEAT
