"""The check of the loss function against planted mistakes and their healthy twins."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from torch import nn

from target_driver import analyse, ids
from traintop.analyses import loss_function
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.target import Target

torch.set_num_threads(1)

CLASSES = 10


def model(*more: nn.Module, outputs: int = CLASSES) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, outputs), *more)


def data(
    low: int = 0, high: int = CLASSES, label: Callable[[torch.Tensor], Any] = lambda y: y
) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(40, 6, generator=generator),
            label(torch.randint(low, high, (40,), generator=generator)),
        )
        for _ in range(4)
    ]


def as_float(y: torch.Tensor) -> torch.Tensor:
    return (y % 2).float().unsqueeze(1)


HEALTHY: dict[str, Target] = {
    "cross_entropy": Target(model=model(), train=data(), loss=nn.CrossEntropyLoss()),
    "weighted": Target(
        model=model(),
        train=data(),
        loss=nn.CrossEntropyLoss(weight=torch.arange(1.0, 11.0)),
    ),
    "summed": Target(model=model(), train=data(), loss=nn.CrossEntropyLoss(reduction="sum")),
    "nll": Target(model=model(nn.LogSoftmax(1)), train=data(), loss=nn.NLLLoss()),
    "binary": Target(
        model=model(outputs=1), train=data(label=as_float), loss=nn.BCEWithLogitsLoss()
    ),
    "probabilities": Target(
        model=model(nn.Sigmoid(), outputs=1), train=data(label=as_float), loss=nn.BCELoss()
    ),
    "regression": Target(
        model=model(outputs=1), train=data(label=as_float), loss=nn.SmoothL1Loss()
    ),
    "sequence": Target(
        model=nn.Embedding(7, 7),
        train=[(torch.arange(42).reshape(6, 7) % 7, torch.arange(1, 43).reshape(6, 7) % 7)],
        loss=lambda output, labels: F.cross_entropy(output.transpose(1, 2), labels),
    ),
    "by_hand": Target(
        model=model(),
        train=data(),
        loss=lambda z, y: (z.logsumexp(1) - z.gather(1, y[:, None])[:, 0]).sum(),
    ),
    "guarded_log": Target(
        model=model(nn.Softmax(1)),
        train=data(),
        loss=lambda p, y: -(p + 1e-8).log().gather(1, y[:, None]).mean(),
    ),
    "step": Target(
        model=model(),
        train=data(),
        step=lambda m, batch: F.cross_entropy(m(batch[0]), batch[1]) + 0.1,
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_a_sound_loss(name: str) -> None:
    outcome = analyse("loss_function", HEALTHY[name])
    assert outcome.findings == []
    assert outcome.result["warnings"] == []
    assert outcome.result["batches"] == len(HEALTHY[name].train)
    lines = loss_function.summary(outcome.result)
    assert "nothing wrong with the loss function" in lines
    json.dumps(outcome.result, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "expected", "like"),
    [
        ("cross_entropy", math.log(10), "logits"),
        ("weighted", math.log(10), "logits"),
        ("summed", 40 * math.log(10), "logits"),
        ("nll", math.log(10), "log_probabilities"),
        ("binary", math.log(2), "logits"),
        ("probabilities", math.log(2), "probabilities"),
        ("regression", None, None),
        ("sequence", math.log(7), "logits"),
        ("by_hand", 40 * math.log(10), "logits"),
        ("guarded_log", math.log(10), "probabilities"),
        ("step", None, "logits"),
    ],
)
def test_the_loss_of_guessing(name: str, expected: float | None, like: str | None) -> None:
    found = analyse("loss_function", HEALTHY[name]).result
    assert found["expected_initial_loss"] == (
        None if expected is None else pytest.approx(expected, rel=1e-5)
    )
    assert found["looks_like"] == like


def test_the_initial_loss_is_the_mean_over_the_batches() -> None:
    target = HEALTHY["cross_entropy"]
    found = analyse("loss_function", target).result
    with torch.no_grad():
        outputs = [target.model(x) for x, _ in data()]
        losses = [F.cross_entropy(z, y) for z, (_, y) in zip(outputs, data(), strict=True)]
    assert found["initial_loss"] == pytest.approx(float(torch.stack(losses).mean()), rel=1e-6)
    assert found["output_range"] == pytest.approx(
        [float(torch.cat(outputs).min()), float(torch.cat(outputs).max())]
    )
    assert (found["functions"], found["classes"]) == (["cross_entropy"], 10)


def hand_softmax(m: nn.Module, batch: Any) -> torch.Tensor:
    scores = m(batch[0]).exp()
    return F.cross_entropy(scores / scores.sum(1, keepdim=True), batch[1])


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target(model=model(nn.Softmax(1)), train=data(), loss=nn.CrossEntropyLoss()), "softmax"),
        (Target(model=model(), train=data(), step=hand_softmax), "softmax"),
        (Target(model=model(nn.Sigmoid()), train=data(), loss=nn.CrossEntropyLoss()), "sigmoid"),
        (
            Target(
                model=model(nn.Softmax(1)),
                train=data(),
                loss=lambda z, y: (z.logsumexp(1) - z.gather(1, y[:, None])[:, 0]).mean(),
            ),
            "a softmax itself",
        ),
        (
            Target(
                model=model(nn.Sigmoid(), outputs=1),
                train=data(label=as_float),
                loss=nn.BCEWithLogitsLoss(),
            ),
            "sigmoid before it",
        ),
        (
            Target(model=model(outputs=1), train=data(label=as_float), loss=nn.BCELoss()),
            "wants probabilities",
        ),
        (Target(model=model(), train=data(), loss=nn.NLLLoss()), "is given logits"),
        (Target(model=model(nn.Softmax(1)), train=data(), loss=nn.NLLLoss()), "is given prob"),
        (Target(model=model(nn.ReLU()), train=data(), loss=nn.CrossEntropyLoss()), "relu"),
        (
            Target(
                model=model(),
                train=data(),
                loss=lambda z, y: F.nll_loss(torch.softmax(z, 1).log(), y),
            ),
            r"log\(0\)",
        ),
        (
            Target(
                model=model(outputs=1), train=data(label=lambda y: y.float()), loss=nn.MSELoss()
            ),
            r"broadcast to \(40, 40\)",
        ),
        (
            Target(
                model=model(), train=data(label=lambda y: y.float()), loss=nn.CrossEntropyLoss()
            ),
            r"labels\.long\(\)",
        ),
        (
            Target(
                model=model(), train=data(label=lambda y: y[:, None]), loss=nn.CrossEntropyLoss()
            ),
            r"labels\.squeeze\(-1\)",
        ),
        (
            Target(
                model=model(outputs=1),
                train=data(label=lambda y: (y % 2).float()),
                loss=nn.BCEWithLogitsLoss(),
            ),
            r"output\.squeeze\(-1\)",
        ),
        (Target(model=model(outputs=1), train=data(), loss=nn.CrossEntropyLoss()), "always 0"),
        (
            Target(
                model=nn.Embedding(7, 5),
                train=[(torch.zeros(3, 4).long(), torch.zeros(3, 4).long())],
                loss=nn.CrossEntropyLoss(),
            ),
            r"output\.transpose",
        ),
    ],
)
def test_a_loss_that_does_not_fit_is_explained(target: Target, text: str) -> None:
    outcome = analyse("loss_function", target)
    assert ids(outcome) == ["wrong_loss"]
    [warning] = outcome.result["warnings"]
    assert re.search(text, warning), warning
    assert warning in loss_function.summary(outcome.result)
    assert outcome.findings[0]["evidence"][0]["threshold"] is not None


@pytest.mark.parametrize(
    ("low", "high", "outputs", "loss", "label", "text"),
    [
        (0, 12, 10, nn.CrossEntropyLoss(), lambda y: y, "labels go up to 11, the output has 10"),
        (1, 11, 10, nn.CrossEntropyLoss(), lambda y: y, "subtract 1"),
        (-1, 10, 10, nn.CrossEntropyLoss(), lambda y: y, "ignore_index=-1"),
        (0, 1, 10, nn.CrossEntropyLoss(), lambda y: y - 100, "without any label"),
        (0, 3, 1, nn.BCEWithLogitsLoss(), lambda y: y.float()[:, None], "between 0 and 2"),
        (0, 3, 1, nn.MSELoss(), lambda y: y.float()[:, None] / 0, "NaN or infinite labels"),
    ],
)
def test_labels_that_the_loss_is_not_defined_for(
    low: int, high: int, outputs: int, loss: nn.Module, label: Any, text: str
) -> None:
    target = Target(model=model(outputs=outputs), train=data(low, high, label), loss=loss)
    outcome = analyse("loss_function", target)
    assert ids(outcome) == ["labels_broken"]
    assert text in outcome.result["warnings"][0]


def test_one_bad_label_far_behind_the_first_batches_is_found() -> None:
    many = [batch for _ in range(10) for batch in data()]
    many.insert(33, (many[0][0], torch.full((40,), 10)))
    target = Target(model=model(), train=many, loss=nn.CrossEntropyLoss())
    assert ids(analyse("loss_function", target, batches=1)) == ["labels_broken"]
    assert ids(analyse("loss_function", target, batches=1, labels=1)) == []


def test_labels_that_are_to_be_ignored_are_no_fault() -> None:
    loss = nn.CrossEntropyLoss(ignore_index=-1)
    outcome = analyse("loss_function", Target(model=model(), train=data(-1, 10), loss=loss))
    assert outcome.findings == []


def test_log_of_zero_is_found_where_it_makes_nan() -> None:
    def loss(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(200 * z, 1)
        return -p.log().gather(1, y[:, None]).mean()

    outcome = analyse("loss_function", Target(model=model(), train=data(), loss=loss))
    assert ids(outcome) == ["nan_inf"]
    assert "log(0)" in outcome.findings[0]["title"]
    assert outcome.result["initial_loss"] is None

    def masked(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(5000 * z, 1)
        return torch.where(p > 0, p.log(), 0.0).mean() + F.cross_entropy(z, y)

    outcome = analyse("loss_function", Target(model=model(), train=data(), loss=masked))
    assert "gradients" in outcome.findings[0]["title"]


def test_outputs_that_are_nan_are_told_from_a_loss_that_makes_them() -> None:
    broken = model()
    with torch.no_grad():
        broken[2].bias[0] = math.nan
    outcome = analyse(
        "loss_function", Target(model=broken, train=data(), loss=nn.CrossEntropyLoss())
    )
    assert ids(outcome) == ["nan_inf"]
    assert "outputs of the model" in outcome.findings[0]["title"]


def test_a_start_far_above_guessing() -> None:
    wild = model()
    with torch.no_grad():
        wild[2].weight.mul_(100)
    target = Target(model=wild, train=data(), loss=nn.CrossEntropyLoss())
    outcome = analyse("loss_function", target)
    assert ids(outcome) == ["bad_initialization"]
    assert outcome.findings[0]["evidence"][0]["value"] > 2


def test_the_initial_loss_is_that_of_the_weights_before_the_checkpoint() -> None:
    built = model()
    initial = {name: value.detach().clone() for name, value in built.named_parameters()}
    with torch.no_grad():
        built[2].weight.mul_(50)
    before = {name: value.clone() for name, value in built.state_dict().items()}
    target = Target(model=built, train=data(), loss=nn.CrossEntropyLoss())
    found = analyse(
        "loss_function", target, context={"checkpoint": "ckpt-300.pt", "initial": initial}
    )
    fresh = analyse("loss_function", HEALTHY["cross_entropy"]).result
    assert found.result["initial_loss"] == pytest.approx(fresh["initial_loss"])
    assert found.result["loss"] > 2 * found.result["initial_loss"]
    assert found.findings == []
    assert all(torch.equal(value, before[name]) for name, value in built.state_dict().items())


def test_models_that_compute_their_own_loss_and_batches_that_are_dicts() -> None:
    class Hugging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = model()

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> Any:
            logits = self.body(x)
            return SimpleNamespace(loss=F.cross_entropy(logits, labels), logits=logits)

    batches = [{"x": x, "labels": y} for x, y in data()]
    found = analyse("loss_function", Target(model=Hugging(), train=batches)).result
    assert found["expected_initial_loss"] == pytest.approx(math.log(10))
    bad = [{"x": x, "labels": y + 5} for x, y in data()]
    assert ids(analyse("loss_function", Target(model=Hugging(), train=bad))) == ["labels_broken"]


def test_batch_norm_dropout_and_half_precision() -> None:
    body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 10))
    target = Target(model=body.bfloat16(), train=None, loss=nn.CrossEntropyLoss())
    target.train = [(x.bfloat16(), y) for x, y in data()] + [
        (torch.zeros(1, 6).bfloat16(), torch.zeros(1).long())
    ]
    first, second = (analyse("loss_function", target).result for _ in range(2))
    assert first == second
    assert first["expected_initial_loss"] == pytest.approx(math.log(10), rel=1e-4)


@pytest.mark.parametrize(
    ("target", "options", "text"),
    [
        (Target(model=model(), train=[], loss=nn.CrossEntropyLoss()), {}, "no batch"),
        (Target(model=model(), train=data()), {}, "neither loss nor step"),
        (Target(model=model(), train=data(), loss=nn.CrossEntropyLoss()), {"batches": 0}, "least"),
    ],
)
def test_what_cannot_be_checked_is_said(
    target: Target, options: dict[str, float], text: str
) -> None:
    with pytest.raises(AnalysisFailedError, match=text):
        analyse("loss_function", target, **options)
