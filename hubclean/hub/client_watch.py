"""What the client of the Hub does by itself is held to our rules: no API on another host, no wait without an end."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub import get_session

from hubclean.errors import IntegrityError
from hubclean.escaping import printable
from hubclean.hub.addresses import is_api, origin, redirected
from hubclean.hub.client_errors import hub_error
from hubclean.hub.pacing import BUSY, PACE

_MOVED = (301, 302, 303, 307, 308)


@contextmanager
def watched(endpoint: str) -> Iterator[None]:
    """While the client makes its requests: those to ``endpoint`` wait as it asked for, and its API is not redirected.

    Files may be: bodies lie on other hosts, which get no token, and are compared with the commit's hash.

    Raises:
        IntegrityError: an API answer leads to another host. TransportError: the Hub asks for a longer wait than anybody
            waits. Both from within the client's calls.
    """
    try:
        session = get_session()
    except (ImportError, OSError, ValueError) as error:  # a proxy without its package, a certificate that is not there
        raise hub_error(error, "the Hub") from error
    before, after = functools.partial(_before, origin(endpoint)), functools.partial(_after, origin(endpoint))
    hooks = session.event_hooks
    session.event_hooks = {"request": [*hooks["request"], before], "response": [*hooks["response"], after]}
    try:
        yield
    finally:
        now, ours = session.event_hooks, (before, after)
        session.event_hooks = {kind: [hook for hook in now[kind] if hook not in ours] for kind in now}


def _before(home: Any, request: Any) -> None:
    if origin(str(request.url)) == home:
        PACE.wait(str(request.url))


def _after(home: Any, response: Any) -> None:
    url = str(response.request.url)
    if origin(url) != home:
        return
    if PACE.note(url, response.status_code, response.headers) is not None and response.status_code in BUSY:
        PACE.agree(url)  # the client sleeps by itself, however long it is told to
    written = response.request.method not in ("GET", "HEAD")
    if response.status_code in _MOVED and (written or is_api(url)):
        location = response.headers.get("Location", "")
        target = redirected(url, location)
        if target is None or origin(target) != home:
            raise IntegrityError(f"the Hub's API is redirected to {printable(location, 80)!r}, which is not followed")
