"""The command: `python -m bench.labelled OUT`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import bench.labelled
from bench.labelled.families import FAMILIES
from bench.labelled.making import make_all, plan, write_index

FIRST_SEED = 100_000


def main(arguments: list[str] | None = None) -> int:
    """Make an edition; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.labelled",
        description=bench.labelled.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="where the runs are written")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--faults", nargs="+", help="only these; `healthy` for those without")
    parser.add_argument("--seeds", type=int, default=1, help="runs a fault and family")
    parser.add_argument(
        "--first-seed", type=int, default=FIRST_SEED, help="another gives other runs"
    )
    parser.add_argument("--all", action="store_true", help="every variant of every fault")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parsed = parser.parse_args(arguments)
    orders = [
        order
        for order in plan(parsed.families, parsed.first_seed, parsed.seeds, every=parsed.all)
        if not parsed.faults or order.kind.fault in parsed.faults
    ]
    if not orders:
        parser.error(f"no kind of run is called {' or '.join(parsed.faults)} in these families")
    parsed.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    made, dropped = make_all(orders, parsed.out, parsed.jobs)
    write_index(parsed.out)
    seconds = time.monotonic() - begun
    print(f"{len(made)} runs in {seconds:.0f} s; {len(dropped)} dropped, which did not show theirs")
    for name in dropped:
        print(f"  {name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
