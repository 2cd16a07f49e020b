"""The wall between the recorder and the training: a failure is told once, and goes no further."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType


class Guarded:
    """One part of the recorder, entered with `with`; an error inside is told once and swallowed.

    Only errors are held back: Ctrl-C and a request to exit pass through. The message goes straight
    to standard error, because `warnings.warn` raises where a script turns warnings into errors.

    Args:
        what: What is lost when this part fails, as the message names it.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._told = False
        self.failed = False
        """Whether the part has failed at least once; callers leave a failed measurement alone."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        self.failed = True
        self.tell(f"{type(error).__name__}: {error}".splitlines()[0])
        return True

    def tell(self, problem: str) -> None:
        """Say once, on standard error, that something of this part is lost."""
        if self._told:
            return
        self._told = True
        with suppress(Exception):
            print(
                f"traintop: {self._what}: {problem} (said once; training goes on)", file=sys.stderr
            )
