"""The networks that the demo trains."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable

from torch import nn

from traintop.demo.digits import CLASSES, SIZE

SIGMOID_LAYERS = 8


def convolutional(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    """Three convolutions and three linear layers; 86 thousand parameters."""
    model = _sequence(
        nn.Conv2d(1, 8, 3, padding=1),
        activation(),
        nn.Conv2d(8, 32, 3, stride=2, padding=1),
        activation(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1),
        activation(),
        nn.Flatten(),
        nn.Linear(32 * (SIZE // 4) ** 2, 128),
        activation(),
        nn.Linear(128, 64),
        activation(),
        nn.Linear(64, CLASSES),
    )
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model


def leaky() -> nn.Module:
    """The same with LeakyReLU, whose units cannot die: gradients always find a way."""
    return convolutional(nn.LeakyReLU)


def deep_sigmoid() -> nn.Module:
    """Eight sigmoid layers, each of which lets at most a quarter of the gradient through."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(SIZE * SIZE, 64), nn.Sigmoid()]
    for _ in range(SIGMOID_LAYERS - 1):
        layers += [nn.Linear(64, 64), nn.Sigmoid()]
    return _sequence(*layers, nn.Linear(64, CLASSES))


def bottleneck() -> nn.Module:
    """Everything has to pass through two units: too few to tell ten digits apart."""
    return _sequence(
        nn.Flatten(),
        nn.Linear(SIZE * SIZE, 64),
        nn.ReLU(),
        nn.Linear(64, 2),
        nn.Tanh(),
        nn.Linear(2, 32),
        nn.ReLU(),
        nn.Linear(32, CLASSES),
    )


def _sequence(*modules: nn.Module) -> nn.Sequential:
    """A sequence whose modules have names to be read on a screen: conv1, relu1, linear1 ..."""
    counts = Counter[str]()
    named: OrderedDict[str, nn.Module] = OrderedDict()
    for module in modules:
        kind = type(module).__name__.lower().removesuffix("2d")
        counts[kind] += 1
        named[f"{kind}{counts[kind]}"] = module
    return nn.Sequential(named)
