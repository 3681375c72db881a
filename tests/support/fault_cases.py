"""What servers do wrong, one case each: how ``scan``, ``download`` or ``push`` must end, and what is said."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from support.hub_server import HubServer
from support.scanned_files import safetensors, zipped

_ROWS = {f"layer.{i}.weight": {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i in range(1200)}
LONG = safetensors(_ROWS, bytes(4800))
BIG = safetensors({"a": {"dtype": "F32", "shape": [1 << 16], "data_offsets": [0, 1 << 18]}}, bytes(1 << 18))
REPO = {"config.json": b'{"architecture": "resnet18"}', "model.safetensors": BIG, "README.md": b"# hi"}
HEADERS = {**REPO, "model.safetensors": LONG}
PICKLED = {
    "config.json": b"{}",
    "pytorch_model.bin": zipped(archive__data_pkl=b"\x80\x02}q\x00.", archive__version=b"3\n"),
}
OTHER = "http://127.0.0.2:9"
API, FILE, TEXT, CDN = "/api/models/*", "*/resolve/*", "*/resolve/*config.json", "/lfs/*"


@dataclass(frozen=True)
class Case:
    """One way to fail: ``faults`` are arguments of ``HubServer.fault``; ``code`` is the exit code that must follow."""

    name: str
    faults: tuple[dict[str, Any], ...]
    code: int
    says: str
    act: str = "scan"
    files: str = "REPO"

    def __str__(self) -> str:
        return f"{self.act}-{self.name}".replace(" ", "-")


def http(head: str, body: bytes = b"", *headers: str) -> bytes:
    """An answer, byte for byte."""
    return "\r\n".join([f"HTTP/1.1 {head}", *headers, "", ""]).encode("latin-1") + body


def _json(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return http("200 OK", text, "Content-Type: application/json", f"Content-Length: {len(text)}")


def _raw(path: str, raw: bytes, **more: Any) -> tuple[dict[str, Any], ...]:
    return ({"kind": "raw", "path": path, "raw": raw, **more},)


def _kind(kind: str, path: str = CDN, **more: Any) -> tuple[dict[str, Any], ...]:
    return ({"kind": kind, "path": path, **more},)


_COMMIT = "X-Repo-Commit: {commit}"
_HTML = b"<html><body>Please sign in to the network</body></html>"
_PAGE = http("200 OK", _HTML, "Content-Type: text/html", f"Content-Length: {len(_HTML)}")


def _row(**changed: Any) -> dict[str, Any]:
    return {"rfilename": "config.json", "size": 2, "blobId": "0" * 40, **changed}


def _listing(*rows: Any, **more: Any) -> bytes:
    return _json({"id": "org/model", "sha": "1" * 40, "siblings": list(rows), **more})


BYTES = (
    Case("flip in every range", _kind("flip"), 2, "hash", files="HEADERS"),
    Case("flip in two ranges", _kind("flip", times=2), 0, "", files="HEADERS"),
    Case("rotten length of a header", _kind("rotten", value=6), 2, "hash", files="HEADERS"),
    Case("rotten header", _kind("rotten", value=40), 2, "hash", files="HEADERS"),
    Case("rotten header of a longer file", _kind("rotten", value=8), 2, "hash"),
    Case("flip in a text", _kind("flip", TEXT), 2, "hash"),
    Case("flip in a text once", _kind("flip", TEXT, times=1), 0, ""),
    Case("rotten pickle", _kind("rotten", value=60), 2, "hash", files="PICKLED"),
    Case("rotten end of a zip", _kind("rotten", value=-3), 2, "hash", files="PICKLED"),
    Case("a linked size that lies", _kind("headers", FILE, headers={"X-Linked-Size": "7"}), 2, "size"),
    Case("wrong range", _kind("wrong-range"), 2, "another byte range"),
    Case("wrong size", _kind("wrong-size"), 2, "another byte range"),
    Case("200 for 206", _kind("ignore-range"), 2, "ignored the byte range"),
    Case("an open range", _kind("headers", headers={"Content-Range": "bytes 0-65535/*"}), 2, "another byte range"),
    Case("one byte short", _kind("short"), 2, "length"),
    Case("truncated", _kind("truncate"), 2, "connection"),
    Case("reset", _kind("reset"), 2, "connection"),
    Case("gzip", _kind("gzip"), 2, "encoding"),
    Case("truncated text", _kind("truncate", TEXT), 2, "connection"),
    Case("an older commit", _kind("wrong-commit", FILE), 2, "another commit"),
    Case("no commit", _kind("no-commit", FILE), 2, "which commit"),
    Case("a page of html", _raw(TEXT, _PAGE), 2, "which commit"),
    Case("no content", _kind("status", CDN, status=204), 2, "204"),
    Case("not modified", _kind("status", CDN, status=304), 2, "304"),
    Case("range not satisfiable", _kind("status", CDN, status=416), 2, "416"),
    Case("truncated gzip", _raw(TEXT, http("200 OK", b"\x1f\x8b\x08\0\0", _COMMIT, "Content-Encoding: gzip")), 2, ""),
    Case("chunks without an end", _raw(CDN, http("206 X", b"4\r\nabcd\r\n", "Transfer-Encoding: chunked")), 2, ""),
    Case("two lengths", _raw(CDN, http("206 X", b"ab", "Content-Length: 1", "Content-Length: 2")), 2, "connection"),
    Case("no http", _raw(CDN, b"SSH-2.0-OpenSSH_9.6\r\n"), 2, "connection"),
    Case("one header of 2 MB", _raw(CDN, http("206 X", b"", "X: " + "a" * (2 << 20))), 2, "connection"),
    Case("ten thousand headers", _raw(CDN, http("206 X", b"", *["X: a"] * 10_000)), 2, "another byte range"),
    Case("a NUL in a header", _raw(CDN, http("206 X", b"", "X: \0")), 2, "connection"),
)  # fmt: skip

REDIRECTS = (
    Case("api to another host", _kind("redirect", API, location=f"{OTHER}/api/models/org/model"), 2, "redirected"),
    Case("api to a name alike", _kind("redirect", API, location="http://xn--hggingface-0hb.co/"), 2, ""),
    Case("api in letters of elsewhere", _kind("redirect", API, location="http://hüggingface.co/"), 2, "redirected"),
    Case("api to a file", _kind("redirect", API, location="file:///etc/passwd"), 2, "redirected"),
    Case("api to nowhere", _kind("redirect", API, location=""), 2, "redirected"),
    Case("api in a circle", _kind("redirect", API, location="/api/models/org/model"), 2, "without end"),
    Case("a file in a circle", _kind("redirect", FILE, location="/org/model/resolve/main/x"), 2, "without end"),
    Case("a file with a password", _kind("redirect", FILE, location="http://a:b@127.0.0.1:9/"), 2, ""),
    Case("a file to letters of elsewhere", _kind("redirect", FILE, location="http://hüg.co/"), 2, "not followed"),
)  # fmt: skip

ANSWERS = (
    Case("a page of html", _raw(API, _PAGE), 2, "no description"),
    Case("nothing", _raw(API, _json(b"")), 2, "no description"),
    Case("a list", _raw(API, _json([])), 2, "no description"),
    Case("null", _raw(API, _json(None)), 2, "no description"),
    Case("a number of 10,000 digits", _raw(API, _json(b'{"sha": ' + b"9" * 10_000 + b"}")), 2, "no description"),
    Case("100,000 brackets", _raw(API, _json(b"[" * 100_000)), 2, "no description"),
    Case("bad utf-8", _raw(API, _json(b'{"sha": "\xff"}')), 2, "no description"),
    Case("half of it", _raw(API, http("200 OK", b'{"sha"', "Content-Length: 100")), 2, "connection"),
    Case("no length and cut", _raw(API, http("200 OK", b'{"sha": "1')), 2, "no description"),
    Case("gzip cut", _raw(API, http("200 OK", b"\x1f\x8b\x08\0\0", "Content-Encoding: gzip")), 2, ""),
    Case("siblings as a dict", _raw(API, _json({"sha": "1" * 40, "id": "a/b", "siblings": {"a": 1}})), 2, ""),
    Case("siblings of texts", _raw(API, _listing("config.json")), 2, ""),
    Case("siblings of null", _raw(API, _listing(None)), 2, ""),
    Case("a size as text", _raw(API, _listing(_row(size="2"))), 2, "no size or hash"),
    Case("a size that is true", _raw(API, _listing(_row(size=True))), 2, "no size or hash"),
    Case("a size of half a byte", _raw(API, _listing(_row(size=0.5))), 2, "no size or hash"),
    Case("a size beyond all", _raw(API, _listing(_row(size=1 << 70))), 2, ""),
    Case("a name that is a number", _raw(API, _listing(_row(rfilename=7))), 2, ""),
    Case("a name that is none", _raw(API, _listing({"size": 1, "blobId": "0" * 40})), 2, ""),
    Case("a hash that is a list", _raw(API, _listing(_row(blobId=["0" * 40]))), 2, "no size or hash"),
    Case("lfs that is a text", _raw(API, _listing(_row(lfs="x"))), 2, ""),
    Case("lfs that is empty", _raw(API, _listing(_row(lfs={}, blobId=None))), 2, ""),
    Case("a file twice", _raw(API, _listing(_row(), _row())), 2, "comes twice"),
    Case("a hash in capitals", _raw(API, _json({"id": "a/b", "sha": "A" * 40, "siblings": [_row()]})), 2, "commit"),
    Case("no siblings", _raw(API, _json({"id": "a/b", "sha": "1" * 40})), 2, "no files"),
)  # fmt: skip

_LATE = "Fri, 01 Jan 2100 00:00:00 GMT"
STATUSES = (
    Case("429 for an hour", _kind("status", API, status=429, value=3600), 2, "come back"),
    Case("429 for an hour on files", _kind("status", FILE, status=429, value=3600), 2, "come back"),
    Case("a rate limit", _kind("status", API, status=429, headers={"RateLimit": '"api";r=0;t=900'}), 2, "come back"),
    Case("a date to come back", _kind("status", API, status=503, headers={"Retry-After": _LATE}), 2, "come back"),
    Case("500 for ever", _kind("status", API, status=500), 2, "500"),
    Case("401", _kind("status", API, status=401), 2, "token"),
    Case("403", _kind("status", API, status=403), 2, "refused access"),
    Case("404 without a code", _kind("status", API, status=404), 2, "no model"),
    Case("407 of a proxy", _kind("status", API, status=407), 2, "407"),
    Case("a status of 999", _kind("status", API, status=999), 2, "999"),
)  # fmt: skip

_LINKED = {"headers": {"X-Linked-Size": "7"}, "method": "HEAD"}
DOWNLOADS = tuple(
    Case(name, faults, 2, says, "download")
    for name, faults, says in (
        ("flip", _kind("flip"), "hash"),
        ("truncated", _kind("truncate"), ""),
        ("a linked size that lies", _kind("headers", FILE, **_LINKED), "size"),
        ("429 for an hour", _kind("status", FILE, status=429, value=3600, method="HEAD"), "come back"),
    )
)

_CREATE, _BATCH, _PREUPLOAD, _DONE = "/api/repos/create", "*/objects/batch", "*/preupload/*", "*/commit/*"
PUSHES = (
    *(
        Case(
            f"{name} redirected", _kind("redirect", path, location=f"{OTHER}/x", method="POST"), 2, "redirected", "push"
        )
        for name, path in (("create", _CREATE), ("preupload", _PREUPLOAD), ("batch", _BATCH), ("commit", _DONE))
    ),
    *(
        Case(name, _raw(path, raw, method="POST"), 2, "", "push")
        for name, path, raw in (
            ("create without a url", _CREATE, _json({"name": "x"})),
            ("create as a list", _CREATE, _json([])),
            ("create as html", _CREATE, _PAGE),
            ("create of another repo", _CREATE, _json({"url": "http://h/a/b"})),
            ("preupload without files", _PREUPLOAD, _json({})),
            ("batch without objects", _BATCH, _json({"transfer": "basic"})),
            ("batch as a list", _BATCH, _json([])),
            ("commit without an id", _DONE, _json({"success": True})),
            ("commit as html", _DONE, _PAGE),
        )
    ),
    Case("429 for an hour", _kind("status", _PREUPLOAD, status=429, value=3600, method="POST"), 2, "come back", "push"),
)

CASES = (*BYTES, *REDIRECTS, *ANSWERS, *STATUSES, *DOWNLOADS, *PUSHES)


def arrange(case: Case, hub: HubServer) -> None:
    """The Hub with the case's repo and faults; ``{commit}`` in a raw answer is the repo's commit."""
    commit = hub.create("org/model", {"REPO": REPO, "HEADERS": HEADERS, "PICKLED": PICKLED}[case.files])
    for fault in case.faults:
        hub.fault(
            **{**fault, **({"raw": fault["raw"].replace(b"{commit}", commit.encode())} if "raw" in fault else {})}
        )
