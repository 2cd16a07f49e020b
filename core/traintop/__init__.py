"""traintop, the live training debugger in the terminal.

A training script needs only what is named here, and importing it costs nothing: the recorder is
loaded when it is first used, and PyTorch only by a script that has loaded it already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traintop.analyses.target import Target
    from traintop.opening import open_run
    from traintop.recorder import Recorder

__version__ = "0.1.0"
__all__ = ["Recorder", "Target", "__version__", "open_run"]

_HOMES = {
    "Recorder": "traintop.recorder",
    "Target": "traintop.analyses.target",
    "open_run": "traintop.opening",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'traintop' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
