"""Opens what the user named, wherever it lies.

``open_target`` understands ``org/model``, ``org/model@rev``, ``hf://org/model@rev``, a Hub URL, a folder, a file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hubclean.errors import TargetError
from hubclean.escaping import printable
from hubclean.hub.cached_repo import cached_target, in_cache
from hubclean.hub.repos import LocalRepo, Repo
from hubclean.wording import option


def open_target(target: str, revision: str | None = None) -> Repo:
    """Open what the user named; on a Hub this resolves the commit once and pins everything to it.

    A path that exists wins over a repo id of the same name. Under ``HF_HUB_OFFLINE`` a repo is read from the cache of
    the Hub's client, and so is a folder ``models--org--name`` of one.

    Raises:
        TargetError: not understood, or nothing there.
        AccessError: the Hub refused.
        TransportError: the Hub could not be reached.
    """
    try:
        place = Path(target)
        here = bool(target) and place.exists()
    except (OSError, ValueError):  # too long, or a NUL in it
        here = False
    if here:
        if not place.is_dir() and not place.is_file():
            raise TargetError(f"{printable(target)!r} is neither a folder nor a plain file")
        if place.is_dir() and (cached := cached_target(place, revision)):
            return cached
        if revision:
            raise TargetError(f"{printable(target)!r} is on this disk, so {option('revision')} means nothing")
        return LocalRepo(place)
    repo_id, named = parse_target(target)
    if named and revision and named != revision:
        raise TargetError(f"two revisions: {named!r} in the target and {printable(revision)!r} in {option('revision')}")
    if revision and not _REVISION.fullmatch(revision):
        raise TargetError(f"{printable(revision)!r} is no branch, tag or commit")
    from huggingface_hub import constants  # here, so that --help and local targets never load the Hub client

    from hubclean.hub.hub_repo import HubRepo

    if constants.HF_HUB_OFFLINE:
        return in_cache(repo_id, named or revision)
    return HubRepo(repo_id, named or revision)


_REPO_ID = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?/[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
)


_REVISION = re.compile(r"(?!.*(?:\.\.|//))[A-Za-z0-9_][A-Za-z0-9._/+-]{0,254}")


_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")


def parse_target(target: str) -> tuple[str, str | None]:
    """Split ``org/model[@rev]``, ``hf://org/model[@rev]`` or a Hub URL into repo id and revision.

    Raises:
        TargetError: none of these, or not a model.
    """
    shown = printable(target)
    if re.match(r"https?://", target):
        rest, revision = _parse_url(target)
    else:
        rest, at, named = target.removeprefix("hf://").partition("@")
        revision = named if at else None
    kind, _, tail = rest.partition("/")
    if kind in ("datasets", "spaces", "buckets", "kernels", "models") and tail:
        if kind != "models":
            raise TargetError(f"{shown!r} is one of the Hub's {kind}; hubclean looks at models")
        rest = tail
    if not _REPO_ID.fullmatch(rest) or ".." in rest or "--" in rest or rest.endswith(".git"):
        raise TargetError(f"there is nothing at {shown!r} on this disk, and it is no repo id like org/model")
    if revision is not None and not _REVISION.fullmatch(revision):
        raise TargetError(f"{printable(revision)!r} in {shown!r} is no branch, tag or commit")
    return rest, revision


def _parse_url(url: str) -> tuple[str, str | None]:
    """``https://HOST/org/model[/tree/REVISION]``; the host is huggingface.co or the one of ``HF_ENDPOINT``, which may
    have a path of its own before ``org``."""
    shown = printable(url)
    hub = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    path = ""
    try:
        endpoint = urlsplit(hub)
        parts = urlsplit(url)
        ours = (parts.scheme, parts.netloc) == (endpoint.scheme, endpoint.netloc)
        ours = ours and f"{parts.path}/".startswith(f"{endpoint.path}/")
        path = parts.path.removeprefix(endpoint.path) if ours else parts.path
        ours = ours or (parts.scheme == "https" and parts.netloc in _HOSTS)
    except ValueError:
        ours = False
    if not ours:
        raise TargetError(f"{shown!r} is not an address of the Hub at {printable(hub, 200)}")
    names = [unquote(part) for part in path.strip("/").split("/")]
    lead = 3 if names[0] in ("datasets", "spaces", "buckets", "kernels", "models") else 2
    rest, tail = "/".join(names[:lead]), names[lead:]
    if not tail:
        return rest, None
    whole = tail[1:] if len(tail) == 2 or tail[1:3] == ["refs", "pr"] else []
    if tail[0] not in ("tree", "commit") or not whole:
        raise TargetError(f"{shown!r} is not the address of a whole model: give https://HOST/org/model[/tree/REVISION]")
    return rest, "/".join(whole)
