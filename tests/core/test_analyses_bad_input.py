"""Every analysis on targets that are broken, and on unusual ones that are not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from traintop.analyses import ANALYSES, preparation, summary, worker
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.ranks import Ranks
from traintop.analyses.request import Request
from traintop.analyses.target import Target

torch.set_num_threads(1)

BUDGETS: dict[str, dict[str, float]] = {
    "lr_find": {"num_it": 10},
    "overfit_one_batch": {"steps": 5},
    "batch_size": {"most": 2, "noise_batches": 2},
    "latency": {"runs": 2, "warmup": 1, "most": 2},
    "loss_landscape": {"points": 3, "samples": 8, "iterations": 2},
    "nan_source": {"batches": 2},
    "gradient_flow": {"batches": 2},
    "gradient_check": {"elements": 1},
    "loss_function": {"batches": 2},
}
WORST = ("critical", "warning")


def pairs(seed: int = 0) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(32, 6, generator=generator)
    y = (x[:, 0] > 0).long()
    return [(x[i : i + 8], y[i : i + 8]) for i in range(0, 32, 8)]


def network(*more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), *more, nn.ReLU(), nn.Linear(8, 2))


def target(**fields: Any) -> Target:
    usual = {
        "model": network(),
        "train": pairs(),
        "val": pairs(1),
        "loss": nn.CrossEntropyLoss(),
        "optimizer": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9),
    }
    return Target(**(usual | fields))


def analyze(name: str, build: Callable[[], Any], device: str = "cpu") -> dict[str, Any]:
    """Run an analysis as the worker does, short of a process; returns what it sends."""
    sent: list[dict[str, Any]] = []
    events = SimpleNamespace(send=lambda event, **fields: sent.append({"event": event} | fields))
    request = Request(
        analysis=name, target="here:build", device=device, options=BUDGETS.get(name, {})
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "_build", lambda _request: build())
        patch.setattr(torch, "set_num_threads", lambda _count: None)
        worker._run(request, Ranks(), events)  # type: ignore[arg-type] # a stand-in for Events
    result: dict[str, Any] = sent[-1]["result"]
    return result


class Breaks:
    """A loader that fails on its second batch."""

    def __iter__(self) -> Iterator[Any]:
        yield pairs()[0]
        raise OSError("disk gone")


def trains(model: nn.Module, batch: Any) -> torch.Tensor:
    loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
    loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    return loss


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no loader": ({"train": None, "val": None}, r"needs \w+.*: give the Target"),
    "an empty loader": ({"train": []}, "holds no batch: look at what its loader yields"),
    "a loader that fails": (
        {"train": Breaks()},
        r"the loader raised OSError: disk gone \(\S+:\d+, in __iter__\): mend it there",
    ),
    "a vector as loss": ({"loss": nn.CrossEntropyLoss(reduction="none")}, "take the mean of it"),
    "a number as loss": ({"loss": lambda _o, _t: 0.5}, "without .item()"),
    "no loss": ({"loss": lambda _o, _t: None}, "let it return the loss"),
    "a loss cut off": ({"loss": lambda o, _t: o.detach().mean()}, "look for detach()"),
    "a frozen model": ({"model": network().requires_grad_(False)}, "in the target"),
    "a meta model": ({"model": network().to("meta")}, "build it on the CPU"),
    "a class as model": ({"model": nn.Linear}, "the class Linear: give it"),
    "dicts without step": (
        {"train": [{"x": x, "y": y} for x, y in pairs()], "forward": lambda m, b: m(b["x"])},
        "give the Target step=",
    ),
    "inputs that do not fit": (
        {"train": [(torch.ones(4, 7), torch.ones(4).long())]},
        "run the analysis shapes",
    ),
    "NaN at once": ({"loss": lambda o, _t: o.mean() * math.nan}, "nan_source"),
    "a step that trains": ({"loss": None, "step": trains}, "call no backward()"),
    "an optimizer that fails": ({"optimizer": lambda _p: 1 / 0}, "optimizer=lambda params"),
    "a lazy module passed by": (
        {
            "model": nn.ModuleDict({"used": network(), "unused": nn.LazyLinear(3)}),
            "forward": lambda m, b: m["used"](b[0]),
        },
        "run one that does through the model",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_analysis_says_in_a_sentence_what_is_broken(kind: str) -> None:
    fields, words = BROKEN[kind]
    failures: list[str] = []
    for name in ANALYSES:
        if name == "checkup":  # runs the others
            continue
        try:
            result = analyze(name, lambda: target(**fields))
        except AnalysisFailedError as error:
            failures.append(str(error))
        else:
            assert summary(name, result["result"])
    assert failures
    for text in failures:
        assert "\n" not in text
    assert any(re.search(words, text) for text in failures)


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, given: Any) -> Any:
        return self.net(given[0] + given[1]["more"])


class Ragged(nn.Module):
    """Takes a list with a sequence a sample, each of another length."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, given: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([self.net(each).mean(0) for each in given])


class Tied(nn.Module):
    """Tied weights, buffers that change, labels that lie flat."""

    count: torch.Tensor
    mask: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 8)
        self.middle = nn.Linear(8, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("mask", torch.ones(8, dtype=torch.bool), persistent=False)

    def forward(self, tokens: torch.Tensor) -> Any:
        self.count += 1
        return self.head(self.middle(self.embed(tokens)).relu() * self.mask).flatten(0, 1)


class Stateful(nn.Module):
    """An LSTM that keeps its state from batch to batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8, 2)
        self.state: Any = None

    def forward(self, x: torch.Tensor) -> Any:
        output, state = self.cell(x[:, None], self.state)
        self.state = tuple(each.detach() for each in state)
        return self.head(output[:, 0].relu())


def groups(params: Any) -> torch.optim.Optimizer:
    params = list(params)
    return torch.optim.AdamW(
        [{"params": params[0::2], "lr": 1e-3}, {"params": params[1::2], "lr": 1e-4}]
    )


def partly_frozen() -> nn.Module:
    model = network()
    model[0].requires_grad_(False)
    return model


def tokens() -> list[Any]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randint(0, 20, shape, generator=generator)

    return [(drawn(8, 5), drawn(40)) for _ in range(4)]


UNUSUAL: dict[str, Callable[[], dict[str, Any]]] = {
    "dicts": lambda: {
        "train": [{"x": x, "y": y} for x, y in pairs()],
        "val": None,
        "loss": None,
        "step": lambda model, batch: nn.functional.cross_entropy(model(batch["x"]), batch["y"]),
    },
    "named tuples": lambda: {"train": [Pair(*pair) for pair in pairs()], "val": None},
    "nested": lambda: {
        "model": Nested(),
        "train": [((x, {"more": 0 * x}), y) for x, y in pairs()],
        "val": None,
    },
    "ragged": lambda: {
        "model": Ragged(),
        "train": [([row[None].repeat(n + 1, 1) for n, row in enumerate(x)], y) for x, y in pairs()],
        "val": None,
    },
    "unequal batches": lambda: {"train": [pairs()[0], tuple(p[:3] for p in pairs()[1])]},
    "tied weights": lambda: {"model": Tied(), "train": tokens(), "val": None},
    "batch norm and dropout": lambda: {"model": network(nn.BatchNorm1d(8), nn.Dropout(0.1))},
    "a state that is kept": lambda: {"model": Stateful()},
    "frozen parts": lambda: {"model": partly_frozen()},
    "groups": lambda: {"optimizer": groups},
    "compiled": lambda: {"model": torch.compile(network())},
    "lazy": lambda: {"model": nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(2))},
    "bfloat16": lambda: {
        "model": network().bfloat16(),
        "train": [(x.bfloat16(), y) for x, y in pairs()],
        "val": None,
        "optimizer": lambda params: torch.optim.SGD(params, lr=1.0),
    },
    "sparse gradients": lambda: {
        "model": nn.Sequential(nn.EmbeddingBag(20, 8, sparse=True), nn.ReLU(), nn.Linear(8, 2)),
        "train": [(torch.randint(0, 20, (8, 5)), y) for _, y in pairs()],
        "val": None,
    },
}
SLOW = ("checkup", "batch_size", "latency")
"""They take seconds, and have tests of their own."""


@pytest.mark.filterwarnings("ignore:`torch.jit")  # torch.compile itself
@pytest.mark.parametrize("kind", UNUSUAL)
def test_nothing_is_wrong_with_what_is_only_unusual(kind: str) -> None:
    for name in ANALYSES:
        if name in SLOW:
            continue
        result = analyze(name, lambda: target(**UNUSUAL[kind]()))
        assert summary(name, result["result"])
        worst = [each["title"] for each in result["findings"] if each["severity"] in WORST]
        if name != "overfit_one_batch":  # whose steps are too few here
            assert not worst, name


def test_why_it_is_that_device_is_in_the_result() -> None:
    result = analyze("weights", target, device="auto")
    assert result["device"] == "cpu"
    assert result["device_reason"] == "on the CPU: no GPU was found"
