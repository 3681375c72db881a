"""HTTP plumbing: one request in, faults applied, one answer out, one line in the log."""

from __future__ import annotations

import contextlib
import gzip
import select
import socket
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, unquote

from support.hub_server import api, files
from support.hub_server.faults import Exchange, Fault
from support.hub_server.messages import Answer, Call
from support.hub_server.storage import Refusal

if TYPE_CHECKING:
    from support.hub_server.server import HubServer


class Host(ThreadingHTTPServer):
    """One listening host of the Hub: the Hub itself or its CDN."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, where: Literal["hub", "cdn"], hub: HubServer) -> None:
        self.where, self.hub = where, hub
        super().__init__((address, 0), Handler)

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of the server."""


def pause(connection: socket.socket, seconds: float) -> None:
    """Wait, but for no client that has hung up: a test may say an hour, and takes as long as the client is patient."""
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    waiting.poll(1000 * seconds)


def _parts(body: bytes, faults: list[Fault], connection: socket.socket) -> Iterator[bytes]:
    """The body as it is sent: at once, in drops, or with a long pause in the middle."""
    for fault in faults:
        if fault.kind == "drip":
            for at in range(len(body)):
                yield body[at : at + 1]
                pause(connection, fault.value or 0.0)
            return
        if fault.kind == "stall":
            yield body[: len(body) // 2]
            pause(connection, fault.value or 0.0)
            body = body[len(body) // 2 :]
    yield body


class Handler(BaseHTTPRequestHandler):
    """Serves both hosts."""

    protocol_version = "HTTP/1.1"
    server: Host
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """The log is ``HubServer.log``."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        prefix = self.server.hub.prefix if self.server.where == "hub" else ""
        path = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else f"/outside{path}"
        asked = self.headers.get("Range")
        exchange = Exchange(
            self.server.where, self.command, unquote(path), self.headers.get("Host", ""), asked,
            "Authorization" in self.headers, self.headers.get("Accept-Encoding"),
        )  # fmt: skip
        hub = self.server.hub
        hub.log.append(exchange)
        body = self._body()
        faults = hub.faults.take(exchange)
        for fault in faults:
            if fault.kind == "call" and fault.action:
                fault.action()
            elif fault.kind == "slow":
                pause(self.connection, fault.value or 0.0)
            elif fault.kind == "reset":
                return self._reset()
            elif fault.kind == "raw":
                return self._raw(exchange, fault.raw)
            elif fault.kind == "status":
                after = {} if fault.value is None else {"Retry-After": f"{fault.value:g}"}
                named = {"Content-Type": "application/json", **after, **fault.headers}
                return self._send(exchange, Answer(b"{}", fault.status, named))
            elif fault.kind == "redirect":
                commit = hub.newest_commit()
                return self._send(exchange, Answer(b"", 302, {"Location": fault.location, "X-Repo-Commit": commit}))
        try:
            user = hub.storage.user(self.headers.get("Authorization")) if self.server.where == "hub" else None
            parts = [unquote(part) for part in path.strip("/").split("/")]
            pairs = dict(parse_qsl(query, keep_blank_values=True))
            call = Call(self.command, parts, pairs, body, user, hub.url + hub.prefix)
            reply, data = self._route(call)
        except Refusal as refusal:
            code = {"X-Error-Code": refusal.code} if refusal.code else {}
            text = {"Content-Type": "application/json", "X-Error-Message": refusal.message}
            refused = Answer.of({"error": refusal.message}, refusal.status)
            return self._send(exchange, Answer(refused.body, refused.status, {**text, **code}))
        if data is not None:
            reply = self._with_range(reply, data, asked, faults)
        self._send(exchange, reply, faults)

    def _route(self, call: Call) -> tuple[Answer, bytes | None]:
        hub, parts = self.server.hub, call.parts
        if self.server.where == "cdn":
            if parts[0] != "lfs" or parts[1] not in hub.storage.lfs:
                raise Refusal(403, None, "AccessDenied")
            return Answer(b"", 200, {"ETag": f'"{parts[1]}"', "Accept-Ranges": "bytes"}), hub.storage.lfs[parts[1]]
        if parts[:2] == ["api", "resolve-cache"]:
            repo = hub.storage.readable(parts[2][:-1], f"{parts[3]}/{parts[4]}", call.user)
            blob = files.blob_of(repo, repo.resolve(parts[5]), "/".join(parts[6:]))
            return Answer(b"", 200, {"X-Repo-Commit": parts[5], "ETag": f'"{blob.oid}"'}), blob.data
        if parts[0] == "api":
            call.parts = parts[1:]
            return api.answer(hub.storage, call, hub.xet.url if hub.xet else None), None
        if parts[0] == "lfs-upload":
            return files.lfs_put(hub.storage, parts[1], call.body), None
        if parts[0] == "lfs-verify":
            return files.lfs_verify(hub.storage, call), None
        kind = parts.pop(0)[:-1] if parts[0] in ("datasets", "spaces") else "model"
        if len(parts) > 4 and parts[1].endswith(".git"):
            return files.lfs_batch(hub.storage, call, kind, f"{parts[0]}/{parts[1].removesuffix('.git')}"), None
        if len(parts) < 5 or parts[2] != "resolve" or call.method not in ("GET", "HEAD"):
            raise Refusal(404, None, "Not Found")
        repo_id, rest = f"{parts[0]}/{parts[1]}", parts[3:]
        reply, data = files.resolve(hub.storage, call, kind, repo_id, rest, cdn=hub.cdn_url, detour=hub.detour)
        if hub.xet and "X-Linked-ETag" in reply.headers:
            reply.headers |= hub.xet.headers(hub, kind, repo_id, reply.headers)
        return reply, data

    def _with_range(self, reply: Answer, data: bytes, asked: str | None, faults: list[Fault]) -> Answer:
        kinds = {fault.kind for fault in faults}
        for fault in faults:
            if fault.kind == "rotten":
                at = int(fault.value or 0)
                data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        status, headers, body = files.ranged(data, None if "ignore-range" in kinds else asked)
        if "wrong-range" in kinds and status == 206:
            first = int(headers["Content-Range"].split()[1].split("-")[0]) + 1
            headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(data)}"
        if "wrong-size" in kinds and status == 206:
            headers["Content-Range"] = headers["Content-Range"].split("/")[0] + f"/{len(data) + 1}"
        if "flip" in kinds and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        if "short" in kinds:
            body = body[:-1]
        if "gzip" in kinds:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        return Answer(body, status, {**reply.headers, **headers, "Content-Type": "application/octet-stream"})

    def _send(self, exchange: Exchange, reply: Answer, faults: list[Fault] | None = None) -> None:
        kinds = {fault.kind for fault in faults or ()}
        if "wrong-commit" in kinds:
            reply.headers["X-Repo-Commit"] = "0" * 40
        if "no-commit" in kinds:
            reply.headers.pop("X-Repo-Commit", None)
        if "no-etag" in kinds:
            reply.headers = {name: text for name, text in reply.headers.items() if not name.endswith("ETag")}
        if "new-etag" in kinds and reply.status < 300:
            reply.headers["ETag"] = f'"{len(self.server.hub.log)}"'
        if "linked-etag" in kinds:
            reply.headers["X-Linked-ETag"] = '"' + "0" * 64 + '"'
        for fault in faults or ():
            reply.headers = {**reply.headers, **fault.headers}
        body = b"" if self.command == "HEAD" else reply.body
        cut = "truncate" in kinds and self.command == "GET"
        exchange.status, exchange.sent = reply.status, len(body) // 2 if cut else len(body)
        with contextlib.suppress(ConnectionError):
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value.encode("ascii", "backslashreplace").decode())
            if "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            if cut:
                self.send_header("Connection", "close")
            self.end_headers()
            for part in _parts(body[: exchange.sent], faults or [], self.connection):
                self.wfile.write(part)
        if cut:
            self.close_connection = True

    def _raw(self, exchange: Exchange, answer: bytes) -> None:
        exchange.sent = len(answer)
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            self.wfile.write(answer)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
