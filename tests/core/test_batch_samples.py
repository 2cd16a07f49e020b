"""Batches of another size, for all that users and data loaders make batches of."""

from __future__ import annotations

import math
from collections import UserDict, namedtuple
from typing import Any

import pytest
import torch

from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.samples import count, pick, resized

Pair = namedtuple("Pair", "x y")


def x(*shape: int) -> torch.Tensor:
    return torch.arange(math.prod(shape)).reshape(shape)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict | UserDict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


MASK = x(9, 9)
CASES = [
    (x(4, 3), 4, x(4, 3)[[1, 3]]),
    ([x(4, 3), x(4)], 4, [x(4, 3)[[1, 3]], x(4)[[1, 3]]]),
    (Pair(x(4, 3), x(4)), 4, Pair(x(4, 3)[[1, 3]], x(4)[[1, 3]])),
    ({"a": x(4, 3), "n": 7}, 4, {"a": x(4, 3)[[1, 3]], "n": 7}),
    (UserDict(a=x(4)), 4, UserDict(a=x(4)[[1, 3]])),
    ([[x(4, 3), x(4, 2)], x(4)], 4, [[x(4, 3)[[1, 3]], x(4, 2)[[1, 3]]], x(4)[[1, 3]]]),
    ([x(4, 3), MASK, x(4)], 4, [x(4, 3)[[1, 3]], MASK, x(4)[[1, 3]]]),
    ((x(4, 3), ("a", "b", "c", "d")), 4, (x(4, 3)[[1, 3]], ("b", "d"))),
    ([{"a": n} for n in range(4)], 4, [{"a": 1}, {"a": 3}]),
    ([(x(n + 1), n) for n in range(4)], 4, [(x(2), 1), (x(4), 3)]),
    (
        ([x(n + 1) for n in range(4)], [{"id": n} for n in range(4)]),
        4,
        ([x(2), x(4)], [{"id": 1}, {"id": 3}]),
    ),
]


@pytest.mark.parametrize(("batch", "samples", "picked"), CASES)
def test_samples_are_counted_and_picked(batch: Any, samples: int, picked: Any) -> None:
    assert count(batch) == samples
    assert same(pick(batch, [1, 3]), picked)
    assert same(resized(batch, samples), batch)
    assert count(resized(batch, 11)) == 11


def test_as_many_inputs_as_samples_are_no_list_of_samples() -> None:
    batch = [x(2, 3), x(2)]
    assert same(pick(batch, [0]), [x(2, 3)[[0]], x(2)[[0]]])
    nested = ([x(2, 3), None], x(2))
    assert same(pick(nested, [1]), ([x(2, 3)[[1]], None], x(2)[[1]]))


def test_samples_come_round_again() -> None:
    assert resized(torch.arange(3), 7).tolist() == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("batch", [3, "text", object(), [], torch.tensor(1.0), {"n": 1}])
def test_what_cannot_be_cut_is_said_so(batch: Any) -> None:
    with pytest.raises(AnalysisFailedError, match="cannot be cut into samples"):
        count(batch)
