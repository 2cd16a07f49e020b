"""What an action is, and what keys the user gave it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

Where = Literal[
    "everywhere", "replay", "charts", "overview", "layers", "findings", "log", "analyses", "runs"
]


class Action(NamedTuple):
    """Something that a key does."""

    id: str
    """Stable: what a keymap in the settings names, and the method `action_<id>`."""
    keys: str
    """Textual key names, separated by commas."""
    label: str
    """One or two words for the footer."""
    help: str
    where: Where
    footer: bool = False
    """Whether the footer has room for it."""
    short: str = ""
    """The label on a narrow terminal, if another."""


def with_keymap(actions: Iterable[Action], keymap: Mapping[str, str]) -> list[Action]:
    """Return actions with the keys that a user has given them."""
    return [action._replace(keys=keymap.get(action.id, action.keys)) for action in actions]
