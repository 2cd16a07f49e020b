"""The checker of what was recognised: what counts as right."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import recognition

    return recognition


def test_a_manifest_is_held_against_what_is_read(bench, tmp_path, monkeypatch, capsys):
    log = "".join(f'{{"step": {step}, "train/loss": 1.0}}\n' for step in range(5, 105, 5))
    (tmp_path / "right.jsonl").write_text(log)
    (tmp_path / "wrong.jsonl").write_text(log)
    (tmp_path / "empty.log").write_text("nothing\n")
    rows = [
        "file\tformat\trecords\tmetrics (raw keys)\tfirst_step\tlast_step",
        "right.jsonl\tjsonl\t20\tloss, step\t5\t100",
        "wrong.jsonl\tjsonl\t21\tloss, missing\t5\t100",
        "empty.log\ttext\t0\t\t-\t-",
    ]
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(
        "sys.argv", ["recognition.py", str(tmp_path / "manifest.tsv"), str(tmp_path)]
    )
    assert bench.main() == 0
    *lines, total = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines[1:]] == ["ok", "! ", "ok"]
    assert total.startswith("3 files: 3 recognised, 2 exact (67%); first step right in 3, 83%")


def test_a_file_that_is_not_recognised_fails(bench, tmp_path, monkeypatch, capsys):
    (tmp_path / "log.txt").write_text("nothing to see\n")
    (tmp_path / "manifest.tsv").write_text(
        "file\trecords\tmetrics\tfirst_step\tlast_step\nlog.txt\t9\tloss\t0\t8\n"
    )
    monkeypatch.setattr("sys.argv", ["x", str(tmp_path / "manifest.tsv"), str(tmp_path), "--json"])
    assert bench.main() == 1
    said = capsys.readouterr()
    assert "0 exact" in said.err
    line = json.loads(said.out)
    assert (line["truth"]["records"], line["verdict"]["recognised"]) == (9, False)
