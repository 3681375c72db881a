"""The JSON API of the Hub, as far as huggingface_hub 1.x and 2.x use it for models and datasets."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from support.hub_server import commits
from support.hub_server.messages import Answer, Call
from support.hub_server.storage import GITATTRIBUTES, Blob, Commit, PullRequest, Refusal, Repository, Storage

SEVERAL = ("models", "datasets", "spaces")


def answer(storage: Storage, call: Call, xet_url: str | None) -> Answer:
    """Answer ``/api/...``; Refusal for everything this Hub does not do."""
    match (call.method, call.parts):
        case ("GET", ["agent-harnesses"]):
            return Answer.of({"standardEnvVars": [], "harnesses": {}})
        case ("GET", ["whoami-v2"]):
            return _whoami(call)
        case ("POST", ["validate-yaml"]):
            return _validate_yaml(call)
        case ("POST", ["repos", "create"]):
            return _create(storage, call)
        case ("DELETE", ["repos", "delete"]):
            return _delete(storage, call)
        case (_, [kind, namespace, name, *rest]) if kind in SEVERAL:
            return _repo(storage, call, kind[:-1], f"{namespace}/{name}", rest, xet_url)
    raise Refusal(404, None, f"no such API: {call.method} {'/'.join(call.parts)}")


def _whoami(call: Call) -> Answer:
    if call.user is None:
        raise Refusal(401, None, "Invalid username or password.")
    orgs = [{"type": "org", "name": name} for name in call.user.namespaces if name != call.user.name]
    access = {"type": "access_token", "accessToken": {"displayName": "test", "role": call.user.role}}
    return Answer.of({"type": "user", "name": call.user.name, "orgs": orgs, "auth": access})


def _validate_yaml(call: Call) -> Answer:
    text = call.json()["content"]
    try:
        data = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else {}
    except (yaml.YAMLError, IndexError) as error:
        return Answer.of({"errors": [{"message": str(error)}], "warnings": []}, 400)
    bad = [key for key in ("license", "library_name") if not isinstance((data or {}).get(key, ""), str)]
    errors = [{"message": f'"{key}" must be a string'} for key in bad]
    for key in ("language", "datasets", "base_model", "metrics", "tags"):
        value = (data or {}).get(key, [])
        for number, item in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(item, str):
                errors.append({"message": f'"{key}[{number}]" must be a string'})
            elif key == "base_model" and not re.fullmatch(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*", item):
                errors.append({"message": f'"base_model" with value "{item}" is not valid. Use a model id'})
    return Answer.of({"errors": errors, "warnings": []}, 400 if errors else 200)


def _named(call: Call) -> tuple[str, str]:
    asked = call.json()
    if call.user is None:
        raise Refusal(401, None, "Invalid username or password.")
    namespace = asked.get("organization") or call.user.name
    if call.user.role != "write" or namespace not in call.user.namespaces:
        raise Refusal(403, None, f"You don't have the rights to change repos under the namespace {namespace}")
    return asked.get("type") or "model", f"{namespace}/{asked['name']}"


def _create(storage: Storage, call: Call) -> Answer:
    key = _named(call)
    if key in storage.repos:
        raise Refusal(409, None, "You already created this model repo")
    asked = call.json()
    private = bool(asked.get("private")) or asked.get("visibility") == "private"
    repo = storage.repos[key] = Repository(key[1], key[0], private=private)
    repo.add({".gitattributes": Blob(GITATTRIBUTES, False)}, "initial commit", "main", None)
    return Answer.of({"url": f"{call.endpoint}/{key[1]}", "name": key[1], "private": private})


def _delete(storage: Storage, call: Call) -> Answer:
    key = _named(call)
    if storage.repos.pop(key, None) is None:
        raise Refusal(404, "RepoNotFound", "Repository not found")
    return Answer.of({})


def _repo(storage: Storage, call: Call, kind: str, repo_id: str, rest: list[str], xet_url: str | None) -> Answer:
    repo = storage.visible(kind, repo_id, call.user)
    match (call.method, rest):
        case ("GET", []):
            return Answer.of(_info(repo, repo.resolve("main"), call.query))
        case ("GET", ["revision", revision]):
            return Answer.of(_info(repo, repo.resolve(revision), call.query))
        case ("GET", ["tree", revision, *folder]):
            return Answer.of(_tree(repo, repo.resolve(revision), "/".join(folder), "recursive" in call.query))
        case ("POST", ["paths-info", revision]):
            tree = repo.resolve(revision).tree
            wanted = _wanted(call)
            return Answer.of([_row(path, blob) for path, blob in tree.items() if path in wanted])
        case ("GET", ["refs"]):
            return Answer.of(_refs(repo))
        case ("GET", ["commits", revision]):
            return Answer.of([_commit_row(commit) for commit in repo.history(repo.resolve(revision))])
        case ("GET", ["auth-check", *_]):
            storage.readable(kind, repo_id, call.user)
            return Answer.of({})
        case ("GET", ["discussions"]):
            rows = [_pull_row(repo, pull) for pull in repo.pulls]
            return Answer.of({"discussions": rows, "count": len(rows), "start": 0})
        case ("GET", ["xet-read-token" | "xet-write-token" as what, *_]):
            return _xet_token(storage, call, repo, what, xet_url)
        case ("POST", ["preupload", revision]):
            return commits.preupload(storage, call, repo, revision)
        case ("POST", ["commit", revision]):
            return commits.commit(storage, call, repo, revision)
        case ("POST", ["branch" | "tag" as table, name]):
            return commits.point(storage, call, repo, table, name)
    raise Refusal(404, None, f"no such API: {call.method} {'/'.join(rest)}")


def _row(path: str, blob: Blob) -> dict[str, Any]:
    row: dict[str, Any] = {"type": "file", "path": path, "size": len(blob.data), "oid": blob.oid}
    if blob.lfs:
        row["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": len(blob.pointer)}
    return row


def _info(repo: Repository, commit: Commit, query: dict[str, str]) -> dict[str, Any]:
    siblings = []
    for path, blob in commit.tree.items():
        row: dict[str, Any] = {"rfilename": path}
        if "blobs" in query:
            row |= {"size": len(blob.data), "blobId": blob.oid}
            if blob.lfs:
                row["lfs"] = {"sha256": blob.sha256, "size": len(blob.data), "pointerSize": len(blob.pointer)}
        siblings.append(row)
    info: dict[str, Any] = {
        "_id": repo.repo_id, "id": repo.repo_id, "modelId": repo.repo_id, "author": repo.namespace, "sha": commit.sha,
        "lastModified": commit.date, "createdAt": commit.date, "private": repo.private, "disabled": repo.disabled,
        "gated": "manual" if repo.gated else False, "downloads": 0, "likes": 0, "tags": [], "siblings": siblings,
    }  # fmt: skip
    if "securityStatus" in query:
        info["securityRepoStatus"] = repo.security or {"scansDone": False, "filesWithIssues": []}
    return repo.tamper(info) if repo.tamper else info


def _tree(repo: Repository, commit: Commit, folder: str, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    rows, folders = [], set()
    for path, blob in commit.tree.items():
        if not path.startswith(prefix):
            continue
        parents = path.removeprefix(prefix).split("/")[:-1]
        for depth in range(1, len(parents) + 1 if recursive else min(2, len(parents) + 1)):
            folders.add(prefix + "/".join(parents[:depth]))
        if recursive or not parents:
            rows.append(_row(path, blob))
    if folder and not rows and not folders:
        raise Refusal(404, "EntryNotFound", f"{folder} does not exist")
    return [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders)] + rows


def _wanted(call: Call) -> set[str]:
    try:
        paths = call.json()["paths"]
    except ValueError:  # sent as a form
        from urllib.parse import parse_qs

        paths = parse_qs(call.body.decode())["paths"]
    return {paths} if isinstance(paths, str) else set(paths)


def _refs(repo: Repository) -> dict[str, Any]:
    def row(name: str, ref: str, sha: str) -> dict[str, str]:
        return {"name": name, "ref": ref, "targetCommit": sha}

    plain = {name: sha for name, sha in repo.refs.items() if not name.startswith("refs/")}
    return {
        "branches": [row(name, f"refs/heads/{name}", sha) for name, sha in plain.items()],
        "tags": [row(name, f"refs/tags/{name}", sha) for name, sha in repo.tags.items()],
        "converts": [],
        "pullRequests": [row(ref, ref, sha) for ref, sha in repo.refs.items() if ref.startswith("refs/pr/")],
    }


def _commit_row(commit: Commit) -> dict[str, Any]:
    who = [{"user": "tester"}]
    return {"id": commit.sha, "title": commit.title, "message": commit.message, "authors": who, "date": commit.date}


def _pull_row(repo: Repository, pull: PullRequest) -> dict[str, Any]:
    return {
        "num": pull.num, "title": pull.title, "status": pull.status, "isPullRequest": True,
        "author": {"name": pull.author}, "createdAt": repo.resolve(f"refs/pr/{pull.num}").date,
        "repo": {"name": repo.repo_id, "type": repo.repo_type},
    }  # fmt: skip


def _xet_token(storage: Storage, call: Call, repo: Repository, what: str, xet_url: str | None) -> Answer:
    if xet_url is None:
        raise Refusal(404, None, "Not Found")
    if what == "xet-write-token":
        storage.writable(repo.repo_type, repo.repo_id, call.user, pull="create_pr" in call.query)
    else:
        storage.readable(repo.repo_type, repo.repo_id, call.user)
    expires = "4000000000"
    access = {"X-Xet-Cas-Url": xet_url, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": expires}
    body = {"casUrl": xet_url, "accessToken": "xet", "exp": int(expires)}
    return Answer(json.dumps(body).encode(), 200, {"Content-Type": "application/json", **access})
