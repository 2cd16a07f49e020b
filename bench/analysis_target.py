"""What `analyses.py` runs analyses on: two models whose step takes 10 to 30 ms on one core.

As a program it trains the first of them with one thread until it is ended, and prints the time on
the monotonic clock after each step.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from recorder_overhead import Transformer
from traintop import Target

VOCABULARY, LENGTH, CLASSES = 512, 64, 10
SAMPLES = 2048


def transformer() -> Target:
    """A language model of 1 M parameters with GELU, on random tokens, batches of 4 x 64."""
    return _language_model(batch=4)


def slow_transformer() -> Target:
    """The same at 10 times the work a step, for what has to go on for a while."""
    return _language_model(batch=40)


def convolutions() -> Target:
    """A convolutional network with ReLU and batch normalisation, on batches of 32 x 3 x 32 x 32."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        convolution = nn.Conv2d(before, after, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, CLASSES))
    data = TensorDataset(torch.randn(SAMPLES, 3, 32, 32), torch.randint(0, CLASSES, (SAMPLES,)))
    return Target(
        model=model,
        train=DataLoader(data, batch_size=32, shuffle=True),
        loss=nn.CrossEntropyLoss(),
        optimizer=_adamw,
    )


def _language_model(batch: int) -> Target:
    torch.manual_seed(0)
    tokens = torch.randint(0, VOCABULARY, (SAMPLES, LENGTH + 1))
    data = TensorDataset(tokens[:, :-1], tokens[:, 1:])
    return Target(
        model=Transformer(VOCABULARY, width=128, blocks=4),
        train=DataLoader(data, batch_size=batch, shuffle=True),
        loss=_next_token_loss,
        optimizer=_adamw,
    )


def _next_token_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def _adamw(parameters: Iterable[Any]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=1e-3)


def train_on() -> None:
    """Train for ever."""
    torch.set_num_threads(1)
    target = transformer()
    assert target.train is not None
    assert target.optimizer is not None
    assert target.loss is not None
    optimizer = target.optimizer(target.model.parameters())
    while True:
        for inputs, targets in target.train:
            loss = target.loss(target.model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            optimizer.step()
            print(time.monotonic(), flush=True)


if __name__ == "__main__":
    train_on()
