"""Columns of text among those of numbers: taken out, so that the rest is read as plain numbers."""

from __future__ import annotations

Texts = dict[int, list[str]]


def take_out(
    data: bytes, delimiter: bytes, width: int, places: list[int]
) -> tuple[bytes, Texts] | None:
    """Blank the cells of some columns; None where lines have quotes, comments or another length.

    Args:
        data: Whole lines.
        delimiter: One byte, no blank.
        width: Cells that every line must have.
        places: The columns.

    Returns:
        The lines, and the text of each column.
    """
    if b'"' in data or data.startswith(b"#") or b"\n#" in data or delimiter == b" ":
        return None
    texts: dict[int, list[bytes]] = {place: [] for place in places}
    lines: list[bytes] = []
    for line in data.removesuffix(b"\n").split(b"\n"):
        cells = line.split(delimiter)
        if len(cells) != width:
            return None
        for place, found in texts.items():
            found.append(cells[place])
            cells[place] = b""
        lines.append(delimiter.join(cells))
    decoded = {
        place: [cell.decode("utf-8", "replace").strip("\ufeff\0\r\n ") for cell in found]
        for place, found in texts.items()
    }
    return b"\n".join(lines), decoded
