"""What the tests of this folder share: the app, and folders of its own for each test."""

from __future__ import annotations

from app_fixtures import opened, own_folders

__all__ = ["opened", "own_folders"]
