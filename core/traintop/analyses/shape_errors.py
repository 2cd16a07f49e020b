"""Why a module cannot take the input that it is given: the shapes it wants beside those it gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

Advice = tuple[str, str]
"""What is wrong, and what to do about it."""


def explain(module: nn.Module, given: torch.Tensor) -> Advice | None:
    """Explain why `module` fails on `given`; None where its shape and type are as wanted."""
    shape = tuple(given.shape)
    if isinstance(module, nn.Embedding):
        return _embedding(module, given)
    if isinstance(module, nn.Linear):
        return _linear(module, shape)
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return _convolution(module, shape, len(module.kernel_size))
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        channels = module.num_features
        if len(shape) < 2 or shape[1] != channels:
            return f"it wants {channels} features along axis 1, and gets {shape}", (
                f"set num_features={shape[1]}" if len(shape) > 1 else "give it a batch"
            )
        return None
    if isinstance(module, nn.LayerNorm):
        wanted = tuple(module.normalized_shape)
        if shape[-len(wanted) :] != wanted:
            text = f"it wants {wanted} in the last axes, and gets {shape}"
            return text, f"set normalized_shape={shape[-len(wanted) :]}"
        return None
    if isinstance(module, nn.RNNBase):
        return _last(shape, module.input_size, "input_size")
    if isinstance(module, nn.MultiheadAttention):
        return _last(shape, int(cast("int", module.embed_dim)), "embed_dim")
    return None


def explain_type(module: nn.Module, given: torch.Tensor) -> Advice | None:
    """Explain a type of number, or a device, that is not the module's."""
    weight = next(module.parameters(recurse=False), None)
    if weight is None or isinstance(module, nn.Embedding):
        return None
    if weight.device != given.device:
        text = f"its weights are on {weight.device}, its input on {given.device}"
        return text, "move both to the same device"
    if weight.dtype != given.dtype:
        wanted, got = _dtype(weight), _dtype(given)
        return f"its weights are {wanted}, its input {got}", f"convert the input with .to({wanted})"
    return None


def _linear(module: nn.Linear, shape: Sequence[int]) -> Advice | None:
    wanted = module.in_features
    if shape and shape[-1] == wanted:
        return None
    text = f"it wants {wanted} features in the last axis, and gets {tuple(shape)}"
    flat = math.prod(shape[1:])
    if len(shape) > 2 and flat == wanted:
        return text, "flatten its input: nn.Flatten() before it"
    if len(shape) > 2:
        return text, f"flatten its input and set in_features={flat}, or pool it to one value"
    return text, f"set in_features={shape[-1] if shape else 1}, or change the layer before it"


def _convolution(module: nn.Module, shape: Sequence[int], axes: int) -> Advice | None:
    wanted = int(getattr(module, "in_channels", 0))
    if len(shape) == axes + 2 and shape[1] == wanted:
        kernel = tuple(getattr(module, "kernel_size", ()))
        text = f"its kernel {kernel} is larger than its input {tuple(shape[2:])}"
        return text, "give larger inputs, or leave out a stride or a pooling before it"
    text = f"it wants {wanted} channels along axis 1, and gets {tuple(shape)}"
    if len(shape) == axes + 1 and wanted == 1:
        return text, "add the axis of channels: x.unsqueeze(1)"
    if len(shape) == axes + 1:
        return text, "give it a batch: x.unsqueeze(0), or add the axis of channels"
    if len(shape) == axes + 2 and shape[-1] == wanted:
        order = ", ".join(str(axis) for axis in (0, axes + 1, *range(1, axes + 1)))
        return text, f"channels come last: x.permute({order})"
    if len(shape) == axes + 2:
        return text, f"set in_channels={shape[1]}, or change what is loaded"
    return text, f"give it {axes + 2} axes"


def _embedding(module: nn.Embedding, given: torch.Tensor) -> Advice | None:
    if given.is_floating_point():
        return f"it wants token numbers, and gets {_dtype(given)}", "convert the input with .long()"
    low, high = (int(given.min()), int(given.max())) if given.numel() else (0, 0)
    if low < 0 or high >= module.num_embeddings:
        text = f"it has {module.num_embeddings} rows, and gets numbers from {low} to {high}"
        return text, f"set num_embeddings={high + 1}, or look at the tokenizer"
    return None


def _last(shape: Sequence[int], wanted: int, name: str) -> Advice | None:
    if shape and shape[-1] == wanted:
        return None
    text = f"it wants {wanted} features in the last axis, and gets {tuple(shape)}"
    return text, f"set {name}={shape[-1] if shape else 1}"


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype)
