"""Values as logs write them: rounded, or averaged over some past."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detector_driver import learning, noise, watch
from traintop.opening import read_whole
from traintop.records import RunInfo
from traintop.settings import Settings

INFO = RunInfo(task="classification", num_classes=10, planned_steps=2000)


def rounded(values, how):
    return np.array([float(format(value, how)) for value in values])


@pytest.mark.parametrize("how", [".4g", ".3f", ".2f"])
def test_rounded_values_of_a_healthy_run_raise_no_alarm(how):
    columns = {
        "loss/train": rounded(learning(2000), how),
        "accuracy/train": rounded(1 - learning(2000, seed=1) / 3, how),
        "lr": rounded(1e-4 * np.linspace(1, 0, 2000) ** 2, ".6f"),  # the last tenth prints 0
        "grad_norm": rounded(noise(2000, 0.2), how),
    }
    evals = {at: {"loss/val": float(columns["loss/train"][at])} for at in range(99, 2000, 100)}
    engine = watch(columns, INFO, evals=evals)
    assert [each.id for each in engine.findings if each.severity != "info"] == []


def test_a_mean_that_begins_anew_in_each_epoch_is_no_pattern_of_the_data(tmp_path):
    """The running mean of an epoch falls through it, and jumps at the beginning of the next."""
    values = np.sort(learning(2000, scale=0.3).reshape(-1, 100))[:, ::-1].ravel()
    found: dict[str, set[str]] = {}
    for key in ("loss", "avg_loss"):
        path = tmp_path / f"{key}.jsonl"
        with path.open("w") as file:
            for step, value in enumerate(values):
                file.write(json.dumps({"step": step, "epoch": step // 100, key: value}) + "\n")
        session = read_whole(path, Settings())
        assert session.catalogue.by_role(session.run(), "loss/train").label == key
        found[key] = {finding.id for finding in session.findings()}
    assert "data_not_shuffled" in found["loss"]
    assert "data_not_shuffled" not in found["avg_loss"]
