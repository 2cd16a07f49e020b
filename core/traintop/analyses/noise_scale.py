"""The gradient noise scale: up to which batch size a larger batch makes for a better step.

McCandlish et al., "An Empirical Model of Large-Batch Training" (2018), appendix A.1: the squared
norms of gradients over b and over B samples tell apart |G|^2, that of the true gradient, and S, the
trace of the covariance of a single sample's. Their ratio S / |G|^2 is the simple noise scale:
batches far below it lower the loss for every sample that they add, far above it they waste samples.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NoiseScale:
    """What the gradients of some batches say."""

    scale: float | None
    """In samples; None where the gradient is lost in the noise of as many samples as were seen."""
    gradient: float
    """Estimate of the true gradient's squared norm; below zero where it is lost in the noise."""
    noise: float
    """Estimate of the trace of the covariance of a single sample's gradient."""
    samples: int
    """Samples seen: where `scale` is None, it is of this order or above."""


def noise_scale(squares: float, square_of_mean: float, small: int, batches: int) -> NoiseScale:
    """Estimate the noise scale, without bias in numerator and denominator.

    Args:
        squares: Mean of the squared norms of the gradients of the batches.
        square_of_mean: Squared norm of the mean of these gradients.
        small: Samples of each batch.
        batches: How many, at least 2.
    """
    large = small * batches
    gradient = (large * square_of_mean - small * squares) / (large - small)
    noise = (squares - square_of_mean) / (1 / small - 1 / large)
    return NoiseScale(
        scale=noise / gradient if gradient > 0 and noise >= 0 else None,
        gradient=gradient,
        noise=noise,
        samples=large,
    )
