"""Numbers as people read them: short, without losing what differs."""

from __future__ import annotations

import math

VALUE_WIDTH = 11
"""The longest text of `format_value`: `-1.2346e-05`."""

_SUFFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def format_value(value: float) -> str:
    """Format a metric with five significant digits; integers below ten million are kept whole."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    size = abs(value)
    if size < 1e7 and value == int(value):
        return str(int(value))
    if 1e5 <= size < 1e7:
        return f"{value:.0f}"
    return f"{value:.5g}"


def format_count(count: float) -> str:
    """Format a count in at most about five characters: `1234`, `12.3k`, `1.2M`."""
    if not math.isfinite(count):
        return format_value(count)
    if abs(count) < 10_000:
        return str(round(count))
    for unit, suffix in _SUFFIXES:
        # 999,960 would round to 1000.0k.
        if abs(count) >= unit * 0.99995:
            scaled = count / unit
            return f"{scaled:.0f}{suffix}" if abs(scaled) >= 100 else f"{scaled:.3g}{suffix}"
    return str(round(count))


def format_duration(seconds: float) -> str:
    """Format a duration by its two largest units: `0.25s`, `8s`, `1m05`, `1h05`, `2d03h`."""
    if not math.isfinite(seconds):
        return format_value(seconds)
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 1:
        return f"{seconds:.2g}s" if seconds else "0s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h" if days < 10_000 else f"{days:.3g}d"


def format_bytes(size: float) -> str:
    """Format a size in memory or on disk: `512 B`, `1.5 GiB`."""
    if not math.isfinite(size):
        return format_value(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1000 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" or abs(size) >= 100 else f"{size:.3g} {unit}"
