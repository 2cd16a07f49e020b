"""The loss landscape against losses that are known in closed form, and a Hessian by brute force."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from traintop.analyses import ANALYSES, loss_landscape
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.curvature import largest_eigenvalue
from traintop.analyses.landscape_directions import filter_normalised, moved, random_direction
from traintop.analyses.target import Target

torch.set_num_threads(1)

KEYS = {"alphas", "betas", "losses", "center_loss", "sharpness"}


def run(target: Target, **how: Any) -> Outcome:
    options: dict[str, float | None] = {
        option.name: option.default for option in ANALYSES["loss_landscape"].options
    }
    options.update({"points": 5, "samples": 48} | how.pop("options", {}))
    log = how.pop("log", lambda _text: None)
    context = Context(
        target=target,
        model=target.model,
        device=torch.device("cpu"),
        options=options,
        seed=how.pop("seed", 0),
        progress=lambda _done, _total, _what: None,
        point=how.pop("point", lambda _x, _y, _series: None),
        log=log,
        **how,
    )
    return loss_landscape.run(context)


class Quadratic(nn.Module):
    """Half the sum of w^2 times the curvatures of a single vector of weights."""

    def __init__(self, curvatures: list[float]) -> None:
        super().__init__()
        self.curvatures = torch.tensor(curvatures)
        self.w = nn.Parameter(torch.linspace(1, 2, len(curvatures)))

    def forward(self, _batch: torch.Tensor) -> torch.Tensor:
        return (self.curvatures * self.w**2).sum() / 2


def quadratic(curvatures: list[float], lr: float = 0.1, **sgd: Any) -> Target:
    return Target(
        model=Quadratic(curvatures),
        train=[torch.zeros(1)],
        step=lambda model, batch: model(batch),
        optimizer=lambda params: torch.optim.SGD(params, lr=lr, **sgd),
    )


def data(classes: int = 3) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(16, 6, generator=generator),
            torch.randint(classes, (16,), generator=generator),
        )
        for _ in range(3)
    ]


def network(*middle: nn.Module) -> Target:
    torch.manual_seed(0)
    return Target(
        model=nn.Sequential(nn.Linear(6, 8), *middle, nn.Linear(8, 3)),
        train=data(),
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
    )


def full_hessian(target: Target) -> torch.Tensor:
    """Column by column, by central differences of gradients in double precision."""
    model = target.model.double()
    x = torch.cat([each[0] for each in data()]).double()
    y = torch.cat([each[1] for each in data()])

    def gradient() -> torch.Tensor:
        loss = nn.functional.cross_entropy(model(x), y)
        found = torch.autograd.grad(loss, list(model.parameters()))
        return torch.cat([each.flatten() for each in found])

    columns: list[torch.Tensor] = []
    for parameter in model.parameters():
        flat = parameter.detach().view(-1)
        for index in range(len(flat)):
            kept = float(flat[index])
            flat[index] = kept + 1e-5
            above = gradient()
            flat[index] = kept - 1e-5
            columns.append((above - gradient()) / 2e-5)
            flat[index] = kept
    return torch.stack(columns)


@pytest.mark.parametrize("curvatures", [[1.0, 3.0, 20.0], [5.0], [-4.0, 1.0], [-9.0, 2.0]])
def test_the_sharpness_of_a_quadratic_is_its_largest_curvature(curvatures: list[float]) -> None:
    result = run(quadratic(curvatures), options={"iterations": 200}).result
    assert set(result) >= KEYS
    assert result["sharpness"] == pytest.approx(max(curvatures), rel=2e-2)
    assert result["edge_lr"] == pytest.approx(2 / result["sharpness"])


def test_the_sharpness_of_a_network_is_that_of_its_whole_hessian() -> None:
    target = network(nn.Tanh())
    found = run(target, options={"iterations": 300}).result
    assert found["sharpness_converged"]
    eigenvalues = torch.linalg.eigvalsh(full_hessian(target))
    assert found["sharpness"] == pytest.approx(float(eigenvalues[-1]), rel=2e-2)


def test_the_plane_of_a_quadratic_is_as_computed() -> None:
    target = quadratic([1.0, 3.0, 20.0])
    result = run(target, seed=4).result
    assert result["alphas"] == result["betas"] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    torch.manual_seed(4)
    model = target.model
    assert isinstance(model, Quadratic)
    one, other = (filter_normalised(random_direction([model.w]), [model.w])[0] for _ in "ab")
    for i, alpha in enumerate(result["alphas"]):
        for j, beta in enumerate(result["betas"]):
            w = model.w.detach() + alpha * one + beta * other
            expected = float((model.curvatures * w**2).sum() / 2)
            assert result["losses"][i][j] == pytest.approx(expected, rel=1e-5)
    assert result["center_loss"] == result["losses"][2][2]


def test_along_the_update_the_lowest_is_where_it_should_be() -> None:
    """Of one curvature k, the step lr * k * w goes 1 / (lr * k) of the way to the minimum."""
    for lr, lowest in ((0.125, 4.0), (0.5, 1.0), (1.0, 0.5)):
        line = run(quadratic([2.0], lr=lr)).result["update"]
        assert line["lowest_at"] == pytest.approx(lowest)
        at = dict(zip(line["multiples"], line["losses"], strict=True))
        assert at[0.0] == pytest.approx(1.0)
        assert at[1.0] == pytest.approx((1 - 2 * lr) ** 2)
        assert line["optimizer"] == "SGD"


@pytest.mark.parametrize(
    ("lr", "momentum", "found"),
    [(0.09, 0.0, False), (0.19, 0.0, False), (0.21, 0.0, True), (0.21, 0.9, False)],
)
def test_a_learning_rate_far_above_the_edge_is_a_finding(
    lr: float, momentum: float, found: bool
) -> None:
    outcome = run(quadratic([1.0, 20.0], lr=lr, momentum=momentum), step=70)
    assert [each["id"] for each in outcome.findings] == (["lr_too_high"] if found else [])
    for each in outcome.findings:
        assert each["onset_step"] == 70
        assert each["evidence"][0]["value"] == pytest.approx(2.1, rel=1e-2)


def test_the_checkpoints_learning_rate_is_the_one_that_is_judged() -> None:
    target = quadratic([20.0], lr=0.01)
    assert target.optimizer is not None
    optimizer = target.optimizer(target.model.parameters())
    optimizer.param_groups[0]["lr"] = 1.0
    outcome = run(target, optimizer_state=optimizer.state_dict())
    assert outcome.result["update"]["lr"] == 1.0
    assert [each["id"] for each in outcome.findings] == ["lr_too_high"]


@pytest.mark.parametrize(
    "middle",
    [
        (nn.BatchNorm1d(8), nn.ReLU()),
        (nn.ReLU(), nn.Dropout(0.5)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),),
    ],
    ids=["batch norm", "dropout", "attention"],
)
def test_layers_of_all_kinds_and_nothing_is_changed(middle: tuple[nn.Module, ...]) -> None:
    target = network(*middle)
    if len(middle) == 1:
        target.model = nn.Sequential(
            nn.Linear(6, 8), nn.Unflatten(1, (1, 8)), *middle, nn.Flatten(), nn.Linear(8, 3)
        )
    before = {name: value.clone() for name, value in target.model.state_dict().items()}
    first = run(target).result
    assert first["sharpness"] > 0
    assert run(target).result == first
    for name, value in target.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    x = torch.cat([each[0] for each in data()])
    y = torch.cat([each[1] for each in data()])
    target.model.eval()
    with torch.no_grad():
        center = float(nn.functional.cross_entropy(target.model(x), y))
    assert first["center_loss"] == pytest.approx(center, rel=1e-5)


def test_filters_are_as_large_as_those_of_the_weights_and_biases_stay() -> None:
    torch.manual_seed(0)
    weights = [torch.randn(5, 3, 2), torch.randn(5), torch.zeros(2, 4)]
    direction = filter_normalised(random_direction(weights), weights)
    for part, weight in zip(direction[0], weights[0], strict=True):
        assert float(part.norm()) == pytest.approx(float(weight.norm()), rel=1e-5)
    assert not direction[1].any()
    assert not direction[2].any()
    [vector] = filter_normalised(random_direction(weights[1:2]), weights[1:2])
    assert float(vector.norm()) == pytest.approx(float(weights[1].norm()), rel=1e-5)


def test_weights_come_back_just_as_they_were() -> None:
    weight = torch.full((3,), 0.1)
    with moved([weight], [(0.3, [torch.ones(3)])]):
        assert weight[0] == pytest.approx(0.4)
    assert torch.equal(weight, torch.full((3,), 0.1))


def test_eigenvalues_of_random_matrices() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        matrix = torch.randn(12, 12, dtype=torch.float64)
        matrix = matrix + matrix.T
        found = largest_eigenvalue(
            lambda v, m=matrix: [m @ v[0]],  # type: ignore[misc] # a default of a lambda
            [torch.randn(12, dtype=torch.float64)],
            iterations=5000,
            tolerance=1e-9,
        )
        assert found.converged
        assert found.value == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=1e-3)
    zero = largest_eigenvalue(lambda v: [0 * v[0]], [torch.ones(3)], iterations=5, tolerance=1e-3)
    assert (zero.value, zero.converged) == (0.0, True)


class OnceOnly(torch.autograd.Function):
    """Can be differentiated once."""

    @staticmethod
    def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(_ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * 2


def test_without_second_derivative_or_optimizer_the_rest_is_there() -> None:
    class Once(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = OnceOnly.apply(x)  # type: ignore[no-untyped-call] # torch's
            return found.tanh()

    target = network(Once())
    target.optimizer = None
    said: list[str] = []
    result = run(target, log=said.append).result
    assert result["sharpness"] is None
    assert result["update"] is None
    assert np.isfinite(result["losses"]).all()
    assert any("differentiated twice" in line for line in said)
    assert any("differentiated twice" in line for line in loss_landscape.summary(result))


def test_losses_that_overflow_are_kept_and_counted() -> None:
    target = quadratic([1e37, 1e37, 1e37])
    told: list[float] = []
    options = {"span": 1e3, "iterations": 0}
    result = run(target, options=options, point=lambda _x, y, _series: told.append(y)).result
    assert np.isfinite(told).all()
    assert not np.isfinite(result["losses"][0]).all()
    assert any("not finite" in line for line in loss_landscape.summary(result))


def test_both_axes_are_told_live() -> None:
    points: list[tuple[float, float, str]] = []
    result = run(network(nn.ReLU()), point=lambda x, y, s: points.append((x, y, s))).result
    along = [(x, y) for x, y, series in points if series == "along alpha"]
    assert [x for x, _ in along] == result["alphas"]
    assert [y for _, y in along] == [row[2] for row in result["losses"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 4}, "odd"),
        ({"points": 1}, "odd"),
        ({"span": 0.0}, "span"),
        ({"samples": 0}, "samples"),
    ],
)
def test_bad_options_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(AnalysisFailedError, match=message):
        run(quadratic([1.0]), options=options)


def test_bad_weights_and_bad_data_are_said_so() -> None:
    broken = quadratic([1.0])
    with torch.no_grad():
        next(broken.model.parameters()).fill_(math.nan)
    with pytest.raises(AnalysisFailedError, match="nan_source"):
        run(broken)
    empty = quadratic([1.0])
    empty.train = []
    with pytest.raises(AnalysisFailedError, match="no batch"):
        run(empty)
    frozen = quadratic([1.0])
    frozen.model.requires_grad_(False)
    with pytest.raises(AnalysisFailedError, match="frozen"):
        run(frozen)
