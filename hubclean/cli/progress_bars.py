"""Progress bars on stderr with the time left, shown only for work longer than two seconds."""

from __future__ import annotations

import os
import sys
from typing import Any


class Bars:
    """A ``Progress`` drawn with huggingface_hub's tqdm, so that the Hub's own switches turn it off too."""

    def __init__(self) -> None:
        self._bar: Any = None
        # With torchrun every process runs this; one bar is enough.
        self._quiet = os.environ.get("RANK", "0") != "0"

    def start(self, what: str, total: int) -> None:
        from huggingface_hub.utils.tqdm import tqdm

        self.finish()
        self._bar = tqdm(  # type: ignore[no-untyped-call]
            total=total,
            desc=what,
            delay=2,
            leave=False,
            file=sys.stderr,
            disable=True if self._quiet else None,
            bar_format="{desc}: {percentage:3.0f}% |{bar}| {elapsed} gone, {remaining} left",
            name="hubclean",
        )

    def advance(self, steps: int = 1) -> None:
        if self._bar is not None:
            self._bar.update(steps)

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
