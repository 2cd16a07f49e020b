"""What series are besides their roles: averages, copies, and functions of another series.

Nothing is believed of a name alone: a perplexity is one where it is the exponential of a loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from traintop.catalogue import SeriesRef
from traintop.quantum import Quantum, quantum_of
from traintop.records import Floats
from traintop.sources.role_names import AVERAGES
from traintop.store import Run

SAMPLE = 512
"""Values looked at of a series."""
LEAST_POINTS = 5
"""Fewer points that agree are a coincidence."""
AGREEING = 0.95
"""Share of the points that must agree: windows of an average may be cut otherwise."""
TOLERANCE = 0.02
"""Relative difference within which points agree: a mean of exponentials is none of the mean."""

_PERPLEXITY = re.compile(r"(^|[^a-z])(ppl|perplexity|bpp)([^a-z]|$)", re.IGNORECASE)
_ERROR = re.compile(r"(^|[^a-z])(err|error)([^a-z]|$)", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one series."""

    derived_from: str | None = None
    """Label of the series that it is a function of, or a copy."""
    how: str | None = None
    """`exp`, `2^`, `1 -`, `100 -`, `copy`, `mean`."""
    averaged: str | None = None
    """The word of its name that says that it is a mean over some past."""
    unit: str | None = None
    constant: bool = False
    quantum: Quantum | None = None

    @property
    def mark(self) -> str:
        """In a word or two, for a list; empty where there is nothing to say."""
        if self.derived_from is not None:
            words = {"copy": f"= {self.derived_from}", "mean": f"mean of {self.derived_from}"}
            return words.get(self.how or "", f"{self.how} {self.derived_from}")
        return "constant" if self.constant else "average" if self.averaged else ""


def meanings(run: Run, refs: Sequence[SeriesRef], *, grids: bool = True) -> dict[str, Meaning]:
    """Say of each series, by label, what it is; a sample of its values is looked at.

    Args:
        run: Whose series.
        refs: The series.
        grids: Whether to find the grids on which values were written, which takes longest.
    """
    found: dict[str, Meaning] = {}
    samples = {ref.label: _sample(run, ref) for ref in refs}
    derived = _copies(refs, samples)
    means = _means(refs)
    bits: set[str] = set()
    for ref in refs:
        if ref.label in derived:
            continue
        origin = means.get(ref.label) or _source_of(run, ref, refs, samples)
        if origin is not None:
            derived[ref.label] = origin
            if origin[1] == "2^":
                bits.add(origin[0])
    for ref in refs:
        values = samples[ref.label][1]
        finite = values[np.isfinite(values)]
        constant = len(finite) > 1 and len(finite) == len(values) and bool(np.ptp(finite) == 0)
        source, how = derived.get(ref.label, (None, None))
        found[ref.label] = Meaning(
            derived_from=source,
            how=how,
            averaged=ref.averaged,
            unit="bits" if ref.label in bits else ref.unit,
            constant=constant,
            quantum=quantum_of(values) if grids else None,
        )
    return found


Sample = tuple[Floats, Floats]
"""Steps and values."""


def _sample(run: Run, ref: SeriesRef) -> Sample:
    steps, values = run.tables[ref.table].points(ref.name)
    if not len(values):
        return steps, values
    at = np.unique(np.linspace(0, len(values) - 1, SAMPLE).astype(np.int64))
    return steps[at], values[at]


def _copies(refs: Sequence[SeriesRef], samples: dict[str, Sample]) -> dict[str, tuple[str, str]]:
    """Find series that are equal everywhere; of a group the one with a role is the original."""
    groups: dict[tuple[bytes, bytes], list[SeriesRef]] = {}
    for ref in refs:
        steps, values = samples[ref.label]
        if (
            len(values) >= LEAST_POINTS
            and (values != values[0]).any()
            and np.isfinite(values).any()
        ):
            groups.setdefault((steps.tobytes(), values.tobytes()), []).append(ref)
    copies: dict[str, tuple[str, str]] = {}
    for group in groups.values():
        original = next((ref for ref in group if ref.role is not None), group[0])
        for ref in group:
            if ref is not original and ref.role is None:
                copies[ref.label] = original.label, "copy"
    return copies


def _means(refs: Sequence[SeriesRef]) -> dict[str, tuple[str, str]]:
    """Find averages without a role whose series stands beside them; of the same table first."""
    plain: dict[tuple[str, ...], list[SeriesRef]] = {}
    for ref in refs:
        if ref.averaged is None:
            plain.setdefault(_base(ref.name), []).append(ref)
    means: dict[str, tuple[str, str]] = {}
    for ref in refs:
        same = plain.get(_base(ref.name), []) if ref.averaged and ref.role is None else []
        if same:
            beside = next((each for each in same if each.table == ref.table), same[0])
            means[ref.label] = beside.label, "mean"
    return means


def _source_of(
    run: Run, ref: SeriesRef, refs: Sequence[SeriesRef], samples: dict[str, Sample]
) -> tuple[str, str] | None:
    """Find what a series is a function of."""
    tests: list[tuple[str, Callable[[Floats, Floats], bool]]] = []
    if _PERPLEXITY.search(_CAMEL.sub("_", ref.name)):
        tests = [("exp", _is_exp), ("2^", _is_power_of_2)]
        others = [other for other in refs if "loss" in (other.role or other.name).lower()]
    elif _ERROR.search(_CAMEL.sub("_", ref.name)):
        tests = [("1 -", _complements(1.0)), ("100 -", _complements(100.0))]
        others = [other for other in refs if "acc" in (other.role or other.name).lower()]
    else:
        return None
    # The one beside it and of the same part of the data is the likeliest.
    others.sort(key=lambda other: (other.table != ref.table, other.role is None))
    for other in others:
        if other.label == ref.label:
            continue
        pairs = _pairs(run, samples[ref.label], samples[other.label], other)
        for how, agrees in tests:
            if len(pairs[0]) >= LEAST_POINTS and agrees(*pairs):
                return other.label, how
    return None


def _pairs(run: Run, sample: Sample, theirs: Sample, other: SeriesRef) -> Sample:
    """Return the finite values of a sample and of another series at the same steps."""
    steps, values = sample
    if np.array_equal(steps, theirs[0]):
        matched = theirs[1]
    else:
        all_steps, all_values = run.tables[other.table].points(other.name)
        at = np.searchsorted(all_steps, steps)
        there = at < len(all_steps)
        there[there] = all_steps[at[there]] == steps[there]
        matched, values = all_values[at[there]], values[there]
    known = np.isfinite(values) & np.isfinite(matched)
    return values[known], matched[known]


def _is_exp(perplexity: Floats, loss: Floats) -> bool:
    return _agree(np.log(np.maximum(perplexity, 1e-300)), loss)


def _is_power_of_2(perplexity: Floats, loss: Floats) -> bool:
    return _agree(np.log2(np.maximum(perplexity, 1e-300)), loss)


def _complements(whole: float) -> Callable[[Floats, Floats], bool]:
    return lambda error, accuracy: _agree(whole - error, accuracy) and bool(np.ptp(accuracy) > 0)


def _agree(found: Floats, expected: Floats) -> bool:
    near = np.abs(found - expected) <= TOLERANCE * np.abs(expected) + 1e-6
    return bool(near.mean() >= AGREEING)


def _base(name: str) -> tuple[str, ...]:
    words = _WORD.findall(_CAMEL.sub("_", name).lower())
    return tuple(word for word in words if word not in AVERAGES)
