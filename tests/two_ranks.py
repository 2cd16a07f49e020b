"""Runs analyses as one of several ranks, on gloo, and writes what they say.

`python two_ranks.py FOLDER` with torchrun's variables; alone without them. The test compares both.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from target_driver import analyse
from traintop.analyses.checkpoints import load_into, read_checkpoint
from traintop.analyses.ranks import join, place_of_process
from traintop.analyses.target import Target

OPTIONS: Mapping[str, Mapping[str, float]] = {
    "lr_find": {"num_it": 12, "start_lr": 1e-4, "end_lr": 0.1},
    "lr_find from the checkpoint's state": {
        "num_it": 12,
        "start_lr": 1e-4,
        "end_lr": 0.1,
        "fresh": 0,
    },
    "dead_neurons": {},
    "gradient_flow": {"batches": 2},
    "weights": {},
    "data": {},
    "loss_function": {"batches": 2},
    "predictions": {},
}
"""The analyses, with words on how where one is run twice, and what differs from their defaults."""
OF_WEIGHTS = (
    "lr_find",
    "lr_find from the checkpoint's state",
    "gradient_flow",
    "weights",
    "loss_function",
)
"""Those that put weights into the model, which must be sharded like it."""


def network() -> nn.Sequential:
    """Of several layers, one of them in a stack of its own."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Sequential(nn.Linear(16, 16), nn.ReLU()), nn.Linear(16, 3)
    )


def target() -> Target:
    """Batches of a size that two cannot share evenly."""
    model = network()
    x, y = torch.randn(63, 8), torch.randint(0, 3, (63,))
    return Target(
        model=model,
        train=[(x[at : at + 21], y[at : at + 21]) for at in range(0, 63, 21)],
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda params: torch.optim.Adam(params, lr=1e-3),
    )


def optimizer_state() -> dict[str, Any]:
    """Adam's after a few steps, as a checkpoint of one process holds it."""
    made = target()
    assert made.optimizer is not None
    assert made.loss is not None
    optimizer = made.optimizer(made.model.parameters())
    for x, y in made.train or ():
        optimizer.zero_grad()
        made.loss(made.model(x), y).backward()
        optimizer.step()
    state: dict[str, Any] = optimizer.state_dict()
    return state


def results(folder: Path, *, shard: bool, names: Sequence[str] = tuple(OPTIONS)) -> dict[str, Any]:
    """The results of the analyses, by name; `ckpt-1.pt` and `ckpt-2.pt` are in the folder."""
    now, before = folder / "ckpt-2.pt", folder / "ckpt-1.pt"
    found: dict[str, Any] = {}
    for name in names:
        made = target()
        initial = {key: each.detach().clone() for key, each in made.model.named_parameters()}
        load_into(made.model, read_checkpoint(now), now)
        ranks = join(place_of_process(), made.model, torch.device("cpu"), shard=shard)
        context: dict[str, Any] = {"checkpoint": now, "initial": initial, "step": 2}
        context["ranks"] = ranks
        context["optimizer_state"] = optimizer_state()
        if name in ("gradient_flow", "weights"):
            context["compare"] = [before]
        found[name] = analyse(name.split()[0], made, context=context, **OPTIONS[name]).result
    return found


def meet(*_how: object, **_more: object) -> None:
    """The ranks have met."""


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    dist.init_process_group = meet  # what `join` calls: once serves all analyses
    here = Path(sys.argv[1])
    said = {
        "copied": results(here, shard=False),
        "sharded": results(here, shard=True, names=OF_WEIGHTS),
    }
    if os.environ["RANK"] == "0":
        (here / "said.json").write_text(json.dumps(said))
    dist.destroy_process_group()
