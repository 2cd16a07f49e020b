"""Telling files that are no text at all, by their first bytes, and naming what they look like."""

from __future__ import annotations

import codecs

from traintop.sources.text import byte_order_mark

_MAGIC = (
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PK\x03\x04", "a zip archive (PyTorch checkpoints are such)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"\x80\x02", "a pickle (old PyTorch checkpoints are such)"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
)

UNDECODABLE_SHARE = 0.1
"""Of the first bytes; log text in an old one-byte encoding stays below it."""


def looks_binary(head: bytes) -> str | None:
    """What a file with these first bytes looks like, if it is no text; None if it may be text."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    # safetensors: 8 bytes of length, then a JSON header.
    if head[8:10] == b'{"' and head[5:8] == b"\0\0\0":
        return "a safetensors file"
    if byte_order_mark(head):
        return None
    body = head.strip(b"\0")  # a writer that crashed leaves NULs at an end
    if body.count(b"\0") * 100 > len(body):
        return "binary data"
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(body)
    if text.count("\ufffd") > UNDECODABLE_SHARE * len(text):
        return "binary data"
    return None
