"""Targets: finding them by name, and saying what is wrong with one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

import traintop
from traintop.analyses.batches import loss_of, move, one_pass, size
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.target import Target, load_target

GOOD = """
from helper_of_target import build
from traintop import Target
class core: pass
def target():
    return Target(model=build(), train=[1])
def other():
    return 3
def raising():
    {}["missing"]
number = 3
"""


@pytest.fixture(autouse=True)
def _clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if "target" in name:
            del sys.modules[name]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper_of_target.py").write_text("def build(): return 'model'\n")
    path = tmp_path / "my_target.py"
    path.write_text(GOOD)
    return path


def test_a_file_is_run_beside_its_own_modules(file: Path) -> None:
    found = load_target(f"{file}:target")
    assert isinstance(found, traintop.Target)
    assert found.model == "model"
    assert sys.path[0] == str(file.parent)


def test_a_module_is_imported_from_the_working_directory(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert load_target("my_target:target").train == [1]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{dir}/none.py:target", r"none\.py does not exist"),
        ("{file}:none", "has no function 'none'"),
        ("{file}:number", "is a int, not a function"),
        ("{file}:other", r"returned int, no traintop\.Target: let it return Target\(model="),
        ("{file}:raising", r"raised KeyError: 'missing' \(\S*my_target\.py:10, in raising\)$"),
        ("{file}", "must read FILE.py:FUNCTION"),
        (":target", "must read FILE.py:FUNCTION"),
        ("{dir}/broken.py:target", r"broken\.py raised SyntaxError"),
        ("no_such_package.module:target", "raised ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_is_said(spec: str, message: str, file: Path) -> None:
    (file.parent / "broken.py").write_text("def target(:\n")
    with pytest.raises(AnalysisFailedError, match=message):
        load_target(spec.format(dir=file.parent, file=file))


def test_nothing_here_loads_torch_or_anything_of_ours_but_analyses() -> None:
    code = (
        "import sys; import traintop; traintop.Target; import traintop.analyses.worker;"
        "from traintop.analyses import batches, checkpoints, context, request;"
        "from traintop.analyses import lr_find, dead_neurons;"
        "heavy = {'torch', 'msgspec', 'textual', 'psutil', 'traintop.records', 'traintop.jobs'};"
        "sys.exit(str(heavy & set(sys.modules) or ''))"
    )
    core = str(Path(traintop.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {core!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == ""


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


def test_batches_of_every_kind_are_moved_and_measured() -> None:
    x, y = torch.ones(5, 2), torch.zeros(5)
    cpu = torch.device("cpu")
    for batch in (
        (x, y),
        [x, y],
        Pair(x, y),
        {"a": x, "b": {"c": y}},
        x,
        ("name", {"x": x}),
        [3, x],
    ):
        moved = move(batch, cpu)
        assert type(moved) is type(batch)
        assert size(moved) == 5
    assert size([]) == 0


def test_losses_of_every_kind() -> None:
    model = nn.Linear(2, 1)
    x, y = torch.ones(5, 2), torch.zeros(5, 1)
    by_loss = Target(model=model, loss=nn.MSELoss())
    expected = float(model(x).square().mean().detach())
    assert loss_of(by_loss, model, (x, y)).item() == pytest.approx(expected)

    class Hugging(nn.Module):
        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> Any:
            return SimpleNamespace(loss=(model(x) - labels).square().mean())

    named = {"x": x, "labels": y}
    assert loss_of(Target(model=model), Hugging(), named).item() == pytest.approx(expected)
    with pytest.raises(AnalysisFailedError, match="step=lambda"):
        loss_of(by_loss, model, x)
    frozen = nn.Linear(2, 1).requires_grad_(requires_grad=False)
    with pytest.raises(AnalysisFailedError, match="asks for a gradient"):
        loss_of(by_loss, frozen, (x, y))


def test_a_loader_with_its_own_generator_follows_the_seed() -> None:
    data = torch.arange(20.0)
    loader = torch.utils.data.DataLoader(
        data, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(5)
    )
    orders = [[batch.tolist() for batch in one_pass(loader, seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
