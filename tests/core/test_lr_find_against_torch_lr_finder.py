"""The LR range test against another implementation of it, on the same weights and data."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from analysis_driver import analyze

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # It imports tqdm for notebooks.
    from torch_lr_finder import LRFinder

STEPS, LOW, HIGH = 40, 1e-4, 0.5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_curve_is_that_of_torch_lr_finder(momentum: float) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    # One batch that is the whole data: no order of it that could differ.
    batch = (torch.randn(64, 8), torch.randint(3, (64,)))
    theirs = copy.deepcopy(model)
    outcome = analyze(
        "lr_find",
        model,
        [batch],
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1, momentum=momentum),
        options={"num_it": STEPS, "start_lr": LOW, "end_lr": HIGH},
    )
    finder = LRFinder(
        theirs,
        torch.optim.SGD(theirs.parameters(), lr=LOW, momentum=momentum),
        nn.CrossEntropyLoss(),
        device="cpu",
    )
    loader = DataLoader(TensorDataset(*batch), batch_size=len(batch[0]))
    finder.range_test(loader, end_lr=HIGH, num_iter=STEPS, smooth_f=0, diverge_th=1e9)
    ours = outcome.result
    count = len(ours["losses"])
    assert count > STEPS // 2
    assert ours["lrs"][:count] == pytest.approx(finder.history["lr"][:count], rel=1e-6)
    np.testing.assert_allclose(ours["losses"], finder.history["loss"][:count], rtol=1e-5)
