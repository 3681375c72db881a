"""Told of long work; the command line draws a bar, the API is silent. No torch, so that the scan can use it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of long work; the command line draws a bar with the time left, the API is silent."""

    def start(self, what: str, total: int) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def finish(self) -> None: ...


class Silent:
    """A ``Progress`` that shows nothing."""

    def start(self, what: str, total: int) -> None:
        pass

    def advance(self, steps: int = 1) -> None:
        pass

    def finish(self) -> None:
        pass
