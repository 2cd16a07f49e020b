"""Which format a file is in, told by its content, and the source that reads it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from traintop.sources.binary import looks_binary
from traintop.sources.diagnostics import FORMAT, Events, Layers, RunInfoFile
from traintop.sources.jsonl import JsonLines
from traintop.sources.pipe import PipeTail
from traintop.sources.source import FileSource, Source
from traintop.sources.tail import FileTail, Tail
from traintop.sources.textlog import TextLog

if TYPE_CHECKING:
    from traintop.sources.decoder import Decoder

__all__ = ["Source", "format_of", "open_source"]

OWN_TABLES = {"train_diagnostics.jsonl": "train", "val_diagnostics.jsonl": "val"}
STANDARD_INPUT = Path("-")

_OBJECT = re.compile(rb"\s*\{\s*[\"}]")
_LAYER_NAMES = re.compile(rb"\s*\{\s*\"names\"\s*:\s*\[")
_EVENT = re.compile(rb"\s*\{.*\"event\"\s*:\s*\"")


def open_source(path: Path, table: str | None = None, *, alone: bool = True) -> Source:
    """The source for a file, which need not exist or hold anything yet.

    Args:
        path: A file, a pipe, or `-` for standard input.
        table: The table of its records, unique in the run; by default the file's name without its
            ending.
        alone: Whether records that say that they are of training or validation go to the tables
            `train` and `val`; else, as where a run has several such files, to `<table>/train` ...
    """
    if path.name == "run.json":
        return RunInfoFile(path)
    if table is None:
        table = "stdin" if path == STANDARD_INPUT else _stem(path)
    return FileSource(open_tail(path), lambda head: choose(path, head, table, alone))


def open_tail(path: Path) -> Tail:
    """The bytes of a path: `-` is standard input; pipes and terminals are read by a thread."""
    if path == STANDARD_INPUT:
        # A descriptor of its own: the app takes the first one for the keyboard.
        return PipeTail(path, os.dup(0))
    try:
        mode = path.stat().st_mode
    except OSError:
        return FileTail(path)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return PipeTail(path)
    return FileTail(path)


def choose(path: Path, head: bytes, table: str, alone: bool) -> Decoder | str:
    """The decoder for a file that begins with these bytes; a text says why there is none."""
    kind = format_of(path, head)
    folder = table.rpartition("/")[0]
    if path.name in OWN_TABLES and kind == "jsonl":
        own = OWN_TABLES[path.name]
        return JsonLines(f"{folder}/{own}" if folder else own, format=FORMAT)
    match kind:
        case "layers":
            return Layers()
        case "events":
            return Events()
        case "jsonl":
            prefix = (f"{folder}/" if folder else "") if alone else f"{table}/"
            return JsonLines(table, lambda split: prefix + split)
        case "text":
            return TextLog()
        case _:
            return f"this looks like {kind}, which is not read"


def format_of(path: Path, head: bytes) -> str:
    """What a file that begins with these bytes holds: `layers`, `events`, `jsonl`, `text`, or in
    words what kind of binary data.
    """  # noqa: D205 - the list is the summary
    binary = looks_binary(head)
    if binary is not None:
        return binary
    if _LAYER_NAMES.match(head):
        return "layers"
    lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if len(lines) > 1:
        lines.pop()  # torn, or empty
    lines = [line for line in lines if line.strip()]
    if path.name == "events.jsonl" and lines and _EVENT.match(lines[0]):
        return "events"
    objects = sum(bool(_OBJECT.match(line)) for line in lines)
    return "jsonl" if objects * 2 > len(lines) else "text"


def _stem(path: Path) -> str:
    """The name of a file without the endings that say what kind it is."""
    name = path.name
    for ending in (".log.json", ".jsonl", ".ndjson", ".json", ".txt", ".log", ".out"):
        if name.endswith(ending) and name != ending:
            return name.removesuffix(ending)
    return name
