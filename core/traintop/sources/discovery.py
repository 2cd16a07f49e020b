"""From a path to the files of a run: what is there now, and, asked again, what has come since."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from traintop.errors import PathError
from traintop.sources import trainer_state
from traintop.sources.checkpoints import CheckpointFile, is_checkpoint, order, step_of
from traintop.sources.file_names import holds_records, is_log, may_be_log
from traintop.sources.folder_watch import FolderWatch
from traintop.sources.layout import KEPT_FILES, OWN_FILES, OWN_RECORDS, SKIPPED_FOLDERS, own_folder
from traintop.sources.one_run import only_run, other_runs
from traintop.sources.path_check import check_format, check_readable
from traintop.sources.registry import STANDARD_INPUT, format_of, head_of, holds_metrics
from traintop.sources.stores import Store, events_table, file_store, store_of
from traintop.sources.table_names import RANK, table_of
from traintop.sources.tail import HEAD
from traintop.sources.twins import OWN, Twins

if TYPE_CHECKING:
    import os

MAX_DEPTH = 3
MAX_FILES = 64
"""Files of one run that are followed."""


class RunFile(NamedTuple):
    """A file of a run, to be opened by `open_source(path, table, alone=alone)`."""

    path: Path
    table: str
    alone: bool
    """Whether its train and val records may have the tables of those names to themselves."""
    only_lines: bool = False
    """Whether a text log is read for its lines alone: another file has the curves it prints."""


class RunPaths(NamedTuple):
    """The files of a run."""

    root: Path
    """The run's folder, or that of its file."""
    files: tuple[RunFile, ...]
    checkpoints: tuple[CheckpointFile, ...]
    """By step."""
    left_out: tuple[tuple[Path, str], ...] = ()
    """What is there but not read, and why."""
    same_curves: tuple[tuple[Path, str], ...] = ()
    """Files whose curves another file has as well, and what is made of them."""


class Discovery:
    """Watches the folders of a run for files. It only lists folders that have changed.

    Args:
        path: A run's folder, one of its files, or `-`.

    Raises:
        PathError: There is no such path, it cannot be read, or it holds no run.
    """

    def __init__(self, path: Path) -> None:
        self._files: dict[Path, RunFile] = {}
        self._checkpoints: dict[Path, CheckpointFile] = {}
        self._left_out: dict[Path, str] = {}
        self._undecided: set[Path] = set()  # empty so far, and of a name that tells nothing
        self._passed: set[Path] = set()  # looked into, and none of the run's
        self._folders = FolderWatch()
        self._twins = Twins()
        self._waiting: dict[Path, RunFile] = {}  # nothing in them yet, and perhaps twins
        self._only_file = False
        self._own: Path | None = None
        self._with_rows: set[Path] = set()
        self._printed = False
        """Whether one of the files is console text."""
        self._other_runs: set[Path] = set()
        self._texts: set[Path] = set()
        self._same_curves: dict[Path, str] = {}
        self._with_state: set[Path] = set()  # output folders whose newest history is followed
        if path == STANDARD_INPUT:
            self._root = Path()
            self._files[path] = RunFile(path, "stdin", True)
            return
        check_readable(path)
        if not path.is_dir():
            self._only_file = True
            self._root = path.parent
            check_format(path)
            self._add(path, with_rows=True)
        else:
            self._root = only_run(path)
            self._left_out |= (others := other_runs(self._root))
            self._other_runs = set(others)
        # Beside a single file checkpoints are looked for, in its folder and the folders there.
        self._folders.add(self._root, MAX_DEPTH - 1 if self._only_file else 0, lasting=True)
        self.refresh()
        if not self._files:
            raise PathError(_holds_no_run(path))

    @property
    def paths(self) -> RunPaths:
        """All that was found so far."""
        return RunPaths(
            self._root,
            tuple(self._files.values()),
            tuple(order(list(self._checkpoints.values()))),
            (*self._left_out.items(), *self._folders.left_out.items()),
            tuple(self._same_curves.items()),
        )

    def refresh(self) -> list[RunFile]:
        """Look for what is new; return the files that have come since the last call.

        Behind them those that have been known and are to be read otherwise from now on.
        """
        before = len(self._files)
        if self._own is None and not self._only_file:
            self._own = own_folder(self._root)
            if self._own is not None:
                self._folders.add(self._own, 0, lasting=True)
        pending = list(self._folders)
        while pending:
            folder = pending.pop(0)
            pending += self._scan(folder)
        for path in sorted(self._undecided):
            self._consider(path)
        self._files |= self._waiting
        self._waiting.clear()
        self._leave_out_twins(list(self._files)[before:])
        new = list(self._files)[before:]
        outdone = self._leave_lines()
        return [
            *(self._files[path] for path in new),
            *(self._files[path] for path in outdone if path not in new),
        ]

    def _leave_out_twins(self, new: list[Path]) -> None:
        """Read no curve twice: what is followed already stays, of new files the better is kept."""
        kept = [path for path in self._files if path not in new]
        for path in self._twins.by_preference(new):
            if self._twins.cannot_tell(path, kept):
                self._waiting[path] = self._files.pop(path)
                continue
            twin = self._twins.of(path, kept)
            if twin is None:
                kept.append(path)
                continue
            del self._files[path]
            self._passed.add(path)
            self._same_curves[path] = f"not read: {twin.name} has the same curves"

    def _leave_lines(self) -> list[Path]:
        """Take no curve from text logs where another file has it; return those it is new of.

        That file often comes a moment after the log's first lines.
        """
        logs = sorted(path for path in self._texts if not self._files[path].only_lines)
        better = self._twins.with_training_loss(self._files) if logs else None
        if better is None:
            return []
        for path in logs:
            self._files[path] = self._files[path]._replace(only_lines=True)
            self._same_curves[path] = f"read for its lines alone: {better.name} has the curves"
        return logs

    def _scan(self, folder: Path) -> list[Path]:
        """List a folder if it has changed; return the folders in it that are new."""
        depth = self._folders.depth(folder)
        listed = self._folders.changed(folder)
        if listed is None or depth is None:
            return []
        self._forget_checkpoints(folder, {entry.name for entry in listed})
        found: list[Path] = []
        # What W&B keeps in the folders of a run is in its file as well.
        store = store_of({entry.name for entry in listed})
        closed = store in ("wandb", "mlflow", "dvclive")
        if store in ("mlflow", "dvclive") and not self._only_file:
            if folder not in self._files and folder not in self._passed:
                self._add(folder, with_rows=True, table=store, kind=store)
            listed = []
        for entry in listed:
            path = Path(entry.path)
            if is_checkpoint(entry):
                self._note_checkpoint(entry)
            elif entry.is_dir():
                if not closed and not entry.is_symlink() and self._enters(path, depth):
                    self._folders.add(path, depth + 1)
                    found.append(path)
            elif not self._only_file and path not in self._files and path not in self._passed:
                self._consider(path)
        return found

    def _enters(self, folder: Path, depth: int) -> bool:
        return (
            depth < MAX_DEPTH
            and folder.name not in SKIPPED_FOLDERS
            and self._folders.depth(folder) is None
            and folder not in self._other_runs
        )

    def _note_checkpoint(self, entry: os.DirEntry[str]) -> None:
        path = Path(entry.path)
        try:
            modified = entry.stat().st_mtime
        except OSError:
            return
        self._checkpoints[path] = CheckpointFile(path, step_of(path), modified)
        if not self._only_file and (path / trainer_state.NAME).is_file():
            self._consider_state(path / trainer_state.NAME)

    def _forget_checkpoints(self, folder: Path, there: set[str]) -> None:
        """Forget the checkpoints of a folder that were deleted: most runs keep the last few."""
        for path in list(self._checkpoints):
            if path.parent == folder and path.name not in there:
                del self._checkpoints[path]

    def _consider(self, path: Path) -> None:
        """Follow a file if its name and first bytes say that it is one of the run's."""
        name = path.name
        if name in KEPT_FILES:
            return
        if name in OWN_FILES:
            self._consider_own(path)
            return
        store = file_store(name)
        if store is not None:
            self._consider_store(path, store)
            return
        if path.parent.name == "wandb" and name.startswith("debug"):
            return  # what W&B says of itself
        if name == trainer_state.NAME:
            self._consider_state(path)
            return
        if not path.is_file():
            self._note_irregular(path)
            return
        head = self._head(path)
        if head is None:
            return
        kind = format_of(path, head) if head else ""
        if holds_metrics(path, head) or (holds_records(name) and not head):
            self._add(path, with_rows=True, kind=kind)
        elif is_log(name) if not head else kind == "text" and may_be_log(name):
            self._add(path, printed=True)
            self._texts.add(path)
        elif " " in kind:
            self._passed.add(path)
            self._left_out[path] = f"this looks like {kind}"
        elif b"\n" in head or len(head) == HEAD:
            self._passed.add(path)
        else:
            self._undecided.add(path)  # Its first line is still to be written.

    def _note_irregular(self, path: Path) -> None:
        """Leave alone what is no file: a pipe is emptied by reading, a device has no end."""
        if not path.exists():
            self._undecided.add(path)  # What a link points to may come.
        else:
            self._passed.add(path)
            self._left_out[path] = "a pipe or a device; name it to read it"

    def _head(self, path: Path) -> bytes | None:
        """The first bytes of a file; None if it cannot be read at the moment."""
        self._undecided.discard(path)
        self._left_out.pop(path, None)
        try:
            return head_of(path)
        except OSError as error:
            self._left_out[path] = error.strerror or str(error)
            self._undecided.add(path)
            return None

    def _consider_store(self, path: Path, store: Store) -> None:
        """Follow a tracker's file; the event files of a folder are followed together."""
        head = self._head(path)
        if head is None or {path, path.parent} & self._passed:
            return
        if not head:
            self._undecided.add(path)
        elif (kind := format_of(path, head)) != store:
            self._passed.add(path)
            self._left_out[path] = f"this looks like {kind}"
        elif store == "wandb":
            self._add(path, with_rows=True, kind=kind)
        elif path.parent not in self._files and path.parent not in self._waiting:
            table = events_table(path.parent, self._root)
            self._add(path.parent, with_rows=True, table=table, kind=kind)

    def _consider_own(self, path: Path) -> None:
        """Follow a file of our own format, if it is of this run and not of one below."""
        rank = RANK.fullmatch(path.parent.name) is not None
        self._undecided.discard(path)
        if self._own is None:
            self._undecided.add(path)
        elif self._own != (path.parent.parent if rank else path.parent):
            self._left_out[path] = "it belongs to another run"
        elif rank and path.name == "layers.jsonl":
            self._left_out[path] = "per-layer statistics are read of rank 0 only"
        elif not rank or path.name in OWN_RECORDS:
            kind = OWN if path.name == OWN_RECORDS[0] else ""
            self._add(path, with_rows=path.name in OWN_RECORDS, kind=kind)

    def _consider_state(self, path: Path) -> None:
        """Follow the newest of the histories that a training has saved with its checkpoints."""
        folder = trainer_state.output_folder(path)
        if folder in self._with_state:
            return
        self._with_state.add(folder)
        # Where the folder of one checkpoint is what is to be opened, nothing else is read.
        found = trainer_state.states(folder) if folder.is_relative_to(self._root) else []
        newest = found[-1].path if found else path
        table = table_of(folder / trainer_state.NAME if found else path, self._root)
        self._add(newest, with_rows=True, table=table, kind="json")
        self._passed.update(state.path for state in found[:-1])

    def _add(
        self,
        path: Path,
        with_rows: bool = False,
        table: str | None = None,
        printed: bool = False,
        kind: str = "",
    ) -> None:
        if len(self._files) >= MAX_FILES:
            self._left_out[path] = f"more than {MAX_FILES} files"
            return
        table = table or table_of(path, self._root)
        taken = {file.table for file in self._files.values()}
        while table in taken:
            table += "+"
        # Of what is printed nobody knows before whether it holds rows.
        alone = not self._with_rows and not (printed and self._printed)
        self._files[path] = RunFile(path, table, alone=alone)
        self._printed = self._printed or printed
        if kind:
            self._twins.add(path, kind, table)
        if with_rows:
            self._with_rows.add(path)


def discover(path: Path) -> RunPaths:
    """The files of the run at a path, as they are now. Raises what `Discovery` raises."""
    return Discovery(path).paths


def _holds_no_run(path: Path) -> str:
    return (
        f"{path}: no run here. Looked {MAX_DEPTH} folders deep for train_diagnostics.jsonl and its"
        " companions, also in results/diagnostics and $DIAGNOSTICS_DIR, for metrics in *.jsonl,"
        " *.json, *.csv, event and W&B files, and for text logs; give the folder or file that the"
        " training writes to"
    )
