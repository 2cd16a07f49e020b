"""Batches for a language model, made of a text file or of a file with a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from traintop.analyses.context import AnalysisFailedError

BATCH_SIZE, MOST_TOKENS = 8, 512
MOST_SAMPLES = 4096
"""Samples taken of a file, from its start."""
MOST_CHARACTERS = 20_000
"""Of one sample before it is cut into tokens: more than `MOST_TOKENS` tokens have."""
IGNORED = -100
"""The label that torch's cross-entropy leaves out."""


def batches_of_file(path: Path, tokenizer: Any, *, causal: bool) -> list[dict[str, Any]]:
    """The file's samples as batches that a transformers model can be called with.

    A `.jsonl` file has objects with `text`, or with `input_ids`; further keys that are numbers or
    lists of them (`label`, `labels`) are kept. In any other file a sample is a paragraph: text
    between blank lines, or every line where there are none.

    Args:
        path: UTF-8.
        tokenizer: Called with a list of texts, as those of transformers are.
        causal: Predict each next token: the inputs are the labels where the file gives none.

    Raises:
        AnalysisFailedError: It cannot be read, holds nothing, or a line of it is no such object.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AnalysisFailedError(f"the data {path} cannot be read as text: {error}") from None
    samples = _json_lines(path, text) if path.suffix in (".jsonl", ".ndjson") else _paragraphs(text)
    if not samples:
        raise AnalysisFailedError(f"the data {path} holds no text")
    return [
        _batch(samples[start : start + BATCH_SIZE], tokenizer, path, causal=causal)
        for start in range(0, len(samples), BATCH_SIZE)
    ]


def _paragraphs(text: str) -> list[dict[str, Any]]:
    parts = [part for part in text.split("\n\n") if part.strip()]
    if len(parts) < 2:
        parts = [line for line in text.splitlines() if line.strip()]
    return [{"text": part} for part in parts[:MOST_SAMPLES]]


def _json_lines(path: Path, text: str) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found: Any = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        known = isinstance(found, dict) and (
            isinstance(found.get("text"), str) or _is_ids(found.get("input_ids"))
        )
        if not known:
            raise AnalysisFailedError(
                f"line {number} of {path} is no object with text, or with input_ids"
            )
        samples.append(cast("dict[str, Any]", found))
        if len(samples) == MOST_SAMPLES:
            break
    if len({"text" in sample for sample in samples}) > 1:
        raise AnalysisFailedError(f"some lines of {path} have text and some input_ids: take one")
    return samples


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(each) is int and each >= 0 for each in cast("list[object]", value)
    )


def _batch(
    samples: Sequence[Mapping[str, Any]], tokenizer: Any, path: Path, *, causal: bool
) -> dict[str, Any]:
    """One batch, padded to its longest sample; every tensor has shape (samples, ...)."""
    import torch

    pad = int(getattr(tokenizer, "pad_token_id", None) or 0)
    rows = [list(ids)[:MOST_TOKENS] for ids in _ids(samples, tokenizer)]
    width = max(1, *(len(row) for row in rows))
    real = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    batch: dict[str, Any] = {"input_ids": ids, "attention_mask": real}
    key = next((each for each in ("labels", "label") if each in samples[0]), None)
    if key is not None:
        try:
            batch["labels"] = torch.tensor(_padded([sample[key] for sample in samples], width))
        except (KeyError, TypeError, ValueError):
            raise AnalysisFailedError(
                f"{key!r} in {path} must be a number in every line, or a list with one a token"
            ) from None
    elif causal:
        batch["labels"] = ids.masked_fill(real == 0, IGNORED)
    return batch


def _ids(samples: Sequence[Mapping[str, Any]], tokenizer: Any) -> Iterator[list[int]]:
    if "text" not in samples[0]:
        yield from (sample["input_ids"] for sample in samples)
        return
    texts = [sample["text"][:MOST_CHARACTERS] for sample in samples]
    yield from tokenizer(texts, truncation=True, max_length=MOST_TOKENS)["input_ids"]


def _padded(labels: list[Any], width: int) -> list[Any]:
    if not isinstance(labels[0], list):
        return labels
    cut = [list(each)[:width] for each in cast("list[list[int]]", labels)]
    return [each + [IGNORED] * (width - len(each)) for each in cut]
