"""Hugging Face folders without a target, and batches made of text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from traintop.analyses.batches import loss_of
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.hugging_face import target_of_folder
from traintop.analyses.text_batches import IGNORED, MOST_TOKENS, batches_of_file
from traintop.errors import AnalysisError
from traintop.launch import check_request, make_request

torch.set_num_threads(1)


class Tokenizer:
    """A token a word: its length."""

    pad_token_id = 99

    def __call__(self, texts: list[str], *, truncation: bool, max_length: int) -> dict[str, Any]:
        assert truncation
        return {"input_ids": [[len(w) for w in text.split()][:max_length] for text in texts]}


class TinyForCausalLM(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.head = nn.Embedding(config.vocab_size, config.vocab_size)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> Any:
        assert attention_mask.shape == input_ids.shape
        logits = self.head(input_ids)[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        return SimpleNamespace(loss=loss, logits=logits)


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What of transformers is used, in a few lines."""

    def config(folder: str, *, trust_remote_code: bool) -> SimpleNamespace:
        assert trust_remote_code is False
        return SimpleNamespace(**json.loads((Path(folder) / "config.json").read_text()))

    def tokenizer(folder: str, *, trust_remote_code: bool) -> Tokenizer:
        assert trust_remote_code is False
        if not (Path(folder) / "tokenizer.json").exists():
            raise OSError("no tokenizer here\nand more lines")
        return Tokenizer()

    module: Any = ModuleType("transformers")
    module.__version__ = "5.0"
    module.AutoConfig = SimpleNamespace(from_pretrained=config)
    module.AutoTokenizer = SimpleNamespace(from_pretrained=tokenizer)
    module.TinyForCausalLM = TinyForCausalLM
    monkeypatch.setitem(sys.modules, "transformers", module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint-500"
    path.mkdir()
    config = {"architectures": ["TinyForCausalLM"], "vocab_size": 100}
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").touch()
    return path


def text_file(tmp_path: Path, text: str, name: str = "data.txt") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.usefixtures("transformers")
def test_a_folder_and_a_text_are_a_target(folder: Path, tmp_path: Path) -> None:
    data = text_file(tmp_path, "the cat sat\n\non a mat today\n\n" * 9)
    target = target_of_folder(folder, data)
    assert isinstance(target.model, TinyForCausalLM)
    assert target.train is not None
    batches = list(target.train)
    assert [len(each["input_ids"]) for each in batches] == [8, 8, 2]
    assert batches[0]["input_ids"][:2].tolist() == [[3, 3, 3, 99], [2, 1, 3, 5]]
    assert batches[0]["labels"][0].tolist() == [3, 3, 3, IGNORED]
    assert loss_of(target, target.model, batches[0]).item() > 0
    assert target.optimizer is not None
    assert target.optimizer(target.model.parameters()).defaults["lr"] == 5e-5
    assert target_of_folder(folder, None).train is None


@pytest.mark.usefixtures("transformers")
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "names no architectures"),
        ({"architectures": ["OwnForCausalLM"]}, r"5\.0 has no OwnForCausalLM"),
        ({"architectures": ["TinyForCausalLM"]}, "the model of .* cannot be used"),
        (None, r"the config\.json of .* cannot be used"),
    ],
)
def test_what_is_wrong_with_a_folder(config: Any, words: str, folder: Path) -> None:
    (folder / "config.json").write_text("{" if config is None else json.dumps(config))
    with pytest.raises(AnalysisFailedError, match=words) as raised:
        target_of_folder(folder, None)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("transformers")
def test_a_folder_without_a_tokenizer(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(AnalysisFailedError, match=r"tokenizer of .*OSError: no tokenizer here\)"):
        target_of_folder(folder, text_file(tmp_path, "a b"))


def test_without_transformers_it_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(AnalysisFailedError, match="needs the package transformers"):
        target_of_folder(folder, None)


def test_a_request_without_a_target_needs_such_a_folder(folder: Path, tmp_path: Path) -> None:
    check_request(make_request("dead_neurons", target=None, checkpoint=folder))
    (folder / "model.safetensors").touch()
    check_request(make_request("lr_find", target=None, checkpoint=folder / "model.safetensors"))
    for checkpoint in (None, text_file(tmp_path, "", "a.pt")):
        with pytest.raises(AnalysisError, match=r"--target .* is needed"):
            check_request(make_request("lr_find", target=None, checkpoint=checkpoint))


def jsonl(tmp_path: Path, *rows: Any) -> list[dict[str, Any]]:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    return batches_of_file(text_file(tmp_path, text, "data.jsonl"), Tokenizer(), causal=True)


def test_json_lines(tmp_path: Path) -> None:
    [batch] = jsonl(tmp_path, {"text": "aa b"}, "", {"text": "c"})
    assert batch["input_ids"].tolist() == [[2, 1], [1, 99]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    [batch] = jsonl(tmp_path, {"text": "a b", "label": 3}, {"text": "a", "label": 0})
    assert batch["labels"].tolist() == [3, 0]
    [batch] = jsonl(
        tmp_path,
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]},
        {"input_ids": [1], "labels": [1]},
    )
    assert batch["labels"].tolist() == [[-100, 6, 7], [1, IGNORED, IGNORED]]
    [batch] = jsonl(tmp_path, {"input_ids": [1] * (MOST_TOKENS + 9)})
    assert batch["input_ids"].shape == (1, MOST_TOKENS)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["{"], "line 1 of .* is no object with text"),
        ([{"text": "a"}, {"text": 3}], "line 2"),
        ([{"input_ids": [1, -2]}], "line 1"),
        ([{"input_ids": []}, "[" * 100_000], "line 2"),
        ([{"text": "a"}, {"input_ids": [1]}], "some lines .* have text and some input_ids"),
        ([{"text": "a", "label": 1}, {"text": "b"}], "'label' in .* must be a number"),
        ([{"text": "a", "label": "x"}], "'label' in .* must be a number"),
        ([""], "holds no text"),
    ],
)
def test_bad_json_lines(rows: list[Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(AnalysisFailedError, match=words):
        jsonl(tmp_path, *rows)


def test_bad_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xfe\x00")
    for bad, words in ((path, "cannot be read as text"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(AnalysisFailedError, match=words):
            batches_of_file(bad, Tokenizer(), causal=True)
    lines = text_file(tmp_path, "one a line\nand two\n")
    assert len(batches_of_file(lines, Tokenizer(), causal=False)[0]["input_ids"]) == 2
