"""The errors of ``huggingface_hub`` 1.x and 2.x and the Hub's refusals, each in one sentence of ours."""

from __future__ import annotations

import errno
import os
import re
import ssl
from typing import Any

from huggingface_hub import constants
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx's or httpx2's
    EntryNotFoundError,
    FileMetadataError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from hubclean.errors import AccessError, HubcleanError, IntegrityError, OutputError, TargetError, TransportError
from hubclean.escaping import printable

#: What the client may raise for a failed request; everything else is a bug and stays a traceback.
CLIENT_ERRORS = (HTTPError, OSError, ValueError, EntryNotFoundError, RuntimeError)
#: What comes of an answer that is not what the client expects: it takes answers apart unchecked.
NONSENSE = (LookupError, TypeError, AttributeError)

# A token that does not fit into a header is quoted by the HTTP library; so may be the signature of a CDN's address.
_SECRET = re.compile(r"Bearer .*|hf_\w+|(?<=[?&])\S+")

_DISK = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENAMETOOLONG, errno.EMFILE)


def shown_path(path: str) -> str:
    """A path of a repo, quoted and made harmless."""
    return repr(printable(path, 120))


def status_error(status: int, headers: Any, repo_id: str, revision: str | None, path: str = "") -> HubcleanError:
    """The Hub's refusal by status and ``X-Error-Code``, in one sentence."""
    code, message = headers.get("X-Error-Code"), printable(headers.get("X-Error-Message") or "", 160)
    if code == "GatedRepo":
        return AccessError(
            f"{repo_id} is gated: accept its conditions at {constants.ENDPOINT}/{repo_id}, then log in with"
            " `hf auth login` or HF_TOKEN"
        )
    if code == "RepoNotFound":
        return TargetError(
            f"there is no model {repo_id} on {constants.ENDPOINT}, or it is private and your token may not see it"
        )
    if code == "RevisionNotFound":
        return TargetError(f"{repo_id} has no branch, tag or commit {printable(revision or 'main', 80)!r}")
    if code == "EntryNotFound":
        return IntegrityError(f"{shown_path(path) if path else 'a file'} is not in {repo_id} any more")
    if message == "Access to this resource is disabled.":
        return AccessError(f"{repo_id} has been disabled by the Hub")
    if status == 401:
        return AccessError(f"the Hub does not accept this token, or wants one, for {repo_id}: run `hf auth login`")
    if status == 403:
        return AccessError(f"the Hub refused access to {repo_id}" + (f": {message}" if message else ""))
    if status == 404 and not path:
        return TargetError(f"there is no model {repo_id} on {constants.ENDPOINT} (404, without a word why)")
    if status == 429:
        return TransportError("the Hub asks for fewer requests (429); wait a while, or log in for a higher limit")
    return TransportError(f"the Hub answered {status} for {repo_id}" + (f": {message}" if message else ""))


def hub_error(error: BaseException, repo_id: str, revision: str | None = None) -> HubcleanError:
    """Any error of ``huggingface_hub`` 1.x or 2.x, its HTTP library or hf_xet as one of ours."""
    if isinstance(error, HubcleanError):
        return error
    if isinstance(error, OfflineModeIsEnabled):
        return TransportError(f"HF_HUB_OFFLINE is set, so {repo_id} cannot be reached; unset it or name a local folder")
    if isinstance(error, HfHubHTTPError) and getattr(error, "response", None) is not None:
        return status_error(error.response.status_code, error.response.headers, repo_id, revision)
    if isinstance(error, HFValidationError):
        return TargetError(f"{printable(repo_id, 100)!r} is not a repo id like org/model")
    if isinstance(error, LocalTokenNotFoundError):
        return AccessError("no token found: run `hf auth login` or set HF_TOKEN")
    if isinstance(error, (EntryNotFoundError, RuntimeError)) and (cause := error.__cause__ or error.__context__):
        return hub_error(cause, repo_id, revision)  # "not in the cache either", "error while uploading": look behind
    if isinstance(error, FileMetadataError):
        return IntegrityError(f"{constants.ENDPOINT} does not answer like a Hugging Face Hub for {repo_id}")
    if isinstance(error, NONSENSE):
        return IntegrityError(f"the Hub's answer for {repo_id} makes no sense")
    if isinstance(error, OSError) and "Consistency check failed" in str(error):
        return IntegrityError(f"a file of {repo_id} came with another size than the server named before")
    if why := of_this_machine(error):
        return why
    what = printable(_SECRET.sub("<token>", str(error).splitlines()[0] if str(error) else type(error).__name__), 160)
    return TransportError(f"the connection to {constants.ENDPOINT} failed: {what}")


def of_this_machine(error: BaseException) -> HubcleanError | None:
    """What is wrong with files and settings here, with the name of the file; no second attempt mends it."""
    if isinstance(error, ImportError):
        if "socks" not in str(error).lower():
            return None
        names = [name for name in _PROXIES if os.environ.get(name, "").startswith("socks")]
        where = " and ".join(names) or "the settings"
        return TransportError(
            f"{where} names a SOCKS proxy, for which a package is missing: pip install socksio, or unset it"
        )
    if not isinstance(error, OSError):
        return None
    for name, there in (("SSL_CERT_FILE", os.path.isfile), ("SSL_CERT_DIR", os.path.isdir)):
        place = os.environ.get(name, "")
        missing = place and error.filename is None and not (there(place) and os.access(place, os.R_OK))
        empty = place and isinstance(error, ssl.SSLError) and ("NO_CERTIFICATE" in str(error) or "PEM" in str(error))
        if empty or (missing and isinstance(error, (*_DISK, ssl.SSLError))):
            return TransportError(
                f"{name} names {printable(place, 300)!r}, from which no certificate can be read: mend or unset it"
            )
    if (isinstance(error, _DISK) or error.errno in _DISK_FULL) and error.strerror:
        names = [printable(str(name), 300) for name in (error.filename, error.filename2) if name is not None]
        place = repr(names[0]) if names else f"a file in {printable(str(constants.HF_HUB_CACHE), 300)!r}"
        of = " (the cache of the Hub's client: HF_HUB_CACHE names another)" if _in_cache(error.filename) else ""
        return OutputError(f"{place} cannot be read or written: {error.strerror}{of}")
    return None


_PROXIES = tuple(name for word in ("ALL", "HTTPS", "HTTP") for name in (f"{word}_PROXY", f"{word.lower()}_proxy"))


def _in_cache(place: object) -> bool:
    return place is None or str(place).startswith(str(constants.HF_HUB_CACHE))
