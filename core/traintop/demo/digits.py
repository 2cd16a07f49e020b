"""Images of digits, made on the spot: a bitmap font, turned, shifted, scaled and noisy."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

CLASSES = 10
SIZE = 16
NOISE = 0.6

# Five columns by seven rows, one row of bits a number, from the top.
_FONT = (
    (0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110),
    (0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110),
    (0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111),
    (0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110),
    (0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010),
    (0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110),
    (0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110),
    (0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000),
    (0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110),
    (0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100),
)


def make_digits(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw digits: turned by up to 20 degrees, scaled by 20 %, shifted by 2 pixels, with noise.

    Args:
        count: How many.
        seed: The same seed draws the same images.

    Returns:
        Images of shape (count, 1, 16, 16) with mean 0 and deviation 1, labels of shape (count,).
    """
    random = torch.Generator().manual_seed(seed)

    def spread(width: float) -> Tensor:
        return (torch.rand(count, generator=random) * 2 - 1) * width

    labels = torch.randint(0, CLASSES, (count,), generator=random)
    angle, scale = spread(math.radians(20)), 1 + spread(0.2)
    rows = torch.stack(
        [
            torch.stack([angle.cos() / scale, -angle.sin() / scale, spread(4 / SIZE)], dim=1),
            torch.stack([angle.sin() / scale, angle.cos() / scale, spread(4 / SIZE)], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(rows, [count, 1, SIZE, SIZE], align_corners=False)
    images = functional.grid_sample(_glyphs()[labels], grid, align_corners=False)
    images += NOISE * torch.randn(images.shape, generator=random)
    return (images - images.mean()) / images.std(), labels


def _glyphs() -> Tensor:
    """The font at the size of the images; shape (10, 1, 16, 16)."""
    bits = [[[row >> (4 - column) & 1 for column in range(5)] for row in rows] for rows in _FONT]
    glyphs = torch.tensor(bits, dtype=torch.float32)[:, None]
    glyphs = functional.interpolate(glyphs, size=(14, 10), mode="nearest")
    return functional.pad(glyphs, (3, 3, 1, 1))
