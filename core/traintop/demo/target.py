"""How the demo's models and data are built again, for analyses of its checkpoints.

This is what a user's own target file looks like; `run.json` of a demo names a function of this one.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from traintop import Target
from traintop.demo import networks
from traintop.demo.digits import make_digits

BATCH_SIZE = 64
TRAIN_SAMPLES, VAL_SAMPLES = 16_384, 1024
TRAIN_SEED, VAL_SEED = 1, 2


def target() -> Target:
    """The convolutional network that most demos train."""
    return _target(networks.convolutional())


def target_leaky() -> Target:
    """The network of the exploding gradients."""
    return _target(networks.leaky())


def target_deep_sigmoid() -> Target:
    """The network of the vanishing gradients."""
    return _target(networks.deep_sigmoid())


def target_bottleneck() -> Target:
    """The network of the plateau."""
    return _target(networks.bottleneck())


def _target(model: nn.Module) -> Target:
    return Target(
        model=model,
        train=_loader(TRAIN_SAMPLES, TRAIN_SEED, shuffle=True),
        val=_loader(VAL_SAMPLES, VAL_SEED, shuffle=False),
        loss=nn.CrossEntropyLoss(),
        optimizer=_optimizer,
    )


def _loader(samples: int, seed: int, *, shuffle: bool) -> DataLoader[tuple[torch.Tensor, ...]]:
    dataset = TensorDataset(*make_digits(samples, seed))
    return DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=shuffle)


def _optimizer(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.03, momentum=0.9)
