"""A progress bar is read while it moves: its line may end hours later."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rows_read import by_table
from traintop.records import Item, LogLines, Rows
from traintop.sources.lines import LineSplitter
from traintop.sources.registry import open_source
from traintop.sources.textlog import TextLog

BARS = [f"\r{i:3d}%|##   | {i}/100 [00:01<00:09, 3.3it/s, loss={9 / i:.4f}]" for i in range(1, 41)]
LOG = f"start\n{''.join(BARS)}\nepoch done\r\n{''.join(BARS[:3])}\n".encode()


def split(items: list[Item]) -> tuple[list[float], list[str]]:
    """The losses and the lines."""
    rows = [item for item in items if isinstance(item, Rows)]
    lines = [line for item in items if isinstance(item, LogLines) for line in item.lines]
    return [values["loss"] for _, _, values in by_table(rows).get("train", [])], lines


def test_records_come_before_the_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("".join(BARS[:30]))
    source = open_source(path)
    items = [*source.read(1 << 20), *source.read(1 << 20)]
    with path.open("a") as file:
        file.write("".join(BARS[30:]))
    items += [*source.read(1 << 20), *source.read(1 << 20)]
    found, lines = split(items)
    assert found == [float(f"{9 / i:.4f}") for i in range(1, 40)]
    assert not lines
    with path.open("a") as file:
        file.write("\nend\n")
    found, lines = split([*source.read(1 << 20), *source.read(1 << 20)])
    assert found == [0.225]
    assert lines == [BARS[-1].strip("\r"), "end"]


@given(st.lists(st.integers(0, len(LOG)), max_size=12))
def test_wherever_it_is_cut(cuts: list[int]) -> None:
    def read(places: list[int]) -> tuple[list[float], list[str]]:
        splitter, log = LineSplitter(), TextLog()
        items: list[Item] = []
        for start, end in zip([0, *places], [*places, len(LOG)], strict=True):
            items += log.feed(whole) if (whole := splitter.feed(LOG[start:end])) else []
            items += log.overwrite(states) if (states := splitter.states()) else []
        return split([*items, *log.finish()])

    assert read(sorted(cuts)) == read([])
