"""What is shown over a screen and answers a question."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A dialog that is closed only once, however fast keys come."""

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Close with an answer, unless that has been done: closing twice would close the app."""
        return super().dismiss(result) if self.is_current else AwaitComplete()
