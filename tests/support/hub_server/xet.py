"""A Xet store in a local folder: ``hf_xet`` accepts ``local://`` where a server would give a CAS address."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.hub_server.server import HubServer


class XetStore:
    """Chunks of LFS files in a folder, found by their Xet hash; filled from the LFS store on demand."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.url = f"local://{folder}"
        self._hashes: dict[str, str] = {}
        self._lock = threading.Lock()

    def headers(self, hub: HubServer, kind: str, repo_id: str, linked: dict[str, str]) -> dict[str, str]:
        """What ``resolve`` adds for a client with Xet: the file's hash and where to get a read token."""
        sha256 = linked["X-Linked-ETag"].strip('"')
        route = f"{hub.url}/api/{kind}s/{repo_id}/xet-read-token/{linked['X-Repo-Commit']}"
        return {"X-Xet-Hash": self._hash(sha256, hub.storage.lfs[sha256]), "Link": f'<{route}>; rel="xet-auth"'}

    def _hash(self, sha256: str, data: bytes) -> str:
        import hf_xet

        with self._lock:
            if sha256 not in self._hashes:
                session = hf_xet.XetSession()
                with session.new_upload_commit(
                    endpoint=self.url, token="xet", token_expiry_unix_secs=4_000_000_000
                ) as commit:
                    upload = commit.start_upload_bytes(data, sha256=hf_xet.COMPUTE_SHA256)
                self._hashes[sha256] = upload.result().xet_info.hash
            return self._hashes[sha256]

    def lie(self, sha256: str, other: bytes) -> None:
        """Serve ``other`` under the hash of the LFS object ``sha256`` from now on."""
        self._hashes[sha256] = self._hash(hashlib.sha256(other).hexdigest(), other)
