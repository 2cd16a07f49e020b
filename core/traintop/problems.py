"""What could not be read, said in one line a file."""

from __future__ import annotations

from collections.abc import Sequence

from traintop.records import SourceReport


def problem_lines(reports: Sequence[SourceReport]) -> list[str]:
    """Name each file that cannot be read or of which lines were passed over, and say why."""
    lines: list[str] = []
    for report in reports:
        if report.error is not None:
            lines.append(f"{report.path}: {report.error}")
        if report.skipped_total:
            first = report.skipped[0]
            lines.append(
                f"{report.path}: {report.skipped_total} "
                f"line{'s' if report.skipped_total > 1 else ''} passed over, "
                f"the first is line {first.line}: {first.why}"
            )
    return lines
