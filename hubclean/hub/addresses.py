"""Addresses of a Hub: whose they are, whether a redirect may be followed. A Hub may lie below a path of its host."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

Origin = tuple[str, str | None, int | None]


def origin(url: str) -> Origin:
    """Scheme, host and port; who has the same three gets the same token."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80)


def is_api(url: str) -> bool:
    """Whether it is the JSON API or the upload protocol, and no file's bytes."""
    path = urlsplit(url).path
    return ("/api/" in path and "/api/resolve-cache/" not in path) or ".git/info/lfs" in path


def redirected(url: str, location: str) -> str | None:
    """Where a redirect leads; ``None`` if nobody should go there: http(s) to a plain name, never from https down."""
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        plain = bool(location) and re.fullmatch(r"[A-Za-z0-9._:-]+", parts.hostname or "") and target.isprintable()
        origin(target)  # a port that is none
    except ValueError:
        return None
    down = url.startswith("https:") and parts.scheme != "https"
    return target if plain and "@" not in parts.netloc and parts.scheme in ("http", "https") and not down else None
