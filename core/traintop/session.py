"""Joins sources, store and detectors: one path, read and judged a burst at a time.

`pump` is all that a front end calls, again and again: from a thread while the screen is up, in a
loop for a report. It waits for nothing and reads no clock.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from traintop.cache import storage_for
from traintop.catalogue import Catalogue
from traintop.checkpoints import Checkpoints
from traintop.chosen_axes import ChosenAxes
from traintop.errors import PathError
from traintop.given_roles import GivenRoles
from traintop.indexes import Indexes
from traintop.problems import problem_lines
from traintop.records import (
    Begins,
    Checkpoint,
    DetectorFailure,
    Finding,
    LayerNames,
    News,
    NotJudged,
    Older,
    Reread,
    Reset,
    Rows,
    RunInfo,
    SourceReport,
    State,
    Update,
)
from traintop.run_watch import RunWatch
from traintop.settings import Settings
from traintop.sources.discovery import Discovery, RunFile
from traintop.sources.registry import Source, open_source
from traintop.store import Run, Store
from traintop.verdicts import JUDGED_RECORDS, Verdicts

if TYPE_CHECKING:
    from traintop.judging import Judge
    from traintop.sources.mirror import Mirror

STANDARD_INPUT = Path("-")
REFRESH = 1.0
"""Seconds between two looks for new files."""


class Session:
    """One run directory, file or standard input.

    Args:
        path: What to read; an existing directory may still be without a run.
        settings: Thresholds and the like.
        until: Judge as if the run had ended at this step.
        judge: Whether to judge at all.
        mirror: Of what remote place the path is a copy.
        aside: Whether very long files are read in processes of their own, for the sake of whoever
            draws meanwhile; else all is read here, which takes less work.

    Raises:
        PathError: The path does not exist, cannot be read, or is a file that holds no run.
        SettingsError: A threshold that no detector has.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        *,
        until: int | None = None,
        judge: bool = True,
        mirror: Mirror | None = None,
        aside: bool = False,
    ) -> None:
        self.path = path
        self.mirror = mirror
        self.store = self._filling = Store(storage_for(settings))
        self.settings = settings
        self.catalogue = self._new_catalogue()
        self.given = GivenRoles(None)
        """Roles that a person gave to series of this run."""
        self._axes = ChosenAxes(settings.axes)
        self._regiven = False
        """Whether roles were given since the last pump."""
        self._until = until
        self._judging = judge
        self._aside = aside
        if settings.detectors or settings.mutes:
            # What is unknown is refused now, not half-way.
            from traintop.rules import refuse_unknown

            refuse_unknown(settings)
        self._discovery: Discovery | None = None
        self.missing: str | None = None
        """Why there is nothing to read at the moment."""
        self._sources: list[Source] = []
        self.begins: float | None = None
        """The first step of the run, while its history is yet to be read."""
        self._forwards: set[Path] = set()
        """Files that cannot be read from their end."""
        self._here: set[Path] = set()
        """Those of them that another process failed to read."""
        self._verdicts = Verdicts(settings, until)
        self.indexes = Indexes(settings)
        self._due = 0.0
        self._watch = RunWatch(self.path)
        self._caught_up = False
        """Whether what comes now is news, rather than history that is still being read."""
        self._checkpoints = Checkpoints()
        self._state: State = "waiting"
        try:
            self._discover()
        except PathError as error:
            if not self.path.is_dir() or not os.access(self.path, os.R_OK | os.X_OK):
                raise
            self.missing = str(error)

    # --- where -------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What to call it in a heading."""
        if self.mirror is not None:
            return self.mirror.url
        return "standard input" if self.path == STANDARD_INPUT else self.path.absolute().name

    @property
    def folder(self) -> Path | None:
        """The folder that results of analyses are kept in; None for standard input."""
        if self.path == STANDARD_INPUT:
            return None
        for source in self._sources:
            if source.path.name == "run.json":
                return source.path.parent
        return self.path if self.path.is_dir() else self.path.parent

    def folders(self) -> list[Path]:
        """Return the folders whose changes may be news."""
        folders = {source.path.parent for source in self._sources if source.path != STANDARD_INPUT}
        if not folders and self.path.is_dir():
            folders = {self.path}
        return sorted(folders)

    @property
    def needs_polling(self) -> bool:
        """Whether the operating system does not tell of changes to what is read."""
        return any(source.polled for source in self._sources)

    @property
    def held_open(self) -> bool:
        """Whether a pipe that is read has not come to its end."""
        return any(source.held_open for source in self._sources)

    def waiting_for(self) -> list[str]:
        """Say what is waited for while there is no record."""
        lines = [f"Waiting for a run in {self.path}", ""]
        if self._sources:
            files = ", ".join(source.path.name for source in self._sources[:4])
            lines = [f"Waiting for the first record in {files}", ""]
        elif self.missing:
            lines += [self.missing, ""]
        return [*lines, "It is shown by itself when it begins. q leaves."]

    # --- reading -----------------------------------------------------------------------------

    def pump(
        self, now: float, max_bytes: int = 1 << 20, max_judged: int = JUDGED_RECORDS
    ) -> Update:
        """Read and judge a burst of what is new.

        Args:
            now: Seconds since 1970.
            max_bytes: Most bytes to read.
            max_judged: Most training records to judge, once everything has been read.

        Returns:
            The news. Where `more` is set there is more to read or judge at once.
        """
        shown, store, state = self.store, self._filling, self._state
        records, lines = store.records, len(store.log)
        regiven, self._regiven = self._regiven, False
        if regiven:
            self._verdicts.forget()  # What other series mean is judged anew.
        if not 0 < self._due - now <= REFRESH:  # A clock may also be set back.
            self._look_for_files(now)
        unchecked = self.indexes.unchecked
        if not self.indexes.check():
            self._start_over()
            self._show()
        self._read(max_bytes)
        if self._filling is not store:
            records = lines = 0
        came = self._filling.records - records, len(self._filling.log) - lines
        reading = unchecked or any(source.pending for source in self._sources)
        if not reading:
            self.begins = None
            self._show()
            if self._caught_up:  # The whole history is shown first.
                self.indexes.write(self._sources, self._filling)
        news: list[Finding] = []
        if self._judging and not reading:
            news = self._verdicts.pump(self.store, self.catalogue, max_judged)
        if any(came) and (self._caught_up or self.path == STANDARD_INPUT):
            self._watch.heard(now)
        self._caught_up = not reading
        self._filling.storage.trim()
        reports = self.reports()
        for report in reports:
            self.catalogue.learn_units(report.units)
        backlog = self._verdicts.backlog
        self._state = self.state(now)
        run = self.run()
        if run is not None and self._judging and self._until is None and self._caught_up:
            news += self._watch.judge(self._state, run, self.store, self.folder, now)
        return Update(
            records=came[0],
            log_lines=came[1],
            changed=bool(news)
            or regiven
            or any(came)
            or self.store is not shown
            or self._state != state
            or reading
            or backlog > 0,
            findings=tuple(news),
            state=self._state,
            last_step=self.judged_until(),
            bytes_read=sum(report.bytes_read for report in reports),
            bytes_total=sum(max(report.bytes_total, report.bytes_read) for report in reports),
            judged=1 - backlog / max(self.store.records, 1),
            more=reading or backlog > 0,
        )

    def rest(self, seconds: float) -> None:
        """Wait no longer than that for a piece of history, if there is nothing else to be read."""
        while seconds > 0:
            began = time.monotonic()
            pipes = [source.awaited for source in self._sources if source.pending]
            awaited = [pipe for pipe in pipes if pipe is not None]
            # What is awaited comes in many parts, and a pump for each would cost more than they.
            if len(awaited) < max(len(pipes), 1) or not select.select(awaited, [], [], seconds)[0]:
                return
            seconds -= time.monotonic() - began

    def finish(self) -> None:
        """Take what is held back for want of a line's end: nothing more is to come."""
        for source in self._sources:
            self._take(source.finish())
        if not self._judging:
            return
        self._verdicts.pump_rest(self.store, self.catalogue)
        # The last word is the one that the files give, whenever each of their lines came.
        self._verdicts.forget_out_of_order()
        self._verdicts.pump_rest(self.store, self.catalogue)

    def _look_for_files(self, now: float) -> None:
        self._due = now + REFRESH
        if self._discovery is None:
            try:
                self._discover()
            except PathError as error:
                self.missing = str(error)
        else:
            read = {source.path for source in self._sources}
            for file in self._discovery.refresh():
                if file.path in read:  # Its curves are another file's from now on.
                    self._start_over()
                    break
                self._sources.append(self._open(file))
        self._watch.look_at(source.path for source in self._sources)

    def _discover(self) -> None:
        """Find the run's files.

        Raises:
            PathError: There are none, yet or any longer.
        """
        self._discovery = Discovery(self.path)
        self.missing = None
        self._sources = [self._open(file) for file in self._discovery.paths.files]
        folder = self.folder
        alone = folder is not None and self.path.parent == folder and not self.path.is_dir()
        self.given = GivenRoles(folder, self.path.name if alone else "")
        self.catalogue.give(self.given.roles)

    def give_role(self, label: str, role: str | None) -> str | None:
        """Say what a series means, from now on and when the run is opened again.

        It is judged anew with the next pump.

        Args:
            label: Of the series.
            role: Its role; `none` for none; None for the one that its name gives.

        Returns:
            Why that cannot be kept, None where it is.
        """
        self.given.give(label, role)
        self.catalogue.give(self.given.roles)
        self._regiven = True
        return self.given.problem

    def _new_catalogue(self) -> Catalogue:
        tokens = self.settings.axes.tokens
        return Catalogue(self.settings.roles | ({} if tokens is None else {tokens: "tokens"}))

    def _read(self, max_bytes: int) -> None:
        """Read of all sources alike, so that training and evaluation come together."""
        pending = sum(source.pending for source in self._sources)
        share = max(max_bytes // max(pending, 1), 1 << 14)
        forwards = len(self._forwards) + len(self._here)
        for source in self._sources:
            if not self._take(source.read(share)):
                return
        if len(self._forwards) + len(self._here) > forwards:
            # What is shown stays until all is read from its start.
            begins, empty = self.begins, not self._filling.records and not len(self._filling.log)
            self._start_over()
            self.begins = begins
            if empty:
                self._show()

    def _open(self, file: RunFile) -> Source:
        newest_first = not self._axes and file.path not in self._forwards

        def opened() -> Source:
            return open_source(
                file.path,
                file.table,
                alone=file.alone,
                newest_first=newest_first,
                only_lines=file.only_lines,
                aside=self._aside and file.path not in self._here,
            )

        read_as = f"{file.table} {file.alone}"
        return opened() if self._axes else self.indexes.opened(opened, read_as, self._filling)

    def _take(self, items: Sequence[News]) -> bool:
        """Take in what a source read; False if everything must be read anew."""
        for item in items:
            if isinstance(item, Reset):
                self._forwards.clear()
                self._start_over()
                self._show()
                return False
            if isinstance(item, Reread) or (isinstance(item, Older) and not self._prepend(item)):
                (self._here if item.path in self._forwards else self._forwards).add(item.path)
                return True
            if isinstance(item, Older):
                continue
            if isinstance(item, Begins):
                known = item.step if self.begins is None else self.begins
                self.begins = min(item.step, known)
                continue
            if isinstance(item, RunInfo):
                self._verdicts.retarget(item)
            if self._axes and isinstance(item, Rows):
                item = self._axes.apply(item)
            self._filling.add(item)
        return True

    def _prepend(self, older: Older) -> bool:
        """Take in a piece of history; False where it does not simply come before the rest."""
        return all(
            self._filling.prepend(item)
            for item in reversed(older.items)
            if not isinstance(item, LayerNames | RunInfo | Reset)  # The names are known.
        )

    def _show(self) -> None:
        """Show what is being read, where it is not shown yet."""
        if self.store is not self._filling:
            self.store, self.catalogue = self._filling, self._new_catalogue()
            self.catalogue.give(self.given.roles)
            self._verdicts.forget()

    def _start_over(self) -> None:
        """What was read is void, and so are verdicts."""
        for source in self._sources:
            source.close()
        self.indexes.close()
        self._verdicts.forget()
        self._watch = RunWatch(self.path)
        self.begins = None
        self._filling = Store(storage_for(self.settings))
        self._axes = ChosenAxes(self.settings.axes)
        self._caught_up = False
        self._discovery, self._sources = None, []
        try:
            self._discover()
        except PathError as error:
            self.missing = str(error)  # It is gone for the moment: looked for again and again.

    # --- judging -----------------------------------------------------------------------------

    def run(self, index: int | None = None) -> Run | None:
        """Return a run; the newest without an index, or where a reset has left fewer runs.

        None before the first record.
        """
        runs = self.store.runs
        if not runs:
            return None
        return runs[-1 if index is None or index >= len(runs) else index]

    def judge(self, index: int | None = None) -> Judge | None:
        """Return the judge of a run, the newest without an index."""
        run = self.run(index)
        return None if run is None else self._verdicts.of(run)

    def findings(self, index: int | None = None) -> Sequence[Finding]:
        """Return all findings of a run, in the order in which they opened."""
        judge = self.judge(index)
        if judge is None:
            return ()
        newest = self.run(index) is self.run()
        return (*judge.findings, *self._watch.findings) if newest else judge.findings

    def not_judged(self, index: int | None = None) -> tuple[NotJudged, ...]:
        """Return what could not be judged of a run, and why."""
        judge = self.judge(index)
        return () if judge is None else judge.not_judged

    def failures(self, index: int | None = None) -> Sequence[DetectorFailure]:
        """Return the detectors that failed on a run."""
        judge = self.judge(index)
        return () if judge is None else judge.failures

    def judged_until(self) -> int | None:
        """Return the last step of the newest run, or the one that it is judged until."""
        run = self.run()
        last = None if run is None else run.last_step
        if last is None or self._until is None:
            return last
        return min(last, self._until)

    # --- what is known -----------------------------------------------------------------------

    def state(self, now: float) -> State:
        """Say how the newest run stands."""
        run = self.run()
        if run is None:
            return "waiting"
        return self._watch.state(run, self.store.info, self.store.log, now)

    def reports(self) -> list[SourceReport]:
        """Return what each file turned out to be."""
        return [source.report() for source in self._sources]

    def same_curves(self) -> dict[Path, str]:
        """Return the files whose curves another file has as well, and what is made of them."""
        return {} if self._discovery is None else dict(self._discovery.paths.same_curves)

    def problems(self) -> list[str]:
        """Say in one line each what could not be read."""
        discovery = self._discovery
        left_out = discovery.paths.left_out if discovery is not None else ()
        mirror = self.mirror
        remote = [] if mirror is None or not mirror.error else [f"{mirror.url}: {mirror.error}"]
        unread = [f"{path}: {why}" for path, why in left_out]
        kept = [self.store.storage.problem] if self.store.storage.problem else []
        return remote + problem_lines(self.reports()) + unread + kept

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that the run named or that lie in its folder, by step."""
        discovery = self._discovery
        found = discovery.paths.checkpoints if discovery is not None else ()
        return self._checkpoints.known(
            self.run(), self.catalogue, self.folder, found, settled=self._caught_up
        )
