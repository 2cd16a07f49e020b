"""Making an edition: which runs, each in up to four attempts, in one or several processes."""

from __future__ import annotations

import json
import multiprocessing
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench.labelled.families import base_recipe, reference_recipe
from bench.labelled.hindsight import shows, visible_step
from bench.labelled.kinds import FAULTS, HEALTHY, Kind
from bench.labelled.logbook import write_run
from bench.labelled.recipe import Recipe
from bench.labelled.seen import Seen
from bench.labelled.training import Training

ATTEMPTS, STRONGER = 4, 1.5
"""Attempts a run, and what the dose is multiplied by from one to the next."""
SEED_STEP = 100
"""Seeds of runs are so far apart; an attempt adds one."""
WORLDS = 2
"""Different data sets a family in an edition."""
HEALTHY_SHARE = 0.36


@dataclass(frozen=True)
class Order:
    """A run to be made."""

    kind: Kind
    family: str
    world: int
    seed: int

    def name(self, seed: int) -> str:
        """The name of its folder."""
        variant = f"-{self.kind.variant}" if self.kind.variant else ""
        return f"{self.kind.fault}{variant}__{self.family}__s{seed}"


def plan(families: Sequence[str], first_seed: int, seeds: int, *, every: bool) -> list[Order]:
    """The runs of an edition, family by family.

    Args:
        families: Of which models.
        first_seed: Other numbers give another edition.
        seeds: How many runs of each fault in each family.
        every: All variants of each fault and all healthy ones, instead of one a fault and as many
            healthy ones as make a third of all.
    """
    orders: list[Order] = []
    for family in families:
        number = 0
        random = np.random.default_rng([first_seed, zlib.crc32(family.encode())])
        faults = [kind for kind in FAULTS if family in kind.families]
        healthy = [kind for kind in HEALTHY if family in kind.families]
        first_turn = int(random.integers(100))
        for turn in range(first_turn, first_turn + seeds):
            chosen = [*faults, *healthy] if every else _drawn(faults, healthy, random, turn)
            for kind in chosen:
                world = first_seed + number % WORLDS
                orders.append(Order(kind, family, world, first_seed + SEED_STEP * number))
                number += 1
    return orders


def _drawn(
    faults: Sequence[Kind], healthy: Sequence[Kind], random: np.random.Generator, turn: int
) -> list[Kind]:
    """One variant of each fault, another one each turn, and a share of healthy runs."""
    variants: dict[str, list[Kind]] = {}
    for kind in faults:
        variants.setdefault(kind.fault, []).append(kind)
    one = [kinds[turn % len(kinds)] for kinds in variants.values()]
    count = min(len(healthy), round(len(one) * HEALTHY_SHARE / (1 - HEALTHY_SHARE)))
    return [*one, *(healthy[index] for index in random.permutation(len(healthy))[:count])]


@cache
def _reference(recipe: Recipe) -> Seen:
    return Seen(Training(recipe).run())


def make(order: Order, out: Path) -> str | None:
    """Make a run; return the name of its folder, or None if its fault would not show."""
    torch.set_num_threads(1)
    kind = order.kind
    for attempt in range(ATTEMPTS):
        seed = order.seed + attempt
        base = base_recipe(order.family, order.world, seed)
        recipe = kind.recipe(base, STRONGER**attempt)
        seen = Seen(Training(recipe).run(), _reference(reference_recipe(recipe)))
        if shows(seen, kind.fault, kind.variant):
            name = order.name(seed)
            visible = visible_step(seen, kind.fault)
            write_run(
                out / name,
                seen.run,
                fault=kind.fault,
                variant=kind.variant,
                tier=kind.tier,
                visible=visible,
            )
            return name
    return None


def make_all(orders: Sequence[Order], out: Path, jobs: int) -> tuple[list[str], list[str]]:
    """Make runs; return the names of those that were made, and of those that were dropped."""
    made: list[str] = []
    dropped: list[str] = []
    for index, (order, name) in enumerate(_results(orders, out, jobs), start=1):
        (dropped if name is None else made).append(name or order.name(order.seed))
        print(f"{index}/{len(orders)} {made[-1] if name else 'DROPPED ' + dropped[-1]}", flush=True)
    return sorted(made), sorted(dropped)


def _results(orders: Sequence[Order], out: Path, jobs: int) -> Iterator[tuple[Order, str | None]]:
    if jobs == 1:
        for order in orders:
            yield order, make(order, out)
        return
    # Not forked: torch's threads do not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {pool.submit(make, order, out): order for order in orders}
        for future in as_completed(futures):
            yield futures[future], future.result()


def write_index(out: Path) -> None:
    """Write `index.json`: all runs in a folder, those of earlier calls included."""
    entries: list[dict[str, Any]] = []
    for path in sorted(out.glob("*/label.json")):
        label = json.loads(path.read_text(encoding="utf-8"))
        keys = ("fault", "variant", "family", "tier")
        entries.append({"run": path.parent.name, **{key: label[key] for key in keys}})
    (out / "index.json").write_text(json.dumps(entries, indent=0) + "\n", encoding="utf-8")
