"""Joins findings into episodes: one story with its onset, the earliest cause first.

A NaN after a gradient explosion after a jump of the learning rate is one episode of three findings,
not three ailments.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from traintop.detectors.precedence import EXPLAINED_BY, LEADS_TO
from traintop.records import SEVERITIES, Finding, Severity

STEP = re.compile(r"\bstep \d|\bfirst step\b")
"""What a title that names its step itself has."""

SLACK_STEPS = 20
"""Onsets are estimates: a consequence may seem to begin so many steps before its cause, or after
its end ..."""

SLACK_SHARE = 0.02
"""... or this share of the steps up to there."""


CAUSES: dict[str, tuple[str, ...]] = {
    effect: tuple(
        dict.fromkeys(
            (
                *EXPLAINED_BY.get(effect, ()),
                *(cause for cause, effects in LEADS_TO.items() if effect in effects),
            )
        )
    )
    for effect in dict.fromkeys(
        (*EXPLAINED_BY, *(each for row in LEADS_TO.values() for each in row))
    )
}
"""Finding -> the findings that it may follow from."""


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """Findings that are one story."""

    root: str
    """The id of the finding that the others follow from."""
    severity: Severity
    """Of the worst of them."""
    onset_step: int
    resolved_step: int | None
    """Where the last of them was over; None while one is open."""
    findings: tuple[Finding, ...]
    """The root first, then in the order in which they began."""
    story: str
    """All of it in one sentence."""


def episodes(findings: Sequence[Finding]) -> tuple[Episode, ...]:
    """Join findings into episodes.

    Two findings belong together where one may follow from the other (`precedence`) and began while
    that was open, or about then.

    Args:
        findings: Of one run, in any order.

    Returns:
        The worst first, those of one severity in the order in which they began.
    """
    order = sorted(findings, key=lambda each: (each.onset_step, each.detected_step))
    # A long run may have hundreds of episodes: only those of ids that go together are compared.
    places: dict[str, list[int]] = {}
    for index, finding in enumerate(order):
        places.setdefault(finding.id, []).append(index)
    parent = list(range(len(order)))
    explained = [False] * len(order)

    def root_of(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for later, effect in enumerate(order):
        for index in (at for name in CAUSES.get(effect.id, ()) for at in places.get(name, ())):
            if follows(effect, order[index]):
                explained[later] = True
                a, b = root_of(index), root_of(later)
                parent[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for index in range(len(order)):
        groups.setdefault(root_of(index), []).append(index)
    found = [
        _episode([order[at] for at in group], [order[at] for at in group if not explained[at]])
        for group in groups.values()
    ]
    return tuple(
        sorted(found, key=lambda each: (-SEVERITIES.index(each.severity), each.onset_step))
    )


def follows(effect: Finding, cause: Finding) -> bool:
    """Whether one finding may be the consequence of another, by what they are and when."""
    if cause.id not in CAUSES.get(effect.id, ()):
        return False
    slack = max(SLACK_STEPS, SLACK_SHARE * effect.onset_step)
    over = cause.resolved_step
    return cause.onset_step - slack <= effect.onset_step and (
        over is None or effect.onset_step <= over + slack
    )


def _episode(group: list[Finding], roots: list[Finding]) -> Episode:
    """Tell one episode.

    Args:
        group: Its findings in the order of onsets.
        roots: Those of them that nothing else explains; none where two explain each other.
    """
    # Advice is no root where something worse is one.
    root = min(roots or group, key=lambda each: (each.severity == "info", each.onset_step))
    # What cures a symptom may make its cause worse: only the root has fixes.
    rest = [
        msgspec.structs.replace(each, fixes=())
        if root.id in EXPLAINED_BY.get(each.id, ())
        else each
        for each in group
        if each is not root
    ]
    ordered = (root, *rest)
    over = [each.resolved_step for each in group]
    steps = [each for each in over if each is not None]
    return Episode(
        root=root.id,
        severity=SEVERITIES[max(SEVERITIES.index(each.severity) for each in group)],
        onset_step=min(each.onset_step for each in group),
        resolved_step=max(steps) if len(steps) == len(over) else None,
        findings=ordered,
        story=_story(ordered),
    )


def _story(findings: Sequence[Finding]) -> str:
    root = findings[0]
    counted = Counter(each.id for each in findings)
    because = f" ({root.causes[0].because})" if root.causes else ""
    story = f"{root.title}{_when(root)}{because}{_again(counted[root.id])}"
    step = root.onset_step
    told = {root.id}
    for each in findings[1:]:
        if each.id in told:
            continue
        told.add(each.id)
        title, again = _lower(each.title), _again(counted[each.id])
        if each.onset_step < step:  # It began before what it follows from.
            story += f"; from step {each.onset_step} on {title}{again}"
        elif each.onset_step == step:
            story += f", and {title}{again}"
        else:
            story += f", then {title}{_when(each)}{again}"
        step = each.onset_step
    return story


def _when(finding: Finding) -> str:
    """Its step, unless its title has it already."""
    return "" if STEP.search(finding.title) else f" at step {finding.onset_step}"


def _again(count: int) -> str:
    return f" ({count} episodes)" if count > 1 else ""


def _lower(title: str) -> str:
    """A title inside a sentence; abbreviations keep their capitals."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]
