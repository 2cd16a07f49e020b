"""What each part must not drag in, looked up in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("traintop", {"numpy", "msgspec", "torch", "textual"}),
        ("traintop.recorder", {"numpy", "msgspec", "torch", "textual"}),
        ("traintop.analyses", {"numpy", "msgspec", "torch", "textual"}),
        ("traintop.session", {"torch", "textual", "rich", "watchfiles"}),
        ("traintop.report", {"torch", "textual", "rich"}),
        ("traintop_tui.cli", {"torch", "textual", "rich", "numpy"}),
        ("traintop_tui.charts.line_chart", {"torch", "textual", "rich"}),
        ("traintop_tui.app", {"torch", "plotext"}),
    ],
)
def test_importing_a_module_does_not_import(module, banned):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert banned.isdisjoint(done.stdout.split())


def test_a_run_of_json_lines_needs_no_other_format(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n' * 9)
    code = f"import sys, traintop.opening as o; o.open_run({str(tmp_path)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = "traintop.sources."
    others = {
        "document",
        "separated",
        "database",
        "metric_files",
        "textlog",
        "console.reader",
        "dialect",
    }
    decoders = {"tfevents.decoder", "wandb.decoder", "aside", "mirror"}
    banned = {"sqlite3", "csv", "fsspec", *(ours + name for name in others | decoders)}
    assert banned.isdisjoint(done.stdout.split())


def test_public_names_are_all_there():
    import traintop

    assert sorted(traintop.__all__) == traintop.__all__
    for name in traintop.__all__:
        assert getattr(traintop, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        traintop.nothing  # noqa: B018 - the access is what is tested
