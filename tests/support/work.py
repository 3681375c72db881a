"""Limits on work that hold on a busy machine: processor time of this process, never the time on the clock.

A test that waits for another process or thread says ``HANGS``: after so many seconds nothing will come any more. It is
no measure of speed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

HANGS = 600.0


@contextmanager
def processor_seconds(most: float) -> Iterator[None]:
    """Fail if the block takes this process more than ``most`` seconds of processor time, all its threads together."""
    started = time.process_time()
    yield
    spent = time.process_time() - started
    assert spent <= most, f"{spent:.1f} s of processor time, more than {most:g}"
