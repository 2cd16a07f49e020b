"""Counted predictions against scikit-learn, and planted collapses beside healthy twins."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from sklearn import metrics
from torch import nn

from target_driver import analyse, ids
from traintop.analyses import predictions
from traintop.analyses.confusion import Confusion
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.target import Target

torch.set_num_threads(1)

KEPT = {"checkpoint": "ckpt-300.pt"}


class Echo(nn.Module):
    """Scores that are its input; the weight is there to be a model."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


def scored(classes: int, good: float = 2.0, count: int = 5) -> list[Any]:
    """Batches of scores that are right more often than not, and their labels."""
    generator = torch.Generator().manual_seed(3)
    made: list[Any] = []
    for _ in range(count):
        labels = torch.randint(0, classes, (60,), generator=generator)
        noise = torch.randn(60, classes, generator=generator)
        made.append((noise + good * F.one_hot(labels, classes), labels))
    return made


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_counts_are_those_of_scikit_learn(classes: int) -> None:
    data = scored(classes)
    outcome = analyse("predictions", Target(model=Echo(), val=data, loss=nn.CrossEntropyLoss()))
    result = outcome.result
    truth = np.concatenate([y.numpy() for _, y in data])
    said = np.concatenate([x.argmax(1).numpy() for x, _ in data])
    assert result["confusion"] == metrics.confusion_matrix(truth, said).tolist()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, said, zero_division=0
    )
    for at, row in enumerate(result["per_class"]):
        assert row["support"] == support[at]
        expected = [precision[at], recall[at], f1[at]]
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx(expected)
    assert result["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    assert result["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(truth, said)
    )
    assert result["majority_fraction"] == pytest.approx(np.bincount(said).max() / len(said))
    assert (result["samples"], result["split"]) == (300, "val")
    assert result["train_eval_gap"] == 0.0
    assert outcome.findings == []
    json.dumps(result, allow_nan=False)
    assert any("accuracy" in line for line in predictions.summary(result))


def test_tags_are_counted_one_by_one() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(200, 4, generator=generator)
    labels = (scores + torch.randn(200, 4, generator=generator) > 0.3).float()
    target = Target(model=Echo(), val=[(scores, labels)], loss=nn.BCEWithLogitsLoss())
    result = analyse("predictions", target).result
    said, truth = (scores > 0).int().numpy(), labels.int().numpy()
    expected = metrics.multilabel_confusion_matrix(truth, said)
    assert (result["kind"], result["confusion"]) == ("tags", expected.tolist())
    assert result["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    f1 = metrics.f1_score(truth, said, average=None)
    assert [row["f1"] for row in result["per_class"]] == pytest.approx(f1.tolist())
    predictions.summary(result)


@pytest.mark.parametrize("shape", [(60,), (60, 1)])
@pytest.mark.parametrize("squash", [True, False])
def test_two_classes_by_one_output(shape: tuple[int, ...], squash: bool) -> None:
    data = [
        ((x[:, 1] - x[:, 0]).reshape(shape), y.reshape(shape).float()) for x, y in scored(2, 1.0)
    ]
    loss: nn.Module = nn.BCELoss() if squash else nn.BCEWithLogitsLoss()
    model = nn.Sequential(Echo(), nn.Sigmoid()) if squash else Echo()
    result = analyse("predictions", Target(model=model, val=data, loss=loss)).result
    truth = torch.cat([y.flatten() for _, y in data]).long().numpy()
    said = torch.cat([x.flatten() for x, _ in data]).gt(0).long().numpy()
    assert result["confusion"] == metrics.confusion_matrix(truth, said).tolist()


def test_numbers() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(100, 1, generator=generator)
    y = x + 0.5 * torch.randn(100, 1, generator=generator)
    target = Target(model=Echo(), val=[(x[:60], y[:60]), (x[60:], y[60:])], loss=nn.MSELoss())
    outcome = analyse("predictions", target)
    assert outcome.result["kind"] == "numbers"
    assert outcome.result["r2"] == pytest.approx(metrics.r2_score(y.numpy(), x.numpy()), rel=1e-4)
    assert outcome.result["train_eval_gap"] == 0.0
    assert outcome.findings == []
    assert "r2" in predictions.summary(outcome.result)[0]
    silent = Echo()
    with torch.no_grad():
        silent.weight.zero_()
    assert ids(analyse("predictions", Target(model=silent, val=target.val, loss=nn.MSELoss()))) == [
        "not_learning"
    ]


def collapsed(towards: float) -> nn.Module:
    class Collapsed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(towards * F.one_hot(torch.tensor(1), 3).float())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0.1 * x + self.bias

    return Collapsed()


def test_a_model_that_says_one_class_is_found_and_its_twin_is_not() -> None:
    loss = nn.CrossEntropyLoss()
    outcome = analyse(
        "predictions", Target(model=collapsed(50.0), val=scored(3), loss=loss), context=KEPT
    )
    [found] = outcome.findings
    assert (found["id"], found["severity"]) == ("class_collapse", "warning")
    assert outcome.result["majority_class"] == 1
    assert outcome.result["majority_fraction"] == 1.0
    assert found["evidence"][0]["threshold"] == 0.97
    fresh = analyse("predictions", Target(model=collapsed(50.0), val=scored(3), loss=loss))
    assert fresh.findings[0]["severity"] == "info"
    assert (
        ids(
            analyse(
                "predictions", Target(model=collapsed(0.0), val=scored(3), loss=loss), context=KEPT
            )
        )
        == []
    )


def test_skewed_classes_that_are_told_apart_are_no_collapse() -> None:
    labels = (torch.arange(1000) % 100 == 0).long()
    good = F.one_hot(labels, 2) + 0.1 * torch.randn(1000, 2)
    target = Target(model=Echo(), val=[(good, labels)], loss=nn.CrossEntropyLoss())
    outcome = analyse("predictions", target, context=KEPT)
    assert outcome.result["majority_fraction"] > 0.97
    assert outcome.findings == []
    blind = Target(
        model=Echo(),
        val=[(torch.tensor([5.0, 0.0]) + 0.1 * torch.randn(1000, 2), labels)],
        loss=nn.CrossEntropyLoss(),
    )
    [found] = analyse("predictions", blind, context=KEPT).findings
    assert found["causes"][0]["cause"] == "skewed classes"


def test_an_output_that_never_changes_is_told() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        model[0].bias.fill_(-1000)
    target = Target(model=model, val=scored(3), loss=nn.CrossEntropyLoss())
    outcome = analyse("predictions", target, context=KEPT)
    [found] = outcome.findings
    assert (found["id"], found["severity"]) == ("class_collapse", "critical")
    assert outcome.result["output_diversity"] == 0.0


def normed(*, spoil: bool) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=1.0), Echo())
    with torch.no_grad():
        model(torch.cat([x for x, _ in scored(3)]))
        if spoil:
            model[0].running_mean += torch.tensor([0.0, 0.0, -9.0])
    return model


def test_running_statistics_that_do_not_fit_are_found() -> None:
    healthy, spoilt = (
        analyse(
            "predictions",
            Target(model=normed(spoil=spoil), val=scored(3), loss=nn.CrossEntropyLoss()),
            context=KEPT,
        )
        for spoil in (False, True)
    )
    assert healthy.findings == []
    assert abs(healthy.result["train_eval_gap"]) < 0.05
    assert "train_eval_gap" in ids(spoilt)
    assert spoilt.result["train_eval_gap"] < -0.3
    assert spoilt.result["train_mode_accuracy"] > 0.7
    assert "batch norm" in spoilt.findings[-1]["causes"][0]["cause"]


def test_dropout_costs_accuracy_in_training_mode_and_is_healthy() -> None:
    model = nn.Sequential(Echo(), nn.Dropout(0.6))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    target = Target(model=model, val=scored(4), loss=nn.CrossEntropyLoss())
    first, second = (analyse("predictions", target, context=KEPT) for _ in range(2))
    assert first.result == second.result
    assert first.result["train_eval_gap"] > 0.1
    assert first.findings == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_models_of_language_their_ignored_labels_and_samples() -> None:
    class Hugging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Embedding(11, 11)

        def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> Any:
            logits = self.body(input_ids)
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
            return SimpleNamespace(loss=loss, logits=logits)

    tokens = torch.randint(0, 11, (4, 9))
    labels = tokens.clone()
    labels[:, 5:] = -100
    data = [{"input_ids": tokens, "labels": labels}] * 3
    model = Hugging()
    result = analyse("predictions", Target(model=model, train=data), samples=20).result
    said = model.body(tokens[:, :4]).argmax(-1).flatten()
    expected = (said == tokens[:, 1:5].flatten()).float().mean()
    assert (result["samples"], result["split"]) == (32, "train")
    assert result["accuracy"] == pytest.approx(float(expected))


def test_outputs_without_a_loss_go_with_the_last_part_of_the_batch() -> None:
    data = scored(3)
    plain = analyse("predictions", Target(model=Echo(), val=data)).result
    by_loss = analyse(
        "predictions", Target(model=Echo(), val=data, loss=nn.CrossEntropyLoss())
    ).result
    assert plain["confusion"] == by_loss["confusion"]
    custom = Target(
        model=Echo(), val=data, loss=lambda z, y: (z.logsumexp(1) - z[:, 0] + 0 * y).mean()
    )
    assert analyse("predictions", custom).result["confusion"] == by_loss["confusion"]


def test_many_classes_are_listed_by_how_often_they_come_up() -> None:
    counts = Confusion(50_000)
    labels = np.concatenate([np.arange(500), np.repeat(49_999, 7)])
    counts.add(labels, labels)
    counts.add(np.array([49_999]), np.array([3]))
    listed = counts.listed()
    assert len(listed) == 100
    assert {3, 49_999} <= set(listed)
    assert len(counts.matrix(listed)) == 100
    assert counts.worst_pairs(3) == [{"label": 49_999, "predicted": 3, "count": 1}]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target(model=Echo()), "needs val or train"),
        (Target(model=Echo(), val=[]), "no batch with labels"),
        (Target(model=Echo(), val=[torch.ones(3, 2)]), "no labels"),
        (Target(model=Echo(), val=[(torch.ones(3, 2), torch.zeros(5).long())]), "do not go"),
        (
            Target(model=Echo(), val=scored(3), step=lambda m, b: (m(b[0]) ** 2).mean()),
            "no known loss function",
        ),
        (
            Target(model=Echo(), val=[*scored(3), *scored(4)], loss=nn.CrossEntropyLoss()),
            "one kind",
        ),
    ],
)
def test_what_cannot_be_counted_is_said(target: Target, text: str) -> None:
    with pytest.raises(AnalysisFailedError, match=text):
        analyse("predictions", target)
