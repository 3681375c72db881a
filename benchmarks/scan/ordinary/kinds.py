"""Kinds of ordinary repos: what each is called, who loads it, and which exit codes of a scan are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Make = Callable[[Path], None]


@dataclass(frozen=True)
class Kind:
    """One kind of benign repo.

    Args:
        name: the folder's name.
        loader: who loads it: transformers, timm, peft, open_clip, torch, or - (no torch weights).
        right: the exit codes that are right: 0 where torch loads it as data; 0 or 2 without torch weights; 1 by policy
            where a loader must run code that comes with the repo.
        by_hand: files that no library was there to write: their bytes are put together as the library does.
    """

    name: str
    loader: str
    right: tuple[int, ...]
    make: Make
    by_hand: tuple[str, ...] = ()

    @property
    def torch_loadable(self) -> bool:
        """Whether a loader of torch weights loads it without running code of the repo."""
        return self.loader != "-" and self.right == (0,)


KINDS: dict[str, Kind] = {}


def kind(
    name: str, loader: str = "transformers", right: tuple[int, ...] = (0,), by_hand: tuple[str, ...] = ()
) -> Callable[[Make], Make]:
    """Register a function that writes a repo of this kind into a folder."""

    def register(make: Make) -> Make:
        assert name not in KINDS, f"two kinds are called {name}"
        KINDS[name] = Kind(name, loader, right, make, by_hand)
        return make

    return register
