"""The errors of ``huggingface_hub`` 1.x and 2.x and the Hub's refusals, each in one sentence of ours."""

from __future__ import annotations

import errno
import re
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
    if isinstance(error, OSError) and (isinstance(error, _DISK) or error.errno in _DISK_FULL) and error.strerror:
        return OutputError(f"a file of this disk cannot be read or written: {error.strerror}")
    what = printable(_SECRET.sub("<token>", str(error).splitlines()[0] if str(error) else type(error).__name__), 160)
    return TransportError(f"the connection to {constants.ENDPOINT} failed: {what}")
