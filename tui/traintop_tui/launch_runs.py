"""Lists runs, opens the one that is chosen, and comes back to the list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from traintop.opening import open_paths
from traintop.settings import Settings
from traintop_tui.app import BACK_TO_RUNS
from traintop_tui.launch_app import run_app, settings_for_terminal, themes_of
from traintop_tui.runs_app import RunsApp
from traintop_tui.runs_model import RunsModel


def browse(
    folder: Path, settings_of: Callable[[Path], Settings], opened: Path | None = None
) -> int:
    """Show the runs in a folder until the user leaves; return the exit code.

    Args:
        folder: Where the runs are.
        settings_of: Reads the settings for a path.
        opened: The run that was open before, which is selected.

    Raises:
        SettingsError: There is no theme of the name that the settings give.
    """
    settings = settings_for_terminal(settings_of(folder))
    themes, _ = themes_of(settings)
    model = RunsModel(folder, settings)
    model.selected = opened
    while True:
        chosen = RunsApp(model, themes).run(mouse=settings.mouse)
        if chosen is None:
            return 0
        settings = settings_of(chosen)
        code = run_app(open_paths([str(chosen)], settings), settings)
        if code != BACK_TO_RUNS:
            return code
