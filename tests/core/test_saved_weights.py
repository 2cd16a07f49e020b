"""State that a test changes is put back, wherever the model keeps it."""

from __future__ import annotations

import torch
from torch import nn

from traintop.analyses.saved_weights import SavedBuffers, SavedWeights


class Stateful(nn.Module):
    """Keeps state in a buffer, in a buffer that is replaced at each call, and in an attribute."""

    total: torch.Tensor
    last: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("total", torch.zeros(2))
        self.register_buffer("last", torch.zeros(2))
        self.hidden: tuple[torch.Tensor, ...] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        if self.hidden is not None:
            y = y + self.hidden[0]
        self.total += y.detach().sum(0)
        self.last = y.detach()[0]
        self.hidden = (y.detach(),)
        return y


def test_every_kind_of_state_is_put_back_each_time() -> None:
    model, x = Stateful(), torch.randn(3, 2)
    saved = SavedWeights(model)
    first = model(x)
    for _ in range(2):
        with torch.no_grad():
            model.layer.weight.fill_(float("nan"))
        model(x).sum().backward()
        saved.restore()
        assert model.layer.weight.grad is None
        assert model.hidden is None
        assert not model.total.any()
        assert not model.last.any()
        assert dict(model.named_buffers()).keys() == {"total", "last"}
        assert torch.equal(model(x), first)


def test_buffers_alone_leave_weights_and_modes() -> None:
    model = Stateful()
    saved = SavedBuffers(model)
    model.eval()
    model(torch.randn(3, 2))
    with torch.no_grad():
        model.layer.bias.fill_(7.0)
    saved.restore()
    assert model.hidden is None
    assert not model.last.any()
    assert not model.training
    assert bool((model.layer.bias == 7.0).all())
