"""A part of a file as a source of its own: what begins behind a block of somebody else's bytes."""

from __future__ import annotations

from dataclasses import dataclass

from hubclean.scanning.sources import Source


@dataclass(frozen=True)
class Part:
    """The bytes ``start..stop-1`` of ``source``; positions count from ``start``."""

    source: Source
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def at(self, start: int, stop: int) -> bytes:
        return self.source.at(self.start + start, self.start + stop)
