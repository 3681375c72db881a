"""The bytes of the Hub: ``resolve`` with Range, the CDN for LFS bodies, and the LFS upload protocol."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

from support.hub_server.messages import Answer, Call
from support.hub_server.storage import Blob, Commit, Refusal, Repository, Storage


def resolve(
    storage: Storage, call: Call, repo_type: str, repo_id: str, rest: list[str], *, cdn: str, detour: bool
) -> tuple[Answer, bytes | None]:
    """HEAD or GET of ``/{repo}/resolve/{revision}/{path}``: headers, and the body if it is served from here.

    LFS files are redirected to the CDN. With ``detour``, other files first go through a redirect on the Hub
    itself, as the real Hub does with its ``/api/resolve-cache``.
    """
    repo = storage.readable(repo_type, repo_id, call.user)
    revision, path = rest[0], "/".join(rest[1:])
    commit = repo.resolve(revision)
    headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    blob = commit.tree.get(path)
    if blob is None:
        raise Refusal(404, "EntryNotFound", f"{path} does not exist at {revision}")
    headers["ETag"] = f'"{blob.oid}"'
    if blob.lfs:
        headers |= {"X-Linked-Size": str(len(blob.data)), "X-Linked-ETag": f'"{blob.sha256}"'}
        headers["Location"] = f"{cdn}/lfs/{blob.sha256}/{quote(path, safe='')}?Signature=secret"
        return Answer(b"", 302, headers), None
    if detour:
        headers["Location"] = f"/api/resolve-cache/{repo_type}s/{repo_id}/{commit.sha}/{quote(path, safe='')}"
        return Answer(b"", 307, headers), None
    return Answer(b"", 200, headers), blob.data


def blob_of(repo: Repository, commit: Commit, path: str) -> Blob:
    """The blob behind a detour."""
    if path not in commit.tree:
        raise Refusal(404, "EntryNotFound", f"{path} does not exist")
    return commit.tree[path]


def ranged(data: bytes, asked: str | None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for ``data`` under a Range header (RFC 9110; several ranges are ignored)."""
    size = len(data)
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", (asked or "").replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return 200, {}, data
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or start >= stop:
        return 416, {"Content-Range": f"bytes */{size}"}, b""
    return 206, {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, data[start:stop]


def lfs_batch(storage: Storage, call: Call, repo_type: str, repo_id: str) -> Answer:
    """``POST {repo}.git/info/lfs/objects/batch``: where to PUT what is not here yet (basic transfer)."""
    storage.writable(repo_type, repo_id, call.user, pull=True)
    rows = []
    for wanted in call.json()["objects"]:
        row = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in storage.lfs:
            row["actions"] = {
                "upload": {"href": f"{call.endpoint}/lfs-upload/{wanted['oid']}?signature=secret"},
                "verify": {"href": f"{call.endpoint}/lfs-verify"},
            }
        rows.append(row)
    return Answer.of({"transfer": "basic", "objects": rows})


def lfs_put(storage: Storage, oid: str, body: bytes) -> Answer:
    """``PUT``: taken only if the body has the sha256 it is stored under."""
    if hashlib.sha256(body).hexdigest() != oid:
        raise Refusal(400, None, "the body does not have this sha256")
    storage.lfs[oid] = body
    return Answer(b"", 200)


def lfs_verify(storage: Storage, call: Call) -> Answer:
    asked = call.json()
    if len(storage.lfs.get(asked["oid"], b"")) != asked["size"]:
        raise Refusal(422, None, "not uploaded")
    return Answer.of({})
