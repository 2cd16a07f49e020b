"""The dead-neuron scan against planted dead units and counts by brute force."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from torch import nn

from traintop.analyses import ANALYSES, dead_neurons
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.target import Target

torch.set_num_threads(1)


def run(model: nn.Module, data: Any, samples: int = 2000, **target: Any) -> Outcome:
    options: dict[str, float | None] = {o.name: o.default for o in ANALYSES["dead_neurons"].options}
    context = Context(
        target=Target(model=model, train=data, **target),
        model=model,
        device=torch.device("cpu"),
        seed=0,
        options=options | {"samples": samples},
        step=300,
        progress=lambda _done, _total, _what: None,
        point=lambda _x, _y, _series: None,
        log=lambda _text: None,
    )
    return dead_neurons.run(context)


def layers(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {layer["name"]: layer for layer in outcome.result["layers"]}


def batches(*shape: int, count: int = 12, size: int = 100) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, *shape, generator=generator) for _ in range(count)]


def kill(layer: nn.Module, units: list[int]) -> None:
    """Make units of a layer negative whatever comes in."""
    with torch.no_grad():
        for unit in units:
            layer.weight[unit] = 0
            layer.bias[unit] = -20


def test_planted_dead_units_of_linear_layers_are_found_exactly() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU6(), nn.Linear(16, 2)
    )
    kill(model[0], [3, 7, 31])
    kill(model[2], list(range(12)))
    data = batches(8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    outcome = run(model, data)
    found = layers(outcome)
    assert list(found) == ["1", "3"]
    assert outcome.result["samples"] == 1200
    x = torch.cat(data)
    with torch.no_grad():
        first = model[1](model[0](x))
        second = model[3](model[2](first))
    for name, values in (("1", first), ("3", second)):
        dead = [u for u in range(values.shape[1]) if not (values[:, u] > 0).any()]
        layer = found[name]
        assert layer["dead_units"] == dead
        assert layer["dead"] == len(dead)
        assert layer["units"] == values.shape[1]
        assert layer["dead_fraction"] == pytest.approx(len(dead) / values.shape[1])
        assert layer["zero_fraction"] == pytest.approx(float((values == 0).float().mean()))
    assert {3, 7, 31} <= set(found["1"]["dead_units"])
    [finding] = outcome.findings
    assert (finding["id"], finding["severity"]) == ("dead_units", "warning")
    assert (finding["layers"], finding["onset_step"]) == (["3"], 300)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert any("dead 12/16" in line for line in dead_neurons.summary(outcome.result))


def test_a_unit_that_one_sample_activates_is_alive() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.fill_(-1.0)
    data = [torch.zeros(100, 1) for _ in range(10)]
    assert layers(run(model, data))["1"]["dead"] == 1
    data[7][42] = 2.0
    found = layers(run(model, data))["1"]
    assert found["dead"] == 0
    assert found["zero_fraction"] == pytest.approx(999 / 1000)


def test_channels_of_convolutions_are_the_units() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Flatten()
    )
    with torch.no_grad():
        model[1].weight[4] = 0
        model[1].bias[4] = -1
    found = layers(run(model, batches(3, 8, 8, count=11)))["2"]
    assert (found["units"], found["dead_units"]) == (6, [4])


@pytest.mark.parametrize("length", [5, 6])
def test_axes_are_told_apart_by_what_made_them(length: int) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 6, 1)
            self.linear = nn.Linear(6, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.relu(F.dropout(self.conv(x), 0.5, self.training))
            return F.gelu(self.linear(x.transpose(1, 2)))

    model = Both()
    kill(model.conv, [2])
    kill(model.linear, [5])
    found = layers(run(model, batches(4, length, count=10)))
    assert found["relu#1"]["units"] == 6
    assert found["relu#1"]["dead_units"] == [2]
    assert found["gelu#1"]["units"] == 7
    assert found["gelu#1"]["dead_units"] == [5]


def test_functions_are_seen_and_named_by_where_they_are_called() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.a(x))
            x = self.b(x).relu_()
            return F.silu(x.clamp(min=0) + 1).tanh()

    model = nn.Sequential()
    model.add_module("first", Block())
    model.add_module("second", Block())
    kill(model.second.b, [1, 2])
    found = layers(run(model, batches(8)))
    names = ["relu#1", "relu#2", "relu#3", "silu#1", "tanh#1"]
    assert list(found) == [f"{at}.{name}" for at in ("first", "second") for name in names]
    assert {1, 2} <= set(found["second.relu#2"]["dead_units"])
    assert found["first.relu#1"]["dead"] == 0
    assert found["second.silu#1"]["dead"] == 0


def test_a_shared_module_is_a_layer_for_each_of_its_calls() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.act = nn.Linear(4, 4), nn.Linear(4, 9), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.act(self.b(self.act(self.a(x))))
            return out

    model = Shared()
    kill(model.b, [0])
    found = layers(run(model, batches(4)))
    assert {name: layer["units"] for name, layer in found.items()} == {"act": 4, "act#2": 9}
    with torch.no_grad():
        values = model(torch.cat(batches(4)))
    assert found["act#2"]["dead_units"] == (values.amax(0) == 0).nonzero().flatten().tolist()
    assert found["act"]["dead"] == 0


@pytest.mark.parametrize("kind", ["GELU", "SiLU", "Mish"])
def test_smooth_activations_are_judged_with_a_tolerance(kind: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), getattr(nn, kind)())
    kill(model[0], [6])
    found = layers(run(model, batches(4)))["1"]
    assert (found["kind"], found["dead_units"]) == (kind.lower(), [6])


@pytest.mark.parametrize("kind", ["Tanh", "Sigmoid", "Hardtanh"])
def test_saturation(kind: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), getattr(nn, kind)(), nn.Linear(8, 2), nn.Sigmoid())
    kill(model[0], [0, 1, 2, 3, 4, 5])
    outcome = run(model, batches(4))
    found = layers(outcome)["1"]
    assert set(range(6)) <= set(found["dead_units"])
    assert found["saturated_fraction"] >= 6 / 8
    assert [each["id"] for each in outcome.findings] == ["saturated_units"]


def test_transformer_layers_are_not_run_fused() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    found = layers(run(model, batches(5, 8, count=10)))
    assert {name: each["units"] for name, each in found.items()} == {
        "layers.0.relu#1": 16,
        "layers.1.relu#1": 16,
    }


def test_samples_stop_at_the_limit_and_few_are_said_so() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    kill(model[0], list(range(8)))
    assert run(model, batches(4), samples=500).result["samples"] == 500
    few = run(model, batches(4, count=3))
    assert few.result["samples"] == 300
    assert any("too few samples" in line for line in dead_neurons.summary(few.result))
    assert [each["severity"] for each in few.findings] == ["info"]


def test_data_that_is_dicts_and_a_forward_of_the_users() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    data = [{"x": batch} for batch in batches(4)]
    outcome = run(model, data, forward=lambda model, batch: model(batch["x"]))
    assert outcome.result["samples"] == 1200


def test_nan_is_not_death() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    with torch.no_grad():
        model[0].bias[0] = float("nan")
    outcome = run(model, batches(4))
    assert 0 not in layers(outcome)["1"]["dead_units"]
    assert [each["id"] for each in outcome.findings] == ["nan_inf"]


def test_nothing_to_scan_is_said_so() -> None:
    with pytest.raises(AnalysisFailedError, match="no activation"):
        run(nn.Linear(4, 4), batches(4))
    with pytest.raises(AnalysisFailedError, match="no batch"):
        run(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), [])
