"""What a cell of a table of separated values holds: a number, nothing, or text."""

from __future__ import annotations

import re

from traintop.sources.keys import as_number

_ABSENT = frozenset({"", "na", "n/a", "none", "null", "-", "--", "<na>", "nil"})
_BOOLEANS = {"true": 1.0, "false": 0.0}
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+([eE][+-]?\d+)?")
_WITH_UNIT = re.compile(r"([+-]?[\d.,]+(?:[eE][+-]?\d+)?) ?(%|s|ms|us|it/s|s/it|x|MB|GB|MiB|GiB)")
_TENSOR = re.compile(r"tensor\(([^,()]+)(,.*)?\)")


def is_absent(cell: str) -> bool:
    """Whether a cell says that there is no value: it is blank, `NA`, `None` ..."""
    return not cell or cell.lower() in _ABSENT


def number(cell: str, decimal_comma: bool = False) -> float | None:
    """The number in a cell; None if it holds none.

    Takes what `as_number` takes, `True`, `12.5%`, `3.2e-05s`, `tensor(0.5)`.

    Args:
        cell: Without blanks around it.
        decimal_comma: Whether commas are never between thousands: `1,234` is less than two.
    """
    if decimal_comma and _DECIMAL_COMMA.fullmatch(cell):
        cell = cell.replace(".", "").replace(",", ".")
    found = as_number(cell)
    if found is not None or not cell or len(cell) > 64:
        return found
    if not decimal_comma and _DECIMAL_COMMA.fullmatch(cell):
        return as_number(cell.replace(".", "").replace(",", "."))
    if (quantity := _WITH_UNIT.fullmatch(cell)) is not None:
        return as_number(quantity[1])
    if (tensor := _TENSOR.fullmatch(cell)) is not None:
        return as_number(tensor[1])
    return _BOOLEANS.get(cell.lower())
