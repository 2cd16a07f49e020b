"""The analyses of the run that is looked at: what each needs, which run, which are compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from traintop.analyses import ANALYSES
from traintop.errors import AnalysisError
from traintop.records import Checkpoint
from traintop.session import Session
from traintop.settings import Settings
from traintop_tui.findings_model import FindingsModel
from traintop_tui.job_list import JobItem, JobList
from traintop_tui.remembered import Remembered, recall, remember

NO_TARGET = (
    "it is not known how to build the model: start traintop with --target FILE.py:FUNCTION, "
    "or record it with Recorder(..., target=...)"
)


class NoTargetError(AnalysisError):
    """Nobody has said yet what builds the model."""

    def __init__(self) -> None:
        super().__init__(NO_TARGET)


class AnalysesModel(FindingsModel):
    """A run with its findings, checkpoints and analyses."""

    def __init__(self, sessions: list[Session], settings: Settings) -> None:
        super().__init__(sessions, settings)
        self.jobs = JobList(sessions[0].folder, sessions[0])
        self.job = 0
        """Index of the selected analysis, the newest first."""
        self.marked: list[JobItem] = []
        """At most two, which are compared."""
        self._remembered: dict[Path | None, Remembered] = {}
        self._fields: tuple[object, frozenset[str] | None] = (None, None)
        """A target as it lay on the disk, and what it offers."""

    # --- checkpoints -------------------------------------------------------------------------

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that were found, by step; in a replay those of before."""
        found = sorted(self.session.checkpoints(), key=lambda c: -1 if c.step is None else c.step)
        if self.replay is None:
            return found
        return [each for each in found if each.step is None or each.step <= self.replay.step]

    def checkpoint_for(self, step: float | None) -> Checkpoint | None:
        """Return the newest checkpoint at or before a step; without a step the newest."""
        found = [
            checkpoint
            for checkpoint in self.checkpoints()
            if step is None or checkpoint.step is None or checkpoint.step <= step
        ]
        return found[-1] if found else None

    def checkpoint_named(self, name: str | None) -> Path | None:
        """Return a checkpoint that a finding names, if it is still there."""
        if name is None:
            return None
        for checkpoint in self.checkpoints():
            if str(checkpoint.path) == name or checkpoint.path.name == Path(name).name:
                return checkpoint.path
        return None

    # --- jobs and results --------------------------------------------------------------------

    def job_items(self) -> list[JobItem]:
        """Return the analyses, the newest first."""
        return self.jobs.items[::-1]

    def selected_job(self) -> JobItem | None:
        """Return the analysis that is selected."""
        items = self.job_items()
        return items[min(self.job, len(items) - 1)] if items else None

    def toggle_marked(self) -> bool | None:
        """Mark the selected analysis for a comparison, or unmark it; a third begins anew.

        Returns:
            Whether it is marked now; None without any.
        """
        item = self.selected_job()
        if item is None:
            return None
        if item in self.marked:
            self.marked.remove(item)
            return False
        self.marked = [item] if len(self.marked) > 1 else [*self.marked, item]
        return True

    def shown_jobs(self) -> list[JobItem]:
        """Return the selected analysis, or the two that are compared, the earlier step first.

        As long as one is marked the selected one is compared with it.
        """
        selected = self.selected_job()
        if selected is None:
            return []
        if len(self.marked) == 1 and selected not in self.marked:
            pair = [*self.marked, selected]
        elif len(self.marked) == 2:
            pair = self.marked
        else:
            return [selected]
        return sorted(pair, key=lambda item: (item.step or 0, self.jobs.items.index(item)))

    def damaged_results(self) -> list[str]:
        """Return what could not be read of earlier results."""
        return self.jobs.damaged

    # --- starting one ------------------------------------------------------------------------

    @property
    def target(self) -> str | None:
        """What builds the model for an analysis, `FILE.py:FUNCTION`; None where not known."""
        return self.settings.target or self.typed.target or self.info.target

    @property
    def typed(self) -> Remembered:
        """What was typed in forms, in this session or an earlier one."""
        folder = self.session.folder
        if folder not in self._remembered:
            self._remembered[folder] = recall(folder)
        return self._remembered[folder]

    def remember(self, name: str, target: str | None, options: Mapping[str, float]) -> str | None:
        """Keep what was typed to start an analysis; return why it could not be kept."""
        folder = self.session.folder
        typed = msgspec.structs.replace(
            self.typed,
            target=target or self.typed.target,
            options=self.typed.options | {name: dict(options)},
        )
        self._remembered[folder] = typed
        return remember(folder, typed)

    def why_not(self, name: str) -> str | None:
        """Say why an analysis cannot run now; None where nothing is known to stand against it."""
        from traintop.launch import is_hugging_face

        checkpoint = self.checkpoint_for(self.view.cursor)
        target = self.target
        if target is None:
            path = None if checkpoint is None else checkpoint.path
            return None if is_hugging_face(path) else "no target: Enter asks what builds the model"
        where = target.rpartition(":")[0]
        if where.endswith(".py") and not Path(where).is_file():
            return f"the target's file {where} is not there"
        fields = self._fields_of(target)
        folder = self.session.folder
        if fields is None:
            return None
        if folder is not None and (folder / "batches").is_dir():
            fields |= {"train"}  # Recorded batches take the place of a loader.
        lacking = [field for field in ANALYSES[name].needs if field not in fields]
        return f"the target gives no {' and no '.join(lacking)}" if lacking else None

    def _fields_of(self, target: str) -> frozenset[str] | None:
        from traintop.target_reading import target_fields

        try:
            key = target, Path(target.rpartition(":")[0]).stat().st_mtime_ns
        except OSError:
            return None
        if self._fields[0] != key:
            self._fields = key, target_fields(target)
        return self._fields[1]

    def start_analysis(
        self, name: str, checkpoint: Path | None, *, without: bool = False
    ) -> JobItem:
        """Start an analysis on a checkpoint; without one on the newest before the cursor.

        Args:
            name: Its id.
            checkpoint: Whose weights are looked at.
            without: Whether to look at the target as it is, without any checkpoint.

        Raises:
            NoTargetError: It is not known what builds the model.
            AnalysisError: The analysis cannot be started.
        """
        from traintop.launch import is_hugging_face, make_request, recorded_target

        folder = self.session.folder
        if checkpoint is None and not without:
            found = self.checkpoint_for(self.view.cursor)
            checkpoint = None if found is None else found.path
        target = self.settings.target or self.typed.target or recorded_target(folder)
        if target is None and not is_hugging_face(checkpoint):
            raise NoTargetError
        request = make_request(
            name,
            target=target,
            checkpoint=checkpoint,
            options=self.typed.options.get(name),
            run_dir=folder,
        )
        item = self.jobs.start(request, self.settings.python)
        self.job = 0
        return item
