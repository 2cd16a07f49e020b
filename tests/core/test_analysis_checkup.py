"""The checkup: faults planted in each part are found, and stop what stands on them."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import nn

from analysis_driver import analyze, check_progress
from target_driver import analyse
from traintop.analyses import ANALYSES, batch_size
from traintop.analyses.checkup import summary
from traintop.analyses.checkup_plan import BROKEN_BY, PARTS, verdict_of
from traintop.analyses.context import AnalysisFailedError, Outcome
from traintop.analyses.ranks import Ranks
from traintop.analyses.target import Target

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about how fast a batch of some size is."""
    monkeypatch.setattr(batch_size, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(gc, "collect", lambda: 0)  # Slow in a process as large as that of tests.


def batches(count: int = 20, classes: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Separable blobs, normalised, each batch of 64 other samples."""
    draws = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, 8, generator=draws) * 2
    labels = torch.randint(classes, (count * 64,), generator=draws)
    points = centres[labels] + torch.randn(len(labels), 8, generator=draws) * 0.7
    points = (points - points.mean(0)) / points.std(0)
    return list(zip(points.split(64), labels.split(64), strict=True))


def network(classes: int = 4) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, classes))


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


def checkup(model: nn.Module, **given: Any) -> Outcome:
    data = given.pop("data", batches())
    fields: dict[str, Any] = {
        "loss": nn.CrossEntropyLoss(),
        "optimizer": adam,
        "val": batches(24)[20:],
        "initial": {name: each.detach().clone() for name, each in model.named_parameters()},
    }
    return analyze("checkup", model, data, **(fields | given))


def statuses(outcome: Outcome) -> dict[str, str]:
    return {
        part["analysis"]: part["status"]
        for section in outcome.result["sections"]
        for part in section["parts"]
    }


def test_every_part_is_an_analysis_and_its_budget_an_option() -> None:
    assert len({part.id for part in PARTS}) == len(PARTS)
    for part in PARTS:
        options = {option.name for option in ANALYSES[part.id].options}
        assert options.issuperset(part.budget), part.id
    order = [part.section for part in PARTS]
    assert list(dict.fromkeys(order)) == [
        "data", "model", "one batch", "training", "hyperparameters"
    ]  # fmt: skip
    assert sorted(order, key=list(dict.fromkeys(order)).index) == order
    grounds = {ground for part in PARTS for ground in part.stands_on}
    assert grounds == set(BROKEN_BY.values())


def test_nothing_is_wrong_with_the_healthy_twin_and_it_is_left_as_it_was() -> None:
    model = network()
    model[0].bias.requires_grad_(False)
    model.eval()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    outcome = checkup(model)
    assert outcome.result["verdict"] == "healthy", summary(outcome.result)
    assert outcome.result["blocked"] == []
    assert outcome.result["first"] is outcome.result["worst"] is None
    assert set(statuses(outcome).values()) <= {"healthy", "info"}
    assert not [found for found in outcome.findings if found["severity"] != "info"]
    assert summary(outcome.result)[0].startswith("HEALTHY: ")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not model[0].bias.requires_grad
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_same_seed_gives_the_same_answer_and_no_part_spoils_the_next() -> None:
    def told(outcome: Outcome) -> list[str]:
        parts = [part for section in outcome.result["sections"] for part in section["parts"]]
        return [part["line"] for part in parts]

    once = checkup(network())
    assert told(once) == told(checkup(network()))
    target = Target(model=network(), train=batches(), loss=nn.CrossEntropyLoss(), optimizer=adam)
    budget = {part.id: part.budget for part in PARTS}["lr_find"]
    alone = analyse("lr_find", target, **budget)
    assert any(
        f"suggested learning rate {alone.result['suggested']:.2e}" in each for each in told(once)
    )


def test_nan_in_the_weights_stops_all_but_the_search_for_its_source() -> None:
    model = network()
    with torch.no_grad():
        model[3].weight[2, 5] = torch.nan
    outcome = checkup(model, step=700)
    found = statuses(outcome)
    assert found["weights"] == "critical"
    assert found["nan_source"] == "critical"
    blocked = {each["analysis"] for each in outcome.result["blocked"]}
    assert blocked >= {"gradient_check", "gradient_flow", "dead_neurons", "predictions", "lr_find"}
    assert {each["by"] for each in outcome.result["blocked"]} == {"weights"}
    assert outcome.result["first"]["analysis"] == "weights"
    assert outcome.result["verdict"] == "critical"
    assert {each["id"] for each in outcome.findings if each["severity"] == "critical"} == {
        "nan_inf"
    }
    lines = summary(outcome.result)
    assert lines[0].startswith("CRITICAL: Weights layer by layer: ")
    assert lines[1].startswith("That blocks: ")
    assert "hyperparameters: NOT JUDGED" in lines


def test_a_wrong_loss_stops_what_trains_but_not_what_only_looks() -> None:
    model = nn.Sequential(*network(), nn.Softmax(dim=1))
    outcome = checkup(model)
    found = statuses(outcome)
    assert found["loss_function"] == "critical"
    assert found["lr_find"] == found["gradient_check"] == "blocked"
    assert found["dead_neurons"] == "healthy"
    assert "softmax" in " ".join(outcome.result["advice"])


def test_a_model_that_cannot_run_stops_everything_that_runs_it() -> None:
    outcome = checkup(nn.Sequential(nn.Linear(9, 4)))
    found = statuses(outcome)
    assert found["shapes"] == "critical"
    assert {name for name, status in found.items() if status == "blocked"} == {
        part.id for part in PARTS if "model" in part.stands_on
    }


def test_wrong_gradients_stop_the_range_test() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(_ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            return grad * 3

    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Wrong.apply(x)  # type: ignore[no-any-return, no-untyped-call] # torch's own

    outcome = checkup(nn.Sequential(*network(), Layer()))
    found = statuses(outcome)
    assert found["gradient_check"] == "critical"
    assert found["lr_find"] == "blocked"


def test_a_target_that_lacks_things_is_told_what_it_lacks() -> None:
    outcome = checkup(network(), optimizer=None, val=None)
    parts = {
        part["analysis"]: part
        for section in outcome.result["sections"]
        for part in section["parts"]
    }
    assert parts["lr_find"]["status"] == "skipped"
    assert parts["lr_find"]["line"] == "needs optimizer in the Target"
    assert outcome.result["verdict"] == "healthy"
    assert "as far as could be told" in summary(outcome.result)[0]


def test_nothing_that_can_be_told_is_not_judged() -> None:
    outcome = checkup(network(), data=[], val=None, loss=None, optimizer=None, initial={})
    assert statuses(outcome)["data"] == "failed"
    assert outcome.result["verdict"] == "critical"  # Not even a batch came through the model.
    assert outcome.result["worst"]["analysis"] == "shapes"


def test_what_the_user_s_code_raises_is_said_and_the_rest_goes_on() -> None:
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype == torch.float64:
                raise RuntimeError("no doubles here")
            return self.inner(x)  # type: ignore[no-any-return] # a module returns Any

    found = statuses(checkup(Moody()))
    assert found["lr_find"] == "healthy"
    assert found["gradient_check"] in ("failed", "healthy")


def test_a_part_that_takes_too_long_is_left_and_the_next_begins_anew() -> None:
    model = network()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    outcome = checkup(model, options={"seconds": 1e-9})
    lines = [part["line"] for section in outcome.result["sections"] for part in section["parts"]]
    assert any(line.startswith("not done within 1e-09 s") for line in lines)
    for parameter, value in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


def test_progress_is_that_of_the_whole() -> None:
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int, what: str) -> None:
        check_progress(done, total, what)
        told.append((done, total))

    target = Target(model=network(), train=batches(), loss=nn.CrossEntropyLoss(), optimizer=adam)
    analyse("checkup", target, context={"progress": progress})
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {total for _, total in told} == {100 * len(PARTS)}
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize(
    ("context", "options", "words"),
    [
        ({}, {"seconds": 0}, "seconds must be above 0"),
        ({"ranks": Ranks(size=2, sharded=True)}, {}, "--shard"),
    ],
)
def test_bad_requests(context: dict[str, Any], options: dict[str, float], words: str) -> None:
    target = Target(model=network(), train=batches(), loss=nn.CrossEntropyLoss())
    with pytest.raises(AnalysisFailedError, match=words):
        analyse("checkup", target, context=context, **options)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([], "not judged"),
        ([("blocked", False), ("skipped", False), ("failed", False)], "not judged"),
        ([("healthy", False), ("failed", False)], "healthy"),
        ([("healthy", False), ("info", False)], "healthy"),
        ([("warning", False), ("healthy", False)], "warning"),
        ([("warning", False), ("critical", False)], "critical"),
        ([("healthy", False), ("failed", True)], "critical"),
    ],
)
def test_verdicts(rows: list[tuple[str, bool]], verdict: str) -> None:
    assert verdict_of([{"status": status, "vital": vital} for status, vital in rows]) == verdict
