"""One finding in full: what was measured, what is likely, what to do next."""

from __future__ import annotations

from traintop.finding_text import evidence_lines
from traintop.records import Cause, Finding
from traintop_tui.charts.cells import Row
from traintop_tui.finding_words import key_of, test_words
from traintop_tui.panels import LAYER_STATISTICS
from traintop_tui.widgets.scroll_text import ScrollText
from traintop_tui.wrapping import wrap

NAME_WIDTH = 10
LISTED_LAYERS = 12
"""Layers that are named; of more it is said how many there are."""


class FindingDetail(ScrollText):
    """The selected finding as text, the most important first."""

    def about(self) -> object:
        """Tell one finding from another."""
        finding = self.model.selected_finding()
        return None if finding is None else finding.key

    def lines(self, width: int) -> list[Row]:
        """Write all that is known of it."""
        finding = self.model.selected_finding()
        if finding is None:
            return []
        rows: list[Row] = [
            ((line, f"severity.{finding.severity}"),) for line in wrap(finding.title, width)
        ]
        rows += [((line, "label"),) for line in wrap(self._standing(finding), width)]
        story = self.model.story_of(finding)
        parts = [
            ("measured", evidence_lines(finding)),
            ("cause", _causes(finding, "measured")),
            ("likely", _causes(finding, "inferred")),
            ("test", _tests(finding)),
            ("fix", list(finding.fixes)),
            ("layers", _layers(finding)),
            ("ranks", [", ".join(map(str, finding.ranks))] if finding.ranks else []),
            ("story", [story.story] if story is not None else []),
        ]
        for name, texts in parts:
            for text in texts:
                for line in wrap(text, max(width - NAME_WIDTH, 1)):
                    rows.append(((f"{name:{NAME_WIDTH}}", "title"), (line, "text")))
                    name = ""
        return rows

    def _standing(self, finding: Finding) -> str:
        """Say what rule it is of, how bad it is, since when, and what was decided of it."""
        words = [finding.id, finding.severity, f"since step {finding.onset_step}"]
        words.append(f"seen at step {finding.detected_step}")
        if finding.resolved_step is not None:
            words.append(f"over at step {finding.resolved_step}")
        if self.model.is_muted(finding):
            words.append("muted: M unmutes it")
        elif self.model.is_acknowledged(finding):
            words.append("acknowledged: a takes it back")
        return ", ".join(words)


def _causes(finding: Finding, basis: str) -> list[str]:
    """Write the causes that were read from the run, or those that are only inferred from it."""
    return [_cause(cause) for cause in finding.causes if cause.basis == basis]


def _cause(cause: Cause) -> str:
    return f"{cause.cause} ({cause.because})" if cause.because else cause.cause


def _tests(finding: Finding) -> list[str]:
    keys = [key_of(test, finding) for test in finding.next]
    return [
        (f"{key} runs: " if key else "") + test_words(test)
        for key, test in zip(keys, finding.next, strict=True)
    ]


def _layers(finding: Finding) -> list[str]:
    if not finding.layers:
        return []
    names = ", ".join(finding.layers[:LISTED_LAYERS])
    more = len(finding.layers) - LISTED_LAYERS
    shows = "l shows: " if finding.id in LAYER_STATISTICS else ""
    return [shows + names + (f" and {more} more" if more > 0 else "")]
