"""The gradient check against planted wrong backward passes, kinks, and torch's own check."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from analysis_driver import analyze, lines_of
from traintop.analyses.central_difference import compare
from traintop.analyses.context import AnalysisFailedError

torch.set_num_threads(1)
MSE = {"loss": nn.MSELoss()}
UNIT = 2.0**-52


class Sine(torch.autograd.Function):
    """A sine whose derivative is the cosine."""

    factor = 1.0

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @classmethod
    def backward(cls, ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return grad * x.cos() * cls.factor


class HalfSine(Sine):
    """The same with half the derivative."""

    factor = 0.5


class Block(nn.Module):
    def __init__(self, function: Any = None, cut: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.function, self.cut = function, cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear(x)
        if self.cut:
            return x.detach()
        return torch.relu(x) if self.function is None else self.function.apply(x)


def network(third: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Block(), Block(), third or Block(), Block(), nn.Linear(6, 2))


def batches(count: int = 2) -> list[tuple[torch.Tensor, ...]]:
    make = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 6, generator=make), torch.randn(8, 2, generator=make)) for _ in range(count)
    ]


def by_name(outcome: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in outcome.result["parameters"]}


@pytest.mark.parametrize("function", [Sine, HalfSine])
def test_a_wrong_backward_is_found_and_its_healthy_twin_passes(function: Any) -> None:
    model = network(Block(function))
    outcome = analyze("gradient_check", model, batches(), step=300, **MSE)
    rows = by_name(outcome)
    assert all(row["checked"] + row["kinks"] == 4 or "bias" in name for name, row in rows.items())
    assert outcome.result["custom_functions"] == [function.__name__]
    x = torch.randn(5, dtype=torch.double, requires_grad=True)
    sound = torch.autograd.gradcheck(function.apply, (x,), raise_exception=False)
    assert outcome.result["passed"] is sound
    wrong = {name for name, row in rows.items() if not row["passed"]}
    if sound:
        assert wrong == set()
        assert outcome.findings == []
        assert outcome.result["between"] is None
        assert max(row["max_relative_error"] for row in rows.values()) < 1e-5
        assert "all agree" in lines_of("gradient_check", outcome)
        return
    assert wrong == {f"{at}.linear.{kind}" for at in (0, 1, 2) for kind in ("weight", "bias")}
    assert outcome.result["between"] == ["2.linear", "3.linear"]
    assert rows["2.linear.weight"]["analytic"] == pytest.approx(
        0.5 * rows["2.linear.weight"]["numeric"], rel=1e-6
    )
    assert rows["2.linear.weight"]["max_relative_error"] == pytest.approx(0.5, rel=1e-6)
    [finding] = outcome.findings
    assert (finding["id"], finding["severity"]) == ("wrong_gradients", "critical")
    assert (finding["onset_step"], len(finding["layers"])) == (300, 6)
    text = lines_of("gradient_check", outcome)
    assert "between it and 3.linear" in text
    assert "HalfSine" in text


def test_what_is_cut_off_is_missing_a_gradient() -> None:
    outcome = analyze("gradient_check", network(Block(cut=True)), batches(), **MSE)
    assert {name for name, row in by_name(outcome).items() if not row["passed"]} == {
        f"{at}.linear.{kind}" for at in (0, 1, 2) for kind in ("weight", "bias")
    }
    assert [(each["id"], each["severity"]) for each in outcome.findings] == [
        ("disconnected_params", "warning")
    ]


def test_models_as_users_have_them_pass_and_are_left_as_they_were() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(2, 6, 3, padding=1)
            self.norm = nn.utils.spectral_norm(nn.Linear(6, 6))
            self.batch_norm = nn.BatchNorm1d(6)
            self.rnn = nn.LSTM(6, 5, batch_first=True)
            self.attention = nn.TransformerEncoderLayer(6, 2, 12, 0.2, batch_first=True)
            self.embed = nn.Embedding(7, 6)
            self.frozen = nn.Linear(6, 6).requires_grad_(False)
            self.out = nn.Linear(5, 7)

        def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            h = self.batch_norm(self.conv(x)).relu().transpose(1, 2)
            h = self.attention(self.frozen(self.norm(h)) + self.embed(ids) + torch.zeros(1))
            return self.out(nn.functional.dropout(self.rnn(h)[0], 0.3, self.training))

    torch.manual_seed(0)
    model = Mixed()
    for _ in range(100):  # until the vectors that it takes as constants are right
        model.norm(torch.randn(1, 6))
    data = [
        (torch.randn(4, 2, 6), torch.randint(0, 7, (4, 6)), torch.randint(0, 7, (4, 6)))
        for _ in range(2)
    ]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weighted = nn.CrossEntropyLoss(weight=torch.rand(7))
    outcome = analyze(
        "gradient_check",
        model,
        data,
        loss=lambda out, ids: weighted(out.flatten(0, 1), ids.flatten()),
    )
    # A loss that is hidden in a function keeps its float32 weights, which double logits refuse.
    assert outcome.result["passed"]

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.CrossEntropyLoss(weight=torch.rand(7))

        def forward(self, out: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            loss: torch.Tensor = self.inner(out.flatten(0, 1), ids.flatten())
            return loss

    outcome = analyze("gradient_check", model, data, loss=Loss())
    assert outcome.result["passed"]
    assert max(row["max_relative_error"] for row in by_name(outcome).values()) < 1e-3
    assert "frozen.weight" not in by_name(outcome)
    assert model.state_dict().keys() == before.keys()
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name]), name
    assert torch.get_default_dtype() == torch.float32
    assert all(parameter.grad is None for parameter in model.parameters())


def test_zero_biases_on_empty_borders_are_kinks_and_no_fault() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    nn.init.zeros_(model[0].bias)
    images = torch.zeros(8, 1, 8, 8)
    images[:, :, 3:5, 3:5] = torch.rand(8, 1, 2, 2)
    outcome = analyze("gradient_check", model, [(images, torch.randn(8, 2))], **MSE)
    assert outcome.result["passed"]
    assert by_name(outcome)["0.bias"]["kinks"] > 0


def test_a_part_in_single_precision_is_checked_less_sharply() -> None:
    class Casts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Tanh()
            self.last = nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.second(self.first(x).float())
            return self.last(h.to(self.last.weight.dtype))

    torch.manual_seed(0)
    outcome = analyze("gradient_check", Casts(), batches(), **MSE)
    assert outcome.result["passed"]


def test_the_same_seed_gives_the_same_answer() -> None:
    first, again, other = (
        analyze("gradient_check", network(), batches(), seed=seed, **MSE).result
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("data", "more", "says"),
    [
        ([], {}, "no batch"),
        (batches(), {"options": {"elements": 0}}, "at least 1"),
        (batches(), {"options": {"tolerance": 2}}, "between 0 and 1"),
        ([(torch.full((8, 6), math.nan), torch.randn(8, 2))], {}, "nan_source"),
        (batches(), {"step": None, "loss": None}, "neither loss nor step"),
    ],
)
def test_bad_input_is_one_sentence(data: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(AnalysisFailedError, match=says):
        analyze("gradient_check", network(), data, **(MSE | more))


def compared(function: Any, at: float, analytic: float) -> Any:
    return compare(
        lambda by: function(at + by),
        analytic,
        at=at,
        loss=function(at),
        unit=UNIT,
        tolerance=1e-3,
    )


@pytest.mark.parametrize(
    ("function", "at", "analytic", "passes", "kink"),
    [
        (math.sin, 1.0, math.cos(1.0), True, False),
        (math.sin, 1.0, 1.01 * math.cos(1.0), False, False),
        (lambda x: x**2, 1e6, 2e6, True, False),
        (lambda x: 1e-9 * x, 1.0, 1e-9, True, False),
        (math.exp, -20.0, math.exp(-20.0), True, False),
        (abs, 0.0, 0.0, True, False),  # between its slopes, as the middle difference is
        (lambda x: max(x, 0.0), 0.0, 0.0, True, True),
        (lambda x: max(x, 0.0), 0.0, 1.0, True, True),
        (lambda x: max(x, 0.0), 0.0, 20.0, False, False),
        (lambda x: 9 * x + max(x, 0.0) / 100, 0.0, 18.0, False, False),
        (lambda x: max(x, 0.0), 1e-7, 1.0, True, False),  # a smaller step clears the kink
        (lambda x: max(x - 1e-7, 0.0) + 5, 0.0, 0.0, True, False),
    ],
)
def test_derivatives_by_hand(
    function: Any, at: float, analytic: float, passes: bool, kink: bool
) -> None:
    found = compared(function, at, analytic)
    assert (found.relative_error <= 1e-3) is passes
    assert found.kink is kink
