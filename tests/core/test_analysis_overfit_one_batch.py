"""One batch is learned by heart, or not, by models whose fault was planted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from traintop.analyses import ANALYSES, overfit_one_batch
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.one_batch_rule import course, entropy, goal, over, spread
from traintop.analyses.target import Target

torch.set_num_threads(1)

KEYS = {"losses", "initial_loss", "final_loss", "steps", "passed"}


def context_of(target: Target, **how: Any) -> Context:
    options: dict[str, float | None] = {
        option.name: option.default for option in ANALYSES["overfit_one_batch"].options
    }
    options.update(how.pop("options", {}))
    return Context(
        target=target,
        model=target.model,
        device=torch.device("cpu"),
        options=options,
        seed=how.pop("seed", 0),
        progress=lambda _done, _total, _what: None,
        point=lambda _x, _y, _series: None,
        log=how.pop("log", lambda _text: None),
        **how,
    )


def run(target: Target, **how: Any) -> Outcome:
    return overfit_one_batch.run(context_of(target, **how))


def images(classes: int = 4) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(16, 12, generator=generator),
            torch.randint(classes, (16,), generator=generator),
        )
        for _ in range(3)
    ]


def network(*middle: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 32), *middle, nn.Linear(32, 4))


def classifier(model: nn.Module | None = None, lr: float = 0.1, **more: Any) -> Target:
    return Target(
        model=model or network(nn.ReLU()),
        train=more.pop("train", None) or images(),
        loss=more.pop("loss", nn.CrossEntropyLoss()),
        optimizer=lambda params: torch.optim.SGD(params, lr=lr, momentum=0.9),
        **more,
    )


class Blind(nn.Module):
    """Sees nothing of its input."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(torch.zeros_like(x))
        return out


class Stateful(nn.Module):
    """Keeps its state from call to call, as recurrent networks are often written."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(12, 16, batch_first=True)
        self.head = nn.Linear(16, 4)
        self.state: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, self.state = self.rnn(x[:, None], self.state)
        found: torch.Tensor = self.head(out[:, -1])
        return found


@pytest.mark.parametrize(
    "model",
    [
        network(nn.ReLU()),
        network(nn.BatchNorm1d(32), nn.ReLU()),
        network(nn.ReLU(), nn.Dropout(0.5)),
        network(nn.LayerNorm(32), nn.GELU()),
        Stateful(),
    ],
    ids=["plain", "batch norm", "dropout", "layer norm", "state"],
)
def test_a_healthy_model_learns_the_batch_by_heart(model: nn.Module) -> None:
    target = classifier(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    outcome = run(target)
    result = outcome.result
    assert set(result) >= KEYS
    assert result["passed"]
    assert not outcome.findings
    assert result["initial_loss"] == result["losses"][0]
    assert result["final_loss"] == result["losses"][-1] < 0.05 * result["initial_loss"]
    assert result["steps"] == len(result["losses"]) - 1 <= 500
    assert result["samples"] == 8
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert overfit_one_batch.summary(result)[0].startswith("passed on one batch of 8 samples")


def test_the_first_loss_is_that_of_the_batch_and_the_seed_decides() -> None:
    target = classifier()
    first = run(target, seed=3).result
    assert run(target, seed=3).result == first
    assert run(target, seed=5).result["losses"] != first["losses"]
    one = images()[:1]
    result = run(classifier(train=one), options={"samples": 16}).result
    with torch.no_grad():
        by_hand = nn.functional.cross_entropy(network(nn.ReLU())(one[0][0]), one[0][1])
    assert result["initial_loss"] == pytest.approx(float(by_hand), rel=1e-5)


def test_regression_dicts_and_a_step_of_ones_own() -> None:
    data = [{"x": torch.randn(9, 12), "y": 100 + 50 * torch.randn(9, 4)} for _ in range(2)]
    target = Target(
        model=network(nn.Tanh()),
        train=data,
        step=lambda model, batch: nn.functional.mse_loss(model(batch["x"]), batch["y"]),
        optimizer=lambda params: torch.optim.Adam(params, lr=0.1),
    )
    assert run(target).result["passed"]


def test_noise_and_weight_decay_and_smoothing_do_not_count() -> None:
    def noisy(model: nn.Module, batch: Any) -> torch.Tensor:
        x, y = batch
        return nn.functional.mse_loss(model(x + torch.randn_like(x)), torch.randn(len(y), 4))

    target = classifier()
    target.step = noisy
    assert run(target).result["passed"]
    smooth = classifier(loss=nn.CrossEntropyLoss(label_smoothing=0.2))
    smooth.optimizer = lambda params: torch.optim.SGD(params, lr=0.1, weight_decay=1.0)
    said: list[str] = []
    assert run(smooth, log=said.append).result["passed"]
    assert "label smoothing" in said[0]
    assert isinstance(smooth.loss, nn.CrossEntropyLoss)
    assert smooth.loss.label_smoothing == 0.2


def test_short_sequences_that_begin_alike_are_learned() -> None:
    """What follows the first token cannot be told: the loss stays above zero in a healthy model."""
    torch.manual_seed(0)
    tokens = torch.randint(32, (8, 17))
    tokens[:, 0] = 1

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(32, 64)
            self.rnn = nn.GRU(64, 64, batch_first=True)
            self.head = nn.Linear(64, 32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.head(self.rnn(self.embed(x))[0])
            return found

    target = Target(
        model=Tiny(),
        train=[tokens],
        step=lambda model, batch: nn.functional.cross_entropy(
            model(batch[:, :-1]).transpose(1, 2), batch[:, 1:]
        ),
        optimizer=lambda params: torch.optim.AdamW(params, lr=1e-2),
    )
    result = run(target, options={"steps": 250}).result
    assert result["passed"]
    assert result["final_loss"] > math.log(8) / 16 * 0.8


def contradicting() -> list[Any]:
    x = torch.randn(4, 12)
    return [(torch.cat([x, x]), torch.tensor([0, 1, 2, 3, 1, 2, 3, 0]))]


@pytest.mark.parametrize(
    ("target", "found", "severity"),
    [
        (classifier(Blind(network(nn.ReLU()))), "not_learning", "critical"),
        (classifier(train=contradicting()), "underfitting", "warning"),
        (classifier(loss=lambda out, _y: 3 + 0 * out.sum()), "not_learning", "critical"),
        (classifier(lr=1e-9), "lr_too_low", "warning"),
        (classifier(lr=1e4), "lr_too_high", "critical"),
        (
            classifier(loss=lambda out, y: nn.functional.cross_entropy(out * math.nan, y)),
            "nan_inf",
            "critical",
        ),
    ],
    ids=["blind", "contradiction", "constant", "low", "high", "nan"],
)
def test_planted_faults_are_told_apart(target: Target, found: str, severity: str) -> None:
    outcome = run(target, step=400, options={"steps": 200})
    assert not outcome.result["passed"]
    assert [each["id"] for each in outcome.findings] == [found]
    [finding] = outcome.findings
    assert (finding["severity"], finding["onset_step"]) == (severity, 400)
    assert finding["next"]
    assert overfit_one_batch.summary(outcome.result)[0].startswith("FAILED")


def test_a_slow_optimizer_is_no_fault_but_said() -> None:
    outcome = run(classifier(lr=2e-3), options={"steps": 200})
    assert outcome.result["passed"]
    assert not outcome.findings
    assert "is slower" in outcome.result["reason"]
    assert [each["optimizer"] for each in outcome.result["attempts"]] == ["SGD", "Adam", "Adam"]


def test_parts_without_gradient_are_named() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(12, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.last(self.first(x).detach() * 0)
            return found

    outcome = run(classifier(Cut()), options={"steps": 100})
    assert outcome.result["without_gradient"] == ["first.weight", "first.bias", "last.weight"]
    assert not outcome.result["passed"]
    assert outcome.findings[0]["causes"][0]["cause"] == "parameters without gradient"


def test_fresh_weights_on_request() -> None:
    model = network(nn.ReLU())
    initial = {name: value.detach().clone() for name, value in model.named_parameters()}
    fresh = run(classifier(model)).result
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    broken = classifier(model)
    assert not run(broken, initial=initial).result["passed"]
    again = run(broken, initial=initial, options={"fresh": 1}).result
    assert again == fresh
    assert all(bool(each.isnan().all()) for each in model.parameters())


def test_a_batch_with_one_class_is_passed_over() -> None:
    x = torch.randn(16, 12)
    data = [(x, torch.zeros(16, dtype=torch.long)), (x, torch.arange(16) // 14)]
    said: list[str] = []
    result = run(classifier(train=data), options={"samples": 4}, log=said.append).result
    assert result["initial_loss"] > 0
    assert not said
    run(classifier(train=data[:1]), log=said.append)
    assert "one class only" in said[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": []}, "holds no batch"),
        ({"loss": None}, "neither loss nor step"),
        ({"train": [(torch.zeros(4, 12),)]}, "no target is found for the loss"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, "scalar"),
    ],
)
def test_bad_targets_are_said_in_a_sentence(change: dict[str, Any], message: str) -> None:
    target = classifier()
    for name, value in change.items():
        setattr(target, name, value)
    with pytest.raises(AnalysisFailedError, match=message):
        run(target)


def test_bad_options_and_frozen_models_are_refused() -> None:
    with pytest.raises(AnalysisFailedError, match="at least 1"):
        run(classifier(), options={"steps": 0})
    frozen = network(nn.ReLU()).requires_grad_(False)
    with pytest.raises(AnalysisFailedError, match="asks for a gradient"):
        run(classifier(frozen))


@pytest.mark.parametrize(
    ("losses", "near", "expected"),
    [
        ([2.0, 1.0, 0.05], 0.1, "fitted"),
        ([2.0, 0.05, 0.3], 0.1, "fitted"),
        ([2.0, 1.0, math.nan], 0.1, "not_finite"),
        ([2.0, 50.0], 0.1, "rose"),
        ([2.0, 50.0, 1.95], 0.1, "rose"),
        ([2.0, 1.95], 0.1, "flat"),
        ([2.0 - 0.1 * n for n in range(15)], 0.1, "falling"),
        ([2.0] + [1.0] * 20, 0.1, "stuck"),
        ([-1.0, -1.5, -3.0], -2.0, "fitted"),
        ([0.0, 0.0], -1.0, "flat"),
    ],
)
def test_courses(losses: list[float], near: float, expected: str) -> None:
    assert course(losses, near) == expected


def test_goals_and_when_it_is_over() -> None:
    assert goal(2.0) == pytest.approx(0.1)
    assert goal(0.02) == pytest.approx(0.001)
    assert goal(0.02, entropy=2.0) == pytest.approx(0.01)
    assert goal(60.0, entropy=2.0) == pytest.approx(0.1)
    assert goal(-3.0) == -6.0
    assert goal(0.0, entropy=1.0) == -1.0
    assert entropy([0, 1, 2, 3]) == pytest.approx(math.log(4))
    assert entropy([5, 5]) == 0
    assert over([2.0, 0.02], 0.1)
    assert not over([2.0, 0.05], 0.1)
    assert over([2.0] + [0.05] * 51, 0.1)
    assert over([2.0, math.inf], 0.1)
    assert over([-1.0, -2.0], -2.0)


def test_classes_take_turns() -> None:
    assert spread([0, 0, 0, 0, 1, 2], 4) == [0, 1, 4, 5]
    assert spread([5] * 3, 8) == [0, 1, 2]
    assert spread([0, 1] * 8, 8) == list(range(8))


def test_without_an_optimizer_adam_is_taken() -> None:
    target = classifier()
    target.optimizer = None
    outcome = run(target)
    assert outcome.result["passed"]
    assert {each["optimizer"] for each in outcome.result["attempts"]} == {"Adam"}


def test_a_log_density_may_fall_without_end() -> None:
    target = classifier(loss=lambda out, y: out.square().mean().log() - 1 + 0 * y.sum())
    target.optimizer = None
    result = run(target).result
    assert result["initial_loss"] < 0
    assert result["passed"]


def test_a_bad_start_does_not_make_the_test_easy() -> None:
    """Weights far too large: what is 5 % of such a loss, a model that sees nothing may reach."""
    model = network(nn.ReLU())
    with torch.no_grad():
        model.get_parameter("2.weight").mul_(1000)
    blind = run(classifier(Blind(model)), options={"steps": 100})
    assert blind.result["initial_loss"] > 40
    assert blind.result["goal"] == pytest.approx(0.05 * math.log(4))
    assert not blind.result["passed"]
    assert [each["id"] for each in blind.findings] == ["underfitting"]
