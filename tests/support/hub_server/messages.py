"""A parsed API request and what goes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from support.hub_server.storage import User


@dataclass
class Call:
    """One API request, parsed: path segments (unquoted), query, body, user, and the endpoint it came to."""

    method: str
    parts: list[str]
    query: dict[str, str]
    body: bytes
    user: User | None
    endpoint: str

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass
class Answer:
    """What goes back: status, body and headers."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Answer:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(json.dumps(value).encode(), status, {"Content-Type": "application/json", **named})
