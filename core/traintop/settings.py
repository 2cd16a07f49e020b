"""Typed settings: which keys there are, where they are read from, and what is refused.

Later sources win: built-in values, the user's `config.toml`, `traintop.toml` beside the run or
`[tool.traintop]` of a `pyproject.toml` there, command line flags. What is executed, or sent away,
is never taken from beside a run (`USERS_OWN`).
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from traintop.errors import SettingsError
from traintop.profile import Profile
from traintop.records import ROLES


class Axes(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Columns that say where a record stands, where that is not found by their names."""

    step: str | None = None
    """The step counter."""
    epoch: str | None = None
    time: str | None = None
    """Seconds since 1970, or since the start."""
    tokens: str | None = None
    """What has been trained on so far: tokens, samples or environment steps."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set. Unknown keys are refused by name."""

    theme: str = "traintop-dark"
    """Colour theme; `traintop config themes` lists them."""
    ascii: bool = False
    """Draw with ASCII characters only."""
    mouse: bool = True
    """Let the mouse work; off saves input events over a slow connection."""
    smoothing: Annotated[float, msgspec.Meta(ge=0, le=0.999)] = 0.6
    """Weight of the exponential moving average drawn over the raw curve, 0 (none) to 0.999."""
    log_y: bool = False
    """Begin with logarithmic y axes."""
    axis: Literal["step", "epoch", "tokens", "time"] = "step"
    """The x axis to begin with."""
    target: str | None = None
    """`FILE:FUNCTION` that builds model and data for analyses; else what the run recorded."""
    python: str | None = None
    """Interpreter that analyses run with; else the one that the run recorded."""
    on_finding: str | None = None
    """Program run for each new finding; taken from your own settings only."""
    webhook: str | None = None
    """Web address that new findings are posted to as JSON; taken from your own settings only."""
    bell: bool = False
    """Ring the terminal's bell at a new finding."""
    notify: Literal["off", "auto", "osc9", "osc777"] = "off"
    """Have the terminal show new findings of `check --follow` on the desktop: the sequence."""
    profile: Profile = "auto"
    """What kind of training it is: rules that read the level of the loss are silent for `rl` and
    `gan`. `auto`: what the run says, else what the names of its series tell."""
    roles: dict[str, str] = {}
    """What series mean, by name: `"my col" = "loss/val"` under `[roles]`; `none` for no role."""
    axes: Axes = Axes()
    """Columns that are the step, epoch, time or tokens of a record: `step = "my col"` under
    `[axes]`."""
    detectors: dict[str, dict[str, float]] = {}
    """Thresholds by detector: `[detectors.loss_spike]`."""
    mutes: list[str] = []
    """Rule ids whose findings are shown as muted and do not count, such as `plateau`."""
    cache: bool = True
    """Keep series that are too long for memory in a file, and an index of each large run, so that
    it opens at once the next time."""
    cache_folder: str | None = None
    """Folder for them, else `traintop` in the user's cache folder; taken from your own settings
    only."""
    cache_gb: Annotated[float, msgspec.Meta(ge=0)] = 4.0
    """Most that the indexes may take, in GB: those unused the longest are deleted; taken from your
    own settings only."""
    keys: dict[str, str] = {}
    """Other keys for actions, by action id; `traintop config keys` lists them."""


USERS_OWN = ("on_finding", "webhook", "cache_folder", "cache_gb")
"""Keys that are taken from the user's own folder or the command line only: a run that was made by
somebody else must not choose what is executed or written here, or where its findings are sent."""


EXECUTED = ("target", "python")
"""Keys that choose what analyses execute: taken from files of this user, or of root, only."""


def _is_ours(file: Path) -> bool:
    try:
        return file.stat().st_uid in (os.getuid(), 0)
    except OSError:
        return False


def config_folder() -> Path:
    """Return the user's folder for traintop's settings and themes."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(base) / "traintop"


def settings_files(run: Path | None = None) -> list[Path]:
    """Return the settings files that exist for a run (default: the present directory)."""
    folders = [Path.cwd()]
    if run is not None:
        folders.append(run if run.is_dir() else run.parent)
    candidates = [config_folder() / "config.toml"]
    for folder in dict.fromkeys(folder.absolute() for folder in folders):
        candidates += [folder / "pyproject.toml", folder / "traintop.toml"]
    return [file for file in candidates if file.is_file()]


def load_settings(
    run: Path | None = None, flags: dict[str, Any] | None = None
) -> tuple[Settings, dict[str, str]]:
    """Read all settings.

    Args:
        run: The run that is opened; settings beside it count.
        flags: Values from the command line; None values are passed over.

    Returns:
        The settings, and for each key that is not at its built-in value where it came from.

    Raises:
        SettingsError: A file is not TOML, or it or the command line has an unknown key or a value
            of the wrong kind.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for file in settings_files(run):
        for key, value in _read(file).items():
            if key in EXECUTED and not _is_ours(file):
                origins[key] = f"{file} (not taken: the file belongs to another user)"
                continue
            values[key] = value
            origins[key] = str(file)
    for key, value in (flags or {}).items():
        if value is not None:
            values[key] = value
            origins[key] = "command line"
    try:
        return msgspec.convert(values, Settings), origins
    except msgspec.ValidationError as error:
        # What the files hold has been looked at one by one.
        raise SettingsError(f"command line: {error}") from error


class _Tools(msgspec.Struct):
    traintop: dict[str, Any] = {}


class _Project(msgspec.Struct):
    """What concerns us in a `pyproject.toml`."""

    tool: _Tools = msgspec.field(default_factory=_Tools)


def _our_part(table: dict[str, Any], file: Path) -> dict[str, Any]:
    try:
        return msgspec.convert(table, _Project).tool.traintop
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}: {error}") from error


def _read(file: Path) -> dict[str, Any]:
    import tomllib  # Most have no settings: not at every start.

    try:
        table: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if file.name == "pyproject.toml":
            return {}  # Somebody else's file: their tools will complain.
        raise SettingsError(f"{file}: not valid TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    if file.name == "pyproject.toml":
        table = _our_part(table, file)
    known = Settings.__struct_fields__
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise SettingsError(f"{file}: unknown key {key!r}; {hint}")
        if key in USERS_OWN and file != config_folder() / "config.toml":
            raise SettingsError(
                f"{file}: {key!r} is not taken from beside a run, whose writer must not choose what"
                f" is executed or sent here: put it into {config_folder() / 'config.toml'}"
            )
    try:
        found = msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}: {error}") from error
    _refuse_roles(found.roles, file)
    return table


def _refuse_roles(roles: dict[str, str], file: Path) -> None:
    """Refuse roles that there are not, and one that is given twice."""
    holders: dict[str, str] = {}
    for name, role in roles.items():
        if role == "none":
            continue
        if role not in ROLES:
            near = difflib.get_close_matches(role, ROLES, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"roles: {', '.join(ROLES)}, none"
            raise SettingsError(f"{file}: roles: {name!r} cannot be {role!r}; {hint}")
        if role in holders:
            raise SettingsError(
                f"{file}: roles: {holders[role]!r} and {name!r} cannot both be {role!r}; give it"
                ' to one, and "none" to the other'
            )
        holders[role] = name
