"""Every finding that there may be: the detectors', those of the run's state, the baseline's."""

from __future__ import annotations

import inspect
from typing import NamedTuple

from traintop import baseline, state_findings
from traintop.detectors.registry import DETECTORS, nearest, resolve_thresholds
from traintop.errors import SettingsError
from traintop.settings import Settings


class Rule(NamedTuple):
    """What a finding is about."""

    id: str
    title: str
    words: str
    """How it is judged, in paragraphs."""
    needs: str
    """The signals that it is judged by."""


def every_rule() -> tuple[Rule, ...]:
    """All of them, the detectors' first."""
    detectors = (
        Rule(each.id, each.title, inspect.getdoc(each) or each.title, each.needs)
        for each in DETECTORS
    )
    of_state = (
        Rule(name, title, title, "the time of the last record, the process, or the log")
        for name, title in state_findings.TITLES.items()
    )
    compared = Rule(baseline.ID, baseline.TITLE, baseline.HELP, baseline.NEEDS)
    return (*detectors, *of_state, compared)


def refuse_unknown(settings: Settings) -> None:
    """Refuse settings of rules that there are not.

    Raises:
        SettingsError: A threshold or a mute names a rule, or a threshold, that does not exist.
    """
    resolve_thresholds(settings.detectors)
    if not settings.mutes:
        return
    known = {rule.id for rule in every_rule()}
    for name in settings.mutes:
        if name not in known:
            raise SettingsError(f"mutes: there is no rule {name!r}{nearest(name, known)}")
