"""`traintop analyze --init`: what is guessed from a project's sources, and what is written."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import traintop
from traintop.errors import AnalysisError
from traintop.project_scan import scan
from traintop.target_file import write_target

NETS = """
from torch import nn
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.layer = nn.Linear(n, n)
    def forward(self, x): return self.layer(x).relu()
class Base(nn.Module): pass
class Net(Base):
    def __init__(self, width, num_classes):
        super().__init__()
        head = nn.Linear(width, num_classes)
        self.layers = nn.Sequential(nn.Linear(6, width), Block(width), head)
    def forward(self, x): return self.layers(x)
"""
INIT = "from torch import nn\nclass A(nn.Module):\n def __init__(self, {parameter}): pass\n"
TRAIN = """
import argparse
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from nets_of_init.net import Net
WIDTH = 16
def get_loaders(batch_size=20):
    data = TensorDataset(torch.randn(40, 6), torch.arange(40) % 3)
    return DataLoader(data, batch_size), DataLoader(data, batch_size)
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning-rate", default=0.05)
    args = parser.parse_args()
    model = Net(WIDTH, num_classes=3)
    train, val = get_loaders()
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.learning_rate, momentum=0.9)
if __name__ == "__main__":
    main()
"""


def project(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def written(folder: Path) -> str:
    text = write_target(folder).read_text()
    ast.parse(text)
    return text


def test_a_whole_project_needs_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, nets_of_init__net=NETS, train_of_init=TRAIN)
    path = write_target(tmp_path)
    assert path == tmp_path / "traintop_target.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    found = runpy.run_path(str(path))["target"]()
    for name in ("nets_of_init", "nets_of_init.net", "train_of_init"):
        sys.modules.pop(name, None)
    assert isinstance(found, traintop.Target)
    assert type(found.model).__name__ == "Net"
    assert found.model.layers[0].out_features == 16  # type: ignore[union-attr, index] # the project's own
    assert isinstance(found.loss, nn.CrossEntropyLoss)
    assert found.loss.label_smoothing == 0.1
    assert found.train is not None
    assert found.val is not None
    assert found.optimizer is not None
    optimizer = found.optimizer(found.model.parameters())
    assert isinstance(optimizer, torch.optim.SGD)
    assert (optimizer.defaults["lr"], optimizer.defaults["momentum"]) == (0.05, 0.9)


def test_guesses_say_where_they_come_from(tmp_path: Path) -> None:
    text = written(project(tmp_path, nets_of_init__net=NETS, train_of_init=TRAIN))
    assert "from nets_of_init.net import Net  # nets_of_init/net.py:9" in text
    assert "# train_of_init.py:17" in text


def test_nothing_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    code = f"import os\nos.mkdir({str(marker)!r})\n"
    text = written(project(tmp_path, train=code + TRAIN, nets_of_init__net=code + NETS))
    assert not marker.exists()
    assert "import Net" in text


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, ["No class that is a torch.nn.Module", "keep_batches=4", "NotImplementedError"]),
        (
            {"net": INIT.format(parameter="n_classes")},
            ["model = A(n_classes=...)", "fill in for A: n_classes"],
        ),
        (
            {"net": INIT.format(parameter="num_classes") + "NUM_CLASSES = 7\n"},
            ["model = A(num_classes=7)"],
        ),
        (
            {"net": INIT.format(parameter="*args") + "def build_model(): 0\n"},
            ["import build_model", "model = build_model()"],
        ),
        (
            {"net": "from torch import nn\nclass A(nn.Module): pass\nm = A(hidden(3), k=2)\n"},
            ["model = A(..., k=2)", "hidden(3)"],
        ),
        (
            {"src__lib__net": "from torch import nn\nclass A(nn.Module): pass\n"},
            ["from lib.net import A", 'sys.path.insert(0, str(Path(__file__).parent / "src"))'],
        ),
        (
            {"m": "import lightning as L\nclass A(L.LightningModule): pass\n"},
            ["step=lambda model, batch: model.training_step(batch, 0)"],
        ),
        (
            {"m": "import torch.nn as nn\nclass A(nn.Module): pass\nfor i in range(3): pass\n"},
            ["CAREFUL: importing m.py does work, at line 3"],
        ),
        (
            {"m": "import torch.nn.functional as F\ndef f(x, y): return F.nll_loss(x, y)\n"},
            ["loss=nn.functional.nll_loss,"],
        ),
        ({"m": "print 'Python 2'\n", "tests__n": NETS, ".venv__n": NETS}, ["No class"]),
    ],
)
def test_projects_of_other_kinds(files: dict[str, str], words: list[str], tmp_path: Path) -> None:
    text = written(project(tmp_path, **files))
    for each in words:
        assert each in text


def test_a_class_that_is_a_part_of_another_is_not_the_model(tmp_path: Path) -> None:
    found = scan(project(tmp_path, net=NETS)).model
    assert found is not None
    assert found.name == "Net"


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    write_target(tmp_path)
    with pytest.raises(AnalysisError, match="is there already"):
        write_target(tmp_path)
    other = write_target(tmp_path, tmp_path / "other.py")
    assert "other.py:target" in other.read_text()
    with pytest.raises(AnalysisError, match=r"ends in \.py"):
        write_target(tmp_path, tmp_path / "other.txt")
    with pytest.raises(AnalysisError, match="cannot be written"):
        write_target(tmp_path, tmp_path / "none" / "t.py")


def test_a_file_elsewhere_finds_the_project(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", net=NETS)
    (tmp_path / "q").mkdir()
    text = write_target(folder, tmp_path / "q").read_text()
    assert f"sys.path.insert(0, str(Path({str(folder)!r})))" in text


def test_a_link_that_leads_nowhere_is_passed_over(tmp_path: Path) -> None:
    project(tmp_path, nets_of_init__net=NETS)
    (tmp_path / ".#train.py").symlink_to("someone@host.1234")
    (tmp_path / "odd.py").write_text("PATTERN = '\\d'\n")
    assert "import Net" in written(tmp_path)


def test_defaults_of_parameters_and_options_are_taken_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import argparse, torch\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--weight-decay', type=float, default=0.2)\n"
        "class Net(torch.nn.Module): ...\n"
        "def main(lr=0.03, betas=None, eps=1e-7):\n"
        "    cli = parser.parse_args()\n"
        "    net = Net()\n"
        "    torch.optim.AdamW(net.parameters(), lr=lr, eps=eps, weight_decay=cli.weight_decay)\n"
        "def other(eps=1e-6): ...\n"
    )
    assert "AdamW(params, lr=0.03, weight_decay=0.2)" in write_target(tmp_path).read_text()
    again = write_target(tmp_path, tmp_path / "again.py").read_text()
    assert again == (tmp_path / "traintop_target.py").read_text().replace(
        "traintop_target", "again"
    )
