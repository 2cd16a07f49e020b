"""From what a command line names to runs: folders of many, globs, and what is one run after all."""

from __future__ import annotations

import pytest

from traintop.run_paths import expand

RECORD = '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def place(folder, *names, text=RECORD):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def expanded(*paths):
    said = []
    return list(expand(paths, said.append)), said


def test_a_path_that_is_one_run_is_left_alone(here):
    place(here, "a/train_diagnostics.jsonl", "a/sub/train_diagnostics.jsonl", "log.jsonl")
    assert expanded("a", "log.jsonl", "-", "nothing") == (["a", "log.jsonl", "-", "nothing"], [])


def test_a_folder_of_runs_is_each_of_them_by_name(here):
    for name in ("b", "a", "deep/c/results/diagnostics"):
        place(here, f"all/{name}/train_diagnostics.jsonl")
    place(here, "all/README.md", text="words")
    runs, said = expanded("all")
    assert runs == ["all/a", "all/b", "all/deep/c"]
    assert said == ["all: holds 3 runs, each of which is checked"]


def test_a_folder_above_one_run_is_that_run(here):
    place(here, "all/x/train_diagnostics.jsonl")
    assert expanded("all") == (["all"], [])


def test_folders_with_records_of_others_are_runs(here):
    place(here, "all/one/metrics.jsonl", "all/two/metrics.jsonl", "all/two/more.jsonl")
    place(here, "all/two/config.json", text="{}")
    assert expanded("all")[0] == ["all/one", "all/two"]


@pytest.mark.parametrize(
    "names",
    [
        ("train/log.jsonl", "val/log.jsonl"),
        ("rank0/log.jsonl", "rank1/log.jsonl"),
        ("log.jsonl", "more/log.jsonl", "again/log.jsonl"),
        ("only/log.jsonl",),
    ],
    ids=["splits", "ranks", "its own beside them", "one"],
)
def test_parts_of_a_run_are_not_runs(here, names):
    place(here, *(f"all/{name}" for name in names))
    assert expanded("all") == (["all"], [])


def test_globs_that_the_shell_left_alone(here):
    place(here, "b1/train_diagnostics.jsonl", "b2/train_diagnostics.jsonl", "c/x/log.jsonl")
    assert expanded("b*")[0] == ["b1", "b2"]
    assert expanded("**/log.jsonl")[0] == ["c/x/log.jsonl"]
    assert expanded("z*")[0] == ["z*"]


def test_a_name_with_the_signs_of_a_glob_is_a_name(here):
    place(here, "a[1]/train_diagnostics.jsonl")
    assert expanded("a[1]")[0] == ["a[1]"]


def test_more_runs_than_a_quick_look_would_find(here, monkeypatch):
    monkeypatch.setattr("traintop.sources.newest.MAX_ENTRIES", 10)
    for number in range(60):
        place(here, f"all/{number:02}/train_diagnostics.jsonl", text="")
    assert len(expanded("all")[0]) == 60
