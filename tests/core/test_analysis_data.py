"""The data check: planted copies, drift and shifts are found, in healthy twins nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from target_driver import analyse, ids
from traintop.analyses import data
from traintop.analyses.context import AnalysisFailedError, Outcome
from traintop.analyses.target import Target

torch.set_num_threads(1)

Data = tuple[torch.Tensor, torch.Tensor]


def images(count: int, seed: int) -> Data:
    """Ten classes of blurred patterns with noise, shape (count, 1, 12, 12)."""
    patterns = torch.randn(10, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return patterns[labels] + 0.7 * torch.randn(count, 1, 12, 12, generator=generator), labels


def table(count: int, seed: int, columns: int = 6) -> Data:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, columns, generator=generator)
    return x, (x[:, 0] + 0.1 * torch.randn(count, generator=generator) > 0).long()


def tokens(count: int, seed: int) -> Data:
    x = torch.randint(0, 200, (count, 24), generator=torch.Generator().manual_seed(seed))
    return x, x.roll(-1, 1)


def loader(pair: Data, *, shuffle: bool = False) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*pair), batch_size=50, shuffle=shuffle)


def check(train: Any, val: Any = None, model: nn.Module | None = None, **options: float) -> Outcome:
    outcome = analyse("data", Target(model=model or nn.Flatten(), train=train, val=val), **options)
    json.dumps(outcome.result, allow_nan=False)
    assert all(isinstance(line, str) for line in data.summary(outcome.result))
    return outcome


@pytest.mark.parametrize("make", [images, table, tokens])
def test_nothing_is_said_of_healthy_splits(make: Callable[[int, int], Data]) -> None:
    outcome = check(loader(make(800, 1), shuffle=True), loader(make(300, 2)))
    assert outcome.findings == []
    overlap = outcome.result["overlap"]
    assert (overlap["exact"], overlap["near"]) == (0, 0)
    train, val = (outcome.result["splits"][name] for name in ("train", "val"))
    assert (train["samples"], val["samples"], train["duplicates"]) == (800, 300, 0)
    assert train["complete"]


def test_statistics_of_the_parts_are_numpys() -> None:
    x, y = images(300, 1)
    split = check(loader((x, y))).result["splits"]["train"]
    part, label = split["parts"]
    values = x.double().numpy()
    assert (part["role"], part["shape"], part["dtype"]) == ("input", [1, 12, 12], "float32")
    assert [part["min"], part["max"], part["mean"], part["std"]] == pytest.approx(
        [values.min(), values.max(), values.mean(), values.std()]
    )
    assert (label["role"], label["dtype"], label["max"]) == ("label", "int64", 9)
    counted = {
        str(value): int(count)
        for value, count in zip(*np.unique(y, return_counts=True), strict=True)
    }
    assert split["class_counts"] == counted


@pytest.mark.parametrize("make", [images, table, tokens])
def test_copies_between_the_splits_are_counted_exactly(make: Callable[[int, int], Data]) -> None:
    x, y = make(800, 1)
    a, b = make(300, 2)
    a[40:70], b[40:70] = x[100:130], y[100:130]
    train = [(x[at : at + 50], y[at : at + 50]) for at in range(0, 800, 50)]
    outcome = check(train, loader((a, b)))
    assert outcome.result["overlap"]["exact"] == 30
    assert {pair[0] for pair in outcome.result["overlap"]["pairs"]} <= set(range(40, 70))
    assert [(each["id"], each["severity"]) for each in outcome.findings] == [
        ("val_leakage", "warning")
    ]
    assert outcome.findings[0]["evidence"][0]["value"] == pytest.approx(0.1)


@pytest.mark.parametrize("make", [images, table])
def test_copies_with_some_noise_are_found(make: Callable[[int, int], Data]) -> None:
    x, y = make(800, 1)
    a, b = make(300, 2)
    noise = torch.randn(a[:30].shape, generator=torch.Generator().manual_seed(5))
    a[:30], b[:30] = x[:30] + 0.005 * noise, y[:30]
    outcome = check(loader((x, y)), loader((a, b)))
    overlap = outcome.result["overlap"]
    assert overlap["exact"] == 0
    assert overlap["near"] == pytest.approx(30, abs=2)
    assert all(pair[0] == pair[1] and pair[2] == "near" for pair in overlap["pairs"])
    assert ids(outcome) == ["val_leakage"]


def test_few_values_agree_by_chance_and_are_no_leak() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 2, (1000, 6), generator=generator).float()
    y = torch.randint(0, 2, (1000,), generator=generator)
    outcome = check(loader((x[:700], y[:700])), loader((x[700:], y[700:])))
    assert outcome.result["overlap"]["exact"] > 290
    assert "val_leakage" not in ids(outcome)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_neighbours_in_few_dimensions_are_no_copies(dimensions: int) -> None:
    x, y = table(1500, 3, dimensions)
    outcome = check(loader((x[:1000], y[:1000])), loader((x[1000:], y[1000:])))
    assert outcome.findings == []


def test_drift_names_the_feature() -> None:
    x, y = table(800, 1)
    a, b = table(400, 2)
    a[:, 3] += 1.0
    outcome = check(loader((x, y)), loader((a, b)))
    drift = outcome.result["drift"]
    assert drift[0]["feature"] == "column 3"
    assert drift[0]["ks"] == pytest.approx(0.38, abs=0.06)
    assert all(row["ks"] < 0.15 for row in drift[1:])
    [found] = outcome.findings
    assert found["id"] == "train_val_mismatch"
    assert "column 3" in found["title"]


def test_splits_that_are_scaled_in_different_ways() -> None:
    x, y = images(500, 1)
    a, b = images(300, 2)
    outcome = check(loader((x, y)), loader((2 * a, b)))
    assert ids(outcome) == ["train_val_mismatch"]
    assert outcome.result["drift"][0]["feature"] == "deviation"


def test_splits_of_other_types_and_shapes() -> None:
    x, y = images(100, 1)
    a, b = images(100, 2)
    outcome = check(loader((x, y)), loader((a.double()[:, :, :10], b)))
    kinds = [each["severity"] for each in outcome.findings if "dtype" in each["title"]]
    assert kinds == ["warning"]
    assert any("[1, 10, 12] in val" in each["title"] for each in outcome.findings)


def test_labels_that_are_distributed_otherwise() -> None:
    x, y = images(900, 1)
    kept = (y < 5) | (torch.arange(900) % 4 == 0)
    outcome = check(loader((x, y)), loader(tuple(t[kept] for t in images(900, 2))))
    assert outcome.findings == []
    a, b = images(900, 2)
    kept = (b < 5) | (torch.arange(900) % 4 == 0)
    outcome = check(loader((x, y)), loader((a[kept], b[kept])))
    assert outcome.result["label_shift"] == pytest.approx(0.3, abs=0.07)
    assert ids(outcome) == ["train_val_mismatch"]


def test_classes_are_counted_and_weighed() -> None:
    x, y = images(900, 1)
    kept = (y > 0) | (torch.arange(900) % 30 == 0)
    outcome = check(loader((x[kept], y[kept])), loader(images(300, 2)))
    assert set(ids(outcome)) == {"class_imbalance"} | set(ids(outcome)) - {"class_imbalance"}
    assert [each["severity"] for each in outcome.findings if each["id"] == "class_imbalance"] == [
        "info"
    ]
    only = check(loader((x, torch.full_like(y, 4))))
    assert ids(only) == ["labels_broken"]
    missing = check(loader((x[y < 9], y[y < 9])), loader(images(300, 2)))
    assert "labels_broken" in ids(missing)
    assert any("that training has not: 9" in each["title"] for each in missing.findings)


def test_labels_that_do_not_go_with_their_inputs_show() -> None:
    x, y = images(800, 1)
    good = check(loader((x, y)))
    assert good.result["alignment"]["agreement"] > 0.5
    assert good.findings == []
    shuffled = y[torch.randperm(800, generator=torch.Generator().manual_seed(0))]
    bad = check(loader((x, shuffled)))
    assert bad.result["alignment"]["agreement"] < 0.2
    assert [(each["id"], each["severity"]) for each in bad.findings] == [("labels_broken", "info")]


def test_values_that_are_not_finite_are_placed() -> None:
    x, y = table(200, 1)
    x[77, 2] = torch.nan
    x[130, 0] = torch.inf
    outcome = check(loader((x, y)))
    [found] = outcome.findings
    assert (found["id"], found["severity"]) == ("nan_inf", "critical")
    assert "first in sample 77" in found["title"]
    assert outcome.result["splits"]["train"]["parts"][0]["nonfinite"] == 2
    z = torch.where(torch.arange(200) == 9, torch.nan, torch.randn(200))
    assert ids(check(loader((table(200, 1)[0], z)))) == ["labels_broken"]


def network(*first: nn.Module) -> nn.Module:
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(144, 10))


class Divide(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 128 - 1


@pytest.mark.parametrize(
    ("model", "normalised"),
    [
        (network(), False),
        (network(Divide()), True),
        (network(nn.BatchNorm2d(1)), True),
        (nn.Flatten(), False),
    ],
)
def test_inputs_are_judged_where_they_reach_the_first_layer(
    model: nn.Module, normalised: bool
) -> None:
    x, y = images(200, 1)
    outcome = check(loader((40 * x + 128, y)), model=model)
    assert outcome.result["normalised"] is normalised
    assert ids(outcome) == ([] if normalised else ["input_not_normalized"])


def test_inputs_that_the_model_makes_tiny() -> None:
    outcome = check(loader(images(200, 1)), model=network(Divide()))
    assert ids(outcome) == ["input_not_normalized"]
    assert check(loader(images(200, 1)), model=network()).findings == []


def test_token_numbers_need_no_scale() -> None:
    outcome = check(loader(tokens(100, 1)), model=nn.Embedding(200, 4))
    assert outcome.result["normalised"] is None
    assert outcome.findings == []


class Normalize:
    def __init__(self, mean: float) -> None:
        self.mean = mean

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean})"

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.mean


class RandomFlip(Normalize):
    def __repr__(self) -> str:
        return "RandomFlip()"


class Compose(Normalize):
    def __init__(self, *transforms: Normalize) -> None:
        self.transforms = list(transforms)


class Transformed(TensorDataset):
    def __init__(self, pair: Data, transform: Any) -> None:
        super().__init__(*pair)
        self.transform = transform


@pytest.mark.parametrize(
    ("ours", "theirs", "equal", "severities"),
    [
        (Compose(RandomFlip(0), Normalize(0.5)), Compose(Normalize(0.5)), True, []),
        (Compose(RandomFlip(0), Normalize(0.5)), Compose(Normalize(0.4)), False, ["warning"]),
        (Normalize(0.5), RandomFlip(0), False, ["warning", "info"]),
    ],
)
def test_transforms_are_set_side_by_side(
    ours: Any, theirs: Any, equal: bool, severities: list[str]
) -> None:
    train = Subset(Transformed(images(200, 1), ours), list(range(200)))
    val = Transformed(images(100, 2), theirs)
    outcome = check(DataLoader(train, batch_size=50), DataLoader(val, batch_size=50))
    assert outcome.result["transforms"]["equal"] is equal
    assert [each["severity"] for each in outcome.findings] == severities


def test_a_long_loader_that_does_not_shuffle_is_sampled() -> None:
    x, y = images(1000, 1)
    order = y.argsort()
    val = loader(images(200, 2))
    outcome = check(loader((x[order], y[order])), val, samples=300)
    split = outcome.result["splits"]["train"]
    assert (split["samples"], split["complete"], split["fair"]) == (300, False, True)
    assert len(split["class_counts"]) == 10
    assert outcome.findings == []

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            for at in order.tolist():
                yield x[at], y[at]

    streamed = check(DataLoader(Stream(), batch_size=50), val, samples=300)
    assert not streamed.result["splits"]["train"]["fair"]
    assert "train_val_mismatch" not in ids(streamed)


def test_batches_of_all_kinds() -> None:
    x, y = table(40, 1)
    named = [{"x": {"a": x, "b": x[:, :2]}, "labels": y, "text": ["t"] * 40}]
    parts = check(named).result["splits"]["train"]["parts"]
    assert [(part["name"], part["role"]) for part in parts] == [
        ("x.a", "input"),
        ("x.b", "input"),
        ("labels", "label"),
    ]
    boxes = [{"boxes": torch.ones(n, 4)} for n in (1, 2)]
    ragged = [([torch.ones(3, size, size) for size in (4, 5)], boxes)]
    parts = check(ragged).result["splits"]["train"]["parts"]
    assert [(part["name"], part["shape"]) for part in parts] == [
        ("0", [3, None, None]),
        ("1.boxes", [None, 4]),
    ]
    listed = [[{"x": x[i], "y": int(y[i])} for i in range(40)]]
    split = check(listed).result["splits"]["train"]
    assert split["samples"] == 40
    assert split["class_counts"] is not None
    arrays = [(x.numpy(), y.numpy())]
    assert check(arrays).result["splits"]["train"]["samples"] == 40


def test_inputs_that_are_all_the_same() -> None:
    x, y = images(100, 1)
    outcome = check(loader((torch.zeros_like(x), y)), loader((torch.zeros_like(x), y)))
    assert ids(outcome)[0] == "constant_input"
    assert outcome.result["overlap"]["exact"] == 0


def test_the_preview_shows_labels_beside_inputs() -> None:
    x, y = images(60, 1)
    preview = check(loader((x, y))).result["preview"]
    assert [each["label"] for each in preview] == y[:8].tolist()
    assert preview[3]["mean"] == pytest.approx(float(x[3].mean()), rel=1e-5)
    assert np.array(preview[0]["image"]).shape == (8, 8)


@pytest.mark.parametrize(
    ("train", "options", "text"),
    [
        ([], {}, "train holds no batch"),
        (["text"], {}, "no tensor"),
        (None, {}, "needs train"),
        ([torch.ones(3, 3)], {"samples": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_checked_is_said(train: Any, options: dict[str, float], text: str) -> None:
    with pytest.raises(AnalysisFailedError, match=text):
        check(train, **options)
