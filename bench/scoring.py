"""What labelled runs say of a detector: recall, right cause, false alarms, wrong findings, delay.

A run is scored by its `label.json`. A finding counts from severity `warning` up, at the step at
which it was said.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from traintop.records import Finding


class Label(msgspec.Struct, frozen=True):
    """What is true of a run."""

    fault: str
    onset_step: int | None = 0
    """When the fault was planted."""
    visible_step: int | None = None
    """When it can be seen in hindsight; the onset where that is not known."""
    variant: str = ""
    tier: str = "base"
    expected_findings: tuple[str, ...] = ()
    """Any of them, raised at or after the onset, is a fault detected."""
    diagnosis: tuple[str, ...] = ()
    """Any of them names the cause."""
    acceptable_findings: tuple[str, ...] = ()
    forbidden_findings: tuple[str, ...] = ()
    """Wrong; `*` is everything that is not acceptable."""


class Said(NamedTuple):
    """A finding, as far as it is scored."""

    id: str
    step: int

    def __str__(self) -> str:
        return f"{self.id} at {self.step}"


@dataclass
class FaultScore:
    """What was made of the runs of one fault."""

    runs: int = 0
    detected: int = 0
    named: int = 0
    delays: list[float] = field(default_factory=list)


@dataclass
class Scores:
    """The scores of one detector on a folder of runs."""

    healthy: int = 0
    faults: dict[str, FaultScore] = field(default_factory=lambda: defaultdict(FaultScore))
    false_alarms: list[str] = field(default_factory=list)
    """Healthy runs with an alarm."""
    early: list[str] = field(default_factory=list)
    """Faulty runs with an alarm before the fault."""
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    """Runs whose fault was detected and its cause not named."""
    findings: int = 0
    justified: int = 0
    by_id: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    """Id -> expected, acceptable, other findings."""

    def add(self, name: str, label: Label, findings: list[Finding]) -> None:
        """Score one run."""
        said = [Said(each.id, each.detected_step) for each in findings if each.severity != "info"]
        onset = label.onset_step or 0
        expected = set(label.expected_findings) | set(label.diagnosis)
        neutral = set(label.acceptable_findings)
        for each in said:
            on_time = each.step >= onset
            kind = 0 if each.id in expected and on_time else 1 if each.id in neutral else 2
            self.by_id[each.id][kind] += 1
            self.findings += 1
            self.justified += kind < 2
        alarms = [each for each in said if each.id not in neutral]
        if label.fault == "healthy":
            self.healthy += 1
            if alarms:
                self.false_alarms.append(f"{name}: {', '.join(map(str, alarms))}")
            return
        fault = self.faults[label.fault]
        fault.runs += 1
        if early := [each for each in alarms if each.step < onset]:
            self.early.append(f"{name}: {', '.join(map(str, early))}")
        if wrong := [each for each in said if each.id in label.forbidden_findings]:
            self.wrong.append(f"{name}: {', '.join(map(str, wrong))}")
        late = [each for each in said if each.step >= onset]
        hits = [each for each in late if each.id in expected]
        if not hits:
            self.missed.append(name)
            return
        fault.detected += 1
        visible = onset if label.visible_step is None else label.visible_step
        fault.delays.append(max(0, min(each.step for each in hits) - visible))
        if any(each.id in label.diagnosis for each in late):
            fault.named += 1
        else:
            self.unnamed.append(f"{name}: {', '.join(map(str, hits))}")

    @property
    def faulty(self) -> int:
        """Runs with a fault."""
        return sum(fault.runs for fault in self.faults.values())

    @property
    def delays(self) -> list[float]:
        """All delays, in order."""
        return sorted(delay for fault in self.faults.values() for delay in fault.delays)

    def totals(self) -> dict[str, str]:
        """The scores in total, in words."""
        faulty, delays = self.faulty, self.delays
        detected = sum(fault.detected for fault in self.faults.values())
        named = sum(fault.named for fault in self.faults.values())
        low, high = wilson(len(self.false_alarms), self.healthy)
        median = f"{statistics.median(delays):g}" if delays else "-"
        tenth = f"{delays[math.ceil(0.9 * len(delays)) - 1]:g}" if delays else "-"
        return {
            "recall": share(detected, faulty),
            "right cause": share(named, faulty),
            "healthy runs with a false alarm": (
                f"{len(self.false_alarms)}/{self.healthy} (95 %: {low:.1%} to {high:.1%})"
            ),
            "faulty runs with an alarm before the fault": share(len(self.early), faulty),
            "faulty runs with a wrong finding": share(len(self.wrong), faulty),
            "precision of findings": share(self.justified, self.findings),
            "delay in steps, median / p90": f"{median} / {tenth}",
        }

    def text(self) -> str:
        """All of it, as a table for the terminal."""
        lines = [f"{name:44} {value}" for name, value in self.totals().items()]
        lines += ["", f"{'fault':24} {'runs':>5} {'found':>5} {'named':>5} {'delay':>7}"]
        for name, fault in sorted(self.faults.items()):
            delay = f"{statistics.median(fault.delays):g}" if fault.delays else "-"
            lines.append(f"{name:24} {fault.runs:5} {fault.detected:5} {fault.named:5} {delay:>7}")
        lines += ["", f"{'finding':28} {'expected':>8} {'accepted':>8} {'other':>6}"]
        for name, (hit, neutral, other) in sorted(self.by_id.items()):
            lines.append(f"{name:28} {hit:8} {neutral:8} {other:6}")
        for heading, names in (
            ("false alarms", self.false_alarms),
            ("before the fault", self.early),
            ("wrong", self.wrong),
            ("missed", self.missed),
            ("cause not named", self.unnamed),
        ):
            if names:
                lines += ["", f"{heading}:", *(f"  {name}" for name in names)]
        return "\n".join(lines)


def share(count: int, of: int) -> str:
    """A share with its denominator."""
    return f"{count / of:.3f} = {count}/{of}" if of else "-"


def wilson(count: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927)."""
    if not of:
        return 0.0, 1.0
    middle = (count + z * z / 2) / (of + z * z)
    half = z * math.sqrt(count * (of - count) / of + z * z / 4) / (of + z * z)
    return max(0.0, middle - half), min(1.0, middle + half)
