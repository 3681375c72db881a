"""Names and shapes of the tensors in torch's zip files, told from the opcodes of ``data.pkl``; nothing is loaded.

Only for comparing them with safetensors: plain state dicts are followed, everything else gives no answer. Whether a
pickle is harmless is for its own scanner to say.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubclean.repos import Repo, RepoEntry

Shapes = Mapping[str, tuple[int, ...] | None]

MOST_BYTES = 4 << 20
MOST_OPCODES = 400_000
_MARK = object()
_REBUILD = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"


@dataclass(frozen=True, slots=True)
class _Name:
    text: str


@dataclass(frozen=True, slots=True)
class _Tensor:
    shape: tuple[int, ...]


class _Blank:
    """Something of no interest."""


class RangeFile(io.RawIOBase):
    """A seekable file over range reads, for ``zipfile``."""

    def __init__(self, repo: Repo, entry: RepoEntry) -> None:
        self._repo, self._entry, self._at = repo, entry, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._entry.size)[whence])
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._entry.size if size is None or size < 0 else min(self._entry.size, self._at + size)
        body = self._repo.read_range(self._entry.path, min(self._at, stop), stop)
        self._at += len(body)
        return body


def tensors_of(repo: Repo, entry: RepoEntry) -> Shapes:
    """Name and shape of every tensor of a torch zip that holds a plain state dict; empty for everything else.

    Raises:
        Exception: whatever ``zipfile`` says of a file that is none.
    """
    if repo.read_range(entry.path, 0, min(4, entry.size)) != b"PK\x03\x04":
        return {}
    with zipfile.ZipFile(RangeFile(repo, entry)) as archive:
        members = [row for row in archive.infolist() if row.filename.count("/") == 1]
        found = [row for row in members if row.filename.endswith("/data.pkl")]
        if len(found) != 1 or found[0].file_size > MOST_BYTES or found[0].compress_type != zipfile.ZIP_STORED:
            return {}
        root = _follow(archive.read(found[0]))
    for _ in range(4):
        inner = root.get("state_dict", root.get("model")) if isinstance(root, dict) else None
        root = inner if isinstance(inner, dict) else root
    if not isinstance(root, dict):
        return {}
    return {name: row.shape for name, row in root.items() if isinstance(name, str) and isinstance(row, _Tensor)}


def _follow(pickle: bytes) -> Any:
    """The top object of a pickle, of strings, numbers, tuples, dicts and tensors' shapes; an opcode beyond raises."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    value: Any
    for count, (opcode, value, _) in enumerate(pickletools.genops(pickle)):
        if count > MOST_OPCODES:
            raise ValueError("too long")
        name = opcode.name
        if name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if value is None else value] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name == "GLOBAL":
            stack.append(_Name(value))
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            _step(name, value, stack)
    raise ValueError("no end")


def _step(name: str, value: Any, stack: list[Any]) -> None:
    if name == "MARK":
        stack.append(_MARK)
    elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
        stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": ()}[name])
    elif name in ("BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"):
        stack.append(value)
    elif name in ("NONE", "NEWTRUE", "NEWFALSE"):
        stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        size = int(name[-1])
        stack[-size:] = [tuple(stack[-size:])]
    elif name == "TUPLE":
        stack.append(tuple(_upto_mark(stack)))
    elif name == "BINPERSID":
        stack[-1] = _Blank()
    elif name == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        stack.append(_called(function, arguments))
    elif name == "BUILD":
        stack.pop()
    elif name in ("SETITEM", "SETITEMS"):
        rows = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _upto_mark(stack)
        stack[-1].update(zip(rows[::2], rows[1::2], strict=True))
    elif name in ("APPEND", "APPENDS"):
        rows = [stack.pop()] if name == "APPEND" else _upto_mark(stack)
        stack[-1].extend(rows)
    else:
        raise ValueError(f"{name} is not followed")


def _upto_mark(stack: list[Any]) -> list[Any]:
    at = max(index for index, value in enumerate(stack) if value is _MARK)
    rows = stack[at + 1 :]
    del stack[at:]
    return rows


def _called(function: Any, arguments: Any) -> Any:
    name = function.text if isinstance(function, _Name) else ""
    if name == _REBUILD and all(type(side) is int for side in arguments[2]):
        return _Tensor(tuple(arguments[2]))
    if name == _PARAMETER:
        return arguments[0]
    return {} if name == "collections OrderedDict" else _Blank()
