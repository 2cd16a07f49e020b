"""JSON for machines: one line, with the non-finite numbers spelled as strings, as in the files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import msgspec


def encode(value: object) -> str:
    """Encode a struct; NaN and the infinities become `"NaN"`, `"Infinity"` and `"-Infinity"`.

    Half a surrogate pair, which names in a log may hold, becomes a question mark.
    """
    return msgspec.json.encode(_strict(msgspec.to_builtins(value, enc_hook=str))).decode()


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {_strict(key): _strict(item) for key, item in members.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in cast("Sequence[Any]", value)]
    return value
