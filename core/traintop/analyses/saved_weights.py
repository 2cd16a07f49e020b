"""The state of a model put aside, so that a test may change it and begin again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class SavedBuffers:
    """What a forward pass may change: buffers, and what modules keep as attributes (RNN states)."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._buffers = [
            (module, name, buffer, buffer.detach().clone())
            for module in model.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]
        self._attributes = [
            (vars(module), {key: kept for key, kept in vars(module).items() if key != "training"})
            for module in model.modules()
        ]

    def restore(self) -> None:
        """Put it back; modes stay as they are."""
        import torch

        for held, kept in self._attributes:
            held.update(kept)
        with torch.no_grad():
            for module, name, buffer, value in self._buffers:
                buffer.copy_(value)
                # Some modules put a new tensor in its place at each call.
                setattr(module, name, buffer)


class SavedWeights:
    """The parameters of a model, and what `SavedBuffers` holds."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._parameters = [(each, each.detach().clone()) for each in model.parameters()]
        self._buffers = SavedBuffers(model)

    def restore(self) -> None:
        """Put them back; gradients are dropped."""
        import torch

        with torch.no_grad():
            for parameter, value in self._parameters:
                parameter.copy_(value)
                parameter.grad = None
        self._buffers.restore()

    def changed(self) -> bool:
        """Whether any parameter has changed since."""
        import torch

        return any(not torch.equal(parameter, value) for parameter, value in self._parameters)
