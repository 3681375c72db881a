"""What a list of requirements makes pip install from elsewhere than the package index.

Source: pip's requirements file format (pip 23 to 25: ``_internal/req/req_file.py``), PEP 508 for addresses; conda's
environment files (channels, and a list for pip among them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

# Indexes of wheels that their projects' own instructions name, mirrors of the package index, conda's channels.
_INDEXES = frozenset(
    {"pypi.org", "pypi.python.org", "files.pythonhosted.org", "test.pypi.org", "download.pytorch.org", "data.pyg.org"}
    | {"download-r2.pytorch.org", "pypi.nvidia.com", "pypi.ngc.nvidia.com", "developer.download.nvidia.com"}
    | {"repo.radeon.com", "data.dgl.ai", "wheels.vllm.ai", "flashinfer.ai", "download.openmmlab.com", "shi-labs.com"}
    | {"pytorch-extension.intel.com", "pypi.anaconda.org", "www.paddlepaddle.org.cn", "whl.natten.org"}
    | {"pypi.tuna.tsinghua.edu.cn", "mirrors.tuna.tsinghua.edu.cn", "mirrors.aliyun.com", "pypi.mirrors.ustc.edu.cn"}
    | {"mirrors.ustc.edu.cn", "pypi.doubanio.com", "pypi.douban.com", "mirrors.cloud.tencent.com"}
    | {"repo.huaweicloud.com", "mirrors.huaweicloud.com", "mirror.baidu.com", "mirrors.bfsu.edu.cn"}
    | {"conda.anaconda.org", "repo.anaconda.com", "repo.continuum.io", "conda.pypi.org"}
)
# Buckets that anybody can rent stand behind one host: only these paths are their projects' own.
_BUCKETS = (
    "https://storage.googleapis.com/jax-releases/",
    "https://storage.googleapis.com/libtpu-releases/",
    "https://storage.googleapis.com/libtpu-wheels/",
    "https://storage.googleapis.com/pytorch-xla-releases/",
    "https://storage.googleapis.com/tensorflow/",
    "https://modelscope.oss-cn-beijing.aliyuncs.com/releases/",
)
_CODE_HOSTS = frozenset(
    {"github.com", "gitlab.com", "huggingface.co", "hf.co", "bitbucket.org", "raw.githubusercontent.com", "gitee.com"}
    | {"codeload.github.com", "objects.githubusercontent.com", "codeberg.org"}
)
_PAGES = (".github.io", ".gitlab.io")  # their addresses name their owners, too
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}:(?://|\\\\)[^\s;'\",]{1,2000}|\bfile:[^\s;'\",]{1,2000}")
# A path of this machine; with two more slashes, or a host, Windows opens another machine's share.
_LOCAL = re.compile(r"file:(?:///(?![/\\])|//localhost/|(?![/\\]{2}|\\))")
_CLIMBS = re.compile(r"\.\.|%2e|\\")
_TRUSTED = re.compile(r"--trusted-h\w*[=\s]+(\S{1,200})")
_CODING = re.compile(rb"coding[:=]\s*(?:utf[-_]?7|u7|unicode[-_]1[-_]1[-_]utf[-_]7)\b", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|[ \t])#.*")


Kind = Literal["foreign", "unguarded", "local", "code"]


@dataclass(frozen=True, slots=True)
class Source:
    """An address in a list of requirements.

    ``kind``: at a host that nobody here knows (``foreign``); a known index without TLS or without its check
    (``unguarded``); a path of the machine that wrote the list, as ``pip freeze`` in conda does (``local``); a repo at a
    Hub of code that everybody uses (``code``).
    """

    shown: str
    kind: Kind


def foreign_sources(text: bytes) -> Iterator[Source]:
    """The addresses from which pip would install, but for package indexes that everybody uses."""
    for line in _lines(text):
        yield from sources_in(line)


def sources_in(line: str) -> Iterator[Source]:
    """Those of one line, or of one value of a project file."""
    for match in _TRUSTED.finditer(line):
        known = match.group(1).lower().strip("\"'").split(":")[0] in _INDEXES
        yield Source(match.group(0), "unguarded" if known else "foreign")
    for match in _ADDRESS.finditer(line):
        if kind := _kind(match.group(0)):
            yield Source(match.group(0), kind)


def _kind(address: str) -> Kind | None:
    plain, host = address.lower(), _host(address)
    if _LOCAL.match(plain):
        return "local"
    if host in _INDEXES or (plain.startswith(_BUCKETS) and not _CLIMBS.search(plain)):
        return None if plain.startswith("https:") else "unguarded"
    if host in _CODE_HOSTS or host.endswith(_PAGES):
        return "code" if plain.startswith(("https:", "git+https:", "git+ssh:", "ssh:")) else "foreign"
    return "foreign"


def _host(address: str) -> str:
    if "\\" in address:  # parsers disagree on where the host ends
        return ""
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _lines(text: bytes) -> Iterator[str]:
    """Lines as pip joins them: a backslash at the end goes on, what stands behind a number sign is left out."""
    said = _CODING.search(b"\n".join(text[:1000].splitlines()[:2]))
    coding = "utf-16" if text[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-7" if said else "utf-8-sig"
    plain = text.decode(coding, "replace")
    joined: list[str] = []
    for row in plain.splitlines():
        line = _COMMENT.sub("", row)
        if line.endswith("\\"):
            joined.append(line[:-1])
            continue
        yield "".join((*joined, line))
        joined = []
    if joined:
        yield "".join(joined)
