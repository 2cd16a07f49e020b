"""Colour themes: read from TOML, checked, and turned into Textual's themes and styles of cells.

Charts name their styles (`series0`, `mark.critical`); a theme says what each name looks like. What
it does not say is worked out from the colours that it must give.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from rich.errors import StyleSyntaxError
from rich.style import Style
from textual.color import Color
from textual.theme import Theme

from traintop.errors import SettingsError

SERIES = 8
"""Colours of curves."""
HEAT = 10
"""Levels of heat-maps."""

_MARKS = ("info", "warning", "critical", "checkpoint", "analysis", "epoch")
STYLE_NAMES: tuple[str, ...] = (
    *("background", "text", "title", "label", "axis", "grid", "level", "cursor", "selected"),
    *("match", "nonfinite", "header", "header.name", "footer", "footer.key"),
    *("severity.info", "severity.warning", "severity.critical"),
    *(f"mark.{mark}" for mark in _MARKS),
    *(f"series{index}" for index in range(SERIES)),
    *(f"faded{index}" for index in range(SERIES)),
    *(f"heat{index}" for index in range(HEAT)),
    "heat.missing",
)
"""Every style name that charts and widgets use."""

_FADE = 0.5
"""How far a faded curve goes towards the background."""
_MUTE = 0.3
"""How far labels go towards the background."""
_GRID = 0.7
_TINT = 0.5
"""How far the background of a heat-map's cell goes from its colour towards the background."""

_HUES = "default|(bright_)?(black|red|green|yellow|blue|magenta|cyan|white)"
_COLOR = re.compile(f"#[0-9a-fA-F]{{6}}|ansi_({_HUES})")
_VARIABLE_COLOR = re.compile(rf"({_COLOR.pattern}|transparent)( \d{{1,3}}%)?")
_TEXT_STYLE = re.compile("(not )?(none|bold|dim|italic|underline|reverse|strike)( (bold|reverse))?")

Eight = Annotated[tuple[str, ...], msgspec.Meta(min_length=SERIES, max_length=SERIES)]
Ten = Annotated[tuple[str, ...], msgspec.Meta(min_length=HEAT, max_length=HEAT)]


class Colors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[colors]`: the colours of Textual's widgets, `#rrggbb` or `ansi_red`."""

    primary: str
    secondary: str
    accent: str
    warning: str
    error: str
    success: str
    foreground: str
    background: str
    surface: str
    panel: str
    boost: str | None = None


class Chart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[chart]`: styles such as `#4fa3ff`, `bold ansi_cyan`, `reverse`, `none`."""

    series: Eight
    faded: Eight | None = None
    """Raw curves behind smoothed ones; by default the series blended with the background."""
    axis: str | None = None
    grid: str | None = None
    cursor: str | None = None
    nonfinite: str | None = None
    level: str | None = None
    """Threshold lines."""


class Marks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[marks]`: what happened in the run, and the severity of findings anywhere."""

    info: str
    warning: str
    critical: str
    checkpoint: str
    analysis: str
    epoch: str


class Heat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[heat]`: the levels of heat-maps, least to greatest."""

    ramp: Ten


class TraintopTheme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A theme file."""

    name: str
    dark: bool
    ansi: bool = False
    """Whether the colours are those of the terminal itself."""
    colors: Colors
    chart: Chart
    marks: Marks
    heat: Heat
    styles: dict[str, str] = {}
    """Other style names of `STYLE_NAMES`, e.g. `header`; wins over all else."""
    variables: dict[str, str] = {}
    """Variables of Textual's style sheets, e.g. `block-cursor-text-style`."""


def load_themes(folder: Path | None = None) -> tuple[dict[str, TraintopTheme], tuple[str, ...]]:
    """Load the themes that come with traintop, and those of a user.

    Args:
        folder: The user's theme files, `*.toml`; one that has the name of another replaces it.

    Returns:
        Themes by name, and for each file that could not be used a message that says why.
    """
    themes: dict[str, TraintopTheme] = {}
    problems: list[str] = []
    shipped = [Path(str(entry)) for entry in files("traintop_themes").iterdir()]
    for path in (*_theme_files(shipped), *_theme_files(_listed(folder, problems))):
        try:
            theme = load_theme(path)
        except SettingsError as error:
            problems.append(str(error))
        else:
            themes[theme.name] = theme
    return themes, tuple(problems)


def _listed(folder: Path | None, problems: list[str]) -> list[Path]:
    if folder is None or not folder.is_dir():
        return []
    try:
        return list(folder.iterdir())
    except OSError as error:
        problems.append(f"{folder}: cannot be read: {error.strerror}")
        return []


def _theme_files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix == ".toml")


def load_theme(path: Path) -> TraintopTheme:
    """Read one theme file.

    Raises:
        SettingsError: It cannot be read, is not TOML, has an unknown key, lacks one, or holds
            something that is no colour or no style; the message names the file and the key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error
    try:
        theme = msgspec.convert(table, TraintopTheme)
        _check_colors(theme)
        styles(theme)
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return theme


def _check_colors(theme: TraintopTheme) -> None:
    """Refuse here what would else end the app when the theme is chosen."""
    for name, value in msgspec.structs.asdict(theme.colors).items():
        if value is not None and not _COLOR.fullmatch(value):
            raise ValueError(f"colors.{name}: {value!r} is neither #rrggbb nor ansi_<name>")
    for name, value in theme.variables.items():
        form = _TEXT_STYLE if "style" in name else _VARIABLE_COLOR
        if not form.fullmatch(value):
            kind = "text style" if "style" in name else "colour"
            raise ValueError(f"variables.{name}: {value!r} is not a {kind}")


def textual_theme(theme: TraintopTheme) -> Theme:
    """Return the theme that `App.register_theme` takes."""
    # Textual's own style sheets use these two, and it gives them no value in such themes.
    needed = dict.fromkeys(("ansi-background", "ansi-foreground"), "ansi_default")
    return Theme(
        name=theme.name,
        dark=theme.dark,
        ansi=theme.ansi,
        variables=(needed if theme.ansi else {}) | theme.variables,
        **msgspec.structs.asdict(theme.colors),
    )


def styles(theme: TraintopTheme) -> dict[str, Style]:
    """Return how each of `STYLE_NAMES` looks.

    Every style has a background, because Textual draws lines of cells on the terminal's own where
    none is given.

    Raises:
        ValueError: Something in the theme is no style or no colour; the message names it.
    """
    colors, chart = theme.colors, theme.chart
    base = _parse("colors.foreground", f"{colors.foreground} on {colors.background}")
    muted = "dim" if theme.ansi else _blend(colors.foreground, colors.background, _MUTE)
    faint = "dim" if theme.ansi else _blend(colors.foreground, colors.background, _GRID)
    band = "bold" if theme.ansi else f"{colors.foreground} on {colors.panel}"
    given: dict[str, str | None] = {
        "background": "none",
        "text": "none",
        "title": "bold",
        "label": muted,
        "axis": chart.axis or muted,
        "grid": chart.grid or faint,
        "level": chart.level or colors.warning,
        "cursor": chart.cursor or "bold",
        "selected": "reverse" if theme.ansi else f"bold {colors.background} on {colors.primary}",
        "match": "reverse" if theme.ansi else f"{colors.background} on {colors.warning}",
        "nonfinite": chart.nonfinite or f"bold {colors.error}",
        "header": band,
        "header.name": f"bold {band}",
        "footer": band if not theme.ansi else "none",
        "footer.key": f"bold {colors.accent} on {colors.panel}",
        "heat.missing": "none",
    }
    for name, value in msgspec.structs.asdict(theme.marks).items():
        given[f"mark.{name}"] = value
        if f"severity.{name}" in STYLE_NAMES:
            given[f"severity.{name}"] = value
    for index, series in enumerate(chart.series):
        given[f"series{index}"] = series
        given[f"faded{index}"] = chart.faded[index] if chart.faded else _faded(series, theme)
    for index, level in enumerate(theme.heat.ramp):
        given[f"heat{index}"] = _heat(level, theme)
    for name, value in theme.styles.items():
        if name not in STYLE_NAMES:
            near = difflib.get_close_matches(name, STYLE_NAMES, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(STYLE_NAMES)}"
            raise ValueError(f"styles: unknown style {name!r}; {hint}")
        given[name] = value
    return {name: base + _parse(name, given[name] or "none") for name in STYLE_NAMES}


def _parse(key: str, text: str) -> Style:
    try:
        # Textual's names of the terminal's colours are Rich's with a prefix.
        return Style.parse(text.replace("ansi_", ""))
    except StyleSyntaxError as error:
        raise ValueError(f"{key}: {text!r} is not a style: {error}") from error


def _faded(series: str, theme: TraintopTheme) -> str:
    if theme.ansi or not series.startswith("#"):
        return f"dim {series}"
    return _blend(series, theme.colors.background, _FADE)


def _heat(level: str, theme: TraintopTheme) -> str:
    if theme.ansi or not level.startswith("#"):
        return level
    return f"{level} on {_blend(level, theme.colors.background, _TINT)}"


def _blend(color: str, towards: str, share: float) -> str:
    return Color.parse(color).blend(Color.parse(towards), share).hex
