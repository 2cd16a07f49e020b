"""The NaN source against NaNs planted in weights, inputs, modules and backward operations."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from analysis_driver import analyze, lines_of
from traintop.analyses.context import AnalysisFailedError

torch.set_num_threads(1)
MSE = {"loss": nn.MSELoss()}
SGD = {"optimizer": lambda params: torch.optim.SGD(params, lr=1e-3)}


class Block(nn.Module):
    """Attention over the features, or a faulty function of them."""

    def __init__(self, fault: Any = None) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.fault = fault

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.linear(x)
        if self.fault is not None:
            return self.fault(h)
        scores = h.unsqueeze(-1) * h.unsqueeze(-2)
        hidden = torch.triu(torch.ones(8, 8, dtype=torch.bool), 1)
        masked = scores.masked_fill(hidden, -math.inf)  # harmless: softmax takes it
        return (masked.softmax(-1) @ h.unsqueeze(-1)).squeeze(-1).relu()


class Network(nn.Module):
    def __init__(self, fault: Any = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList([Block(), Block(), Block(fault), Block()])
        self.register_buffer("mask", torch.full((3, 3), -math.inf))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def batches(count: int = 5) -> list[tuple[torch.Tensor, ...]]:
    make = torch.Generator().manual_seed(1)
    return [
        (torch.randn(6, 8, generator=make), torch.randn(6, 8, generator=make)) for _ in range(count)
    ]


def log_of_negative(h: torch.Tensor) -> torch.Tensor:
    return (h - 5).log()


def log_of_zero(h: torch.Tensor) -> torch.Tensor:
    return h * (h - 50).relu().log()  # 0 and -inf: a NaN two operations later


def overflow(h: torch.Tensor) -> torch.Tensor:
    return (h + 100).exp() / (h + 100).exp()


def wholly_masked(h: torch.Tensor) -> torch.Tensor:
    return h.masked_fill(h.abs() < 100, -math.inf).softmax(-1)


def divided_by_norm(h: torch.Tensor) -> torch.Tensor:
    return h / (h * 0).norm()


def where_trap(h: torch.Tensor) -> torch.Tensor:
    return torch.where(h < 100, h, (h * 0).sqrt())  # the branch that is not taken


def saved_result(h: torch.Tensor) -> torch.Tensor:
    return torch.where(h < 100, h, (h + 100).exp())  # backward multiplies 0 by what was saved


class BadBackward(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, h: torch.Tensor) -> torch.Tensor:
        return h * 2

    @staticmethod
    def backward(_ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad / (grad - grad)


@pytest.mark.parametrize("train", [0, 1])
@pytest.mark.parametrize(
    ("fault", "phase", "what", "kind"),
    [
        (log_of_negative, "forward", "log", "nan"),
        (log_of_zero, "forward", "log", "inf"),
        (overflow, "forward", "exp", "inf"),
        (wholly_masked, "forward", "softmax", "nan"),
        (divided_by_norm, "forward", "div", "inf"),
        (where_trap, "backward", "div in SqrtBackward0", "nan"),
        (saved_result, "forward", "exp", "inf"),
        (BadBackward.apply, "backward", "div in BadBackwardBackward", "inf"),
    ],
)
def test_a_planted_fault_in_the_third_block_is_found_exactly(
    fault: Any, phase: str, what: str, kind: str, train: int
) -> None:
    outcome = analyze(
        "nan_source", Network(fault), batches(), options={"train": train}, step=7, **MSE, **SGD
    )
    result = outcome.result
    assert result["found"]
    assert (result["module"], result["phase"], result["what"], result["kind"]) == (
        "blocks.2",
        phase,
        what,
        kind,
    )
    assert Path(result["line"].rpartition(":")[0]) == Path(__file__)
    assert result["looked"] == 1
    assert result["input_stats"][0]["shape"][-2:] in ([6, 8], [8, 8])
    [finding] = outcome.findings
    assert (finding["id"], finding["severity"], finding["layers"]) == (
        "nan_inf",
        "critical",
        ["blocks.2"],
    )
    assert "blocks.2" in lines_of("nan_source", outcome)
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("train", [0, 1])
def test_the_healthy_twin_is_clean(train: int) -> None:
    outcome = analyze(
        "nan_source", Network(), batches(), options={"train": train, "batches": 20}, **MSE, **SGD
    )
    assert not outcome.result["found"]
    assert outcome.result["looked"] == (20 if train else 5)
    assert outcome.findings == []
    assert "all weights, losses and gradients are finite" in lines_of("nan_source", outcome)


def test_weights_that_are_not_finite() -> None:
    model = Network()
    with torch.no_grad():
        model.blocks[1].linear.weight[2, 3] = math.inf
        model.blocks[3].linear.bias[0] = math.nan
    result = analyze("nan_source", model, batches(), **MSE).result
    assert (result["phase"], result["module"], result["what"], result["kind"]) == (
        "weights",
        "blocks.1.linear",
        "blocks.1.linear.weight",
        "inf",
    )
    [stats] = result["input_stats"]
    assert (stats["shape"], stats["inf"], stats["nan"]) == ([8, 8], 1, 0)


def test_statistics_of_a_batch_norm_that_are_nan_are_weights() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    model[1].running_var[3] = math.nan
    result = analyze("nan_source", model, batches(), **MSE).result
    assert (result["phase"], result["what"]) == ("weights", "1.running_var")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_bad_sample_in_the_input(value: float) -> None:
    data = batches()
    data[3][0][4, 2] = value
    outcome = analyze("nan_source", Network(), data, **MSE, **SGD)
    result = outcome.result
    assert (result["phase"], result["what"]) == ("input", "batch[0]")
    assert (result["batch"], result["samples"]) == (3, [4])
    assert "samples of the batch that make it: 4" in lines_of("nan_source", outcome)


def test_a_sample_that_only_the_model_cannot_take() -> None:
    def root(h: torch.Tensor) -> torch.Tensor:
        return (2e3 - h.abs().amax(-1, keepdim=True)).log() * h

    data = batches()
    data[2][0][5] *= 1e5
    result = analyze(
        "nan_source", nn.Sequential(Block(lambda h: h), Block(root)), data, **MSE
    ).result
    assert (result["module"], result["phase"], result["what"]) == ("1", "forward", "log")
    assert (result["batch"], result["samples"]) == (2, [5])


def test_training_on_reaches_what_the_checkpoint_does_not_show() -> None:
    def steep(params: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=20.0)

    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    still = analyze("nan_source", model, batches(), options={"train": 0}, optimizer=steep, **MSE)
    assert not still.result["found"]
    found = analyze("nan_source", model, batches(), optimizer=steep, **MSE).result
    assert found["found"]
    assert found["looked"] > 1


def test_an_update_that_makes_nan() -> None:
    class Broken(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            with torch.no_grad():
                self.param_groups[0]["params"][2].div_(0.0)
            return super().step(closure)

    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    outcome = analyze("nan_source", model, batches(), optimizer=Broken, **MSE)
    result = outcome.result
    assert (result["phase"], result["what"], result["surfaced"]) == (
        "weights",
        "1.weight",
        "update",
    )
    assert "made by the optimizer's step" in lines_of("nan_source", outcome)


def test_a_loss_outside_the_model() -> None:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -(output.softmax(-1) * 0).log().mean() + target.mean()

    result = analyze("nan_source", nn.Linear(8, 8), batches(), loss=loss).result
    assert (result["module"], result["what"], result["kind"]) == ("(loss)", "log", "inf")


def test_half_precision_overflows_where_single_does_not() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    with torch.no_grad():
        model[1].weight.fill_(1e5)
    single = analyze("nan_source", model, batches(), options={"train": 0}, **MSE)
    assert not single.result["found"]
    half = analyze("nan_source", model, batches(), options={"train": 0, "fp16": 1}, **MSE).result
    assert half["found"]
    assert (half["module"], half["kind"]) == ("1", "inf")


def test_buffers_and_random_numbers_are_repeated() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), Block(lambda h: h.sqrt())
    )
    first, again = (
        analyze("nan_source", model, batches(), options={"train": 0}, seed=5, **MSE).result
        for _ in range(2)
    )
    assert first == again
    assert (first["module"], first["what"]) == ("3", "sqrt")


@pytest.mark.parametrize(
    ("data", "more", "says"),
    [
        ([], {}, "no batch"),
        (batches(), {"options": {"batches": 0}}, "at least 1"),
        (batches(), {"loss": None}, "neither loss nor step"),
    ],
)
def test_bad_input_is_one_sentence(data: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(AnalysisFailedError, match=says):
        analyze("nan_source", Network(), data, **(MSE | more))


def test_an_optimizer_that_fails_is_said_and_the_batches_are_still_looked_at() -> None:
    logged: list[str] = []
    outcome = analyze(
        "nan_source",
        Network(),
        batches(),
        optimizer=torch.optim.LBFGS,
        logged=logged,
        options={"batches": 4},
        **MSE,
    )
    assert not outcome.result["found"]
    assert outcome.result["looked"] == 4
    assert "not trained on" in logged[0]
