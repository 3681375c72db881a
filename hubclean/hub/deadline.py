"""The time that one call may take: known to all that reads, waits or judges on its behalf, in every thread.

A server that sends a byte now and then ends no timeout; ``bounded`` waits for it no longer than the deadline even so.
"""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hubclean.errors import DeadlineError, OptionError

SECONDS = 900.0  # for one target: a repo of 50,000 files on a slow Hub takes less

T = TypeVar("T")
_END: contextvars.ContextVar[tuple[float, float]] = contextvars.ContextVar("deadline", default=(math.inf, math.inf))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Everything inside ends after ``seconds``; inside another deadline the earlier one holds.

    Raises:
        OptionError: ``seconds`` is not a positive number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise OptionError(f"a deadline is a number of seconds above 0, not {seconds!r}")
    mark = _END.set(min(_END.get(), (time.monotonic() + seconds, float(seconds))))
    try:
        yield
    finally:
        _END.reset(mark)


def left() -> float:
    """Seconds until the deadline; infinite without one, never below 0."""
    return max(0.0, _END.get()[0] - time.monotonic())


def check() -> None:
    """Do nothing before the deadline.

    Raises:
        DeadlineError: it has passed.
    """
    end, seconds = _END.get()
    if time.monotonic() >= end:
        raise DeadlineError(
            f"the {seconds:,g} s of the whole scan were over before it was judged; "
            "`hubclean scan --deadline SECONDS` gives it more"
        )


def bounded(call: Callable[[], T]) -> T:
    """Call, and wait for the answer until the deadline; what has not answered by then is left to itself.

    Raises:
        DeadlineError: no answer in time. Exception: what ``call`` raises.
    """
    check()
    if math.isinf(_END.get()[0]):
        return call()
    context, done = contextvars.copy_context(), threading.Event()
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(context.run(call))
        except BaseException as error:
            errors.append(error)
        done.set()

    threading.Thread(target=run, name="hubclean-read", daemon=True).start()
    while not done.wait(min(left(), 3600.0)):
        check()
    if errors:
        raise errors[0]
    return answers[0]
