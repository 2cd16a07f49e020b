from __future__ import annotations

import os
from pathlib import Path

import pytest

from traintop.errors import PathError
from traintop.sources.checkpoints import step_of
from traintop.sources.discovery import Discovery, discover
from traintop.sources.filesystem import needs_polling
from traintop.sources.newest import find_runs, newest_run

ROW = '{"step": 1, "loss": 2.0}\n'


def make(root: Path, *names: str) -> Path:
    """Files with a record each, text where the name says so, and folders where it ends so."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ROW if "json" in name else "step 1 loss 2\n")
    return root


def tables(root: Path) -> dict[str, str]:
    """File below the root -> table."""
    return {str(file.path.relative_to(root)): file.table for file in discover(root).files}


@pytest.mark.parametrize("place", ["", "results/diagnostics/", "diagnostics/"])
def test_diagnostics_format_v1(tmp_path: Path, place: str) -> None:
    names = [
        "run.json",
        "train_diagnostics.jsonl",
        "val_diagnostics.jsonl",
        "layers.jsonl",
        "events.jsonl",
    ]
    ranks = ["rank00003/train_diagnostics.jsonl", "rank00003/layers.jsonl"]
    make(tmp_path, *(place + name for name in names + ranks), "label.json", "stdout.log")
    (tmp_path / "label.json").write_text('{\n "fault": "nan"\n}\n')
    paths = discover(tmp_path)
    assert {str(file.path.relative_to(tmp_path)) for file in paths.files} == {
        *(place + name for name in names),
        place + ranks[0],
        "stdout.log",
    }
    assert dict(paths.left_out) == {
        tmp_path / place / ranks[1]: "per-layer statistics are read of rank 0 only"
    }
    by_name = {
        file.path.name: file.table for file in paths.files if file.path.parent.name != "rank00003"
    }
    assert by_name["train_diagnostics.jsonl"] == "train_diagnostics"
    assert "rank00003/train_diagnostics" in {file.table for file in paths.files}
    assert paths.root == tmp_path


def test_the_place_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "out/a/b/c/diag/train_diagnostics.jsonl")
    monkeypatch.setenv("DIAGNOSTICS_DIR", "out/a/b/c/diag")
    assert tables(tmp_path) == {"out/a/b/c/diag/train_diagnostics.jsonl": "train_diagnostics"}
    monkeypatch.setenv("DIAGNOSTICS_DIR", str(tmp_path / "out/a/b/c/diag"))
    assert len(discover(tmp_path).files) == 1
    assert newest_run(tmp_path) == tmp_path / "out/a/b/c/diag"


def test_files_of_other_formats(tmp_path: Path) -> None:
    make(
        tmp_path,
        "metrics.jsonl",
        "2024.log.json",
        "train.log",
        "slurm-12.out",
        "log.txt",
        "sub/eval.jsonl",
        "README.md",
        "requirements.txt",
        "node_modules/x.jsonl",
        ".git/y.log",
        "a/b/c/d/deep.jsonl",
    )
    (tmp_path / "config.json").write_text('{\n  "lr": 0.1\n}\n')
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "data.log").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    assert tables(tmp_path) == {
        "metrics.jsonl": "metrics",
        "2024.log.json": "2024",
        "train.log": "train",
        "slurm-12.out": "slurm-12",
        "log.txt": "log",
        "sub/eval.jsonl": "sub.eval",
        "empty.jsonl": "empty",
    }
    assert "zip" in dict(discover(tmp_path).left_out)[tmp_path / "data.log"]
    assert [file.alone for file in discover(tmp_path).files].count(True) >= 1


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path, "run.log", "folder.log/", "inner/")
    os.mkfifo(tmp_path / "pipe.log")
    links = {"zero.log": "/dev/zero", "self.log": "self.log", "later.log": "gone", "up": ".."}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    discovery = Discovery(tmp_path)
    paths = discovery.paths
    assert [file.path.name for file in paths.files] == ["run.log"]
    assert {path.name for path, _ in paths.left_out} == {"pipe.log", "zero.log"}
    assert not needs_polling(tmp_path / "self.log")
    make(tmp_path, "gone")
    assert [file.path.name for file in discovery.refresh()] == ["later.log"]
    with pytest.raises(PathError, match="this is a device"):
        discover(tmp_path / "zero.log")
    (tmp_path / "gone").unlink()
    with pytest.raises(PathError, match="a link to gone, which does not exist"):
        discover(tmp_path / "later.log")


def test_tables_are_unique(tmp_path: Path) -> None:
    make(tmp_path, "log.jsonl", "log.log", "log.txt")
    assert len(set(tables(tmp_path).values())) == 3


def test_files_that_come_later(tmp_path: Path) -> None:
    make(tmp_path, "metrics.jsonl")
    (tmp_path / "notes.txt").touch()
    discovery = Discovery(tmp_path)
    assert discovery.refresh() == []
    make(tmp_path, "eval.jsonl", "later/more.jsonl", "model.pt")
    assert [file.table for file in discovery.refresh()] == ["eval", "later.more"]
    make(tmp_path, "later/again.log")
    assert [file.table for file in discovery.refresh()] == ["later.again"]
    (tmp_path / "notes.txt").write_text(ROW)
    assert [file.table for file in discovery.refresh()] == ["notes"]
    assert discovery.refresh() == []
    assert len(discovery.paths.files) == 5
    assert len(discovery.paths.checkpoints) == 1


def test_diagnostics_that_come_later(tmp_path: Path) -> None:
    make(tmp_path, "stdout.log", "results/")
    discovery = Discovery(tmp_path)
    make(tmp_path, "results/diagnostics/train_diagnostics.jsonl", "results/diagnostics/run.json")
    *new, log = discovery.refresh()
    assert len(new) == 2
    assert (log.path.name, log.only_lines) == ("stdout.log", True)
    assert discovery.refresh() == []


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format":"traintop/1"}')
    assert tables(tmp_path) == {"run.json": "run"}


def test_one_file(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "b.jsonl", "ckpts/model_step5.pt")
    paths = discover(tmp_path / "a.jsonl")
    assert [(file.path.name, file.table, file.alone) for file in paths.files] == [
        ("a.jsonl", "a", True)
    ]
    assert [one.step for one in paths.checkpoints] == [5]


def test_standard_input() -> None:
    assert [file.table for file in discover(Path("-")).files] == ["stdin"]


def test_several_runs_below(tmp_path: Path) -> None:
    make(tmp_path, "a/train_diagnostics.jsonl", "b/results/diagnostics/val_diagnostics.jsonl")
    with pytest.raises(PathError, match="holds 2 runs; name the ones to open"):
        discover(tmp_path)
    (tmp_path / "a/train_diagnostics.jsonl").unlink()
    assert discover(tmp_path).root == tmp_path / "b"


def test_a_run_below_a_run_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path, "train_diagnostics.jsonl", "other/train_diagnostics.jsonl")
    paths = discover(tmp_path)
    assert len(paths.files) == 1
    assert paths.left_out == (
        (tmp_path / "other/train_diagnostics.jsonl", "it belongs to another run"),
    )


def test_no_such_path(tmp_path: Path) -> None:
    make(tmp_path, "runs-a/metrics.jsonl")
    with pytest.raises(PathError, match=r"no such file or folder; did you mean .*runs-a\?"):
        discover(tmp_path / "run-a")
    with pytest.raises(PathError, match=r"no such file or folder$"):
        discover(tmp_path / "zzz")
    with pytest.raises(PathError, match="does not exist either"):
        discover(tmp_path / "x" / "y")


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    make(tmp_path, "README.md")
    with pytest.raises(PathError, match=r"no run here.*train_diagnostics\.jsonl.*\*\.jsonl"):
        discover(tmp_path)


def test_a_binary_file(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    with pytest.raises(PathError, match="looks like a zip archive"):
        discover(tmp_path / "model.pt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "closed/")
    (tmp_path / "a.jsonl").chmod(0)
    (tmp_path / "closed").chmod(0)
    for name in ("a.jsonl", "closed"):
        with pytest.raises(PathError, match="permission denied"):
            discover(tmp_path / name)
    (tmp_path / "closed").chmod(0o700)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("ckpt-400.pt", 400),
        ("checkpoint-500", 500),
        ("epoch=3-step=1200.ckpt", 1200),
        ("step_7.pth", 7),
        ("model_0010000.pth", 10000),
        ("iter_200.pth", 200),
        ("epoch_12.pth", None),
        ("last.ckpt", None),
        ("global_step1000", 1000),
        ("resnet50.pt", None),
        ("model-00001-of-00002.safetensors", None),
        ("ckpt_step00000123.pt", 123),
        ("100.pt", 100),
        ("state_step-5.safetensors", 5),
        ("best.pt", None),
    ],
)
def test_the_step_of_a_checkpoint(name: str, step: int | None) -> None:
    assert step_of(Path(name)) == step


def test_checkpoints_in_order(tmp_path: Path) -> None:
    make(
        tmp_path,
        "metrics.jsonl",
        "ckpt/step_20.pt",
        "ckpt/step_3.pt",
        "checkpoint-100/model.safetensors",
        "last.ckpt",
        "best.safetensors",
    )
    os.utime(tmp_path / "last.ckpt", (1, 1))
    found = discover(tmp_path).checkpoints
    assert [one.step for one in found] == [3, 20, 100, None, None]
    assert [one.path.name for one in found][2:] == [
        "checkpoint-100",
        "last.ckpt",
        "best.safetensors",
    ]
    assert found[3].modified == 1


def test_bounded_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traintop.sources.folder_watch.MAX_ENTRIES", 10)
    make(tmp_path, "a.jsonl", *(f"many/{i}.dat" for i in range(30)))
    paths = discover(tmp_path)
    assert len(paths.files) == 1
    assert dict(paths.left_out) == {tmp_path / "many": "more than 10 files and folders"}


def test_what_is_of_no_run_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traintop.sources.folder_watch.MAX_ENTRIES", 10)
    passing = [".metrics.jsonl.new", "metrics.jsonl~", ".metrics.jsonl.swp", "a.jsonl.tmp"]
    make(tmp_path, "train.log", *passing, *(f"image{i:03}.png" for i in range(30)))
    make(tmp_path, *(f"images/{i}.png" for i in range(30)), ".hidden/b.jsonl")
    (tmp_path / "latest").symlink_to(tmp_path / "images", target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "loop.log").symlink_to("loop.log")
    watched = Discovery(tmp_path)
    assert [file.path.name for file in watched.paths.files] == ["train.log"]
    assert not watched.paths.left_out
    assert watched.refresh() == []


def test_folders_of_many_entries_are_not_listed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traintop.sources.folder_watch.MAX_LISTED", 20)
    make(tmp_path, "a.jsonl", *(f"many/{i}.png" for i in range(30)), "then/b.jsonl")
    paths = discover(tmp_path)
    assert [file.path.name for file in paths.files] == ["a.jsonl"]
    assert "more than 20" in dict(paths.left_out)[tmp_path / "then"]


def test_the_newest_run(tmp_path: Path) -> None:
    assert newest_run(tmp_path) is None
    make(tmp_path, "x/train.log", "node_modules/z/train_diagnostics.jsonl")
    assert newest_run(tmp_path) == tmp_path / "x/train.log"
    make(
        tmp_path,
        "y/metrics.jsonl",
        "a/train_diagnostics.jsonl",
        "p/b/results/diagnostics/layers.jsonl",
    )
    (tmp_path / "config.json").write_text('{\n  "lr": 0.1\n}\n')
    ages = {
        "y/metrics.jsonl": 30,
        "a/train_diagnostics.jsonl": 10,
        "p/b/results/diagnostics/layers.jsonl": 20,
    }
    for name, when in ages.items():
        os.utime(tmp_path / name, (when, when))
    assert newest_run(tmp_path) == tmp_path / "y/metrics.jsonl"
    (tmp_path / "y/metrics.jsonl").unlink()
    assert newest_run(tmp_path) == tmp_path / "p/b"
    assert find_runs(tmp_path) == [tmp_path / "p/b", tmp_path / "a"]


def test_a_folder_of_too_many_files_still_tells_of_new_ones_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traintop.sources.folder_watch.MAX_ENTRIES", 20)
    make(tmp_path, "train_diagnostics.jsonl", *(f"part{number:03}.txt" for number in range(30)))
    watched = Discovery(tmp_path)
    assert "more than 20" in dict(watched.paths.left_out)[tmp_path]
    make(tmp_path, "val_diagnostics.jsonl")
    assert [file.path.name for file in watched.refresh()] == ["val_diagnostics.jsonl"]


def test_what_is_none_of_the_run_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "train_diagnostics.jsonl")
    (tmp_path / "config.json").write_text("[1,\n2]\n")
    (tmp_path / "torn.json").write_text("{")
    watched = Discovery(tmp_path)
    opened: list[str] = []
    from traintop.sources import discovery

    head = discovery.head_of
    monkeypatch.setattr(discovery, "head_of", lambda path: opened.append(path.name) or head(path))
    (tmp_path / "torn.json").write_text(ROW)
    make(tmp_path, "other.png")
    assert [file.path.name for file in watched.refresh()] == ["torn.json"]
    assert set(opened) == {"torn.json"}


@pytest.mark.parametrize(
    ("files", "newest", "opened"),
    [
        (["checkpoint-5/trainer_state.json", "trainer_state.json"], "trainer_state.json", "."),
        (["checkpoint-5/trainer_state.json", "runs/x/a.tfevents.1"], "runs/x/a.tfevents.1", "."),
        (["runs/x/a.tfevents.1", "train.log"], "runs/x/a.tfevents.1", "runs/x"),
        (["a/progress.csv", "a/monitor.csv"], "a/monitor.csv", "a"),
        (["w/2023.log", "w/2023.log.json"], "w/2023.log.json", "w"),
        (["w/2023.log", "w/2023.log.json", "w/2024.log"], "w/2023.log.json", "w/2023.log.json"),
        (["metrics.csv", "notes.csv"], "metrics.csv", "metrics.csv"),
    ],
)
def test_with_the_newest_file_comes_the_rest_of_its_run(
    tmp_path: Path, files: list[str], newest: str, opened: str
) -> None:
    history = (
        '{"global_step": 5, "log_history": [{"step": 1, "loss": 2.0}, {"step": 5, "loss": 1}]}'
    )
    table = "step,loss\n1,2.0\n2,1.0\n"
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(history if "state" in name else table if "csv" in name else ROW)
        os.utime(path, (9, 9) if name == newest else (1, 1))
    assert newest_run(tmp_path) == tmp_path / opened
