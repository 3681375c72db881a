"""The scanners that hubclean is measured beside: how each is called on a file, and what its exit codes mean.

Each is installed in a venv of its own, whose ``bin`` folder is given as ``--peer NAME=BIN``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Exit codes of all four: 0 clean, 1 findings; all else is an error, or nothing that the tool supports.
COMMANDS = {
    "picklescan": ("picklescan", "-p"),
    "modelscan": ("modelscan", "scan", "-p"),
    "fickling": ("fickling", "--check-safety"),
    "modelaudit": ("modelaudit", "scan", "--quiet"),
}
LIMIT = 60.0


@dataclass(frozen=True)
class Peer:
    """A scanner and the folder of its programs."""

    name: str
    folder: Path

    @property
    def version(self) -> str:
        code = f"import importlib.metadata as m; print(m.version({self.name!r}))"
        return subprocess.run(
            [str(self.folder / "python"), "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()

    def command(self, path: Path) -> list[str]:
        program, *words = COMMANDS[self.name]
        return [str(self.folder / program), *words, str(path)]


def added(parser: argparse.ArgumentParser) -> None:
    """The option ``--peer``."""
    parser.add_argument("--peer", type=_peer, action="append", default=[], help="NAME=BIN, a folder with the program")


def _peer(text: str) -> Peer:
    name, _, folder = text.partition("=")
    if name not in COMMANDS:
        raise argparse.ArgumentTypeError(f"no peer named {name!r}; there are: {', '.join(COMMANDS)}")
    return Peer(name, Path(folder).resolve())


def quiet() -> dict[str, str]:
    """An environment without telemetry, proxies and threads."""
    return os.environ | {
        "PROMPTFOO_DISABLE_TELEMETRY": "1",
        "NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "NO_COLOR": "1",
        "OMP_NUM_THREADS": "1",
    }


def exit_code(command: list[str]) -> int | None:
    """Run it on strangers' bytes; ``None`` if it does not come back within ``LIMIT`` seconds."""
    try:  # in the file's own folder: fickling leaves a report where it is started
        done = subprocess.run(
            command, capture_output=True, timeout=LIMIT, check=False, env=quiet(), cwd=Path(command[-1]).parent
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode
