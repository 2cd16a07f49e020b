"""The parameters of a model in the order in which its modules are called.

The order of registration is the order of depth only where the author wrote it so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from torch import nn

Named = list[tuple[str, nn.Parameter]]
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_TABLES = ("pos", "emb", "token")
"""Parts of the names of embeddings that are bare parameters."""


class CallOrder:
    """While entered, notes which modules of a model are called, the first call of each."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._position: dict[str, int] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> CallOrder:
        """Begin to note."""
        for path, module in named_modules(self._model):
            self._handles.append(module.register_forward_pre_hook(self._note(path)))
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()

    def _note(self, path: str) -> Callable[[nn.Module, Any], None]:
        def called(_module: nn.Module, _inputs: Any) -> None:
            self._position.setdefault(path, len(self._position))

        return called

    def parameters(self) -> Named:
        """Every parameter once, by name, those of the module that is called first at the front.

        A module that is never called itself, as the output projection of torch's attention, stands
        where the one around it does.
        """
        named = list(self._model.named_parameters())
        return sorted(named, key=lambda pair: self._of(owner(pair[0])))

    def _of(self, path: str) -> int:
        while path and path not in self._position:
            path = owner(path)
        return self._position.get(path, 0)


def owner(name: str) -> str:
    """The path of the module that a parameter or a module belongs to; empty for the model."""
    return name.rpartition(".")[0]


def bare_name(name: str) -> str:
    """A name as the run records it: without what compiling and data-parallel wrappers put in."""
    return name.replace("_orig_mod.", "").removeprefix("module.")


def weight_matrices(model: nn.Module, named: Sequence[tuple[str, nn.Parameter]]) -> list[bool]:
    """Which of the parameters are matrices or kernels that a signal passes through.

    Biases, scales and embeddings are none: few elements, or rows that a batch does not touch, make
    their gradients and values what they are.
    """
    rows = {id(module.weight) for _, module in named_modules(model) if _embeds(module)}
    return [
        parameter.ndim >= 2 and id(parameter) not in rows and not _is_table(name, parameter)
        for name, parameter in named
    ]


def named_modules(model: nn.Module) -> Iterable[tuple[str, nn.Module]]:
    """Every module once, by its path."""
    return cast("Iterable[tuple[str, nn.Module]]", model.named_modules())


def _embeds(module: nn.Module) -> bool:
    return isinstance(module, _EMBEDDINGS)


def _is_table(name: str, parameter: nn.Parameter) -> bool:
    """Positions and tokens that are kept as bare parameters, added rather than multiplied."""
    leaf = name.rpartition(".")[2].lower()
    return "weight" not in leaf and (
        parameter.shape[0] == 1 or any(part in leaf for part in _TABLES)
    )
