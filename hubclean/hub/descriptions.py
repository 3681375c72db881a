"""What a Hub says of a repo, asked by ourselves: bounded in bytes and time, and from no other host."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

from huggingface_hub import get_session
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

from hubclean.errors import IntegrityError, TransportError
from hubclean.escaping import printable
from hubclean.hub import deadline, transport
from hubclean.hub.addresses import origin, redirected
from hubclean.hub.client_errors import status_error
from hubclean.hub.pacing import PACE
from hubclean.version import __version__

LONGEST = 64 << 20  # bytes of one description: 50,000 files have about 20 MB
_LONGEST_REFUSAL = 64 << 10


def describe(
    endpoint: str, token: str | bool | None, repo_id: str, revision: str | None, security: bool = False
) -> ModelInfo:
    """One attempt to get ``ModelInfo`` with the files' sizes and hashes.

    Raises:
        IntegrityError: the answer is none, or leads to another host. TransportError: it came too slowly.
        HfHubHTTPError and others of the client, as it raises them.
    """
    url = f"{endpoint}/api/models/{repo_id}" + (f"/revision/{quote(revision, safe='')}" if revision else "")
    params: dict[str, Any] | None = {"blobs": True, **({"securityStatus": True} if security else {})}
    headers = build_hf_headers(token=token, library_name="hubclean", library_version=__version__)
    home = origin(endpoint)
    for _ in range(transport.HOPS):
        PACE.wait(url)
        with get_session().stream(
            "GET",
            url,
            headers=headers,
            params=params,
            follow_redirects=False,
            timeout=min(transport.TIMEOUT, deadline.left()),
        ) as response:
            PACE.note(url, response.status_code, response.headers)
            if response.status_code in transport.MOVED:
                location = response.headers.get("Location", "")
                target = redirected(str(response.request.url), location)
                if target is None or origin(target) != home:
                    raise IntegrityError(
                        f"the Hub's API is redirected to {printable(location, 80)!r}, which is not followed"
                    )
                url, params = target, None if "?" in location else params
                continue
            return _parsed(response, repo_id, revision)
    raise IntegrityError(f"the description of {repo_id} is redirected without end")


def _parsed(response: Any, repo_id: str, revision: str | None) -> ModelInfo:
    if response.status_code >= 300:
        _refuse(response, repo_id, revision)
    body = _read(response, repo_id)
    try:
        return ModelInfo(**json.loads(body))  # type: ignore[no-untyped-call]
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise IntegrityError(
            f"the Hub's answer is no description of {repo_id} (status {response.status_code}, "
            f"{printable(response.headers.get('Content-Type') or 'of no kind', 60)})"
        ) from error


def _read(response: Any, repo_id: str) -> bytes:
    parts, got, started = [], 0, time.monotonic()
    for part in response.iter_bytes():
        parts.append(part)
        got += len(part)
        gone = time.monotonic() - started
        if got > LONGEST:
            raise IntegrityError(f"the description of {repo_id} is longer than {LONGEST >> 20} MB")
        if gone > transport.DEADLINE or (gone > transport.GRACE and got < gone * transport.SLOWEST):
            raise TransportError(f"the description of {repo_id} came too slowly and was given up after {gone:.0f} s")
    return b"".join(parts)


def _refuse(response: Any, repo_id: str, revision: str | None) -> None:
    """The client's own error for a refusal, with no more of its body than is needed."""
    body = b""
    for part in response.iter_raw():
        body += part
        if len(body) > _LONGEST_REFUSAL:
            break
    left_out = ("content-encoding", "content-length", "transfer-encoding")
    headers = [(name, text) for name, text in response.headers.items() if name.lower() not in left_out]
    said = type(response)(response.status_code, headers=headers, content=body, request=response.request)
    hf_raise_for_status(said)
    raise status_error(response.status_code, response.headers, repo_id, revision)
