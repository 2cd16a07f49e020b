"""A Hugging Face checkpoint folder as a target of its own: its config says what the model is.

The classes are those of the transformers installed in the training environment. Code that the
folder brings along (`auto_map`) is never run.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.target import Target

if TYPE_CHECKING:
    import torch

LEARNING_RATE = 5e-5
"""That of transformers' Trainer, where the user says none."""


def target_of_folder(folder: Path, data: Path | None) -> Target:
    """The model that `config.json` describes, freshly built, and batches made of text.

    Args:
        folder: With `config.json`, and for text the tokenizer's files.
        data: A text or jsonl file; None: no data.

    Raises:
        AnalysisFailedError: transformers is missing, does not know the model, or the data is bad.
    """
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError:
        raise AnalysisFailedError(
            f"{folder} is a Hugging Face folder, which needs the package transformers in the "
            "training environment: install it there, or name a --target"
        ) from None
    try:
        config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 - a library's many ways to say no
        raise _unusable(folder, "config.json", error) from None
    model_class = _model_class(transformers, config, folder)
    try:
        model = model_class(config)
    except Exception as error:  # noqa: BLE001 - the same
        raise _unusable(folder, "model", error) from None
    train = None
    if data is not None:
        from traintop.analyses.text_batches import batches_of_file

        causal = model_class.__name__.endswith(("ForCausalLM", "LMHeadModel"))
        train = batches_of_file(data, _tokenizer(transformers, folder), causal=causal)
    return Target(model=model, train=train, optimizer=_adamw)


def _model_class(transformers: Any, config: Any, folder: Path) -> Any:
    names = list(getattr(config, "architectures", None) or [])
    if not names:
        raise AnalysisFailedError(
            f"{folder}/config.json names no architectures: name a --target that builds the model"
        )
    found = getattr(transformers, names[0], None)
    if found is None:
        raise AnalysisFailedError(
            f"transformers {transformers.__version__} has no {names[0]}, which the config.json of "
            f"{folder} names (code of the folder itself is not run): name a --target"
        )
    return found


def _tokenizer(transformers: Any, folder: Path) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 - the same
        raise _unusable(folder, "tokenizer", error) from None


def _unusable(folder: Path, what: str, error: Exception) -> AnalysisFailedError:
    first = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
    return AnalysisFailedError(
        f"the {what} of {folder} cannot be used ({type(error).__name__}: {first}): name a --target"
    )


def _adamw(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    import torch

    return torch.optim.AdamW(parameters, lr=LEARNING_RATE)
