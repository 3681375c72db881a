"""How long a Hub asks to be left alone: kept for all requests of this process, waited for once, and bounded.

``Retry-After`` as seconds or date (RFC 9110); ``RateLimit`` as a list of policies (IETF httpapi-ratelimit-headers):
``"resolvers";r=0;t=137`` leaves no request for 137 seconds. Without a ``t``, ``RateLimit-Policy`` has the window.
"""

from __future__ import annotations

import datetime
import logging
import re
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from hubclean.errors import TransportError
from hubclean.hub import deadline

PATIENCE = 300.0  # seconds that are waited for a Hub, the window of its limits; one that asks for more is given up
EARNED = 3.0  # seconds of patience that an answer gives back: long lists go on, and no server holds us for ever
BUSY = (429, 503)

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[;,=]|[^";,=\s]+')
_LONGEST = 4096  # characters of a header that are read
_LOG = logging.getLogger(__name__)


@dataclass
class _Rest:
    """Until when (on the clock) one part of one host is left alone, and how far of that patience has paid for."""

    until: float = 0.0
    paid: float = 0.0
    patience: float = PATIENCE


class Pace:
    """What the hosts of this process asked for. One wait serves all threads and all targets."""

    def __init__(self) -> None:
        self._rests: dict[tuple[str, str], _Rest] = {}
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Start anew."""
        self._rests.clear()

    def note(self, url: str, status: int, headers: Any) -> float | None:
        """Remember what an answer asks for; the seconds until the next request, ``None`` if it says nothing.

        Raises:
            TransportError: it is a refusal, and asks for a longer wait than anybody waits.
        """
        asked = asked_wait(status, headers)
        with self._lock:
            rest = self._rests.setdefault(_part(url), _Rest())
            if asked is not None:
                rest.until = max(rest.until, time.monotonic() + asked)
            elif status < 400:
                rest.patience = min(PATIENCE, rest.patience + EARNED)
        if asked is not None and status in BUSY:
            self.agree(url)
        return asked

    def wait(self, url: str) -> None:
        """Before a request: wait as long as its host asked for.

        Raises:
            TransportError: that is longer than anybody waits, or than the scan may take; it says when to come back."""
        if (left := self.agree(url)) > 0:
            time.sleep(left)

    def agree(self, url: str) -> float:
        """The seconds to wait, taken from what patience is left.

        Raises:
            TransportError: as ``wait``.
        """
        with self._lock:
            rest = self._rests.setdefault(_part(url), _Rest())
            now = time.monotonic()
            left, more = rest.until - now, rest.until - max(now, rest.paid)
            if left <= 0 or more <= 0:
                return max(0.0, left)
            back = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=min(left, 1e9))
            if more > rest.patience or left >= deadline.left():
                raise TransportError(
                    f"the Hub asks for no more requests before {back:%Y-%m-%d %H:%M:%S} UTC ({left:.0f} s from now),"
                    " which is not waited for: come back then, or log in for a higher limit"
                )
            rest.patience, rest.paid = rest.patience - more, rest.until
        if more >= 2:
            _LOG.warning("the Hub asks for no requests for %.0f s: waiting until %s UTC", left, f"{back:%H:%M:%S}")
        return left


def asked_wait(status: int, headers: Any) -> float | None:
    """Seconds to wait before the next request, by the longest of what an answer says; nonsense counts as not said."""
    found = [_exhausted(headers)]
    if status in BUSY:
        found.append(_retry_after(headers))
    return max((seconds for seconds in found if seconds is not None), default=None)


def _retry_after(headers: Any) -> float | None:
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    until, now = _date(text), _date(headers.get("Date", ""))
    if until is None:
        return None
    return max(0.0, (until - (now or datetime.datetime.now(datetime.UTC))).total_seconds())


def _date(text: str) -> datetime.datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=datetime.UTC)


def _exhausted(headers: Any) -> float | None:
    """The longest ``t`` of the policies in ``RateLimit`` that leave no request (``r=0``)."""
    windows = {
        name: values["w"] for names, values in _policies(headers, "RateLimit-Policy") for name in names if "w" in values
    }
    waits = []
    for names, values in _policies(headers, "RateLimit"):
        if values.get("r") == 0:
            waits += [values["t"]] if "t" in values else [windows[name] for name in names if name in windows]
    return max(map(float, waits), default=None)


def _policies(headers: Any, field: str) -> list[tuple[list[str], dict[str, int]]]:
    """``"name";key=1;key=2, "name";...``: the names of each policy with its numbers; other values are passed over."""
    rows: list[tuple[list[str], dict[str, int]]] = []
    names: list[str] = []
    values: dict[str, int] = {}
    tokens = _TOKEN.findall(headers.get(field, "")[:_LONGEST])
    for at, token in enumerate([*tokens, ","]):
        after = tokens[at + 1 : at + 3]
        if token == ",":
            rows.append((names, values))
            names, values = [], {}
        elif token[0] == '"' or (not names and token not in (";", "=")):
            names.append(token.strip('"'))
        elif after[:1] == ["="] and re.fullmatch(r"\d{1,12}", after[-1].strip('"')):
            values[token] = int(after[-1].strip('"'))
    return rows


def _part(url: str) -> tuple[str, str]:
    """The Hub counts its API and its files apart."""
    parts = urlsplit(str(url))
    api = "/api/" in parts.path and "/api/resolve-cache/" not in parts.path
    return f"{parts.scheme}://{parts.netloc}", "api" if api else "files"


PACE = Pace()
