"""What the recorder writes, against a slow and obvious computation of the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from traintop.recorder import Recorder

EVERYTHING: dict[str, Any] = {"budget": math.inf, "layers_every": 1}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def train_records(directory: Path) -> list[dict[str, Any]]:
    return read(directory / "train_diagnostics.jsonl")


def layer_records(directory: Path) -> list[dict[str, Any]]:
    return read(directory / "layers.jsonl")[1:]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.relu = nn.ReLU()
        self.wide = nn.Linear(6 * 36, 80)
        self.tanh = nn.Tanh()
        self.frozen = nn.Linear(80, 80)
        self.frozen.requires_grad_(requires_grad=False)
        self.unused = nn.Linear(4, 4)
        self.out = nn.Linear(80, 5)
        with torch.no_grad():
            assert self.conv.bias is not None
            self.conv.bias[:2] = -100.0  # two dead channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv(x)).flatten(1)
        return self.out(self.frozen(self.tanh(5 * self.wide(x))))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(12, 1, 8, 8), torch.randint(0, 5, (12,))


def flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def test_every_number_is_what_it_says(tmp_path: Path) -> None:
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    expected: list[dict[str, Any]] = []
    previous: torch.Tensor | None = None
    with Recorder(model, optimizer, directory=tmp_path, batch_size=12, **EVERYTHING) as recorder:
        for _ in range(4):
            inputs, labels = batch()
            loss = functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            before = [p.detach().clone() for p in model.parameters()]
            optimizer.step()
            updates = [p.detach() - b for p, b in zip(model.parameters(), before, strict=True)]
            recorder.step(loss=loss, accuracy=torch.tensor(0.25), tokens=7, learned=True)
            norms = [gradient.double().norm().item() for gradient in gradients]
            whole = flat(gradients)
            expected.append(
                {
                    "loss": loss.item(),
                    "accuracy": 0.25,
                    "tokens": 7,
                    "learned": True,
                    "learning_rate": 0.05,
                    "grad_norm": whole.norm().item(),
                    "mean_grad_norm": sum(norms) / len(norms),
                    "min_grad_norm": min(norms),
                    "max_grad_norm": max(norms),
                    "grad_norm_clipped": 0.05,
                    "num_batches": 1,
                    # Sampled: 4096 elements of each tensor stand for all of them.
                    "weight_update": pytest.approx(
                        (flat(updates).norm() / flat(before).norm()).item(), rel=0.1
                    ),
                    "grad_cos": None
                    if previous is None
                    else pytest.approx(
                        functional.cosine_similarity(whole, previous, 0).item(), abs=0.1
                    ),
                }
            )
            previous = whole
    for step, (record, values) in enumerate(zip(train_records(tmp_path), expected, strict=True)):
        assert record["step"] == step
        for name, value in values.items():
            if value is None:
                assert name not in record
            else:
                close = pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
                assert record[name] == close, name


@pytest.mark.parametrize("every_parameter", [False, True])
def test_layers_are_what_they_say(tmp_path: Path, every_parameter: bool) -> None:
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    seen: list[torch.Tensor] = []
    model.relu.register_forward_hook(lambda *a: seen.append(a[2].detach()))
    model.tanh.register_forward_hook(lambda *a: seen.append(a[2].detach()))
    with Recorder(
        model, optimizer, directory=tmp_path, every_parameter=every_parameter, **EVERYTHING
    ) as recorder:
        for _ in range(2):
            seen.clear()
            inputs, labels = batch()
            loss = functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            gradients = {
                name: None if p.grad is None else p.grad.clone()
                for name, p in model.named_parameters()
            }
            optimizer.step()
            recorder.step(loss=loss)
    header, first, record = read(tmp_path / "layers.jsonl")
    shown = [name for name, p in model.named_parameters() if every_parameter or p.ndim > 1]
    assert header["names"] == shown
    assert header["numel"] == [model.get_parameter(name).numel() for name in shown]
    assert header["requires_grad"] == ["frozen" not in name for name in shown]
    assert (header["act_names"], header["act_kinds"]) == (["relu", "tanh"], ["relu", "tanh"])
    assert first["act_mean"] == [None, None]  # not in the very first step
    assert record["train_mode"] is True
    for row, name in enumerate(shown):
        weights, gradient = model.get_parameter(name).detach(), gradients[name]
        assert record["weight_norm"][row] == pytest.approx(weights.norm().item(), rel=1e-4)
        old, new = before[name], weights
        ratio = ((new - old).norm() / old.norm()).item()
        assert record["update_ratio"][row] == pytest.approx(ratio, rel=0.1)
        if gradient is None:
            assert record["grad_norm"][row] is None
            continue
        wanted = {
            "grad_norm": gradient.norm().item(),
            "grad_mean": gradient.mean().item(),
            "grad_std": gradient.std().item(),
            "grad_min": gradient.min().item(),
            "grad_max": gradient.max().item(),
            "grad_zero_frac": (gradient == 0).double().mean().item(),
            "grad_nan": 0,
        }
        for statistic, value in wanted.items():
            assert record[statistic][row] == pytest.approx(value, rel=1e-3, abs=1e-6), statistic
    relu, tanh = seen
    assert record["act_mean"] == pytest.approx([relu.mean().item(), tanh.mean().item()], rel=1e-4)
    stds = [relu.std(correction=0).item(), tanh.std(correction=0).item()]
    assert record["act_std"] == pytest.approx(stds, rel=1e-4)
    assert record["act_zero_frac"] == pytest.approx(
        [(relu == 0).float().mean().item(), 0], rel=1e-4
    )
    dead = (relu == 0).all(dim=3).all(dim=2).all(dim=0)
    assert dead.sum() >= 2
    assert record["act_dead_frac"] == pytest.approx([dead.float().mean().item(), 0], rel=1e-4)
    saturated = (tanh.abs() > 0.99).float().mean().item()
    assert saturated > 0
    assert record["act_sat_frac"] == pytest.approx([0, saturated], rel=1e-4)


@pytest.mark.parametrize(
    ("activation", "dead", "kind"),
    [
        (nn.ReLU(), 0.5, "relu"),
        (nn.GELU(), 0.5, "gelu"),
        (nn.SiLU(), 0.5, "silu"),
        (nn.ELU(), 0.0, "elu"),
    ],
)
@pytest.mark.parametrize("shape", [(9, 8), (3, 5, 8)])
def test_units_of_the_last_axis_are_dead_after_linear_layers(
    tmp_path: Path, activation: nn.Module, dead: float, kind: str, shape: tuple[int, ...]
) -> None:
    model = nn.Sequential(nn.Linear(8, 8), activation, nn.Linear(8, 1))
    with torch.no_grad():
        model[0].bias[:4] = -60.0
        model[0].bias[4:] = 5.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with Recorder(model, optimizer, directory=tmp_path, **EVERYTHING) as recorder:
        for _ in range(2):
            model(torch.randn(shape)).mean().backward()
            optimizer.step()
            recorder.step()
    assert layer_records(tmp_path)[1]["act_dead_frac"] == [dead]
    assert read(tmp_path / "layers.jsonl")[0]["act_kinds"] == [kind]


def test_a_module_that_is_used_twice_counts_as_two_sets_of_units(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.relu = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU()
            with torch.no_grad():
                self.one.bias.fill_(50.0)
                self.two.bias.fill_(-5000.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.two(self.relu(self.one(x))))

    model = Twice()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with Recorder(
        model, optimizer, directory=tmp_path, grad_accumulation=2, **EVERYTHING
    ) as recorder:
        for _ in range(2):
            for _ in range(2):
                model(torch.randn(3, 4)).sum().backward()
            optimizer.step()
            recorder.step()
    assert layer_records(tmp_path)[1]["act_dead_frac"] == [0.5]


def test_an_evaluation_without_gradients_is_not_among_the_activations(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with Recorder(model, optimizer, directory=tmp_path, **EVERYTHING) as recorder:
        for _ in range(2):
            with torch.no_grad():
                model(1000 * torch.randn(50, 3))
            model(torch.zeros(4, 3)).sum().backward()
            optimizer.step()
            recorder.step()
    wanted = torch.relu(model[0].bias).mean().item()
    assert layer_records(tmp_path)[1]["act_mean"] == [pytest.approx(wanted, rel=1e-4)]


def test_the_last_of_several_backward_passes_counts(tmp_path: Path) -> None:
    model = nn.Linear(5, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    norms: list[float] = []
    with Recorder(
        model, optimizer, directory=tmp_path, batch_size=8, grad_accumulation=4, **EVERYTHING
    ) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            for _ in range(4):
                (model(torch.randn(8, 5)).square().mean() / 4).backward()
            assert model.weight.grad is not None
            assert model.bias.grad is not None
            norms.append(flat([model.weight.grad, model.bias.grad]).norm().item())
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            recorder.step(loss=0.5)
    records = train_records(tmp_path)
    assert [record["grad_norm"] for record in records] == pytest.approx(norms, rel=1e-4)
    assert [record["num_batches"] for record in records] == [4, 4, 4]
    assert [record["grad_norm_clipped"] for record in records] == pytest.approx(
        [0.01] * 3, rel=1e-3
    )


def test_a_shorter_accumulation_is_not_mistaken_for_a_norm_before_clipping(tmp_path: Path) -> None:
    model = nn.Linear(5, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(
        model, optimizer, directory=tmp_path, grad_accumulation=4, grad_clip=0.01, **EVERYTHING
    ) as recorder:
        for passes in (4, 1, 1):
            optimizer.zero_grad()
            for _ in range(passes):
                model(torch.randn(8, 5)).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            recorder.step()
    full, short, learned = train_records(tmp_path)
    assert full["grad_norm"] > 0.1
    assert "grad_norm" not in short
    assert short["grad_norm_clipped"] == pytest.approx(0.01, rel=1e-3)
    assert learned["grad_norm"] > 0.1


def test_a_scaled_loss_gives_unscaled_gradients(tmp_path: Path) -> None:
    model = nn.Linear(5, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    norms: list[float] = []
    with Recorder(model, optimizer, directory=tmp_path, scaler=scaler, **EVERYTHING) as recorder:
        for step in range(3):
            optimizer.zero_grad()
            loss = model(torch.randn(8, 5)).square().mean()
            if step == 1:
                loss = loss * math.inf
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01).item())
            scaler.step(optimizer)
            scaler.update()
            recorder.step(loss=loss)
    good, skipped, after = train_records(tmp_path)
    assert good["grad_norm"] == pytest.approx(norms[0], rel=1e-4)
    assert good["grad_norm_clipped"] == pytest.approx(0.01, rel=1e-3)
    assert (good["loss_scale"], good["skipped_step"]) == (1024, False)
    assert skipped["skipped_step"] is True
    assert skipped["weight_update"] == 0
    assert float(skipped["grad_norm"]) == math.inf or math.isnan(float(skipped["grad_norm"]))
    assert (after["loss_scale"], after["skipped_step"]) == (512, False)
    assert after["grad_norm"] == pytest.approx(norms[2], rel=1e-4)
    assert layer_records(tmp_path)[0]["grad_max"][0] < 10  # and so are those of the layers
    assert [e["event"] for e in read(tmp_path / "events.jsonl")] == ["control"]  # no `nonfinite`


def test_a_forgotten_optimizer_step_is_an_update_of_nothing(tmp_path: Path) -> None:
    model = nn.Linear(5, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, directory=tmp_path, **EVERYTHING) as recorder:
        for _ in range(2):
            model(torch.randn(8, 5)).sum().backward()
            recorder.step()
    assert [record["weight_update"] for record in train_records(tmp_path)] == [0, 0]
    assert all("skipped_step" not in record for record in train_records(tmp_path))


def test_nan_is_counted_and_told_with_its_layers(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, directory=tmp_path, **EVERYTHING) as recorder:
        for step in range(3):
            optimizer.zero_grad()
            loss = model(torch.randn(8, 4)).square().mean()
            loss.backward()
            if step == 1:
                # Seen by the next steps; this one's backward pass has ended.
                with torch.no_grad():
                    model[2].weight[0, 0] = math.nan
            optimizer.step()
            recorder.step(loss=loss)
    event, end = read(tmp_path / "events.jsonl")
    assert (event["event"], event["step"], event["what"]) == ("nonfinite", 2, ["loss", "grad_norm"])
    assert "2.weight" in event["layers"]
    assert event["layers_total"] == len(event["layers"])
    assert (end["event"], end["action"]) == ("control", "finished")
    record = train_records(tmp_path)[2]
    assert (record["loss"], record["grad_norm"]) == ("NaN", "NaN")
    assert layer_records(tmp_path)[2]["grad_nan"] == [16, 4]


def test_several_groups_each_have_their_rate(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.01)
    with Recorder(model, optimizer, directory=tmp_path) as recorder:
        for rate in (0.1, 0.1, 0.01):
            optimizer.param_groups[0]["lr"] = rate
            model(torch.randn(8, 4)).sum().backward()
            optimizer.step()
            recorder.step()
    assert [(r["learning_rate"], r["lr_group1"]) for r in train_records(tmp_path)] == [
        (0.1, 0.01),
        (0.1, 0.01),
        (0.01, 0.01),
    ]
    event = read(tmp_path / "events.jsonl")[0]
    assert (event["event"], event["step"], event["from"], event["to"]) == (
        "lr_change",
        2,
        0.1,
        0.01,
    )


def test_what_the_script_says_wins(tmp_path: Path) -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, directory=tmp_path, **EVERYTHING) as recorder:
        model(torch.randn(8, 4)).sum().backward()
        optimizer.step()
        recorder.step(loss=1.0, step=17, epoch=2, grad_norm=torch.tensor(42.0), learning_rate=9.0)
    (record,) = train_records(tmp_path)
    wanted = {"step": 17, "epoch": 2, "grad_norm": 42, "learning_rate": 9}
    assert {name: record[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "kind", ["sparse", "complex", "channels_last", "double", "bfloat16", "scalar"]
)
def test_odd_gradients_are_measured_all_the_same(tmp_path: Path, kind: str) -> None:
    model: nn.Module
    inputs = torch.randn(3, 2, 8, 8)
    if kind == "sparse":
        model, inputs = nn.Embedding(7, 3, sparse=True), torch.tensor([1, 1, 2])
    elif kind == "complex":
        model, inputs = nn.Linear(4, 2, dtype=torch.cfloat), torch.randn(3, 4, dtype=torch.cfloat)
    elif kind == "channels_last":
        model = nn.Conv2d(2, 200, 5).to(memory_format=torch.channels_last)
    elif kind == "scalar":
        model, inputs = nn.PReLU(), torch.randn(3, 4)
    else:
        model = nn.Conv2d(2, 3, 3).to(getattr(torch, kind))
        inputs = inputs.to(getattr(torch, kind))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    norms: list[float] = []
    with Recorder(model, optimizer, directory=tmp_path, **EVERYTHING) as recorder:
        for _ in range(2):
            optimizer.zero_grad()
            model(inputs).abs().mean().backward()
            gradients = [
                p.grad.coalesce().values() if p.grad.is_sparse else p.grad
                for p in model.parameters()
            ]
            norms.append(math.sqrt(sum(g.abs().double().square().sum().item() for g in gradients)))
            optimizer.step()
            recorder.step()
    records = train_records(tmp_path)
    assert [record["grad_norm"] for record in records] == pytest.approx(norms, rel=1e-2)
    assert all(record["weight_update"] > 0 for record in records)
    assert kind == "sparse" or records[1]["grad_cos"] > 0.9
    assert layer_records(tmp_path)[0]["grad_norm"][0] > 0


def test_evaluations_checkpoints_notes_and_epochs(tmp_path: Path) -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, directory=tmp_path, steps_per_epoch=2) as recorder:
        for _ in range(3):
            recorder.step(loss=1.0)
        recorder.evaluate(loss=torch.tensor(0.5), accuracy=0.75)
        recorder.checkpoint(tmp_path / "checkpoints" / "a.pt")
        recorder.checkpoint("/elsewhere/b.pt", step=1)
        recorder.note("learning rate halved by hand")
    (evaluation,) = read(tmp_path / "val_diagnostics.jsonl")
    assert evaluation.pop("time") > 1.7e9
    assert evaluation == {"step": 2, "epoch": 1, "loss": 0.5, "accuracy": 0.75}
    assert [record["epoch"] for record in train_records(tmp_path)] == [0, 0, 1]
    events = [
        {name: value for name, value in event.items() if name != "time"}
        for event in read(tmp_path / "events.jsonl")
    ]
    assert events == [
        {"step": 2, "event": "epoch", "epoch": 1},
        {"step": 2, "event": "checkpoint", "path": "checkpoints/a.pt"},
        {"step": 1, "event": "checkpoint", "path": "/elsewhere/b.pt"},
        {"step": 2, "event": "note", "text": "learning rate halved by hand"},
        {"step": 2, "event": "control", "action": "finished"},
    ]


def test_a_script_that_numbers_its_steps_otherwise_gets_its_layers_too(tmp_path: Path) -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(
        model, optimizer, directory=tmp_path, budget=math.inf, layers_every=3
    ) as recorder:
        for step in range(3, 40, 4):
            for _ in range(4):  # recorded at every fourth step only
                optimizer.zero_grad()
                model(torch.randn(8, 4)).sum().backward()
                optimizer.step()
            recorder.step(loss=1.0, step=step)
    assert [record["step"] for record in layer_records(tmp_path)] == [3, 15, 27, 39]
    assert all("grad_cos" in record for record in train_records(tmp_path)[1:])
