"""Telling paths of this machine from those of other places."""

from __future__ import annotations

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.")


def is_remote(path: str) -> bool:
    """Whether a path names a place for fsspec: `s3://bucket/run`, `ssh://host/run` ..."""
    return _URL.match(path) is not None
