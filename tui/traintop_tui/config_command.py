"""`traintop config`: settings in force and where each came from, keys, themes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from traintop.settings import Settings, config_folder, load_settings, settings_files
from traintop_tui.actions import ACTIONS
from traintop_tui.key_signs import key_signs


def config(arguments: Sequence[str]) -> int:
    """Print what was asked for."""
    import argparse

    parser = argparse.ArgumentParser(prog="traintop config", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=("show", "path", "keys", "themes"), default="show"
    )
    what = parser.parse_args(arguments).what
    print({"show": _show, "path": _path, "keys": _keys, "themes": _themes}[what]())
    return 0


def _show() -> str:
    settings, origins = load_settings()
    lines = [
        f"{name} = {msgspec.json.encode(getattr(settings, name)).decode()}"
        f"  # {origins.get(name, 'built in')}"
        for name in Settings.__struct_fields__
    ]
    return "\n".join(lines)


def _path() -> str:
    files = [str(file) for file in settings_files()] or ["(no settings file)"]
    return "\n".join([*files, f"yours would be {config_folder() / 'config.toml'}"])


def _keys() -> str:
    return "\n".join(
        f"{action.id:22} {key_signs(action.keys):18} {action.where:11} {action.help}"
        for action in ACTIONS
    )


def _themes() -> str:
    from traintop_tui.theme import load_themes

    themes, problems = load_themes(config_folder() / "themes")
    named = [f"{name}  ({'dark' if theme.dark else 'light'})" for name, theme in themes.items()]
    return "\n".join([*named, *problems])
