"""The recorder leaves training as it is: bit for bit, without hooks left, without errors."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from traintop.recorder import Recorder

MODES = ["plain", "clipped", "accumulated", "autocast", "scaled", "closure"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def build() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(8 * 36, 32),
        nn.GELU(),
        nn.Linear(32, 5),
    )


def train(mode: str, directory: Path | None, steps: int = 6) -> dict[str, Any]:
    """A run with everything random in it, with a recorder if a directory is given."""
    torch.manual_seed(7)
    model = build()
    data = torch.utils.data.TensorDataset(torch.randn(96, 1, 8, 8), torch.randint(0, 5, (96,)))
    batches = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
    if mode == "closure":
        optimizer: Any = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", enabled=mode == "scaled")
    recorder = (
        None
        if directory is None
        else Recorder(
            model,
            optimizer,
            directory=directory,
            scaler=scaler,
            layers_every=2,
            budget=1e9,
            batch_size=16,
            steps_per_epoch=6,
            grad_accumulation=3 if mode == "accumulated" else 1,
        )
    )
    losses = []
    for step, (inputs, labels) in enumerate(batches):
        if step == steps:
            break
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            loss = functional.cross_entropy(model(inputs), labels)
        if mode == "closure":

            def closure(inputs: torch.Tensor = inputs, labels: torch.Tensor = labels) -> Any:
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(inputs), labels)
                loss.backward()
                return loss

            optimizer.step(closure)
        else:
            scaler.scale(loss).backward()
            if mode == "accumulated" and step % 3 < 2:
                continue
            if mode == "clipped":
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        losses.append(loss.item())
        if recorder is not None:
            recorder.step(loss=loss, accuracy=0.5)
            if step % 2:
                model.eval()
                with torch.no_grad():
                    recorder.evaluate(loss=model(inputs).sum())
                model.train()
    if recorder is not None:
        recorder.close()
    return {
        "losses": losses,
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "random": torch.get_rng_state(),
    }


@pytest.mark.parametrize("mode", MODES)
def test_training_is_the_same_bit_for_bit(mode: str, tmp_path: Path) -> None:
    without, recorded = train(mode, None), train(mode, tmp_path)
    assert recorded["losses"] == without["losses"]
    assert torch.equal(recorded["random"], without["random"])
    for name, value in without["weights"].items():
        assert torch.equal(recorded["weights"][name], value), name
    lines = (tmp_path / "train_diagnostics.jsonl").read_text().splitlines()
    assert len(lines) == len(without["losses"])
    assert all(json.loads(line)["grad_norm"] > 0 for line in lines)


def hooks(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    tables: list[Any] = [optimizer._optimizer_step_pre_hooks]
    for module in model.modules():
        tables += [module._forward_hooks, module._forward_pre_hooks, module._backward_hooks]
    tables += [parameter._post_accumulate_grad_hooks for parameter in model.parameters()]
    return sum(len(table or ()) for table in tables)


@contextlib.contextmanager
def recorded(
    directory: Path, **settings: Any
) -> Iterator[tuple[nn.Sequential, Any, Recorder, Callable[[], None]]]:
    torch.manual_seed(0)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with Recorder(
        model, optimizer, directory=directory, budget=1e9, layers_every=1, **settings
    ) as recorder:

        def step() -> None:
            optimizer.zero_grad()
            loss = model(torch.randn(4, 1, 8, 8)).square().mean()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss)

        yield model, optimizer, recorder, step


def test_hooks_are_few_and_none_is_left(tmp_path: Path) -> None:
    with recorded(tmp_path, start_step=1) as (model, optimizer, recorder, step):
        for _ in range(3):
            step()
        # The optimizer's, one parameter's, one of each activation and one of the model.
        assert hooks(model, optimizer) == 1 + 1 + 2 + 1
    assert hooks(model, optimizer) == 0
    recorder.step(loss=1.0)  # a closed recorder does nothing
    recorder.close()
    assert len((tmp_path / "train_diagnostics.jsonl").read_text().splitlines()) == 3


def test_a_forgotten_recorder_takes_its_hooks_away(tmp_path: Path) -> None:
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    recorder = Recorder(model, optimizer, directory=tmp_path)
    assert hooks(model, optimizer) > 0
    del recorder
    assert hooks(model, optimizer) == 0


def test_copies_and_pickles_take_nothing_of_ours_along(tmp_path: Path) -> None:
    with recorded(tmp_path) as (model, optimizer, _, step):
        step()
        twin, twin_optimizer = copy.deepcopy(model), copy.deepcopy(optimizer)
        file = io.BytesIO()
        torch.save(model, file)
        torch.save(model.state_dict(), io.BytesIO())
        torch.save(optimizer.state_dict(), io.BytesIO())
        for parameter in twin.parameters():
            assert not parameter._post_accumulate_grad_hooks
        assert not twin_optimizer._optimizer_step_pre_hooks
        (tmp_path / "whole.pt").write_bytes(file.getvalue())
        wanted = model.eval()(torch.ones(1, 1, 8, 8)).sum().item()
        assert twin.eval()(torch.ones(1, 1, 8, 8)).sum().item() == wanted
        model.train()
    # A checkpoint of the whole model loads and runs where traintop is not.
    code = f"""
import sys; sys.modules["traintop"] = None
import torch; torch.set_num_threads(1)
model = torch.load({str(tmp_path / "whole.pt")!r}, weights_only=False)
print(model.eval()(torch.ones(1, 1, 8, 8)).sum().item())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(wanted, rel=1e-5)


def test_a_compiled_model_is_compiled_once_and_whole(tmp_path: Path) -> None:
    graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    with recorded(tmp_path) as (model, optimizer, recorder, _):
        compiled: Any = torch.compile(model, backend=backend)
        for _ in range(5):
            optimizer.zero_grad()
            compiled(torch.randn(4, 1, 8, 8)).square().mean().backward()
            optimizer.step()
            recorder.step()
    torch._dynamo.reset()
    assert len(graphs) == 1
    lines = (tmp_path / "train_diagnostics.jsonl").read_text().splitlines()
    assert all(json.loads(line)["grad_norm"] > 0 for line in lines)


def test_a_backward_pass_that_breaks_off_is_not_the_end(tmp_path: Path) -> None:
    with recorded(tmp_path) as (model, _, recorder, step):
        step()
        handle = model[0].weight.register_hook(lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            step()
        handle.remove()
        recorder.step()
        step()
    records = (tmp_path / "train_diagnostics.jsonl").read_text().splitlines()
    assert json.loads(records[-1])["grad_norm"] > 0


def test_a_parameter_that_stops_getting_gradients_is_replaced_as_the_sign(tmp_path: Path) -> None:
    with recorded(tmp_path, grad_clip=1.0) as (model, _, _, step):
        step()
        for parameter in model[:2].parameters():
            parameter.requires_grad_(requires_grad=False)
        for _ in range(3):
            step()
    norms = read(tmp_path / "train_diagnostics.jsonl")
    # Missed once, when it may have been clipped already; then another parameter is the sign.
    assert ["grad_norm" in record for record in norms] == [True, False, True, True]


@pytest.mark.parametrize("harm", ["disk", "deleted", "read-only", "model", "metric", "optimizer"])
def test_nothing_raises_and_one_line_says_what_is_lost(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run"
    if harm == "read-only":
        directory.write_text("a file is where the directory should be")
    with recorded(directory) as (_, optimizer, recorder, step):
        step()
        if harm == "disk":
            full = os.open("/dev/full", os.O_WRONLY)
            write = os.write
            monkeypatch.setattr(os, "write", lambda _, data: write(full, data))
        if harm == "deleted":
            shutil.rmtree(directory)
            monkeypatch.setattr("traintop.recorder.writer.DELETED_CHECK_SECONDS", 0.0)
        if harm == "model":
            monkeypatch.setattr(torch, "_foreach_norm", lambda *_, **__: 1 / 0)
        if harm == "optimizer":
            optimizer.param_groups[0]["lr"] = "fast"
            monkeypatch.setattr(optimizer, "step", lambda: None)
        for _ in range(3):
            step()
            recorder.evaluate(loss=1.0, note=["no", "number"] if harm == "metric" else None)
            recorder.checkpoint(tmp_path / "a.pt")
        monkeypatch.undo()
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("traintop:")]
    assert len(said) == 1, said
    assert "said once" in said[0]


def test_a_model_of_odd_modules(tmp_path: Path) -> None:
    class Odd(nn.Module):
        """Lazy, with a tuple for an output, an activation that is called on integers, no batch."""

        def __init__(self) -> None:
            super().__init__()
            self.lazy = nn.LazyLinear(3)
            self.relu = nn.ReLU()
            self.empty = nn.Parameter(torch.empty(0))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
            self.relu(torch.tensor([1, -1]))
            self.relu(torch.tensor(0.5))
            return self.relu(self.lazy(x)), None

    model = Odd()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with Recorder(model, optimizer, directory=tmp_path, budget=1e9, layers_every=1) as recorder:
        for _ in range(3):
            model(torch.randn(2, 5))[0].sum().backward()
            optimizer.step()
            recorder.step()
    records = read(tmp_path / "layers.jsonl")
    assert records[0]["names"] == ["lazy.weight"]
    assert records[2]["act_mean"][0] is not None


def test_a_resumed_run_is_continued(tmp_path: Path) -> None:
    with recorded(tmp_path) as (*_, step):
        for _ in range(4):
            step()
    started = json.loads((tmp_path / "run.json").read_text())["started"]
    with (tmp_path / "train_diagnostics.jsonl").open("ab") as file:
        file.write(b'{"step":4,"lo')
    with recorded(tmp_path) as (*_, step):
        step()
    with recorded(tmp_path, start_step=2) as (*_, step):
        step()
    lines = (tmp_path / "train_diagnostics.jsonl").read_text().splitlines()
    torn = lines.pop(4)
    assert torn == '{"step":4,"lo'
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3, 4, 2]
    events = read(tmp_path / "events.jsonl")
    resumes = [(e["step"], e["last_step"]) for e in events if e["event"] == "resume"]
    assert resumes == [(4, 3), (2, 4)]
    layers = read(tmp_path / "layers.jsonl")
    assert ["names" in record for record in layers] == [True] + [False] * 6
    assert json.loads((tmp_path / "run.json").read_text())["started"] == started


def test_a_layer_that_is_frozen_later_gets_a_new_header(tmp_path: Path) -> None:
    with recorded(tmp_path) as (model, _, _, step):
        step()
        model[5].requires_grad_(requires_grad=False)
        step()
    layers = read(tmp_path / "layers.jsonl")
    assert [record["requires_grad"] for record in layers if "names" in record] == [
        [True, True, True],
        [True, False, True],
    ]


def test_another_rank_writes_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIAGNOSTICS_DIR", str(tmp_path))
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    model = nn.Linear(2, 2)
    with Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1)) as recorder:
        recorder.step(loss=1.0)
    info = json.loads((tmp_path / "rank00003" / "run.json").read_text())
    assert info["world_size"] == 4
    assert (tmp_path / "rank00003" / "train_diagnostics.jsonl").exists()


def test_what_is_known_of_the_run(tmp_path: Path) -> None:
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.02)
    target = f"{Path(__file__).name}:target"
    Recorder(
        model,
        optimizer,
        directory=tmp_path,
        batch_size=16,
        seed=3,
        data=Path("here"),
        target=os.path.relpath(__file__) + ":target",
        grad_clip=None,
    ).close()
    info = json.loads((tmp_path / "run.json").read_text())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    wanted = {"format": "traintop/1", "model": "Sequential", "parameters": parameters, "seed": 3}
    wanted |= {"optimizer": "AdamW", "weight_decay": 0.02, "python": sys.executable, "data": "here"}
    assert {name: info[name] for name in wanted} == wanted
    assert info["pid"] == os.getpid()
    assert info["target"] == str(Path(__file__).parent / target)
    assert "grad_clip" not in info


def test_a_run_that_fails_is_not_finished(tmp_path: Path) -> None:
    def run() -> None:
        with recorded(tmp_path) as (*_, step):
            step()
            raise ValueError("bad batch")

    with pytest.raises(ValueError, match="bad batch"):
        run()
    (event,) = read(tmp_path / "events.jsonl")
    assert (event["event"], event["text"]) == ("note", "ended by ValueError: bad batch")


def test_the_recorder_is_imported_without_weight() -> None:
    code = """
import sys
import traintop.recorder
heavy = {"torch", "numpy", "msgspec", "textual", "asyncio"} & set(sys.modules)
ours = {name for name in sys.modules if name.startswith("traintop.") and "recorder" not in name}
print(heavy | ours)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
