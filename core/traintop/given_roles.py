"""Roles that a person has given to series on the screen, kept in a small file beside the run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from traintop.kept_file import KeptFile
from traintop.records import ROLES

FILE = "traintop-roles.json"
NO_ROLE = "none"
"""What a person writes of a series that has no role, whatever its name."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds."""

    schema: Literal["traintop.roles/1"] = "traintop.roles/1"
    roles: dict[str, dict[str, str]] = {}
    """By the name of the run's file, empty where the folder is the run: label -> role."""


class GivenRoles:
    """The roles of one run.

    Args:
        folder: Where the run lies; None: they are forgotten at the end.
        file: Name of the file of the run, where it is a single file in a folder of several.

    Attributes:
        roles: By label of the series; `none`: it has none.
        problem: Why the file could not be read or written, for a person; None where all went well.
    """

    def __init__(self, folder: Path | None, file: str = "") -> None:
        self._kept = KeptFile(folder, FILE, "roles")
        self._file = file
        self.problem: str | None = None
        given = self._read().roles.get(file, {})
        known = (*ROLES, NO_ROLE)
        self.roles = {label: role for label, role in given.items() if role in known}

    def give(self, label: str, role: str | None) -> None:
        """Give a role to a series, which takes it from the one that had it; None: as it was."""
        kept = self._read()
        roles = {
            other: has
            for other, has in self.roles.items()
            if other != label and (has != role or role == NO_ROLE)
        }
        if role is not None:
            roles[label] = role
        self.roles = roles
        others = {file: given for file, given in kept.roles.items() if file != self._file}
        kept = _Kept(roles=others | ({self._file: roles} if roles else {}))
        text = msgspec.json.format(msgspec.json.encode(kept, order="deterministic")) + b"\n"
        self.problem = self._kept.write(text)

    def _read(self) -> _Kept:
        file = self._kept.beside
        try:
            found = self._kept.read()
            if found is None:
                return _Kept()
            file, text = found
            return msgspec.json.decode(text, type=_Kept)
        except (ValueError, OSError) as error:  # A damaged file is a ValueError of msgspec.
            reason = getattr(error, "strerror", None) or str(error)
            self.problem = f"{file}: cannot be read, so no role is taken from it: {reason}"
            return _Kept()
