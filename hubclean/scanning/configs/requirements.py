"""What a list of requirements makes pip install from elsewhere than the package index.

Source: pip's requirements file format (pip 23 to 25: ``_internal/req/req_file.py``), PEP 508 for addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

# Indexes and files of the Python package index, PyTorch and NVIDIA; Hubs of code, whose addresses name their owners.
_INDEXES = frozenset(
    {"pypi.org", "pypi.python.org", "files.pythonhosted.org", "download.pytorch.org", "pypi.nvidia.com"}
    | {"pypi.ngc.nvidia.com", "data.pyg.org"}
)
_CODE_HOSTS = frozenset({"github.com", "gitlab.com", "huggingface.co", "bitbucket.org", "raw.githubusercontent.com"})
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}:(?://|\\\\)[^\s;'\",]{1,2000}|\bfile:[^\s;'\",]{1,2000}")
_TRUSTED = re.compile(r"--trusted-h\w*[=\s]+(\S{1,200})")
_COMMENT = re.compile(r"(?:^|[ \t])#.*")
_MOST_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Foreign:
    """An address in a list of requirements; ``known`` is whether it lies at a Hub of code that everybody uses."""

    shown: str
    known: bool


def foreign_sources(text: bytes) -> Iterator[Foreign]:
    """The addresses from which pip would install, but for package indexes that everybody uses."""
    for line in _lines(text):
        for match in _TRUSTED.finditer(line):
            yield Foreign(match.group(0), False)
        for match in _ADDRESS.finditer(line):
            address = match.group(0)
            host = _host(address)
            if host not in _INDEXES or not address.lower().startswith("https:"):
                yield Foreign(address, host in _CODE_HOSTS and address.lower().startswith(("https:", "git+https:")))


def _host(address: str) -> str:
    if "\\" in address:  # parsers disagree on where the host ends
        return ""
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _lines(text: bytes) -> Iterator[str]:
    """Lines as pip joins them: a backslash at the end goes on, what stands behind a number sign is left out."""
    plain = text.decode("utf-16" if text[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    joined: list[str] = []
    for row in plain.splitlines()[:_MOST_LINES]:
        line = _COMMENT.sub("", row)
        if line.endswith("\\"):
            joined.append(line[:-1])
            continue
        yield "".join((*joined, line))
        joined = []
    if joined:
        yield "".join(joined)
