"""The trace of shapes against torchinfo, and planted shapes that do not fit."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import torchinfo
from torch import nn

from target_driver import analyse, ids
from traintop.analyses import shapes
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.target import Target

torch.set_num_threads(1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.act(x + self.norm(self.conv(x)))
        return self.act(out)


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        Residual(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.Sequential(nn.Linear(5, 8), nn.TransformerEncoder(layer, 2), nn.Linear(8, 10))


def images(label: Any = None) -> list[Any]:
    labels = torch.arange(6) % 10 if label is None else label
    return [(torch.randn(6, 3, 8, 8), labels)]


@pytest.mark.parametrize(
    ("build", "x"),
    [
        (convolutional, torch.randn(6, 3, 8, 8)),
        (transformer, torch.randn(6, 7, 5)),
        (
            lambda: nn.Sequential(nn.Embedding(9, 4), nn.GRU(4, 6)),
            torch.arange(12).reshape(3, 4) % 9,
        ),
    ],
)
def test_the_trace_is_that_of_torchinfo(build: Any, x: torch.Tensor) -> None:
    model = build().eval()
    info = torchinfo.summary(model, input_data=x, verbose=0, depth=20)
    target = Target(model=model, train=[(x, torch.zeros(6))], forward=lambda m, b: m(b[0]))
    outcome = analyse("shapes", target)
    assert outcome.findings == []
    result = outcome.result
    assert (result["parameters"], result["trainable"]) == (info.total_params, info.trainable_params)
    assert sum(row["parameters"] for row in result["modules"]) == info.total_params
    called = [row for row in result["modules"] if row["calls"]]
    names = {id(module): name for name, module in model.named_modules()}
    theirs = {
        names[layer.layer_id]: layer for layer in info.summary_list if layer.layer_id in names
    }
    for row in called:
        layer = theirs[row["name"]]
        assert row["type"] == layer.class_name
        if isinstance(row["output"], list) and not isinstance(row["output"][0], list):
            assert row["output"] == list(layer.output_size)
        if not list(layer.children):
            assert row["parameters"] == layer.num_params
    json.dumps(result, allow_nan=False)


def test_shapes_calls_and_modules_that_are_not_called() -> None:
    model = convolutional()
    model[1].unused = nn.Linear(2, 3)
    for parameter in model[0].parameters():
        parameter.requires_grad_(requires_grad=False)
    model[4].tied = model[4].weight
    target = Target(model=model, train=images(), loss=nn.CrossEntropyLoss())
    result = analyse("shapes", target).result
    rows = {row["name"]: row for row in result["modules"]}
    assert list(rows)[:4] == ["", "0", "1", "1.conv"]
    assert (rows["4"]["input"], rows["4"]["output"]) == ([6, 64], [6, 10])
    assert rows["1.act"]["calls"] == 2
    assert result["not_called"] == ["1.unused"]
    assert rows["4"]["parameters"] == 650
    assert result["trainable"] == result["parameters"] - 4 * 28
    text = shapes.summary(result)
    assert any("1.unused" in line and "not called" in line for line in text)
    assert any("6x64 -> 6x10" in line and "650" in line for line in text)


def linear_head(features: int, *, flatten: bool) -> nn.Module:
    head = [nn.Flatten()] if flatten else []
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *head, nn.Linear(features, 10))


@pytest.mark.parametrize(
    ("model", "x", "module", "text", "fix"),
    [
        (
            linear_head(100, flatten=True),
            torch.ones(2, 3, 8, 8),
            "2",
            "wants 100",
            "in_features=256",
        ),
        (linear_head(256, flatten=False), torch.ones(2, 3, 8, 8), "1", "wants 256", "nn.Flatten"),
        (linear_head(256, flatten=True), torch.ones(2, 8, 8, 3), "0", "3 channels", "permute(0, 3"),
        (
            linear_head(256, flatten=True),
            torch.ones(2, 1, 8, 8),
            "0",
            "3 channels",
            "in_channels=1",
        ),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), torch.ones(2, 8, 8), "0", "1 channels", "unsqueeze(1)"),
        (
            nn.Sequential(nn.Conv2d(1, 4, 9)),
            torch.ones(2, 1, 8, 8),
            "0",
            "larger than its input",
            "larger inputs",
        ),
        (
            nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(5)),
            torch.ones(2, 4),
            "1",
            "5 features",
            "num_features=4",
        ),
        (
            nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(5)),
            torch.ones(2, 4),
            "1",
            "(5,)",
            "normalized_shape=(4,)",
        ),
        (nn.Sequential(nn.Embedding(5, 2)), torch.tensor([[1, 9]]), "0", "5 rows", "=10"),
        (nn.Sequential(nn.Embedding(5, 2)), torch.ones(2, 2), "0", "token numbers", ".long()"),
        (nn.Sequential(nn.GRU(4, 2)), torch.ones(2, 3, 6), "0", "wants 4", "input_size=6"),
        (nn.Sequential(nn.Linear(4, 2)), torch.ones(2, 4).long(), "0", "torch.int64", "float32"),
        (nn.Sequential(nn.Linear(4, 2).bfloat16()), torch.ones(2, 4), "0", "bfloat16", "bfloat16"),
    ],
)
def test_a_module_that_cannot_take_its_input_is_explained(
    model: nn.Module, x: torch.Tensor, module: str, text: str, fix: str
) -> None:
    outcome = analyse("shapes", Target(model=model, train=[(x, x)], loss=nn.MSELoss()))
    assert ids(outcome) == ["shape_mismatch"]
    error = outcome.result["error"]
    assert error["module"] == module
    assert text in error["text"]
    assert fix in error["fix"]
    assert outcome.findings[0]["layers"] == [module]
    rows = {row["name"]: row for row in outcome.result["modules"]}
    assert rows[module]["output"] is None
    assert any(text in line for line in shapes.summary(outcome.result))


@pytest.mark.parametrize(
    ("labels", "loss", "finding", "text"),
    [
        (torch.arange(6) + 7, nn.CrossEntropyLoss(), "labels_broken", "labels go up to 12"),
        (torch.zeros(6, 1).long(), nn.CrossEntropyLoss(), "wrong_loss", "labels must be (6,)"),
        (torch.zeros(6), nn.MSELoss(), "wrong_loss", "both must have one shape"),
        (torch.zeros(6, 1), nn.MSELoss(), "wrong_loss", "broadcast to (6, 10)"),
    ],
)
def test_an_output_that_does_not_go_with_the_labels_is_explained(
    labels: torch.Tensor, loss: nn.Module, finding: str, text: str
) -> None:
    target = Target(model=convolutional(), train=images(labels), loss=loss)
    outcome = analyse("shapes", target)
    assert ids(outcome) == [finding]
    assert outcome.findings[0]["layers"] == ["4"]
    assert text in outcome.result["error"]["text"]


def test_a_loss_that_fails_by_itself_is_told_with_its_words() -> None:
    def loss(_output: torch.Tensor, _labels: torch.Tensor) -> torch.Tensor:
        raise KeyError("margin")

    outcome = analyse("shapes", Target(model=convolutional(), train=images(), loss=loss))
    assert outcome.result["error"]["module"] in (None, "")
    assert "KeyError" in outcome.result["error"]["text"]


def test_a_target_without_a_loss_is_only_run() -> None:
    outcome = analyse("shapes", Target(model=convolutional(), train=images()))
    assert outcome.findings == []
    assert outcome.result["error"] is None


def test_what_cannot_be_traced_is_said() -> None:
    with pytest.raises(AnalysisFailedError, match="no batch"):
        analyse("shapes", Target(model=convolutional(), train=[]))
    target = Target(model=convolutional(), train=[3], forward=lambda m, batch: m(batch["x"]))
    with pytest.raises(AnalysisFailedError, match="failed before its model"):
        analyse("shapes", target)
    lazy = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1))
    lazy.add_module("spare", nn.LazyLinear(2))
    result = analyse(
        "shapes", Target(model=lazy, train=[torch.ones(2, 5)], forward=lambda m, b: m[1](m[0](b)))
    ).result
    assert result["parameters"] == 5 * 3 + 3 + 4
