"""The base of what is shown over a screen and answers a question."""

from __future__ import annotations

from typing import TypeVar

from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A dialog that can be answered only once, however fast keys come."""

    def answer(self, result: Answer) -> None:
        """Close with an answer, unless that has been done."""
        if self.is_current:
            self.dismiss(result)
