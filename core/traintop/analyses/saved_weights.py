"""The weights of a model put aside, so that a test may change them and begin again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class SavedWeights:
    """The parameters and buffers of a model as they are now."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._held = [(t, t.detach().clone()) for t in (*model.parameters(), *model.buffers())]

    def restore(self) -> None:
        """Put them back; gradients are dropped."""
        import torch

        with torch.no_grad():
            for tensor, value in self._held:
                tensor.copy_(value)
                tensor.grad = None
