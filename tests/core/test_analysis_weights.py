"""The weights analysis against numpy, planted faults and their healthy twins."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from analysis_driver import analyze, lines_of
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.weight_statistics import spectral_norm, statistics

torch.set_num_threads(1)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5)
    )


def initial(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def saved(folder: Path, model: nn.Module, step: int) -> Path:
    path = folder / f"step-{step:06d}.pt"
    torch.save({"model": model.state_dict(), "step": step}, path)
    return path


def by_name(outcome: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in outcome.result["layers"]}


def ids(outcome: Any) -> list[tuple[str, str]]:
    return [(each["id"], each["severity"]) for each in outcome.findings]


def test_statistics_are_those_of_numpy(tmp_path: Path) -> None:
    model, before = network(), network(1)
    before_path, path = saved(tmp_path, before, 100), saved(tmp_path, model, 200)
    fresh = network(2)
    outcome = analyze(
        "weights",
        model,
        None,
        checkpoint=path,
        step=200,
        compare=[before_path],
        initial=initial(fresh),
    )
    rows = by_name(outcome)
    assert list(rows) == [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        row, values = rows[name], parameter.detach().double().numpy()
        other = dict(before.named_parameters())[name].detach().double().numpy()
        start = dict(fresh.named_parameters())[name].detach().double().numpy()
        assert row["shape"] == list(values.shape)
        for key, expected in (
            ("mean", values.mean()),
            ("std", values.std()),
            ("min", values.min()),
            ("max", values.max()),
            ("norm", np.linalg.norm(values.ravel())),
            ("small_fraction", (abs(values) <= 1e-3 * np.sqrt((values**2).mean())).mean()),
            ("initial_std", start.std()),
            ("initial_norm", np.linalg.norm(start.ravel())),
        ):
            assert row[key] == pytest.approx(expected, rel=1e-5, abs=1e-8), (name, key)
        size = np.linalg.norm(other.ravel())
        moved = np.linalg.norm((values - other).ravel())
        assert row["change"] == (pytest.approx(moved / size, rel=1e-6) if size else None)
        if values.ndim > 1:
            top = np.linalg.norm(values.reshape(len(values), -1), ord=2)
            assert row["spectral_norm"] == pytest.approx(top, rel=1e-2)
            assert row["spectral_norm"] <= top * (1 + 1e-6)
    assert (outcome.result["compared_step"], Path(outcome.result["compared_with"])) == (
        100,
        before_path,
    )
    text = lines_of("weights", outcome)
    assert "change since step-000100.pt (step 100)" in text
    assert "8x3x3" in text


def test_the_checkpoint_before_is_found_by_itself(tmp_path: Path) -> None:
    for step in (100, 300, 900):
        saved(tmp_path, network(step), step)
    (tmp_path / "step-000350.pt").write_bytes(b"torn")
    (tmp_path / "step-000320.txt").write_text("another kind")
    model = network()
    outcome = analyze("weights", model, None, checkpoint=saved(tmp_path, model, 340), step=340)
    assert outcome.result["compared_step"] == 300
    first = analyze("weights", model, None, checkpoint=tmp_path / "step-000100.pt", step=100)
    assert first.result["compared_with"] is None
    logged: list[str] = []
    torn = analyze(
        "weights", model, None, checkpoint=saved(tmp_path, model, 360), step=360, logged=logged
    )
    assert torn.result["compared_with"] is None
    assert "not compared" in logged[0]
    with pytest.raises(AnalysisFailedError, match="damaged"):
        analyze(
            "weights",
            model,
            None,
            checkpoint=tmp_path / "step-000360.pt",
            compare=[tmp_path / "step-000350.pt"],
        )


def test_folders_of_checkpoints(tmp_path: Path) -> None:
    for step in (500, 1000):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        torch.save(network(step).state_dict(), folder / "weights.pt")
    model = network()
    outcome = analyze(
        "weights", model, None, checkpoint=tmp_path / "checkpoint-1000" / "weights.pt", step=1000
    )
    assert outcome.result["compared_step"] == 500


def test_layers_that_do_not_move_while_others_do(tmp_path: Path) -> None:
    model = network()
    saved(tmp_path, model, 100)
    same = analyze("weights", model, None, checkpoint=saved(tmp_path, model, 200), step=200)
    assert same.findings == []  # nothing moved at all
    with torch.no_grad():
        model[0].weight += 0.1
        model[0].bias += 0.1
        model[1].weight += 0.1
    model[1].bias.requires_grad_(False)
    moved = analyze("weights", model, None, checkpoint=saved(tmp_path, model, 300), step=300)
    [finding] = moved.findings
    assert (finding["id"], finding["severity"]) == ("frozen_params", "warning")
    assert finding["layers"] == ["4.weight", "4.bias"]


def test_weights_that_are_not_finite() -> None:
    model = network()
    with torch.no_grad():
        model[4].weight[1, 2] = math.nan
        model[0].weight.fill_(math.inf)
    outcome = analyze("weights", model, None)
    rows = by_name(outcome)
    assert (rows["4.weight"]["nan"], rows["0.weight"]["nan"]) == (1, 72)
    assert rows["4.weight"]["std"] is not None
    assert rows["0.weight"]["std"] is None
    assert rows["4.weight"]["spectral_norm"] is None
    assert ids(outcome) == [("nan_inf", "critical")]
    assert "NOT FINITE" in lines_of("weights", outcome)


@pytest.mark.parametrize("factor", [1.0, 40.0, 1e-4])
def test_fresh_weights_of_the_wrong_size(factor: float) -> None:
    model = network()
    with torch.no_grad():
        model[4].weight *= factor
    outcome = analyze("weights", model, None)
    if factor == 1.0:
        assert outcome.findings == []
        return
    [finding] = outcome.findings
    assert (finding["id"], finding["layers"]) == ("bad_initialization", ["4.weight"])
    # Trained weights may be what they like.
    trained = analyze("weights", model, None, checkpoint=Path("step-000900.pt"), step=900)
    assert trained.findings == []


def test_units_that_are_all_the_same() -> None:
    model = network()
    nn.init.constant_(model[4].weight, 0.05)
    assert ids(analyze("weights", model, None)) == [("bad_initialization", "warning")]
    nn.init.zeros_(model[4].weight)  # of a residual branch or an adapter: on purpose
    assert analyze("weights", model, None).findings == []


def test_tables_are_not_taken_for_weight_matrices() -> None:
    class Texts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 200)
            self.pos_embed = nn.Parameter(torch.randn(1, 100, 200))
            self.token = nn.Parameter(torch.randn(3, 3000))
            self.half = nn.Linear(200, 4).to(torch.bfloat16)
            self.scale = nn.Parameter(torch.ones(()))
            self.empty = nn.Parameter(torch.zeros(0, 4))
            self.spectrum = nn.Parameter(torch.randn(4, 3, dtype=torch.complex64))

    torch.manual_seed(0)
    outcome = analyze("weights", Texts(), None)
    assert outcome.findings == []
    assert by_name(outcome)["scale"]["shape"] == []
    assert by_name(outcome)["empty"]["norm"] is None
    assert "scalar" in lines_of("weights", outcome)


def test_weights_that_have_shrunk_are_advice() -> None:
    model = network()
    start = initial(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 0.1
    outcome = analyze(
        "weights", model, None, checkpoint=Path("step-000900.pt"), step=900, initial=start
    )
    assert ids(outcome) == [("weight_decay_too_high", "info")]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_spectral_norm_of_any_size(scale: float) -> None:
    make = torch.Generator().manual_seed(0)
    matrix = torch.randn(30, 20, generator=make) * scale
    expected = float(torch.linalg.svdvals(matrix.double())[0])
    assert spectral_norm(matrix, 0) == pytest.approx(expected, rel=5e-3)
    assert spectral_norm(torch.zeros(3, 3), 0) == 0.0
    assert spectral_norm(torch.ones(3), 0) is None


def test_a_constant_has_no_spread() -> None:
    assert statistics(torch.full((1000,), 0.1))["std"] == 0.0
