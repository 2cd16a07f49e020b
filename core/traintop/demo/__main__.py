"""`python -m traintop.demo`: arguments, log file, signals."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from traintop.demo.faults import FAULTS

STEPS, PACE = 4000, 30.0


def main(arguments: list[str] | None = None) -> int:
    """Train; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m traintop.demo", description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", help="where the run is written")
    parser.add_argument("--fault", choices=FAULTS, metavar="NAME", help="plant a fault; see --list")
    parser.add_argument("--list", action="store_true", help="list the faults that can be planted")
    parser.add_argument("--steps", type=int, default=STEPS, help="default: %(default)s")
    parser.add_argument(
        "--pace", type=float, default=PACE, help="steps a second, 0: full speed (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args(arguments)
    if parsed.list:
        print("\n".join(f"{name:<12} {fault.says}" for name, fault in FAULTS.items()))
        return 0
    if parsed.directory is None:
        parser.error("say where the run is to be written: a directory")
    if (parsed.directory / "train_diagnostics.jsonl").exists():
        parser.error(f"{parsed.directory} holds a run already: name another directory")
    _train(parsed)
    return 0


def _train(parsed: argparse.Namespace) -> None:
    parsed.directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        handlers=[
            logging.StreamHandler(sys.stdout),
            logging.FileHandler(parsed.directory / "train.log"),
        ],
    )
    import torch

    from traintop.demo.training import Training

    torch.set_num_threads(1)
    fault = FAULTS[parsed.fault] if parsed.fault else None
    training = Training(parsed.directory, fault, parsed.steps, parsed.seed)

    def stop(*_: object) -> None:
        training.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    training.run(parsed.pace)


if __name__ == "__main__":
    sys.exit(main())
