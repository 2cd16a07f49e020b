"""Which finding is only the symptom of which: a cause that is open takes its symptoms along."""

from __future__ import annotations

EXPLAINED_BY: dict[str, tuple[str, ...]] = {}
"""Finding -> the findings that explain it. While one of those is open, it is advice (`info`)."""

AFTERMATH = 30
"""Records for which a cause that is over still explains what begins."""
