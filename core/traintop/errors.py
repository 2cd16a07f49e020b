"""The tree of traintop's exceptions. Each message names the file or key and says what to do.

TraintopError
├── PathError         a path that does not exist, cannot be read, or holds no run
├── SettingsError     a settings file with an unknown key or a value of the wrong kind
├── AnalysisError     an analysis that cannot start
└── EngineError       a cluster that cannot be used
"""

from __future__ import annotations


class TraintopError(Exception):
    """Base of what traintop raises on purpose; its text is shown to the user as it is."""


class PathError(TraintopError):
    """A path that does not exist, cannot be read, or holds no run."""


class SettingsError(TraintopError):
    """A settings file with an unknown key or a value of the wrong kind."""


class AnalysisError(TraintopError):
    """An analysis that cannot start: no such analysis, no target, no checkpoint, no interpreter."""


class EngineError(TraintopError):
    """A cluster that cannot be used: its package is missing, or it cannot be reached."""
