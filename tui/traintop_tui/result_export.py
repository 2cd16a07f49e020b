"""A result as files for others: JSON, Markdown, a picture of its chart and text."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.style import Style
from rich.text import Text

from traintop.analysis_results import FOLDER, AnalysisResult, cache_folder
from traintop.errors import AnalysisError
from traintop.jobs import summary
from traintop_tui.charts.cells import Row, fit_runs
from traintop_tui.job_list import JobItem
from traintop_tui.widgets.result_chart import draw_item
from traintop_tui.widgets.result_text import result_rows

EXPORTS = "exports"
WIDTH, CHART_HEIGHT = 110, 28
"""Cells of the picture."""
NO_PNG = "no PNG: pip install 'traintop[png]' for one"


class Exported(NamedTuple):
    """What was written."""

    paths: list[Path]
    remark: str | None
    """What could not be."""


def export(
    item: JobItem, run_dir: Path | None, styles: Mapping[str, Style], *, braille: bool
) -> Exported:
    """Write a result as JSON, Markdown, SVG, and PNG where a library is there that can.

    Args:
        item: An analysis that has ended.
        run_dir: The run; the files go to `analyses/exports` in it, to the user's cache folder where
            that cannot be written, and to the present folder without a run.
        styles: How each style name of a chart looks.
        braille: False draws with ASCII characters only.

    Raises:
        AnalysisError: It has no result yet, or there is no folder that can be written to.
    """
    if item.result is None:
        raise AnalysisError(f"{item.title} has not ended: there is no result to export yet")
    svg = picture(item, styles, braille=braille)
    contents = {
        ".json": msgspec.json.format(item.result.to_json()) + b"\n",
        ".md": markdown(item.result).encode(),
        ".svg": svg.encode(),
    }
    png = _png(svg)
    if png is not None:
        contents[".png"] = png
    remark = NO_PNG if png is None else None
    problem: OSError | None = None
    for folder in _folders(run_dir):
        try:
            return Exported(_write(folder, _stem(item.result), contents), remark)
        except OSError as error:
            problem = error
    raise AnalysisError(f"cannot be exported: {problem}")


def markdown(result: AnalysisResult) -> str:
    """Write a result for a person who reads Markdown."""
    head, *lines = summary(result)
    facts = {
        "checkpoint": result.checkpoint,
        "step": result.step,
        "device": result.device,
        "seconds": f"{result.seconds:.1f}",
    }
    told = [f"- {name}: `{value}`" for name, value in facts.items() if value is not None]
    # The summary is laid out by blanks; its last lines are the findings, which follow as a list.
    text = lines[: len(lines) - len(result.findings)]
    fence = "`" * 4
    made = [f"# {head}", "", *told, "", fence, *text, fence]
    if result.findings:
        made += ["", "## Findings", ""]
    for found in result.findings:
        made.append(f"- **{found.get('severity')}**: {found.get('title')} (`{found.get('id')}`)")
        made += [f"  - next: {each.get('do')}" for each in found.get("next", ())]
    return "\n".join(made) + "\n"


def picture(item: JobItem, styles: Mapping[str, Style], *, braille: bool) -> str:
    """Draw the chart of an analysis, and its text below, as SVG."""
    rows: list[Row] = list(draw_item(item, WIDTH, CHART_HEIGHT, braille=braille))
    rows += [(), *result_rows(item, WIDTH)]
    base = styles["background"]
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for row in rows:
        line = Text(no_wrap=True)
        for text, name in fit_runs(row, WIDTH):
            line.append(text, base + styles[name])
        console.print(line, soft_wrap=True)
    return console.export_svg(title=f"traintop: {item.title}", code_format=_SVG)


_SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich has it, with fonts of the reader's own: nothing is loaded from elsewhere."""


def _png(svg: str) -> bytes | None:
    """Return a PNG; None where no library is there that can draw one."""
    try:
        cairosvg = import_module("cairosvg")
    except (ImportError, OSError):  # The latter where the C library is missing.
        return None
    drawn: bytes = cairosvg.svg2png(bytestring=svg.encode())
    return drawn


def _folders(run_dir: Path | None) -> list[Path]:
    if run_dir is None:
        return [Path.cwd()]
    return [run_dir / FOLDER / EXPORTS, cache_folder(run_dir) / EXPORTS]


def _stem(result: AnalysisResult) -> str:
    step = "nostep" if result.step is None else str(result.step)
    return f"{result.analysis}-{step}"


def _write(folder: Path, stem: str, contents: Mapping[str, bytes]) -> list[Path]:
    """Write all files under one new name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        paths = {suffix: folder / f"{stem}-{number}{suffix}" for suffix in contents}
        if not any(path.exists() for path in paths.values()):
            for suffix, path in paths.items():
                path.write_bytes(contents[suffix])
            return list(paths.values())
    raise AssertionError("count() has no end")
