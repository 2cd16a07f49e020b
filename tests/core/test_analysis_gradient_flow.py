"""Gradient flow against gradients by hand, planted faults, and what users' models are like."""

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
from traintop.analyses.gradient_status import Layer, statuses
from traintop.analyses.model_order import CallOrder

torch.set_num_threads(1)
SGD = {"optimizer": lambda params: torch.optim.SGD(params, lr=0.1)}
MSE = {"loss": nn.MSELoss()}


def batches(count: int = 4, inputs: int = 6, outputs: int = 3) -> list[tuple[torch.Tensor, ...]]:
    make = torch.Generator().manual_seed(1)
    return [
        (torch.randn(16, inputs, generator=make), torch.randn(16, outputs, generator=make))
        for _ in range(count)
    ]


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3)
    )


def by_name(outcome: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in outcome.result["layers"]}


def ids(outcome: Any) -> list[tuple[str, str]]:
    return [(each["id"], each["severity"]) for each in outcome.findings]


def test_statistics_are_those_of_the_gradients_of_every_batch() -> None:
    model, data = network(), batches()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    outcome = analyze("gradient_flow", model, data, **MSE, **SGD)
    found = by_name(outcome)
    assert list(found) == [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        grads = []
        for x, y in data:
            loss = nn.functional.mse_loss(model(x), y)
            grads.append(torch.autograd.grad(loss, parameter)[0].double())
        whole = torch.stack(grads)
        row = found[name]
        norms = [float(each.norm()) for each in grads]
        assert row["grad_norm"] == pytest.approx(math.hypot(*norms) / 2, rel=1e-5)
        assert row["grad_mean"] == pytest.approx(float(whole.mean()), rel=1e-4, abs=1e-9)
        assert row["grad_std"] == pytest.approx(float(whole.std(unbiased=False)), rel=1e-4)
        assert row["grad_max"] == pytest.approx(float(whole.abs().max()), rel=1e-5)
        assert row["zero_fraction"] == pytest.approx(float((whole == 0).all(dim=0).double().mean()))
        assert row["status"] == "ok"
        # Plain SGD moves by the learning rate times the gradient of one of the batches.
        expected = [0.1 * norm / float(parameter.detach().norm()) for norm in norms]
        assert any(row["update_ratio"] == pytest.approx(each, rel=1e-3) for each in expected)
    assert ids(outcome) == []
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert "0 of 6 layers stand out" in lines_of("gradient_flow", outcome)
    again = analyze("gradient_flow", model, data, **MSE, **SGD)
    assert again.result == outcome.result


class Faulty(nn.Module):
    """A network with a part that is cut off, one that is never used, and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)  # registered first, called last
        self.cut = nn.Linear(6, 8)
        self.body = nn.Linear(8, 8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.frozen(self.body(self.cut(x).detach())))


def test_parts_without_a_gradient_are_told_apart() -> None:
    torch.manual_seed(0)
    outcome = analyze("gradient_flow", Faulty(), batches(), step=50, **MSE, **SGD)
    status = {name: row["status"] for name, row in by_name(outcome).items()}
    assert {name for name, word in status.items() if word == "none"} == {
        "cut.weight",
        "cut.bias",
        "unused.weight",
        "unused.bias",
    }
    assert status["frozen.weight"] == "frozen"
    assert status["body.weight"] == status["head.weight"] == "ok"
    names = list(status)
    assert names.index("body.weight") < names.index("head.weight")
    [finding] = outcome.findings
    assert (finding["id"], finding["severity"]) == ("disconnected_params", "warning")
    assert (finding["onset_step"], len(finding["layers"])) == (50, 4)


def test_dead_units_stop_the_gradient() -> None:
    model = network()
    with torch.no_grad():
        model[2].bias.fill_(-50.0)
    outcome = analyze("gradient_flow", model, batches(), step=10, **MSE)
    rows = by_name(outcome)
    assert [rows[f"{at}.weight"]["status"] for at in (0, 2)] == ["zero", "zero"]
    assert rows["0.weight"]["zero_fraction"] == 1.0
    assert rows["4.bias"]["status"] == "ok"
    assert rows["0.weight"]["update_ratio"] is None
    [finding] = outcome.findings
    assert (finding["id"], finding["severity"]) == ("vanishing_gradients", "warning")
    assert finding["next"][0]["analysis"] == "dead_neurons"


def test_a_factor_that_begins_at_zero_is_advice_before_training() -> None:
    class Zero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.factor = nn.Linear(6, 6), nn.Parameter(torch.zeros(()))
            self.out = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(x + self.factor * self.inner(x))

    assert ids(analyze("gradient_flow", Zero(), batches(), **MSE)) == [
        ("vanishing_gradients", "info")
    ]


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.ReLU])
def test_a_deep_sigmoid_network_vanishes_and_its_relu_twin_does_not(activation: Any) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for at in range(8):
        linear = nn.Linear(6 if at == 0 else 24, 24)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        layers += [linear, activation()]
    model = nn.Sequential(*layers, nn.Linear(24, 3))
    if activation is nn.Sigmoid:
        with torch.no_grad():
            for layer in model[::2]:
                layer.weight *= 0.3
    outcome = analyze("gradient_flow", model, batches(), **MSE, **SGD)
    if activation is nn.ReLU:
        assert ids(outcome) == []
        return
    [finding] = [each for each in outcome.findings if each["id"] == "vanishing_gradients"]
    assert finding["severity"] == "warning"
    assert "0.weight" in finding["layers"]
    assert "16.weight" not in finding["layers"]


def test_gradients_that_grow_towards_the_input_explode() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(16, 16, bias=False) for _ in range(6)]
    model = nn.Sequential(nn.Linear(6, 16, bias=False), *layers, nn.Linear(16, 3))
    with torch.no_grad():
        for layer in layers:
            layer.weight *= 20
        model[0].weight *= 1e-6
    outcome = analyze("gradient_flow", model, batches(), **MSE)
    assert by_name(outcome)["0.weight"]["status"] == "exploding"
    assert ("exploding_gradients", "info") in ids(outcome)


def saved(folder: Path, model: nn.Module, step: int, **more: Any) -> Path:
    path = folder / f"step-{step:06d}.pt"
    torch.save({"model": model.state_dict(), "step": step, **more}, path)
    return path


def test_checkpoints_side_by_side(tmp_path: Path) -> None:
    model, data = network(), batches()
    early = [saved(tmp_path, network(seed), 100 * seed) for seed in (1, 2)]
    with torch.no_grad():
        model[4].weight *= 60
    late = saved(tmp_path, model, 500)
    outcome = analyze(
        "gradient_flow", model, data, checkpoint=late, step=500, compare=early, **MSE, **SGD
    )
    columns = outcome.result["checkpoints"]
    assert [each["step"] for each in columns] == [500, 100, 200]
    assert columns[0]["layers"] == outcome.result["layers"]
    for seed, column in ((1, columns[1]), (2, columns[2])):
        alone = analyze("gradient_flow", network(seed), data, **MSE, **SGD)
        assert column["layers"] == alone.result["layers"]
    # The norm grew, and so did the loss.
    assert ("exploding_gradients", "warning") in ids(outcome)
    assert "step 500: " in lines_of("gradient_flow", outcome)
    with pytest.raises(AnalysisFailedError, match=r"missing|unexpected"):
        analyze(
            "gradient_flow",
            nn.Sequential(nn.Linear(6, 3)),
            data,
            compare=[late],
            **MSE,
        )


def test_a_gradient_that_is_not_finite() -> None:
    model, data = network(), batches()
    data[2][0][3, 1] = math.nan
    outcome = analyze("gradient_flow", model, data, **MSE, **SGD)
    row = by_name(outcome)["0.weight"]
    assert row["status"] == "nan"
    assert row["nan"] > 0
    assert row["grad_norm"] is not None  # of the other batches
    [finding] = outcome.findings
    assert (finding["id"], finding["severity"]) == ("nan_inf", "critical")
    assert finding["next"][0]["analysis"] == "nan_source"
    assert "NaN" not in json.dumps(outcome.result)


def test_an_update_that_the_precision_swallows() -> None:
    model = network().to(torch.bfloat16)
    data = [(x.bfloat16(), y.bfloat16()) for x, y in batches()]
    tiny = {"optimizer": lambda params: torch.optim.SGD(params, lr=1e-7)}
    outcome = analyze("gradient_flow", model, data, **MSE, **tiny)
    assert ("frozen_params", "warning") in ids(outcome)
    assert ids(analyze("gradient_flow", model, data, **MSE, **SGD)) == []


def test_the_state_of_the_checkpoints_optimizer_is_taken() -> None:
    adam = {"optimizer": lambda params: torch.optim.Adam(params, lr=1e-3)}
    model, data = network(), batches()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    nn.functional.mse_loss(model(data[0][0]), data[0][1]).backward()
    optimizer.step()
    state = optimizer.state_dict()
    for each in state["state"].values():
        each["exp_avg_sq"] += 1e6  # a past that allows only tiny steps
    fresh = by_name(analyze("gradient_flow", model, data, **MSE, **adam))
    kept = by_name(analyze("gradient_flow", model, data, optimizer_state=state, **MSE, **adam))
    assert kept["0.weight"]["update_ratio"] < 1e-2 * fresh["0.weight"]["update_ratio"]
    logged: list[str] = []
    other = torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict()
    misfit = analyze(
        "gradient_flow", model, data, optimizer_state=other, logged=logged, **MSE, **adam
    )
    assert by_name(misfit) == fresh
    assert "does not fit" in logged[0]


class CalledBackwards(nn.Module):
    """Its layers are called in the opposite order of their registration."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.first = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.second(self.first(x))
        return y


def test_the_state_is_that_of_each_parameter_whatever_the_order_of_calls() -> None:
    torch.manual_seed(0)
    model, x = CalledBackwards(), torch.randn(4, 6)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model(x).square().mean().backward()
    optimizer.step()
    state = optimizer.state_dict()
    for at in (0, 1):  # weight and bias of `second`
        state["state"][at]["exp_avg_sq"] += 1e6
    outcome = analyze(
        "gradient_flow",
        model,
        [(x, x)],
        optimizer_state=state,
        loss=lambda output, _target: output.square().mean(),
        optimizer=lambda params: torch.optim.Adam(params, lr=1e-3),
    )
    ratios = {name: row["update_ratio"] for name, row in by_name(outcome).items()}
    assert ratios["second.weight"] < 1e-2 * ratios["first.weight"]


def test_complex_weights_have_norms() -> None:
    model = nn.Linear(2, 2, bias=False, dtype=torch.cfloat)
    outcome = analyze(
        "gradient_flow",
        model,
        [(torch.ones(3, 2, dtype=torch.cfloat), None)],
        loss=lambda output, _target: output.abs().sum(),
    )
    norm = by_name(outcome)["weight"]["weight_norm"]
    assert norm == pytest.approx(float(model.weight.detach().abs().square().sum().sqrt()))


def test_an_optimizer_that_needs_a_closure_is_no_obstacle() -> None:
    logged: list[str] = []
    outcome = analyze(
        "gradient_flow", network(), batches(), optimizer=torch.optim.LBFGS, logged=logged, **MSE
    )
    assert by_name(outcome)["0.weight"]["update_ratio"] is None
    assert "no step" in logged[0]


def test_models_as_users_have_them() -> None:
    class Texts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 8, sparse=True)
            self.rnn = nn.GRU(8, 8, batch_first=True)
            self.norm = nn.BatchNorm1d(8)
            self.out = nn.Linear(8, 20, bias=False)

        def forward(self, ids: torch.Tensor, labels: torch.Tensor) -> Any:
            states, _ = self.rnn(nn.functional.dropout(self.embed(ids), 0.2, self.training))
            logits = self.out(self.norm(states.transpose(1, 2)).transpose(1, 2))
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
            return type("Output", (), {"loss": loss})()

    torch.manual_seed(0)
    model = Texts()
    data = [{"ids": torch.randint(0, 20, (4, 5)), "labels": torch.randint(0, 20, (4, 5))}] * 3
    running = model.norm.running_mean.clone()
    outcome = analyze("gradient_flow", model, data, **SGD)
    assert {row["status"] for row in outcome.result["layers"]} == {"ok"}
    assert 0 < by_name(outcome)["embed.weight"]["zero_fraction"] < 1
    assert torch.equal(model.norm.running_mean, running)
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    rows = by_name(analyze("gradient_flow", tied, batches(3, 4, 4), **MSE, **SGD))
    assert list(rows) == ["0.weight", "0.bias", "2.bias"]


def test_order_of_calls_stands_for_depth() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(4, 1)
            self.attention = nn.MultiheadAttention(4, 1)
            self.first = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.out(self.attention(x, x, x)[0])

    model = Attention()
    with CallOrder(model) as order:
        model(torch.randn(3, 2, 4))
    owners = [name.split(".")[0] for name, _ in order.parameters()]
    assert list(dict.fromkeys(owners)) == ["first", "attention", "out"]


def test_rules_by_hand() -> None:
    def layer(norm: float | None, numel: int = 100, **more: Any) -> Layer:
        return Layer(
            **({"name": "x", "numel": numel, "trains": True, "judged": True} | more), grad_norm=norm
        )

    last = [layer(10.0) for _ in range(2)]  # an RMS of 1
    assert statuses([layer(9e-3), layer(2e-2), *last])[:2] == ["vanishing", "ok"]
    assert statuses([layer(701.0), layer(699.0), *last])[:2] == ["exploding", "ok"]
    assert statuses([layer(9e-3, judged=False), *last])[0] == "ok"
    assert statuses([layer(9e-3), layer(10.0)]) == ["ok", "ok"]  # too few to have a depth
    assert statuses([layer(None), layer(0.0), layer(None, nan=1), layer(1.0, trains=False)]) == [
        "none",
        "zero",
        "nan",
        "frozen",
    ]


@pytest.mark.parametrize(
    ("data", "more", "says"),
    [
        ([], {}, "no batch"),
        (batches(), {"options": {"batches": 0}}, "at least 1"),
        (batches(), {"loss": None}, "neither loss nor step"),
        (batches(), {"loss": lambda output, _target: output}, "scalar"),
        ([torch.randn(4, 6)], {}, "step=lambda"),
    ],
)
def test_bad_input_is_one_sentence(data: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(AnalysisFailedError, match=says):
        analyze("gradient_flow", network(), data, **(MSE | more))
