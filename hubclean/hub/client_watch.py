"""What the client of the Hub does by itself is held to our rules: no API on another host, no wait without an end."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub import get_session

from hubclean.errors import IntegrityError, TransportError
from hubclean.escaping import printable
from hubclean.hub import transport
from hubclean.hub.addresses import Origin, is_api, origin, redirected
from hubclean.hub.client_errors import hub_error
from hubclean.hub.pacing import PACE


@contextmanager
def watched(endpoint: str) -> Iterator[None]:
    """While the client makes its requests: they wait as their hosts ask for, and the API at ``endpoint`` stays there.

    Files may be: bodies lie on other hosts, which get no token, and are compared with the commit's hash.

    Raises:
        IntegrityError: an API answer leads to another host. TransportError: the Hub asks for a longer wait than anybody
            waits. Both from within the client's calls.
    """
    try:
        session = get_session()
    except (ImportError, OSError, ValueError) as error:  # a proxy without its package, a certificate that is not there
        raise hub_error(error, "the Hub") from error
    after = functools.partial(_after, origin(endpoint))
    hooks = session.event_hooks
    session.event_hooks = {"request": [*hooks["request"], _before], "response": [*hooks["response"], after]}
    try:
        yield
    finally:
        now, ours = session.event_hooks, (_before, after)
        session.event_hooks = {kind: [hook for hook in now[kind] if hook not in ours] for kind in now}


def _before(request: Any) -> None:
    PACE.wait(str(request.url))


def _after(home: Origin, response: Any) -> None:
    url = str(response.request.url)
    PACE.note(url, response.status_code, response.headers)  # the client sleeps by itself, however long it is told to
    response.stream = _steady(response.stream)
    written = response.request.method not in ("GET", "HEAD")
    if origin(url) == home and response.status_code in transport.MOVED and (written or is_api(url)):
        location = response.headers.get("Location", "")
        target = redirected(url, location)
        if target is None or origin(target) != home:
            raise IntegrityError(f"the Hub's API is redirected to {printable(location, 80)!r}, which is not followed")


def _steady(stream: Any) -> Any:
    """The same body, given up when it comes in drops: the client has patience for each of them."""
    base = next(kind for kind in type(stream).__mro__ if kind.__name__ == "SyncByteStream")  # of httpx or httpx2

    class Steady(base):  # type: ignore[misc,valid-type]
        def __iter__(self) -> Iterator[bytes]:
            got, started = 0, time.monotonic()
            for part in stream:
                got += len(part)
                gone = time.monotonic() - started
                if gone > transport.GRACE and got < gone * transport.SLOWEST:
                    raise TransportError(f"the Hub's answer came too slowly and was given up after {gone:.0f} s")
                yield part

        def close(self) -> None:
            stream.close()

    return Steady()
