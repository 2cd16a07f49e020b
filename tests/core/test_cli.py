"""The commands without a screen: what they print, where, and their exit codes."""

from __future__ import annotations

import json

import pytest

from traintop_tui.cli import main


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def healthy(tmp_path):
    path = tmp_path / "healthy.jsonl"
    write(path, [{"step": step, "loss": 2.3 * 0.99**step + 0.2} for step in range(300)])
    return path


@pytest.fixture
def faulty(tmp_path):
    path = tmp_path / "faulty.jsonl"
    write(
        path,
        [
            {"step": step, "loss": 2.3 * 0.99**step if step < 200 else float("nan")}
            for step in range(300)
        ],
    )
    return path


def test_check_says_what_is_wrong_and_fails(faulty, capsys):
    assert main(["check", str(faulty)]) == 1
    out, err = capsys.readouterr()
    assert "CRITICAL" in out
    assert "since step 200" in out
    assert err == ""


def test_check_passes_a_healthy_run(healthy, capsys):
    assert main(["check", str(healthy), "--fail-on", "info"]) == 0
    assert "HEALTHY" in capsys.readouterr().out


def test_check_prints_one_object_a_path(healthy, faulty, capsys):
    assert main(["check", str(healthy), str(faulty), "--format", "json"]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["schema"] == second["schema"] == "traintop.check/1"
    assert first["verdict"] == "healthy"
    assert second["verdict"] == "critical"
    [finding] = [each for each in second["findings"] if each["id"] == "nan_inf"]
    assert finding["onset_step"] == 200
    assert finding["resolved_step"] is None
    assert all(isinstance(each["value"], float | int | str) for each in finding["evidence"])


def test_check_until_a_step_before_the_fault(faulty, capsys):
    assert main(["check", str(faulty), "--until", "150"]) == 0
    assert "step 150" in capsys.readouterr().out


def test_check_writes_markdown(faulty, capsys):
    main(["check", str(faulty), "--format", "markdown"])
    assert capsys.readouterr().out.startswith("# Training Debug Report")


def test_describe_names_series_and_roles(healthy, capsys):
    assert main(["describe", str(healthy), "--format", "json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["schema"] == "traintop.describe/1"
    [series] = described["series"]
    assert (series["name"], series["role"], series["points"]) == ("loss", "loss/train", 300)
    assert (series["first_step"], series["last_step"]) == (0, 299)
    assert main(["describe", str(healthy)]) == 0
    assert "loss/train" in capsys.readouterr().out


def test_describe_takes_each_run_of_a_folder(tmp_path, capsys):
    for name in ("version_0", "version_1"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "log.jsonl", [{"step": 1, "loss": 2.0}])
    assert main(["describe", str(tmp_path), "--format", "json"]) == 0
    out, err = capsys.readouterr()
    paths = [json.loads(line)["path"] for line in out.splitlines()]
    assert paths == [str(tmp_path / name) for name in ("version_0", "version_1")]
    assert "holds 2 runs, each of which is described" in err


@pytest.mark.parametrize("command", ["check", "describe"])
def test_a_bad_path_does_not_stop_the_others(command, healthy, tmp_path, capsys):
    assert main([command, str(tmp_path / "nothing"), str(healthy)]) == 2
    out, err = capsys.readouterr()
    assert "healthy.jsonl" in out
    assert "no such file" in err


@pytest.mark.parametrize("content", ["", "\n\n", "not json\n" * 10])
def test_a_file_without_records_ends_with_two(content, tmp_path, capsys):
    path = tmp_path / "empty.jsonl"
    path.write_text(content)
    assert main(["check", str(path)]) == 2
    assert "empty.jsonl" in capsys.readouterr().err


def test_the_app_needs_a_terminal(healthy, capsys):
    assert main([str(healthy)]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_config_shows_where_a_setting_comes_from(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "traintop.toml").write_text('theme = "nord"\n')
    assert main(["config"]) == 0
    assert 'theme = "nord"  # ' + str(tmp_path / "traintop.toml") in capsys.readouterr().out
    assert main(["config", "keys"]) == 0
    assert "lr_find" in capsys.readouterr().out
    assert main(["config", "themes"]) == 0
    assert "traintop-dark" in capsys.readouterr().out


def test_an_unknown_setting_is_refused_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "traintop.toml").write_text('them = "nord"\n')
    assert main(["config"]) == 2
    err = capsys.readouterr().err
    assert "traintop.toml" in err
    assert "did you mean 'theme'" in err


def test_analyze_lists_and_says_what_it_needs(capsys):
    assert main(["analyze", "--list"]) == 0
    assert "lr_find" in capsys.readouterr().out
    assert main(["analyze", "lr_find"]) == 2
    assert "--target" in capsys.readouterr().err
