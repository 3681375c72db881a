"""A loopback Hugging Face Hub over real HTTP, driven by the real client through ``HF_ENDPOINT``.

``HubServer`` starts two hosts: the Hub (127.0.0.1) and its CDN (127.0.0.2), which serves LFS bodies.

- ``storage.py``  commits, branches, pull requests, LFS objects, who may see and write what
- ``faults.py``   what can be made to go wrong, and the log of every request
- ``messages.py`` a parsed request, an answer
- ``api.py``      the JSON API: info, tree, refs, pull requests, create, delete
- ``commits.py``  preupload and commit
- ``files.py``    the bytes: resolve, CDN, LFS upload, Range
- ``xet.py``      a Xet store in a local folder, for clients that have Xet on
- ``handler.py``  HTTP plumbing
- ``server.py``   the Python side used by tests
"""

from __future__ import annotations

from support.hub_server.faults import Exchange, Fault
from support.hub_server.server import HubServer
from support.hub_server.storage import Blob, Commit, Repository

__all__ = ["Blob", "Commit", "Exchange", "Fault", "HubServer", "Repository"]
