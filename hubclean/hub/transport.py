"""Requests to a Hub: bounded reads pinned to one commit, retries, and its errors put into our words.

``huggingface_hub`` brings the session, the token and the addresses; the reading is ours, because its own readers take
other bytes than asked for when a server ignores Range. Works with httpx (1.x) and httpx2 (2.x) and imports neither.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from hubclean.errors import HubcleanError, IntegrityError, TransportError
from hubclean.escaping import printable
from hubclean.hub import deadline
from hubclean.hub.addresses import origin, redirected
from hubclean.hub.client_errors import CLIENT_ERRORS, hub_error, of_this_machine, shown_path, status_error
from hubclean.hub.pacing import PACE, asked_wait
from hubclean.version import __version__

ATTEMPTS = 5
FIRST_WAIT = 0.5  # seconds, doubled after each attempt
MOST_STALLS = 2  # attempts that may end without a byte for ``TIMEOUT`` seconds
TIMEOUT = 15.0  # seconds without a byte
DEADLINE = 180.0  # seconds for one body
SLOWEST, GRACE = 1024, 20.0  # bytes a second that a body must reach on average, after so many seconds
MOST_BROKEN = 8  # files that may end without an answer before the whole repo is given up
HOPS = 5
AGAIN = (408, 429, 500, 502, 503, 504)
MOVED = (301, 302, 303, 307, 308)

T = TypeVar("T")


class _Again(Exception):
    """Worth another attempt: why, and whether the server said when, which ``PACE`` keeps."""

    def __init__(self, error: TransportError, asked: bool) -> None:
        super().__init__(str(error))
        self.error, self.asked = error, asked


class HubTransport:
    """Reads file bytes of one repo at one commit.

    Args:
        repo_id: ``org/model``.
        commit: the 40-hex commit every answer of the Hub must carry in ``X-Repo-Commit``.
        endpoint: the Hub's address; only this origin is ever sent the token.
        token: as in ``huggingface_hub``: ``None`` for the one of the machine, ``False`` for none.
    """

    def __init__(self, repo_id: str, commit: str, endpoint: str, token: str | bool | None) -> None:
        self._repo_id, self._commit, self._endpoint = repo_id, commit, endpoint
        headers = build_hf_headers(token=token, library_name="hubclean", library_version=__version__)
        self._token = {name: text for name, text in headers.items() if name.lower() == "authorization"}
        self._headers = {name: text for name, text in headers.items() if name.lower() != "authorization"}
        self._headers["Accept-Encoding"] = "identity"
        self._tags: dict[str, str] = {}
        self._broken = 0

    def read(
        self, path: str, size: int, span: tuple[int, int] | None, count: Callable[[], None], known: str | None = None
    ) -> bytes:
        """The bytes ``span`` (start, stop) of a file of ``size`` bytes, or with ``None`` the whole file.

        ``count`` is called once a request for the body, retries included. ``known`` is the hash the listing gives:
        the Hub must not name another one. A part of a file must come with the ETag of every part before it.

        Raises:
            IntegrityError: the answer is not exactly what was asked for, or not from the pinned commit.
            TransportError: no answer after all attempts, or too many other files had none.
            AccessError, TargetError: the Hub refused.
        """

        def once() -> bytes:
            count()
            return self._once(path, size, span, known)

        if self._broken >= MOST_BROKEN:
            raise TransportError(
                f"{constants.ENDPOINT} broke off on {self._broken} files; the others were not asked for"
            )
        try:
            return retrying(once, self._repo_id, self._commit)
        except TransportError:
            self._broken += 1
            raise

    def _once(self, path: str, size: int, span: tuple[int, int] | None, known: str | None) -> bytes:
        url = hf_hub_url(self._repo_id, path, revision=self._commit, endpoint=self._endpoint)
        home, confirmed = origin(self._endpoint), False
        headers = self._headers | ({"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {})
        for _ in range(HOPS):
            at_hub = origin(url) == home
            sent = headers | (self._token if at_hub else {})
            PACE.wait(url)
            deadline.check()
            wait = min(TIMEOUT, deadline.left())
            with get_session().stream("GET", url, headers=sent, follow_redirects=False, timeout=wait) as response:
                status = response.status_code
                asked = PACE.note(url, status, response.headers)
                if at_hub and status < 400:
                    confirmed |= self._is_listed(response.headers, path, size, known)
                if status in MOVED:
                    url = _next(url, response.headers.get("Location", ""), path)
                    continue
                if status >= 400:
                    raise _refused(response, self._repo_id, self._commit, path, asked is not None)
                if not confirmed:
                    raise IntegrityError(f"the server does not say of which commit {shown_path(path)} is")
                body = _body(response, path, size, span)
                if span:
                    self._same_tag(path, response.headers.get("ETag", ""))
                return body
        raise IntegrityError(f"{shown_path(path)} is redirected without end")

    def _is_listed(self, headers: Any, path: str, size: int, known: str | None) -> bool:
        """Whether the Hub says that it answers from our commit; it must not name another one, hash or size."""
        commit = headers.get("X-Repo-Commit")
        if commit and commit != self._commit:
            raise IntegrityError(f"{shown_path(path)} came from another commit than {self._commit}")
        if _other_hash(headers, known):
            raise IntegrityError(f"the server names another hash for {shown_path(path)} than its listing")
        if headers.get("X-Linked-Size", str(size)) != str(size):
            raise IntegrityError(f"the server names another size for {shown_path(path)} than its listing")
        return bool(commit)

    def _same_tag(self, path: str, tag: str) -> None:
        """Parts may be put together only if all are of one version of the file."""
        tag = tag.strip().removeprefix("W/").strip('"')
        if not tag:
            raise IntegrityError(f"the server gives no ETag for a part of {shown_path(path)}")
        if self._tags.setdefault(path, tag) != tag:
            raise IntegrityError(f"{shown_path(path)} changed on the server between two reads")


def _other_hash(headers: Any, known: str | None) -> bool:
    """Whether the Hub names a hash (sha256 of LFS, sha1 of git) that is not the listing's; other tags say nothing."""
    tag = headers.get("X-Linked-ETag") or headers.get("ETag") or ""
    tag = tag.strip().removeprefix("W/").strip('"')
    return bool(known and len(tag) == len(known) and re.fullmatch(r"[0-9a-f]+", tag) and tag != known)


def _body(response: Any, path: str, size: int, span: tuple[int, int] | None) -> bytes:
    """The body, if status, Content-Range, encoding and length are all as asked; nothing is read before they are."""
    status, headers = response.status_code, response.headers
    if span and status != 206:
        raise IntegrityError(f"the server ignored the byte range asked of {shown_path(path)} (status {status})")
    if not span and status != 200:
        raise IntegrityError(f"the server answered {status} for {shown_path(path)}, not with the file")
    if span and headers.get("Content-Range", "").strip() != f"bytes {span[0]}-{span[1] - 1}/{size}":
        raise IntegrityError(f"the server answered with another byte range than asked of {shown_path(path)}")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise IntegrityError(f"{shown_path(path)} came with an encoding that was not asked for")
    length = span[1] - span[0] if span else size
    if headers.get("Content-Length", str(length)) != str(length):
        raise IntegrityError(f"{shown_path(path)} came with another length than its listing says")
    parts, got, started = [], 0, time.monotonic()
    for part in response.iter_raw():
        parts.append(part)
        got += len(part)
        if got > length:
            raise IntegrityError(f"{shown_path(path)} came with more bytes than asked for")
        deadline.check()
        gone = time.monotonic() - started
        if gone > DEADLINE or (gone > GRACE and got < gone * SLOWEST):
            raise TransportError(f"{shown_path(path)} came too slowly and was given up after {gone:.0f} s")
    if got != length:
        raise IntegrityError(f"{shown_path(path)} came with fewer bytes than asked for")
    return b"".join(parts)


def _next(url: str, location: str, path: str) -> str:
    """Where the redirect of a file leads."""
    if (target := redirected(url, location)) is None:
        raise IntegrityError(f"{shown_path(path)} is redirected to {printable(location, 80)!r}, which is not followed")
    return target


def retrying(call: Callable[[], T], repo_id: str, revision: str | None = None, attempts: int | None = None) -> T:
    """Call until it succeeds, at most ``attempts`` times while the trouble may pass; errors come out as ours.

    Raises:
        HubcleanError: as ``hub_error`` says. DeadlineError: the time is over.
    """
    wait, last, stalls = FIRST_WAIT, attempts or ATTEMPTS, 0
    for attempt in range(1, last + 1):
        asked = False
        deadline.check()
        try:
            return call()
        except _Again as again:
            error, asked = again.error, again.asked
        except HubcleanError:
            raise
        except (*CLIENT_ERRORS, ImportError) as cause:
            known, answer = hub_error(cause, repo_id, revision), getattr(cause, "response", None)
            lasting = isinstance(cause, OfflineModeIsEnabled) or of_this_machine(cause) is not None
            lasting = lasting or (answer is not None and answer.status_code not in AGAIN)
            if lasting or not isinstance(known, TransportError):
                raise known from cause
            asked = answer is not None and asked_wait(answer.status_code, answer.headers) is not None
            error = known
            stalls += "Timeout" in type(cause).__name__
        if attempt == last or stalls >= MOST_STALLS or wait >= deadline.left():
            break
        if not asked:  # else the next attempt waits as long as the server asked for
            time.sleep(wait)
            wait *= 2
    raise error


def _refused(response: Any, repo_id: str, revision: str | None, path: str, asked: bool) -> Exception:
    """An answer of 400 and above, as an error. Its body is not read: its length is the server's choice."""
    error = status_error(response.status_code, response.headers, repo_id, revision, path)
    if response.status_code not in AGAIN or not isinstance(error, TransportError):
        return error
    return _Again(error, asked)
