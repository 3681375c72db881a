"""Things that go wrong on demand, and the log of everything that was asked."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "flip",  # one bit in the middle of the body differs, all headers as they should be
    "rotten",  # one bit of the stored file differs, byte ``value``, however it is asked for
    "truncate",  # the connection closes half-way through the body
    "short",  # fewer bytes, with a Content-Length that agrees
    "ignore-range",  # 200 with the whole file
    "wrong-range",  # 206 of other bytes than asked for
    "wrong-size",  # 206 whose Content-Range states another file size
    "wrong-commit",  # X-Repo-Commit of another commit
    "no-commit",  # no X-Repo-Commit at all
    "no-etag",  # no ETag, also none that is linked
    "new-etag",  # another ETag with every answer
    "linked-etag",  # an X-Linked-ETag that is not the file's hash
    "drip",  # the body comes a byte at a time, ``value`` seconds apart
    "stall",  # half the body, then nothing for ``value`` seconds or until the client hangs up
    "gzip",  # a Content-Encoding nobody asked for
    "status",  # ``status`` instead of an answer, with Retry-After when ``value`` is given
    "reset",  # the connection is reset before an answer
    "slow",  # ``value`` seconds before the answer, or until the client hangs up
    "redirect",  # 302 to ``location``
    "call",  # ``action()`` runs first, then the true answer
    "headers",  # the true answer with ``headers`` besides, or in place of its own
    "raw",  # ``raw`` as it is, then the connection closes
]


@dataclass
class Fault:
    """One kind of failure for requests matching ``method``, ``path`` (glob on the URL path) and ``where``."""

    kind: Kind
    path: str = "*"
    method: str = "GET"
    where: Literal["hub", "cdn", "any"] = "any"
    times: int | None = None
    status: int = 503
    value: float | None = None
    location: str = ""
    action: Callable[[], object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""


@dataclass
class Exchange:
    """One request as it arrived and what was sent back. ``sent`` counts body bytes."""

    where: Literal["hub", "cdn"]
    method: str
    path: str
    host: str
    range: str | None
    authorized: bool
    encoding: str | None
    status: int = 0
    sent: int = 0


class Faults:
    """The faults still waiting to happen."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(self, exchange: Exchange) -> list[Fault]:
        """The faults that hit this request; each loses one of its ``times``."""
        hit = []
        with self._lock:
            for fault in list(self._waiting):
                if fault.where not in ("any", exchange.where) or fault.method not in ("*", exchange.method):
                    continue
                if not fnmatch.fnmatch(exchange.path, fault.path):
                    continue
                hit.append(fault)
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._waiting.remove(fault)
        return hit
