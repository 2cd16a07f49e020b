"""Where traintop keeps what it can make again: long series while it runs, and indexes of files."""

from __future__ import annotations

import os
from pathlib import Path

from traintop.settings import Settings
from traintop.sources.filesystem import needs_polling
from traintop.store import Storage


def cache_folder(settings: Settings) -> Path | None:
    """Return the folder, which need not exist; None where nothing is to be kept."""
    if not settings.cache:
        return None
    if settings.cache_folder is not None:
        return Path(settings.cache_folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "traintop"


def storage_for(settings: Settings) -> Storage:
    """Return storage for what is read of one path."""
    folder = cache_folder(settings)
    if folder is not None and settings.cache_folder is None and needs_polling(folder):
        # Homes on a network are slow to write to, and have quotas.
        import tempfile

        folder = Path(tempfile.gettempdir())
    return Storage(folder)
