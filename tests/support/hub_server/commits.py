"""Writing to a repo: which files go as LFS, the commit itself, branches and tags."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from support.hub_server.messages import Answer, Call
from support.hub_server.storage import Blob, PullRequest, Refusal, Repository, Storage


def preupload(storage: Storage, call: Call, repo: Repository, revision: str) -> Answer:
    storage.writable(repo.repo_type, repo.repo_id, call.user, pull="create_pr" in call.query)
    asked, tree = call.json(), repo.resolve(revision).tree
    ignored = asked.get("gitIgnore", tree[".gitignore"].data.decode() if ".gitignore" in tree else "")
    patterns = [line.strip() for line in ignored.splitlines() if line.strip() and not line.startswith("#")]
    rows = []
    for file in asked["files"]:
        path = file["path"]
        lfs = repo.lfs_wanted(path, file["size"], revision)
        rows.append(
            {
                "path": path,
                "uploadMode": "lfs" if lfs else "regular",
                "shouldIgnore": any(path.endswith(pattern.lstrip("*")) for pattern in patterns),
                "oid": tree[path].oid if path in tree and not tree[path].lfs else None,
            }
        )
    return Answer.of({"files": rows})


def commit(storage: Storage, call: Call, repo: Repository, revision: str) -> Answer:
    pull = "create_pr" in call.query
    storage.writable(repo.repo_type, repo.repo_id, call.user, pull=pull)
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    header = lines[0]["value"]
    parent = header.get("parentCommit")
    base = repo.resolve(parent if pull and parent else revision)
    if parent and not pull and not base.sha.startswith(parent):
        raise Refusal(412, None, "A commit has happened since. Please refresh and try again.")
    if not pull and revision not in repo.refs:
        raise Refusal(404, "RevisionNotFound", f"Invalid branch: {revision}")
    tree = dict(base.tree)
    change: dict[str, Callable[[dict[str, Any]], None]] = {
        "file": lambda value: tree.update({value["path"]: Blob(base64.b64decode(value["content"]), False)}),
        "lfsFile": lambda value: tree.update({value["path"]: _lfs_blob(storage, value)}),
        "deletedFile": lambda value: _remove(tree, value["path"]),
    }
    for line in lines[1:]:
        change[line["key"]](line["value"])
    branch = revision
    if pull:
        author = call.user.name if call.user else "?"
        repo.pulls.append(PullRequest(len(repo.pulls) + 1, header["summary"], author, revision))
        branch = f"refs/pr/{len(repo.pulls)}"
    done = repo.add(tree, header["summary"], branch, base.sha, header.get("description", ""))
    reply = {"success": True, "commitOid": done.sha, "hookOutput": ""}
    reply["commitUrl"] = f"{call.endpoint}/{repo.repo_id}/commit/{done.sha}"
    if pull:
        reply["pullRequestUrl"] = f"{call.endpoint}/{repo.repo_id}/discussions/{len(repo.pulls)}"
    return Answer.of(reply)


def _lfs_blob(storage: Storage, value: dict[str, Any]) -> Blob:
    data = storage.lfs.get(value["oid"])
    if data is None or value.get("size", len(data)) != len(data):
        raise Refusal(400, None, f"LFS object {value['oid']} was not uploaded")
    return Blob(data, True)


def _remove(tree: dict[str, Blob], path: str) -> None:
    if tree.pop(path, None) is None:
        raise Refusal(404, "EntryNotFound", f"A file with this name doesn't exist: {path}")


def point(storage: Storage, call: Call, repo: Repository, table: str, name: str) -> Answer:
    storage.writable(repo.repo_type, repo.repo_id, call.user)
    # a branch is named in the path, a tag in the body (there the path holds the revision)
    asked = call.json()
    if table == "branch":
        repo.refs[name] = repo.resolve(asked.get("startingPoint") or "main").sha
    else:
        repo.tags[asked["tag"]] = repo.resolve(name).sha
    return Answer.of({})
