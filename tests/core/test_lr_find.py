"""The LR range test as a whole, in this process, on problems small enough to know the answer of."""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from traintop.analyses import ANALYSES, lr_curve, lr_find
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.target import Target

torch.set_num_threads(1)

KEYS = {
    "lrs",
    "losses",
    "smoothed",
    "suggestions",
    "range",
    "suggested",
    "agreement",
    "stopped_at",
    "edge",
    "seeds",
}


def context_of(target: Target, **how: Any) -> Context:
    options: dict[str, float | None] = {o.name: o.default for o in ANALYSES["lr_find"].options}
    options.update(how.pop("options", {}))
    return Context(
        target=target,
        model=target.model,
        device=torch.device("cpu"),
        options=options,
        seed=how.pop("seed", 0),
        progress=lambda _done, _total, _what: None,
        point=how.pop("point", lambda _x, _y, _series: None),
        log=lambda _text: None,
        **how,
    )


class Quadratic(nn.Module):
    """Curvatures up to a given one: gradient descent diverges beyond lr = 2 / curvature."""

    def __init__(self, curvature: float) -> None:
        super().__init__()
        self.curvature = curvature * torch.logspace(-4, 0, 10)
        self.w = nn.Parameter(torch.ones(10))

    def forward(self, _batch: torch.Tensor) -> torch.Tensor:
        return (self.curvature * self.w**2).sum() / 2


def quadratic(curvature: float) -> Target:
    return Target(
        model=Quadratic(curvature),
        train=[torch.zeros(1)] * 7,
        step=lambda model, batch: model(batch),
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
    )


def classifier(seed: int = 0) -> Target:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(320, 8, generator=generator)
    y = (x[:, 0] > x[:, 1]).long()
    data = torch.utils.data.TensorDataset(x, y)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    return Target(
        model=model,
        train=torch.utils.data.DataLoader(data, batch_size=16, shuffle=True),
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
    )


def run(target: Target, **how: Any) -> Outcome:
    return lr_find.run(context_of(target, **how))


@pytest.mark.parametrize("curvature", [1.0, 100.0])
def test_quadratic_breaks_at_the_known_edge(curvature: float) -> None:
    how = {"start_lr": 1e-5, "end_lr": 1e4, "num_it": 200, "smoothing": 0.0}
    result = run(quadratic(curvature), options=how).result
    known = 2 / curvature
    assert set(result) == KEYS
    assert known < result["stopped_at"] < 10 * known  # it has to grow again first
    assert result["edge"] == pytest.approx(known, rel=0.1)  # a step of the schedule is 11 %
    below = [loss for lr, loss in zip(result["lrs"], result["losses"], strict=True) if lr < known]
    assert below == sorted(below, reverse=True)
    low, high = result["range"]
    assert low <= result["suggested"] <= high
    assert result["suggested"] < known
    assert 0 <= result["agreement"] <= 1


def test_result_is_consistent_and_suggestions_follow_from_its_curve() -> None:
    result = run(classifier()).result
    n = len(result["lrs"])
    assert n == len(result["losses"]) == len(result["smoothed"]) > 50
    assert result["seeds"] == [0, 1]
    lrs, smoothed = np.array(result["lrs"]), np.array(result["smoothed"])
    again = lr_curve.suggest(lrs, smoothed, 100)
    for name, value in result["suggestions"].items():
        assert value == pytest.approx(again[name], rel=1e-5)
    assert any("agreement" in line for line in lr_find.summary(result))


def test_weights_and_buffers_are_as_before() -> None:
    target = classifier()
    before = {name: value.clone() for name, value in target.model.state_dict().items()}
    run(target)
    for name, value in target.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_same_seed_same_curve_other_seed_another() -> None:
    first, again = run(classifier(), seed=3).result, run(classifier(), seed=3).result
    assert first == again
    assert run(classifier(), seed=11).result["losses"] != first["losses"]


def test_each_seed_trains_on_the_batches_at_rest_in_an_order_of_its_own() -> None:
    data = torch.arange(80.0).reshape(80, 1)
    for loader in ([data[i : i + 2] for i in range(40)], torch.utils.data.DataLoader(data, 2)):
        seen: list[tuple[float, ...]] = []

        def step(
            model: nn.Module, batch: torch.Tensor, seen: list[tuple[float, ...]] = seen
        ) -> torch.Tensor:
            seen.append(tuple(batch[:, 0].tolist()))
            loss: torch.Tensor = model(batch * 0 + 1).square().mean()
            return loss

        target = Target(
            model=nn.Linear(1, 1),
            train=loader,
            step=step,
            optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
        )
        run(target, options={"num_it": 50, "end_lr": 1e-3})
        at_rest, first, second = seen[:20], seen[20:70], seen[70:]
        assert len(set(at_rest)) == 20
        # All of them, then all of them again.
        for lap in (first[:20], first[20:40], second[:20], second[20:40]):
            assert set(lap) == set(at_rest)
        assert first != second


def test_large_batches_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lr_find, "POOL_BYTES", 100)
    seen: set[float] = set()

    def step(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        seen.add(float(batch[0, 0]))
        loss: torch.Tensor = model(batch * 0 + 1).square().mean()
        return loss

    target = Target(
        model=nn.Linear(1, 1),
        train=list(torch.arange(80.0).reshape(40, 2, 1)),
        step=step,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
    )
    run(target, options={"num_it": 40, "end_lr": 1e-3})
    assert len(seen) == 13  # of 8 bytes each; the last is the one that is too much


def saved_state(target: Target) -> Any:
    """The state of the target's optimizer after a few steps."""
    model = copy.deepcopy(target.model)
    assert target.optimizer is not None
    assert target.loss is not None
    optimizer = target.optimizer(model.parameters())
    for inputs, labels in itertools.islice(target.train or (), 5):
        optimizer.zero_grad()
        target.loss(model(inputs), labels).backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        optimizer.step()
    return optimizer.state_dict()


def test_it_begins_with_the_optimizer_state_of_the_checkpoint_where_asked_to() -> None:
    target = classifier()
    target.optimizer = lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9)
    state = saved_state(target)
    before = copy.deepcopy(state)
    how = {"start_lr": 0.01, "end_lr": 0.1, "num_it": 20}
    fresh = run(target, options=how, optimizer_state=state).result["losses"]
    warm = run(target, options=how | {"fresh": 0}, optimizer_state=state).result["losses"]
    assert warm[0] == fresh[0]  # before any step
    assert warm[1] != fresh[1]  # the momentum
    for index, kept in before["state"].items():
        assert torch.equal(kept["momentum_buffer"], state["state"][index]["momentum_buffer"])


def test_without_an_optimizer_state_there_is_none_to_begin_with() -> None:
    with pytest.raises(AnalysisFailedError, match="give a --checkpoint that holds one"):
        run(classifier(), options={"fresh": 0})


def test_without_a_checkpoint_the_learning_rate_is_that_of_the_target() -> None:
    target = quadratic(1.0)
    how = {"start_lr": 1e-5, "end_lr": 1e4, "smoothing": 0.0}
    assert not run(target, options=how).findings
    target.optimizer = lambda params: torch.optim.SGD(params, lr=100.0)
    assert [each["id"] for each in run(target, options=how).findings] == ["lr_too_high"]
    # A schedule may have changed it since.
    assert not run(target, options=how, checkpoint=Path("ckpt-400.pt")).findings


def test_parameter_groups_keep_their_proportion() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    seen: list[tuple[float, float]] = []

    class Recording(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            seen.append((self.param_groups[0]["lr"], self.param_groups[1]["lr"]))
            return super().step(closure)

    def build(params: Any) -> torch.optim.Optimizer:
        params = list(params)
        return Recording(
            [{"params": params[:2], "lr": 0.1}, {"params": params[2:], "lr": 0.01}], lr=1.0
        )

    target = Target(
        model=model,
        train=[(torch.randn(8, 4), torch.randn(8, 1))],
        loss=nn.MSELoss(),
        optimizer=build,
    )
    result = run(target, options={"num_it": 20, "end_lr": 1e-2}).result
    assert [high for high, _low in seen[:20]] == pytest.approx(result["lrs"])
    assert all(low == pytest.approx(high / 10) for high, low in seen)


@pytest.mark.parametrize(
    ("current", "checkpoint_lr", "found"),
    [(100.0, None, True), (0.5, None, False), (None, 100.0, True), (None, 0.5, False)],
)
def test_a_learning_rate_far_above_the_edge_is_a_finding(
    current: float | None, checkpoint_lr: float | None, found: bool
) -> None:
    state = None if checkpoint_lr is None else {"param_groups": [{"lr": checkpoint_lr}]}
    outcome = run(
        quadratic(1.0),
        options={"start_lr": 1e-5, "end_lr": 1e4, "smoothing": 0.0, "current_lr": current},
        optimizer_state=state,
        step=400,
    )
    assert [each["id"] for each in outcome.findings] == (["lr_too_high"] if found else [])
    for each in outcome.findings:
        assert each["onset_step"] == 400
        assert each["evidence"][0]["value"] > each["evidence"][0]["threshold"]


def test_live_points_are_those_of_each_seed() -> None:
    points: list[tuple[float, float, str]] = []
    result = run(quadratic(1.0), point=lambda x, y, series: points.append((x, y, series))).result
    first = [x for x, _y, series in points if series == "seed 0"]
    assert first[: len(result["lrs"])] == result["lrs"]
    assert {series for _x, _y, series in points} == {"seed 0", "seed 1"}


def test_weights_that_are_not_finite_are_said_so() -> None:
    target = quadratic(1.0)
    with torch.no_grad():
        next(target.model.parameters()).fill_(math.nan)
    with pytest.raises(AnalysisFailedError, match="not finite before any training"):
        run(target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_lr": 0.0}, "start_lr"),
        ({"start_lr": 1.0, "end_lr": 0.1}, "below end_lr"),
        ({"num_it": 3}, "num_it"),
        ({"num_seeds": 1}, "one seed decides nothing"),
        ({"smoothing": 1.0}, "smoothing"),
    ],
)
def test_bad_options_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(AnalysisFailedError, match=message):
        run(quadratic(1.0), options=options)


def test_a_generator_is_used_up_and_said_so() -> None:
    target = quadratic(1.0)
    target.train = (torch.zeros(1) for _ in range(15))
    with pytest.raises(AnalysisFailedError, match="used up after one pass"):
        run(target)


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    target = classifier()
    target.loss = nn.CrossEntropyLoss(reduction="none")
    with pytest.raises(AnalysisFailedError, match="scalar"):
        run(target)
    target.loss = None
    with pytest.raises(AnalysisFailedError, match="neither loss nor step"):
        run(target)
