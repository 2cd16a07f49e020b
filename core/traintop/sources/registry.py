"""Which format a file is in, told by its content, and the source that reads it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from traintop.sources import document_head
from traintop.sources.binary import looks_binary
from traintop.sources.compressed import is_packed, unpacked
from traintop.sources.diagnostics import FORMAT, Events, RunInfoFile, holds_events
from traintop.sources.jsonl import JsonLines, holds_json_lines
from traintop.sources.layers import Layers, holds_layers
from traintop.sources.pipe import PipeTail
from traintop.sources.reader_process import Opening
from traintop.sources.source import LONG, FileSource, Source
from traintop.sources.steady import SteadySource
from traintop.sources.stores import store_of
from traintop.sources.table_names import table_of
from traintop.sources.tail import HEAD, FileTail, Jump, Tail
from traintop.sources.tfevents.recognise import holds_event_file
from traintop.sources.wandb.recognise import holds_wandb_file

if TYPE_CHECKING:
    from traintop.sources.aside import Aside
    from traintop.sources.database import Kind as Database
    from traintop.sources.decoder import Decoder

__all__ = ["Format", "Source", "format_of", "head_of", "open_source"]

STANDARD_INPUT = Path("-")
DATABASE = b"SQLite format 3\x00"
"""What an SQLite database begins with."""
OWN_TABLES = {"train_diagnostics.jsonl": "train", "val_diagnostics.jsonl": "val"}


def _always(_path: Path, _head: bytes) -> bool:
    return True


def _never(_path: Path, _head: bytes) -> bool:
    return False


class Place(NamedTuple):
    """The file that a decoder is made for, and where its records go."""

    path: Path
    table: str
    """The table of records that do not say what part of the data they speak of."""
    prefix: str
    """What stands before `train`, `val` or `test` in the name of the table of records that do."""
    only_lines: bool = False
    """Whether a text log is read for its lines alone: another file has the curves it prints."""

    def split_table(self, split: str) -> str:
        """Name the table of a part of the data."""
        return self.prefix + split


class Format(NamedTuple):
    """One format."""

    name: str
    """What `format_of` calls it."""
    recognise: Callable[[Path, bytes], bool]
    """Whether a file that begins with these bytes is in it."""
    decoder: Callable[[Place], Decoder]
    measures: Callable[[Path, bytes], bool] = _never
    """Whether such a file holds the measurements of a training, also if nothing else says so."""


def open_source(
    path: Path,
    table: str | None = None,
    *,
    alone: bool = True,
    newest_first: bool = False,
    only_lines: bool = False,
    aside: bool = False,
) -> Source:
    """The source for a file, which need not exist or hold anything yet.

    Args:
        path: A file, a pipe, or `-` for standard input.
        table: The table of its records, unique in the run; by default the file's name without its
            ending.
        alone: Whether records that say that they are of training or validation go to the tables
            `train` and `val`; else, as where a run has several such files, to `<table>/train` ...
        newest_first: Whether a long file may be read from its end.
        only_lines: Whether a text log is read for its lines alone.
        aside: Whether very long files may be read in a process of their own, and the newest part of
            a long one handed over before all that has to be read before it.
    """
    if path.name == "run.json":
        return RunInfoFile(path)
    if table is None:
        table = "stdin" if path == STANDARD_INPUT else table_of(path, path.parent)
    opening = Opening(str(path), table, alone, only_lines)
    if path.is_dir():
        folder = _open_folder(path, table, preview=newest_first and aside)
        return _ahead(path, folder, opening) if aside and not newest_first else folder
    if (database := _database(path)) is not None:
        from traintop.sources.database import DatabaseSource

        return DatabaseSource(path, database, table)

    tail = open_tail(path)
    chosen = partial(choose, path, table=table, alone=alone, only_lines=only_lines)

    def read_aside(jump: Jump) -> Aside:
        from traintop.sources.aside import Aside  # Most files are not so long.

        return Aside(jump, opening, lambda: chosen(jump.head[:HEAD]))

    source = SteadySource(
        FileSource(tail, chosen, newest_first=newest_first, aside=read_aside if aside else None)
    )
    if not aside or newest_first or isinstance(tail, PipeTail):
        return source
    return _ahead(path, source, opening)


def _ahead(path: Path, source: Source, opening: Opening) -> Source:
    """A source that is read by another process first, where it is worth that."""
    if source.report().bytes_total <= LONG:
        return source
    from traintop.sources.ahead import Ahead

    return Ahead(path, source, opening)


def _open_folder(folder: Path, table: str, *, preview: bool) -> Source:
    """The source for a folder that a tracker keeps a run in."""
    store = store_of({path.name for path in folder.iterdir()})
    if store in ("mlflow", "dvclive"):
        from traintop.sources.metric_files import MetricFiles

        return MetricFiles(folder, store, table)
    from traintop.sources.tfevents.folder import EventFolder

    return EventFolder(folder, table, preview=preview)


def _database(path: Path) -> Database | None:
    """Whose database a file is; None if it is none that is read."""
    if not path.is_file():  # opening a pipe would wait for its writer
        return None
    try:
        with path.open("rb") as file:
            head = file.read(len(DATABASE))
    except OSError:
        return None
    if head != DATABASE:
        return None
    from traintop.sources.database import database_kind

    return database_kind(path)


def open_tail(path: Path) -> Tail:
    """The bytes of a path: `-` is standard input; pipes and terminals are read by a thread."""
    if path == STANDARD_INPUT:
        # A descriptor of its own: the app takes the first one for the keyboard.
        return PipeTail(path, os.dup(0))
    try:
        mode = path.stat().st_mode
    except OSError:
        return unpacked(FileTail(path))
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return PipeTail(path)
    if path.suffix == ".json":
        from traintop.sources import trainer_state

        if path.name == trainer_state.NAME:
            return trainer_state.NewestState(path)
    return unpacked(FileTail(path))


def head_of(path: Path) -> bytes:
    """The first bytes of a file's content; empty where it is none, or a pipe.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not is_packed(head):
        return head
    tail = unpacked(FileTail(path))
    head = tail.read(HEAD).data
    tail.close()
    if tail.error is not None and not head:
        raise OSError(0, tail.error)
    return head


def choose(
    path: Path, head: bytes, table: str, alone: bool, only_lines: bool = False
) -> Decoder | str:
    """The decoder for a file that begins with these bytes; a text says why there is none."""
    found = _recognise(path, head)
    if isinstance(found, str):
        return f"this looks like {found}, which is not read"
    folder = table.rpartition("/")[0]
    prefix = (f"{folder}/" if folder else "") if alone else f"{table}/"
    return found.decoder(Place(path, table, prefix, only_lines))


def format_of(path: Path, head: bytes) -> str:
    """What a file that begins with these bytes holds: a format's name, or in words what kind of
    binary data.
    """  # noqa: D205 - the first sentence is long
    found = _recognise(path, head)
    if head.startswith(DATABASE) and (kind := _database(path)) is not None:
        return kind
    return found if isinstance(found, str) else found.name


def holds_metrics(path: Path, head: bytes) -> bool:
    """Whether a file that begins with these bytes holds the measurements of a training.

    Where one looks for a run there are other tables too, of data or of results.
    """
    if head.startswith(DATABASE):
        return _database(path) is not None
    found = _recognise(path, head)
    return not isinstance(found, str) and found.measures(path, head)


def _recognise(path: Path, head: bytes) -> Format | str:
    """The format of a file; a text names a kind of data that is not read."""
    for known in BINARY_FORMATS:
        if known.recognise(path, head):
            return known
    binary = looks_binary(head)
    if binary is not None:
        return binary
    return next(known for known in TEXT_FORMATS if known.recognise(path, head))


# A run is in one format: the decoders of the others, and what they lean on, are not imported for
# it.


def _layers(_place: Place) -> Layers:
    return Layers()


def _events(_place: Place) -> Events:
    return Events()


def _json_lines(place: Place) -> JsonLines:
    own = OWN_TABLES.get(place.path.name)
    if own is None:
        return JsonLines(place.table, place.split_table)
    folder = place.table.rpartition("/")[0]
    return JsonLines(f"{folder}/{own}" if folder else own, format=FORMAT)


def _document(place: Place) -> Decoder:
    from traintop.sources.document import JsonDocument

    return JsonDocument(place.table, place.split_table)


# Most files are told before one has to look for columns.
def _holds_columns(path: Path, head: bytes) -> bool:
    from traintop.sources import dialect

    return dialect.of_file(path, head) is not None


def _measures_in_columns(path: Path, head: bytes) -> bool:
    from traintop.sources import dialect

    return dialect.holds_training(path, head)


def _separated_values(place: Place) -> Decoder:
    from traintop.sources.separated import SeparatedValues

    return SeparatedValues(place.table, place.split_table)


def _text(place: Place) -> Decoder:
    from traintop.sources.textlog import TextLog

    return TextLog(place.split_table("train"), place.split_table, series=not place.only_lines)


def _tfevents(place: Place) -> Decoder:
    from traintop.sources.scalars import Placer
    from traintop.sources.tfevents.decoder import EventFile

    return EventFile(Placer(place.table))


def _wandb(place: Place) -> Decoder:
    from traintop.sources.wandb.decoder import WandbFile

    folder = place.table.rpartition("/")[0]
    return WandbFile(place.table, f"{folder}/system" if folder else "system")


BINARY_FORMATS: tuple[Format, ...] = (
    Format("tfevents", holds_event_file, _tfevents, _always),
    Format("wandb", holds_wandb_file, _wandb, _always),
)
"""Formats that are no text. Each is told by its first bytes."""

TEXT_FORMATS: tuple[Format, ...] = (
    Format("layers", holds_layers, _layers),
    Format("events", holds_events, _events),
    Format("json", document_head.is_document, _document, document_head.holds_curves),
    Format("jsonl", holds_json_lines, _json_lines, _always),
    Format("csv", _holds_columns, _separated_values, _measures_in_columns),
    Format("text", _always, _text),
)
"""Formats of text, the most certain to tell first: the first that recognises a file has it."""
