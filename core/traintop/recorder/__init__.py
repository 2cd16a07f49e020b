"""The recorder: what a training script imports to leave a record that traintop can follow.

Importing this costs nothing that the script has not paid already: the standard library, and the
script's own PyTorch once a `Recorder` is made.
"""

from __future__ import annotations

from traintop.recorder.recorder import Recorder

__all__ = ["Recorder"]
